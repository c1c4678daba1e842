// The machine's clock and randomness.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { NodeClock } from "../../src/io/node-clock.ts";
import { NodeRandom } from "../../src/io/node-random.ts";

describe("NodeClock", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("a timer runs once, not before its delay", () => {
    const clock = new NodeClock();
    const beganMs = clock.monotonicMs();
    const ran: number[] = [];
    clock.setTimer(250, () => ran.push(clock.monotonicMs() - beganMs));
    vi.advanceTimersByTime(249);
    expect(ran).toEqual([]);
    vi.advanceTimersByTime(5_000);
    expect(ran).toEqual([250]);
  });

  test("a delay above 2^31−1 ms is waited for in pieces, and can be cancelled in any of them", () => {
    const clock = new NodeClock();
    const ran: string[] = [];
    clock.setTimer(2 ** 32, () => ran.push("kept"));
    const timer = clock.setTimer(2 ** 32, () => ran.push("cancelled"));
    vi.advanceTimersByTime(2 ** 31 + 5);
    timer.cancel();
    timer.cancel();
    expect(ran).toEqual([]);
    vi.advanceTimersByTime(2 ** 31 - 6);
    expect(ran).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(ran).toEqual(["kept"]);
  });

  test("wall and monotonic time advance; a negative delay runs soon", () => {
    const clock = new NodeClock();
    const wallMs = clock.nowMs();
    const ran: string[] = [];
    clock.setTimer(-5, () => ran.push("ran"));
    vi.advanceTimersByTime(1_000);
    expect(clock.nowMs() - wallMs).toBe(1_000);
    expect(ran).toEqual(["ran"]);
  });
});

test("NodeRandom draws fractions below one and bytes of the length asked for", () => {
  const random = new NodeRandom();
  for (let draw = 0; draw < 100; draw++) {
    const fraction = random.fraction();
    expect(fraction >= 0 && fraction < 1).toBe(true);
  }
  expect(random.bytes(0).length).toBe(0);
  const drawn = random.bytes(32);
  expect(drawn.length).toBe(32);
  expect(Buffer.isBuffer(drawn)).toBe(false);
  expect(drawn).not.toEqual(random.bytes(32));
});
