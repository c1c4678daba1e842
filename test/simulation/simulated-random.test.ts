// The seeded randomness: repeatable, different by seed, and even enough.

import { expect, test } from "vitest";
import { SimulatedRandom } from "./simulated-random.ts";

const draws = (seed: number) => {
  const random = new SimulatedRandom(seed);
  return [random.fraction(), random.integer(1_000), [...random.bytes(7)], random.shuffle([1, 2, 3, 4, 5, 6, 7, 8])];
};

test("the same seed draws the same, another seed something else", () => {
  expect(draws(42)).toEqual(draws(42));
  const seen = new Set([0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].map((seed) => JSON.stringify(draws(seed))));
  expect(seen.size).toBe(6);
});

test("fractions are even", () => {
  const random = new SimulatedRandom(1);
  const buckets = new Array<number>(16).fill(0);
  for (let draw = 0; draw < 16_000; draw++) buckets[Math.floor(random.fraction() * 16)]!++;
  for (const count of buckets) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});

test("integers, chances, picks and ranges stay within their bounds and reach them", () => {
  const random = new SimulatedRandom(2);
  const integers = new Set<number>();
  const ranged = new Set<number>();
  const picked = new Set<string>();
  let hits = 0;
  for (let draw = 0; draw < 1_000; draw++) {
    integers.add(random.integer(5));
    ranged.add(random.between(-1, 1));
    picked.add(random.pick(["a", "b"]));
    if (random.chance(0.25)) hits++;
  }
  expect([...integers].sort()).toEqual([0, 1, 2, 3, 4]);
  expect([...ranged].sort((a, b) => a - b)).toEqual([-1, 0, 1]);
  expect(picked.size).toBe(2);
  expect(Math.abs(hits - 250)).toBeLessThan(60);
  expect(() => random.integer(0)).toThrow("nothing to draw");
  expect(() => random.pick([])).toThrow("nothing to pick");
});

test("a shuffle keeps what there is and leaves the given array alone", () => {
  const values = [1, 2, 3, 4, 5];
  const shuffled = new SimulatedRandom(3).shuffle(values);
  expect(values).toEqual([1, 2, 3, 4, 5]);
  expect(shuffled.sort()).toEqual(values);
});

test("a fork goes its own way and draws one value of its parent", () => {
  const parent = new SimulatedRandom(4);
  const fork = parent.fork();
  const next = parent.fraction();
  const other = new SimulatedRandom(4);
  const otherFork = other.fork();
  for (let draw = 0; draw < 10; draw++) otherFork.fraction();
  expect(other.fraction()).toBe(next);
  expect(fork.fraction()).not.toBe(next);
});
