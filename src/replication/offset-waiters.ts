// Who waits for a partition's high watermark: producers for their records to be committed, readers for more to read.

import type { BrokerError } from "../protocol/error-codes.ts";

export interface OffsetWaiter {
  /** The offset that the high watermark has to reach. */
  readonly offset: number;
  /** Called once, when it has, or with why it never will here. */
  readonly done: (error?: BrokerError) => void;
}

export class OffsetWaiters {
  readonly #waiters = new Set<OffsetWaiter>();

  get size(): number {
    return this.#waiters.size;
  }

  add(waiter: OffsetWaiter): void {
    this.#waiters.add(waiter);
  }

  /** `done` will not be called any more. */
  remove(waiter: OffsetWaiter): void {
    this.#waiters.delete(waiter);
  }

  reached(highWatermark: number): void {
    for (const waiter of this.#waiters) {
      if (waiter.offset > highWatermark) continue;
      this.#waiters.delete(waiter);
      waiter.done();
    }
  }

  failAll(error: BrokerError): void {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.done(error);
    }
  }
}
