// One WebSocket: its ids, its produces, its subscriptions, its signs of life, and how it ends. Frames are handled in the order they came;
// whatever is wrong with one is told, and the socket stays open.

import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import { AssertionError } from "../../assert.ts";
import type { Timer } from "../../io/clock.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { invalidField } from "../formats/body-refusal.ts";
import type { HttpContext } from "../http-context.ts";
import { problemFields, unexpected } from "../problem.ts";
import type { FrameId, SubscribeFrame, SubscribeGroupFrame } from "./client-frames.ts";
import { type ClientFrame, idOf, isProduce, type ProduceFrame, parseFrame } from "./frame-parser.ts";
import { FrameSender } from "./frame-sender.ts";
import { type FrameWriter, jsonFrames, msgpackFrames } from "./frame-writer.ts";
import { GroupSubscription } from "./group-subscription.ts";
import type { PartitionCursor } from "./partition-cursor.ts";
import type { PartitionFeeds } from "./partition-feed.ts";
import { ProduceSession } from "./produce-session.ts";
import {
  type CloseReason,
  closeCodes,
  closeTimeoutMs,
  keepaliveMs,
  maxSubscribedPartitions,
  maxSubscriptions,
  missedPongsMax,
  reconnectAfterMsMax,
  socketLimits,
} from "./socket-limits.ts";
import { PlainSubscription, type Subscription, type SubscriptionHost } from "./subscription.ts";
import { UnfinishedFrame } from "./unfinished-frame.ts";

export interface SessionContext {
  readonly http: HttpContext;
  readonly feeds: PartitionFeeds;
  readonly requestId: string;
  /** Called once, when the socket has gone. */
  ended(session: SocketSession, reason: CloseReason | number): void;
}

export class SocketSession implements SubscriptionHost {
  readonly http: HttpContext;
  readonly feeds: PartitionFeeds;
  readonly sender: FrameSender;
  readonly writer: FrameWriter;
  readonly #context: SessionContext;
  readonly #socket: WebSocket;
  readonly #produces: ProduceSession;
  readonly #unfinished: UnfinishedFrame;
  readonly #subscriptions = new Map<FrameId, Subscription>();
  /** Of produces. */
  readonly #ids = new Set<FrameId>();
  /** Cursors that wait until the socket has been read. */
  #waiting = new Set<PartitionCursor>();
  #keepalive: Timer;
  #missedPongs = 0;
  #closeReason: CloseReason | undefined;

