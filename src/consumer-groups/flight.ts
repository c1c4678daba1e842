// Records on their way to the log together, and everyone whose answer has to wait for them.

import type { EncodedGroupRecord } from "./group-records.ts";

export class Flight {
  readonly records: EncodedGroupRecord[] = [];
  /** Resolves when all records are committed; rejects when that is refused, or in doubt. */
  readonly landed: Promise<void>;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor() {
    this.landed = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.landed.catch(() => {}); // who waits for it hears of it; there may be nobody, as after a tick
  }

  land(): void {
    this.#resolve();
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}
