// The appends that wait for their partition's writer. Bounded in bytes; a full queue refuses at once.

import { BrokerError } from "../protocol/error-codes.ts";
import type { PendingAppend } from "./write-group.ts";

export class AppendQueue {
  readonly #bytesMax: number;
  #waiting: PendingAppend[] = [];
  /** Index of the oldest that still waits. */
  #head = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isEmpty(): boolean {
    return this.#head === this.#waiting.length;
  }

  /** Throws THROTTLING_QUOTA_EXCEEDED when the bytes that wait leave no room. A single batch always fits into an empty queue. */
  push(pending: PendingAppend): void {
    const size = pending.batch.byteLength;
    if (this.#bytes > 0 && this.#bytes + size > this.#bytesMax)
      throw new BrokerError(
        "THROTTLING_QUOTA_EXCEEDED",
        `${this.#bytes} bytes wait for this partition's disk already; send again a little later`,
        {
          fields: { limit: { name: "appendQueueBytesMax", value: this.#bytesMax } },
        },
      );
    this.#bytes += size;
    this.#waiting.push(pending);
  }

  peek(): PendingAppend | undefined {
    return this.#waiting[this.#head];
  }

  /** Removes what peek() shows. */
  advance(): void {
    this.#bytes -= this.#waiting[this.#head]!.batch.byteLength;
    this.#head += 1;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
  }

  rejectAll(error: BrokerError): void {
    for (let pending = this.peek(); pending; pending = this.peek()) {
      this.advance();
      pending.reject(error);
    }
  }
}
