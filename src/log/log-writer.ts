// The one writer of a log: whatever changes its files runs here, one after the other. Jobs go first, then the appends that wait,
// as many at a time as one write holds.

import { AppendQueue } from "./append-queue.ts";
import type { PendingAppend } from "./write-group.ts";

export class LogWriter {
  readonly queue: AppendQueue;
  readonly #writeGroup: () => Promise<void>;
  readonly #jobs: (() => Promise<void>)[] = [];
  #runs = false;

  /** `writeGroup` takes at least one append from the queue; it never rejects but for a broken invariant. */
  constructor(queueBytesMax: number, writeGroup: () => Promise<void>) {
    this.queue = new AppendQueue(queueBytesMax);
    this.#writeGroup = writeGroup;
  }

  append(pending: PendingAppend): void {
    this.queue.push(pending);
    this.#start();
  }

  /** Runs `job` between writes; its failure is the caller's alone. */
  run<T>(job: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#jobs.push(() => job().then(resolve, reject));
      this.#start();
    });
  }

  /** Writes all that waits; only from within a job. */
  async drain(): Promise<void> {
    while (!this.queue.isEmpty) await this.#writeGroup();
  }

  #start(): void {
    if (this.#runs) return;
    this.#runs = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    for (;;) {
      const job = this.#jobs.shift();
      if (job) await job();
      else if (!this.queue.isEmpty) await this.#writeGroup();
      else break;
    }
    this.#runs = false;
  }
}
