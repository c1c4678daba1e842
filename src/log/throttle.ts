// Holds a background work to so many bytes a second, in the long run: whoever took more than it may waits until it is even again.

import type { Clock } from "../io/clock.ts";

/** Shorter waits are put off: a timer for each chunk would cost more than it evens out. */
const waitMsMin = 20;

export class Throttle {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** When what was taken so far is paid for, on the monotonic clock. */
  #evenMs: number;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#evenMs = clock.monotonicMs();
  }

  /** Call it after the work; returns when more may be done, or the signal says that no more is wanted. */
  async took(bytes: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#evenMs = Math.max(this.#evenMs, nowMs) + (bytes * 1000) / this.#bytesPerSecond;
    const waitMs = this.#evenMs - nowMs;
    if (waitMs < waitMsMin || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        timer.cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.#clock.setTimer(waitMs, done);
      signal.addEventListener("abort", done);
    });
  }
}
