// The sync that a relaxed topic's flush.ms asks for: so long after the first write that was not synced.

import type { Clock, Timer } from "../io/clock.ts";

export class FlushTimer {
  readonly #clock: Clock;
  readonly #flush: () => Promise<void>;
  #timer: Timer | undefined;

  constructor(clock: Clock, flush: () => Promise<void>) {
    this.#clock = clock;
    this.#flush = flush;
  }

  /** Nothing when it runs already, or `delayMs` is Infinity. */
  arm(delayMs: number): void {
    if (!Number.isFinite(delayMs) || this.#timer) return;
    this.#timer = this.#clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      this.#flush().catch(() => {}); // a failure has taken the log offline and is logged there
    });
  }

  cancel(): void {
    this.#timer?.cancel();
  }
}
