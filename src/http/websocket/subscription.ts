// A subscription to partitions of the client's own choice. It stores nothing: where each partition is, and what is un-acked in its window.

import type { Position } from "../../broker/group-calls.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { invalidField } from "../formats/body-refusal.ts";
import { readPositions } from "../group-positions.ts";
import type { HttpContext } from "../http-context.ts";
import { AckWindow } from "./ack-window.ts";
import type { FrameId, SubscribeFrame, Window } from "./client-frames.ts";
import type { FrameSender } from "./frame-sender.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { type CursorOwner, PartitionCursor } from "./partition-cursor.ts";
import type { PartitionFeeds } from "./partition-feed.ts";
import type { RecordStyle } from "./record-range.ts";
import { checkInLog, type SubscribePlan, subscribePlan } from "./subscribe-plan.ts";

/** What a session knows of a subscription, plain or of a group. */
export interface Subscription {
  readonly id: FrameId;
  readonly partitionCount: number;
  ack(positions: unknown): void;
  seek(positions: unknown): Promise<void> | undefined;
  /** The client's wish: ends with a `closed` frame. */
  unsubscribe(): Promise<void> | undefined;
  /** The broker shuts down: delivers nothing more; resolves once the acks that came are dealt with. */
  settle(): Promise<void>;
  /** The socket has gone. */
  drop(): void;
}

/** What a session does for its subscriptions. */
export interface SubscriptionHost {
  readonly http: HttpContext;
  readonly feeds: PartitionFeeds;
  readonly sender: FrameSender;
  readonly writer: FrameWriter;
  /** The other side gives signs of life. */
  readonly answersPings: boolean;
  problem(id: FrameId, error: BrokerError): void;
  /** Its last frame is sent and its id is free. */
  closed(subscription: Subscription, code?: string): void;
  waitForSocket(cursor: PartitionCursor): void;
}

/** A window that says one thing only is bounded in that alone. */
export function windowOf(window: Window): AckWindow {
  const { records, bytes } = window;
  if (records === undefined && bytes === undefined) throw invalidField("window", "must say records, bytes or both");
  return new AckWindow({ records: records ?? Number.POSITIVE_INFINITY, bytes: bytes ?? Number.POSITIVE_INFINITY });
}

export function styleOf(writer: FrameWriter, frame: Pick<SubscribeFrame, "keyFormat" | "valueFormat">): RecordStyle {
  if (writer.encoding === "msgpack") return msgpackStyle;
  return { encoding: "json", keyFormat: frame.keyFormat ?? "string", valueFormat: frame.valueFormat ?? "json" };
}

const msgpackStyle: RecordStyle = { encoding: "msgpack" };

export class PlainSubscription implements Subscription, CursorOwner {
  readonly id: FrameId;
  readonly style: RecordStyle | undefined;
  readonly window: AckWindow | undefined;
  readonly #host: SubscriptionHost;
  readonly #frame: SubscribeFrame;
  #cursors: PartitionCursor[] = [];
  /** Those that have not come to their end. */
  readonly #unfinished = new Set<PartitionCursor>();
  #ended = false;

  constructor(host: SubscriptionHost, frame: SubscribeFrame) {
    this.id = frame.id;
    this.#host = host;
    this.#frame = frame;
    this.window = frame.window === undefined ? undefined : windowOf(frame.window);
    this.style = frame.format === "batch" ? undefined : styleOf(host.writer, frame);
  }

  get sender(): FrameSender {
    return this.#host.sender;
  }
  get writer(): FrameWriter {
    return this.#host.writer;
  }
  get partitionCount(): number {
    return this.#cursors.length;
  }

