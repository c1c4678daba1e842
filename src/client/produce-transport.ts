// How a batch gets to the broker: one attempt at a time, over HTTP or a socket. Who repeats it is the lane.

import type { HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";

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

/** Of the answer to a produce, which must be about as many records as were sent. */
export function baseOffsetOf(answer: unknown, recordsCount: number): number {
  const { baseOffset, lastOffset } = (answer ?? {}) as { readonly baseOffset?: unknown; readonly lastOffset?: unknown };
  if (typeof baseOffset === "number" && lastOffset === baseOffset + recordsCount - 1) return baseOffset;
  const message = `the answer to ${recordsCount} records is ${JSON.stringify(answer)}`;
  throw new MillraceError("UNEXPECTED_ANSWER", message, { maybeAppended: true });
}
