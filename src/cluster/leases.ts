// Leases of the single-node store: they live in this process and die with it, or when their time passes unrenewed.

import { assert } from "../assert.ts";
import type { Clock, Timer } from "../io/clock.ts";

/** A broker holds a handful. */
const leasesMax = 1024;

interface Lease {
  readonly ttlMs: number;
  deadlineMs: number;
  timer: Timer;
}

export class Leases {
  readonly #clock: Clock;
  readonly #expired: (lease: number) => void;
  readonly #leases = new Map<number, Lease>();
  #granted = 0;

  /** `expired` is called once for each lease whose time passes, after it has ended. */
  constructor(clock: Clock, expired: (lease: number) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  grant(ttlSeconds: number): number {
    assert(Number.isSafeInteger(ttlSeconds) && ttlSeconds >= 1, `a lease of ${ttlSeconds} seconds`);
    assert(this.#leases.size < leasesMax, `more than ${leasesMax} leases`);
    const id = ++this.#granted;
    const ttlMs = ttlSeconds * 1000;
    const timer = this.#timer(id, ttlMs);
    this.#leases.set(id, { ttlMs, deadlineMs: this.#clock.monotonicMs() + ttlMs, timer });
    return id;
  }

  isAlive(id: number): boolean {
    const lease = this.#leases.get(id);
    return lease !== undefined && this.#clock.monotonicMs() < lease.deadlineMs;
  }

  /** False when the lease has ended. */
  keepAlive(id: number): boolean {
    const lease = this.#leases.get(id);
    if (!lease || !this.isAlive(id)) return false;
    lease.deadlineMs = this.#clock.monotonicMs() + lease.ttlMs;
    return true;
  }

  end(id: number): void {
    this.#leases.get(id)?.timer.cancel();
    this.#leases.delete(id);
  }

  /** No call of `expired` comes after this. */
  close(): void {
    for (const id of [...this.#leases.keys()]) this.end(id);
  }

  /** Looks whether the lease was renewed meanwhile: a renewal moves the deadline, not the timer. */
  #timer(id: number, delayMs: number): Timer {
    return this.#clock.setTimer(delayMs, () => {
      const lease = this.#leases.get(id);
      if (!lease) return;
      const leftMs = lease.deadlineMs - this.#clock.monotonicMs();
      if (leftMs > 0) {
        lease.timer = this.#timer(id, leftMs);
        return;
      }
      this.#leases.delete(id);
      this.#expired(id);
    });
  }
}
