// Where records without a key go: all of a request to one partition, and for a while the next requests too, so that they share
// writes; then another is drawn, so that over time every partition gets its share.

import type { Random } from "../io/random.ts";

/** As much as Kafka's producers send to one partition before they move on. */
const stickyBytes = 16 * 1024;

export class StickyPartition {
  readonly #random: Random;
  #draw = 0;
  #left = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The partition for a request of so many bytes. */
  next(partitionCount: number, bytes: number): number {
    if (this.#left <= 0) {
      this.#draw = Math.floor(this.#random.fraction() * 2 ** 31);
      this.#left = stickyBytes;
    }
    this.#left -= bytes;
    return this.#draw % partitionCount;
  }
}