  /** Resolves once it reads. `admit` throws if so many partitions are too many. */
  async open(admit: (partitions: number) => void): Promise<void> {
    const plan = await subscribePlan(this.#host.http, this.#frame);
    if (this.#ended) return;
    admit(plan.partitions.length);
    const { feeds, sender, writer } = this.#host;
    this.#cursors = plan.partitions.map(
      ({ partition, from, until }) => new PartitionCursor(this, feeds.hold(plan.topic, partition), from, until),
    );
    for (const cursor of this.#cursors) this.#unfinished.add(cursor);
    sender.send(
      writer.frame({ type: "subscribed", id: this.id, positions: positionsOf(plan), reset: ifAny(plan.reset) }),
    );
    for (const cursor of [...this.#cursors]) cursor.pump();
  }

  ack(positions: unknown): void {
    const found = this.#find(positions);
    for (const [cursor, { nextOffset }] of found) {
      if (nextOffset > cursor.position) throw beyondDelivered(cursor, nextOffset);
    }
    for (const [cursor, { nextOffset }] of found) this.window?.acked(cursor.unacked, nextOffset);
    this.#pumpAll();
  }

  async seek(positions: unknown): Promise<void> {
    const found = this.#find(positions);
    for (const [, position] of found) await checkInLog(this.#host.http, position);
    if (this.#ended) return;
    for (const [cursor, { nextOffset }] of found) {
      cursor.seek(nextOffset);
      this.#unfinished.add(cursor);
    }
    this.sender.send(this.writer.frame({ type: "ok", id: this.id }));
    this.#pumpAll();
  }

  unsubscribe(): undefined {
    this.#end();
    this.#host.closed(this);
  }

  async settle(): Promise<void> {
    this.#end();
  }

  drop(): void {
    this.#end();
  }

  waitForSocket(cursor: PartitionCursor): void {
    this.#host.waitForSocket(cursor);
  }

  finished(cursor: PartitionCursor): void {
    if (this.#unfinished.delete(cursor) && this.#unfinished.size === 0) this.unsubscribe();
  }

  failed(cursor: PartitionCursor, error: BrokerError): void {
    if (this.#ended) return;
    const { offsetReset } = this.#frame;
    if (error.code === "OFFSET_OUT_OF_RANGE" && offsetReset !== undefined && offsetReset !== "error") {
      void this.#resetGone(cursor, offsetReset);
      return;
    }
    this.#fail(error);
  }

  #fail(error: BrokerError): void {
    if (this.#ended) return;
    this.#end();
    this.#host.problem(this.id, error);
    this.#host.closed(this, error.code);
  }

  /** Retention has overtaken the reader. */
  async #resetGone(cursor: PartitionCursor, kind: "earliest" | "latest"): Promise<void> {
    const { topic, partition } = cursor.feed;
    try {
      const [place] = await this.#host.http.broker.resolveOffsets(topic, [partition], { kind });
      if (this.#ended || place === undefined) return;
      const reset = [{ topic, partition, from: cursor.position, to: place.offset }];
      cursor.seek(place.offset);
      this.sender.send(
        this.writer.frame({
          type: "subscribed",
          id: this.id,
          positions: [{ topic, partition, nextOffset: place.offset }],
          reset,
        }),
      );
      cursor.pump();
    } catch (error) {
      this.#fail(
        error instanceof BrokerError
          ? error
          : new BrokerError("UNKNOWN_SERVER_ERROR", "the broker met a bug", { cause: error }),
      );
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const cursor of this.#cursors) {
      cursor.stop();
      this.#host.feeds.release(cursor.feed);
    }
    this.#cursors = [];
  }

  #pumpAll(): void {
    for (const cursor of [...this.#cursors]) cursor.pump();
  }

  #find(positions: unknown): readonly (readonly [PartitionCursor, Position])[] {
    const named = readPositions("positions", positions) ?? [];
    return named.map((position, index) => {
      const cursor = this.#cursors.find(
        ({ feed }) => feed.partition === position.partition && feed.topic === position.topic,
      );
      if (cursor !== undefined) return [cursor, position] as const;
      throw invalidField(
        `positions[${index}]`,
        `names ${position.topic}-${position.partition}, which this subscription does not read`,
      );
    });
  }
}

export const ifAny = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list);

const positionsOf = ({ topic, partitions }: SubscribePlan) =>
  partitions.map(({ partition, from }) => ({ topic: topic.name, partition, nextOffset: from }));

export const beyondDelivered = ({ feed, position }: PartitionCursor, nextOffset: number): BrokerError =>
  new BrokerError(
    "OFFSET_OUT_OF_RANGE",
    `an ack of ${nextOffset} is beyond what was delivered of ${feed.topic}-${feed.partition}: ${position}`,
    { fields: { topic: feed.topic, partition: feed.partition, nextOffset, delivered: position } },
  );
