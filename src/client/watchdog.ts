// Notices handlers that do not come back. One timer for all of them.

import type { ClientClock, ClientTimer } from "./platform.ts";

/** What is being handled. */
export interface Watched {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export class Watchdog {
  readonly #clock: ClientClock;
  readonly #stallAfterMs: number;
  readonly #onStall: (watched: Watched, runningMs: number) => void;
  /** When each began, in that order. */
  readonly #running = new Map<Watched, { readonly sinceMs: number; told: boolean }>();
  #timer: ClientTimer | undefined;

  constructor(clock: ClientClock, stallAfterMs: number, onStall: (watched: Watched, runningMs: number) => void) {
    this.#clock = clock;
    this.#stallAfterMs = stallAfterMs;
    this.#onStall = onStall;
  }

  begin(watched: Watched): void {
    this.#running.set(watched, { sinceMs: this.#clock.monotonicMs(), told: false });
    this.#timer ??= this.#clock.setTimer(this.#stallAfterMs, () => this.#check());
  }

  end(watched: Watched): void {
    this.#running.delete(watched);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#running.clear();
  }

  #check(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    let nextMs: number | undefined;
    for (const [watched, state] of this.#running) {
      if (state.told) continue;
      const runningMs = nowMs - state.sinceMs;
      if (runningMs < this.#stallAfterMs) {
        nextMs = this.#stallAfterMs - runningMs;
        break;
      }
      state.told = true;
      this.#onStall(watched, runningMs);
    }
    // Without anything running the timer would keep a process alive for nothing.
    if (nextMs !== undefined) this.#timer ??= this.#clock.setTimer(nextMs, () => this.#check());
  }
}
