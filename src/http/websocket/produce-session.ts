// The produces of one socket: appended in the order sent, answered as they commit, bounded in number and in bytes. Nothing waits in here:
// what does not fit is refused at once, since acks and pongs ride on the same socket and must get through.

import type { TopicInfo } from "../../broker/broker.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import type { HttpContext } from "../http-context.ts";
import { appendBatch, appendToPartition, appendToTopic, type ProducedToPartition } from "../produce-append.ts";
import { offsetsJson, type ProducedOffset, producedJson } from "../produce-batches.ts";
import type { ProduceFrame } from "./frame-parser.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { maxInFlight, maxInFlightBytes } from "./socket-limits.ts";

export class ProduceSession {
  readonly #http: HttpContext;
  readonly #writer: FrameWriter;
  #inFlight = 0;
  #bytes = 0;
  #allAnswered: (() => void) | undefined;
  /** Topics that are being made or looked up: what is sent to one meanwhile waits behind what was sent before. */
  readonly #lookups = new Map<string, Promise<unknown>>();

  constructor(http: HttpContext, writer: FrameWriter) {
    this.#http = http;
    this.#writer = writer;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes a place; throws if there is none. The produce then has to be run. */
  admit({ sizeBytes }: ProduceFrame): void {
    if (this.#http.draining) throw new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
    if (this.#inFlight >= maxInFlight) throw tooMuch("maxInFlight", maxInFlight, "produces");
    if (this.#bytes > 0 && this.#bytes + sizeBytes > maxInFlightBytes) {
      throw tooMuch("maxInFlightBytes", maxInFlightBytes, "bytes of produces");
    }
    this.#http.bodyBudget.take(sizeBytes);
    this.#inFlight += 1;
    this.#bytes += sizeBytes;
  }

  /** The answer's frame. Rejects if it was refused. */
  async run(frame: ProduceFrame): Promise<Buffer> {
    try {
      const found = this.#topic(frame.topic);
      const topic = found instanceof Promise ? await found : found;
      return await this.#append(topic, frame);
    } finally {
      this.#inFlight -= 1;
      this.#bytes -= frame.sizeBytes;
      this.#http.bodyBudget.give(frame.sizeBytes);
      if (this.#inFlight === 0) this.#allAnswered?.();
    }
  }

  /** Resolves once nothing is in flight. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#allAnswered = resolve;
      if (this.#inFlight === 0) resolve();
    });
  }

  #topic(name: string): TopicInfo | Promise<TopicInfo> {
    const before = this.#lookups.get(name);
    if (before === undefined) {
      const found = this.#http.broker.topic(name, "produce");
      if (!(found instanceof Promise)) return found;
      return this.#inTurn(name, found);
    }
    return this.#inTurn(
      name,
      before.then(() => this.#http.broker.topic(name, "produce")),
    );
  }

  #inTurn(name: string, found: Promise<TopicInfo>): Promise<TopicInfo> {
    const turn = found.then(
      () => {},
      () => {},
    );
    this.#lookups.set(name, turn);
    void turn.then(() => {
      if (this.#lookups.get(name) === turn) this.#lookups.delete(name);
    });
    return found;
  }

  async #append(topic: TopicInfo, frame: ProduceFrame): Promise<Buffer> {
    const { partition, produce, idempotencyKey, batch } = frame;
    if (partition === undefined) {
      return this.#offsets(frame, await appendToTopic(this.#http, topic, produce, idempotencyKey, frame.sizeBytes));
    }
    if (partition >= topic.partitionCount) {
      throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic.name} has no partition ${partition}`);
    }
    const produced =
      batch === undefined
        ? await appendToPartition(this.#http, topic, partition, produce, idempotencyKey)
        : await appendBatch(this.#http, topic, partition, batch, produce.options);
    return this.#produced(frame, produced);
  }

  #offsets({ id }: ProduceFrame, offsets: readonly ProducedOffset[] | undefined): Buffer {
    if (this.#writer.encoding === "msgpack") return this.#writer.frame({ type: "produced", id, offsets });
    return producedFrame(id, offsets === undefined ? "" : `,${offsetsJson(offsets)}`);
  }

  #produced({ id }: ProduceFrame, produced: ProducedToPartition | undefined): Buffer {
    if (this.#writer.encoding === "json") {
      return producedFrame(id, produced === undefined ? "" : `,${producedJson(produced)}`);
    }
    if (produced === undefined) return this.#writer.frame({ type: "produced", id });
    const { partition, baseOffset, lastOffset, leaderEpoch, duplicate } = produced;
    return this.#writer.frame({ type: "produced", id, partition, baseOffset, lastOffset, leaderEpoch, duplicate });
  }
}

const producedFrame = (id: string | number, fields: string): Buffer =>
  Buffer.from(`{"type":"produced","id":${JSON.stringify(id)}${fields}}`);

const tooMuch = (name: string, value: number, what: string): BrokerError =>
  new BrokerError("THROTTLING_QUOTA_EXCEEDED", `too many ${what} of this socket are in flight`, {
    fields: { limit: { name, value } },
  });
