// Time as the test moves it. Timers run in the order of their time, then of their making; before time moves on, every
// pending promise settles, so a run depends on nothing but its seed.

import { assert } from "../../src/assert.ts";
import type { Clock, Timer } from "../../src/io/clock.ts";
import type { SimulatedRandom } from "./simulated-random.ts";

export interface SimulatedClockOptions {
  /** Wall-clock time at the start. */
  readonly wallMs?: number;
  /** How many timers runUntil lets run before it gives up. */
  readonly eventsMax?: number;
  /** Named in what an endless run throws. */
  readonly seed?: number;
}

interface Scheduled {
  readonly dueMs: number;
  readonly number: number;
  readonly run: () => void;
  cancelled: boolean;
}

export class SimulatedClock implements Clock {
  /** Run after every timer, once all promises settled: the place for laws. */
  readonly afterEvent: (() => void)[] = [];
  readonly #eventsMax: number;
  readonly #seed: number | undefined;
  readonly #queue: Scheduled[] = []; // a binary heap, the earliest first
  #elapsedMs = 0;
  #wallAheadMs: number;
  #timersMade = 0;

  constructor(options: SimulatedClockOptions = {}) {
    this.#wallAheadMs = options.wallMs ?? Date.UTC(2026, 0, 1);
    this.#eventsMax = options.eventsMax ?? 1_000_000;
    this.#seed = options.seed;
  }

  nowMs(): number {
    return this.#elapsedMs + this.#wallAheadMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** Timers that will still run. */
  get timersPending(): number {
    return this.#queue.reduce((count, timer) => count + (timer.cancelled ? 0 : 1), 0);
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer: Scheduled = {
      dueMs: this.#elapsedMs + Math.max(0, delayMs),
      number: this.#timersMade++,
      run,
      cancelled: false,
    };
    this.#push(timer);
    return {
      cancel: () => {
        timer.cancelled = true;
      },
    };
  }

  /** Sets the wall clock forward or back; monotonic time and timers do not notice. */
  jumpWallClock(byMs: number): void {
    this.#wallAheadMs += byMs;
  }

  /** A jump of up to an hour, a day or ten years, forward or back; returns it. */
  jumpWallClockSomewhere(random: SimulatedRandom): number {
    const mostMs = random.pick([3_600_000, 86_400_000, 10 * 365 * 86_400_000]);
    const byMs = random.between(-mostMs, mostMs);
    this.jumpWallClock(byMs);
    return byMs;
  }

  /** Lets `ms` pass and runs what becomes due, also what that sets for within the time. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await settled();
    for (let next = this.#earliest(); next !== undefined && next.dueMs <= endMs; next = this.#earliest()) {
      await this.#runNext();
    }
    this.#elapsedMs = endMs;
  }

  /** Runs timer after timer until `done`, and fails when none is left or too many ran. */
  async runUntil(done: () => boolean): Promise<void> {
    await settled();
    for (let events = 0; !done(); events++) {
      const repeat = this.#seed === undefined ? "" : `; repeat with seed ${this.#seed}`;
      assert(events < this.#eventsMax, `no end after ${this.#eventsMax} events${repeat}`);
      assert(this.#earliest() !== undefined, `nothing is left to happen at ${this.#elapsedMs} ms${repeat}`);
      await this.#runNext();
    }
  }

  /** Runs timers until the promise settles, and gives its value or throws its reason. */
  async runUntilSettled<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const mark = () => {
      isSettled = true;
    };
    promise.then(mark, mark);
    await this.runUntil(() => isSettled);
    return promise;
  }

  async #runNext(): Promise<void> {
    const timer = this.#pop();
    this.#elapsedMs = timer.dueMs;
    timer.run();
    await settled();
    for (const check of this.afterEvent) check();
  }

  #earliest(): Scheduled | undefined {
    while (this.#queue[0]?.cancelled) this.#pop();
    return this.#queue[0];
  }

  #push(timer: Scheduled): void {
    let at = this.#queue.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, this.#queue[parent]!)) break;
      this.#queue[at] = this.#queue[parent]!;
      at = parent;
    }
    this.#queue[at] = timer;
  }

  #pop(): Scheduled {
    const first = this.#queue[0]!;
    const last = this.#queue.pop()!;
    const count = this.#queue.length;
    if (count === 0) return first;
    let at = 0;
    for (let child = 1; child < count; child = 2 * at + 1) {
      if (child + 1 < count && isBefore(this.#queue[child + 1]!, this.#queue[child]!)) child++;
      if (!isBefore(this.#queue[child]!, last)) break;
      this.#queue[at] = this.#queue[child]!;
      at = child;
    }
    this.#queue[at] = last;
    return first;
  }
}

/** Resolves once every promise that can settle without a timer has settled. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.number < b.number);
}
