// Random numbers from a seed: the same seed gives the same run. sfc32, seeded through splitmix32.

import { assert } from "../../src/assert.ts";
import type { Random } from "../../src/io/random.ts";

export class SimulatedRandom implements Random {
  readonly seed: number;
  readonly #state: Uint32Array;

  constructor(seed: number) {
    assert(Number.isSafeInteger(seed) && seed >= 0, `a seed is a whole number from 0, not ${seed}`);
    this.seed = seed;
    let mixed = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1)) >>> 0;
    this.#state = new Uint32Array(4).map(() => {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      return scrambled(mixed);
    });
    this.#state[3] = 1;
    for (let round = 0; round < 12; round++) this.#next(); // the first outputs still resemble the seed
  }

  /** Uniform in [0, 1), with 53 random bits. */
  fraction(): number {
    return ((this.#next() >>> 5) * 2 ** 26 + (this.#next() >>> 6)) / 2 ** 53;
  }

  bytes(length: number): Uint8Array {
    const drawn = new Uint8Array(length);
    for (let index = 0; index < length; index += 4) {
      const word = this.#next();
      for (let byte = 0; byte < 4 && index + byte < length; byte++) drawn[index + byte] = word >>> (8 * byte);
    }
    return drawn;
  }

  /** Uniform among 0 … maxExclusive − 1. */
  integer(maxExclusive: number): number {
    assert(Number.isSafeInteger(maxExclusive) && maxExclusive > 0, `nothing to draw below ${maxExclusive}`);
    return Math.floor(this.fraction() * maxExclusive);
  }

  /** Uniform among min … max, both included. */
  between(min: number, max: number): number {
    return min + this.integer(max - min + 1);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(values: readonly T[]): T {
    assert(values.length > 0, "nothing to pick from");
    return values[this.integer(values.length)] as T;
  }

  /** A new array; the given one keeps its order. */
  shuffle<T>(values: readonly T[]): T[] {
    const shuffled = [...values];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.integer(last + 1);
      const moved = shuffled[last] as T;
      shuffled[last] = shuffled[other] as T;
      shuffled[other] = moved;
    }
    return shuffled;
  }

  /** An independent stream: what is drawn from it later does not disturb this one. */
  fork(): SimulatedRandom {
    return new SimulatedRandom(this.integer(2 ** 48));
  }

  #next(): number {
    const [a, b, c, counter] = this.#state as unknown as [number, number, number, number];
    const result = (a + b + counter) >>> 0;
    this.#state[0] = b ^ (b >>> 9);
    this.#state[1] = c + (c << 3);
    this.#state[2] = ((c << 21) | (c >>> 11)) + result;
    this.#state[3] = counter + 1;
    return result;
  }
}

function scrambled(word: number): number {
  let value = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  value = Math.imul(value ^ (value >>> 15), 0x735a2d97);
  return (value ^ (value >>> 15)) >>> 0;
}
