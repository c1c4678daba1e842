// Notices that nothing comes from the other side any more. It counts spans and not time: a process that was stopped for long finds what
// came meanwhile before it takes the other side for dead.

import type { Clock, Timer } from "../clock.ts";
import { keepaliveMs, silentSpansMax } from "./peer-limits.ts";

export class SignsOfLife {
  readonly #clock: Clock;
  readonly #silent: () => void;
  readonly #dead: () => void;
  #spans = 0;
  #timer: Timer;

  /** `silent`: nothing came for a span; `dead`: for too many, called once. */
  constructor(clock: Clock, silent: () => void, dead: () => void) {
    this.#clock = clock;
    this.#silent = silent;
    this.#dead = dead;
    this.#timer = clock.setTimer(keepaliveMs, this.#spanEnded);
  }

  heard(): void {
    this.#spans = 0;
  }

  stop(): void {
    this.#timer.cancel();
  }

  readonly #spanEnded = (): void => {
    this.#spans += 1;
    if (this.#spans > silentSpansMax) {
      this.#dead();
      return;
    }
    this.#timer = this.#clock.setTimer(keepaliveMs, this.#spanEnded);
    this.#silent();
  };
}