  constructor(context: SessionContext, socket: WebSocket, stream: Duplex, encoding: "json" | "msgpack") {
    this.#context = context;
    this.http = context.http;
    this.feeds = context.feeds;
    this.#socket = socket;
    this.writer = encoding === "json" ? jsonFrames : msgpackFrames;
    this.sender = new FrameSender(socket, stream, encoding === "msgpack", this);
    this.#produces = new ProduceSession(this.http, this.writer);
    this.#unfinished = new UnfinishedFrame(stream, this.http.bodyBudget, () => {
      this.close("overloaded");
      stream.pause();
    });
    socket.on("message", (data, isBinary) => this.#received(data, isBinary));
    socket.on("pong", () => {
      this.#missedPongs = 0;
    });
    socket.on("error", () => {}); // what it was stands in the close code
    socket.on("close", (code) => this.#ended(code));
    this.#keepalive = this.#nextPing();
    const limits = { maxFrameBytes: this.http.settings.maxFrameBytes, ...socketLimits };
    this.sender.send(this.writer.frame({ type: "ready", brokerId: this.http.settings.brokerId, limits }));
  }

  get answersPings(): boolean {
    return this.#missedPongs < missedPongsMax;
  }

  /** The broker shuts down: says so, lets what is in flight be answered, closes. */
  async goAway(): Promise<void> {
    const reconnectAfterMs = Math.floor(this.http.random.fraction() * reconnectAfterMsMax);
    this.sender.send(this.writer.frame({ type: "goaway", reconnectAfterMs }));
    const subscriptions = [...this.#subscriptions.values()];
    await Promise.all([this.#produces.settled(), ...subscriptions.map((subscription) => subscription.settle())]);
    this.close("restarting");
  }

  close(why: CloseReason): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = why;
    const { code, reason } = closeCodes[why];
    this.#socket.close(code, reason);
    this.#keepalive.cancel();
    this.#keepalive = this.http.clock.setTimer(closeTimeoutMs, () => this.terminate());
  }

  terminate(): void {
    this.#socket.terminate();
  }

  drained(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const cursor of waiting) cursor.pump();
  }

  unread(): void {
    this.close("unread");
    this.terminate(); // a close frame would wait behind what is not read
  }

  waitForSocket(cursor: PartitionCursor): void {
    this.#waiting.add(cursor);
  }

  problem(id: FrameId | undefined, error: BrokerError, produce = false): void {
    const { body } = problemFields(error, {
      requestId: this.#context.requestId,
      random: this.http.random,
      produce,
    });
    this.sender.send(this.writer.frame({ type: "problem", id, problem: body }));
  }

  closed(subscription: Subscription, code?: string): void {
    if (this.#subscriptions.get(subscription.id) !== subscription) return;
    this.#subscriptions.delete(subscription.id);
    this.http.socketMetrics.subscriptions.dec();
    this.sender.send(this.writer.frame({ type: "closed", id: subscription.id, code }));
  }

  #received(data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer;
    this.#unfinished.ended();
    const { encoding } = this.writer;
    try {
      if (this.#closeReason !== undefined) return;
      if (isBinary !== (encoding === "msgpack")) throw wrongKind(encoding);
      this.#handle(parseFrame(bytes, encoding, this.http.clock.nowMs()));
    } catch (error) {
      const readable = isBinary === (encoding === "msgpack");
      const produce = readable && isProduce(bytes, encoding);
      if (error instanceof DuplicateId) this.problem(undefined, error.refusal, produce);
      else this.problem(readable ? idOf(bytes, encoding) : undefined, this.#refusal(error), produce);
    }
  }

  #handle(frame: ClientFrame): void {
    switch (frame.kind) {
      case "produce":
        this.#produce(frame.frame);
        break;
      case "subscribe":
        this.#subscribe(frame.frame);
        break;
      case "subscribeGroup":
        this.#join(frame.frame);
        break;
      case "ack":
        this.#subscription(frame.frame.id).ack(frame.frame.positions);
        break;
      case "seek":
        this.#later(frame.frame.id, this.#subscription(frame.frame.id).seek(frame.frame.positions));
        break;
      case "unsubscribe":
        this.#later(frame.frame.id, this.#subscription(frame.frame.id).unsubscribe());
        break;
      case "ping":
        this.sender.send(this.writer.frame({ type: "pong", id: frame.frame.id }));
        break;
      case "auth": // authentication is off: there is nothing to prove
        break;
    }
  }

  #produce(frame: ProduceFrame): void {
    const { id } = frame;
    this.#checkNew(id);
    try {
      this.#produces.admit(frame);
    } catch (error) {
      this.problem(id, this.#refusal(error), true);
      return;
    }
    this.#ids.add(id);
    void this.#produces.run(frame).then(
      (answer) => {
        this.#ids.delete(id);
        this.sender.send(answer);
      },
      (error: unknown) => {
        this.#ids.delete(id);
        this.problem(id, this.#refusal(error), true);
      },
    );
  }

  #subscribe(frame: SubscribeFrame): void {
    this.#checkNew(frame.id);
    this.#checkRoom();
    const subscription = new PlainSubscription(this, frame);
    this.#opened(subscription);
    this.#opening(
      subscription,
      subscription.open((partitions) => this.#admitPartitions(partitions)),
    );
  }

  #join(frame: SubscribeGroupFrame): void {
    this.#checkNew(frame.id);
    this.#checkRoom();
    const subscription = new GroupSubscription(this, frame);
    this.#opened(subscription);
    this.#opening(subscription, subscription.open());
  }

  #opened(subscription: Subscription): void {
    this.#subscriptions.set(subscription.id, subscription);
    this.http.socketMetrics.subscriptions.inc();
  }

  /** A subscription that cannot begin was none: a problem is all that is said of it. */
  #opening(subscription: Subscription, open: Promise<void>): void {
    open.catch((error: unknown) => {
      subscription.drop();
      if (this.#subscriptions.get(subscription.id) !== subscription) return;
      this.#subscriptions.delete(subscription.id);
      this.http.socketMetrics.subscriptions.dec();
      this.problem(subscription.id, this.#refusal(error));
    });
  }

  #later(id: FrameId, done: Promise<void> | undefined): void {
    done?.catch((error: unknown) => this.problem(id, this.#refusal(error)));
  }

  #checkNew(id: FrameId): void {
    if (!this.#ids.has(id) && !this.#subscriptions.has(id)) return;
    throw new DuplicateId(id);
  }

  #checkRoom(): void {
    if (this.http.draining) throw new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
    if (this.#subscriptions.size < maxSubscriptions) return;
    throw new BrokerError("THROTTLING_QUOTA_EXCEEDED", `a socket may have ${maxSubscriptions} subscriptions`, {
      fields: { limit: { name: "maxSubscriptions", value: maxSubscriptions } },
    });
  }

  #admitPartitions(count: number): void {
    let held = 0;
    for (const { partitionCount } of this.#subscriptions.values()) held += partitionCount;
    if (held + count <= maxSubscribedPartitions) return;
    throw new BrokerError(
      "THROTTLING_QUOTA_EXCEEDED",
      `the subscriptions of a socket may have ${maxSubscribedPartitions} partitions`,
      {
        fields: { limit: { name: "maxSubscribedPartitions", value: maxSubscribedPartitions } },
      },
    );
  }

  #subscription(id: FrameId): Subscription {
    const subscription = this.#subscriptions.get(id);
    if (subscription !== undefined) return subscription;
    throw invalidField("id", "is of no subscription of this socket");
  }

  #refusal(error: unknown): BrokerError {
    if (error instanceof BrokerError && error.code !== "UNKNOWN_SERVER_ERROR") return error;
    if (error instanceof AssertionError) {
      queueMicrotask(() => {
        throw error;
      });
    }
    this.http.logger.error({ err: error, requestId: this.#context.requestId }, "a frame met a bug");
    return unexpected(error);
  }

  #nextPing(): Timer {
    return this.http.clock.setTimer(keepaliveMs, () => {
      if (this.#missedPongs >= missedPongsMax) {
        this.close("silent");
        return;
      }
      this.#missedPongs += 1;
      this.#socket.ping();
      this.#keepalive = this.#nextPing();
    });
  }

  #ended(code: number): void {
    this.#keepalive.cancel();
    this.#unfinished.ended();
    for (const subscription of this.#subscriptions.values()) {
      subscription.drop();
      this.http.socketMetrics.subscriptions.dec();
    }
    this.#subscriptions.clear();
    this.#waiting.clear();
    this.#context.ended(this, this.#closeReason ?? code);
  }
}

/** Told without an id: with it the answer would be taken for that of the first. */
class DuplicateId extends Error {
  readonly refusal: BrokerError;
  constructor(id: FrameId) {
    super("an id is in use");
    this.refusal = new BrokerError("INVALID_REQUEST", `the id ${JSON.stringify(id)} is in use until its last answer`, {
      fields: { path: "id", duplicateId: id },
    });
  }
}

const wrongKind = (encoding: "json" | "msgpack"): BrokerError =>
  new BrokerError(
    "INVALID_REQUEST",
    encoding === "json"
      ? "this socket speaks millrace.v1.json: frames are text"
      : "this socket speaks millrace.v1.msgpack: frames are binary",
  );
