// How a batch gets to the broker: one attempt at a time, over HTTP or a socket. Who repeats it is the lane.

import type { HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";
import type { ClientClock } from "./platform.ts";
import type { SocketConnection } from "./socket-connection.ts";
import type { Sockets } from "./sockets.ts";
import { linkSignals, orAborted } from "./waiting.ts";

export interface BatchToSend {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Uint8Array;
  readonly recordsCount: number;
  readonly acks: "all" | 1;
  /** From 1. */
  readonly attempt: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export interface ProduceTransport {
  /** Resolves with the offset of the first record. Rejects with a MillraceError whose maybeAppended speaks of this attempt. */
  produce(batch: BatchToSend): Promise<number>;
}

export class HttpProduceTransport implements ProduceTransport {
  readonly #http: HttpTransport;

  constructor(http: HttpTransport) {
    this.#http = http;
  }

  async produce({ topic, partition, batch, recordsCount, acks, attempt, deadlineMs, signal }: BatchToSend) {
    const path = `/v1/topics/${encodeURIComponent(topic)}/partitions/${partition}/records`;
    const query = acks === "all" ? {} : { acks };
    const contentType = "application/vnd.kafka.record-batch";
    const call = { method: "POST", path, query, body: batch, contentType, signal } as const;
    return baseOffsetOf(await this.#http.once(call, attempt, deadlineMs), recordsCount);
  }
}

/** What a frame says beside the batch, at most: a topic's name is 249 bytes. */
const frameHeadBytesMax = 1024;

/** Over the client's socket where there is one and the frame fits, else over HTTP. */
export class SocketProduceTransport implements ProduceTransport {
  readonly #sockets: Sockets;
  readonly #otherwise: ProduceTransport;
  readonly #clock: ClientClock;
  readonly #timeoutMs: number;

  constructor(sockets: Sockets, otherwise: ProduceTransport, clock: ClientClock, timeoutMs: number) {
    this.#sockets = sockets;
    this.#otherwise = otherwise;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  async produce(batch: BatchToSend): Promise<number> {
    const connection = await orAborted(this.#sockets.get(), batch.signal);
    if (connection === undefined || !fits(batch, connection)) return this.#otherwise.produce(batch);
    const { topic, partition, acks, recordsCount, deadlineMs, signal } = batch;
    const timeoutMs = Math.min(this.#timeoutMs, deadlineMs - this.#clock.monotonicMs());
    const linked = linkSignals(signal);
    const timer = this.#clock.setTimer(timeoutMs, () => linked.abort("timeout"));
    const frame = { type: "produce", topic, partition, batch: batch.batch, ...(acks === "all" ? {} : { acks }) };
    try {
      return baseOffsetOf(await orAborted(connection.call(frame), linked.signal), recordsCount);
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== "ABORTED") throw error;
      if (signal.aborted) throw error.withDoubt(true);
      const message = `no answer came within ${Math.round(timeoutMs)} ms`;
      throw new MillraceError("CONNECTION_FAILED", message, { retriable: true, maybeAppended: true });
    } finally {
      timer.cancel();
      linked.release();
    }
  }
}

const fits = ({ batch }: BatchToSend, { limits }: SocketConnection): boolean =>
  batch.length + frameHeadBytesMax <= (limits["maxFrameBytes"] ?? 1024 * 1024);

/** Of the answer to a produce, which must be about as many records as were sent. */
export function baseOffsetOf(answer: unknown, recordsCount: number): number {
  const { baseOffset, lastOffset } = (answer ?? {}) as { readonly baseOffset?: unknown; readonly lastOffset?: unknown };
  if (typeof baseOffset === "number" && lastOffset === baseOffset + recordsCount - 1) return baseOffset;
  const message = `the answer to ${recordsCount} records is ${JSON.stringify(answer)}`;
  throw new MillraceError("UNEXPECTED_ANSWER", message, { maybeAppended: true });
}
