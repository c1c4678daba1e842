// Deadlines that move often: one timer looks at all of them now and then, so that a request body costs no timer of its own.
// A deadline is met at most one tick late.

import type { Clock, Timer } from "../io/clock.ts";

export interface Deadline {
  /** On the monotonic clock; may be moved at any time. */
  dueMs: number;
  /** Called once, when it was not removed in time. */
  expire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #waiting = new Set<Deadline>();
  #timer: Timer | undefined;

  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock;
    this.#tickMs = tickMs;
  }

  add(deadline: Deadline): void {
    this.#waiting.add(deadline);
    this.#timer ??= this.#clock.setTimer(this.#tickMs, () => this.#look());
  }

  remove(deadline: Deadline): void {
    this.#waiting.delete(deadline);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting.clear();
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    for (const deadline of this.#waiting) {
      if (deadline.dueMs > nowMs) continue;
      this.#waiting.delete(deadline);
      deadline.expire();
    }
    if (this.#waiting.size > 0) this.#timer ??= this.#clock.setTimer(this.#tickMs, () => this.#look());
  }
}
