// The order of simulated time, and that promises settle before it moves.

import fc from "fast-check";
import { expect, test } from "vitest";
import { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedRandom } from "./simulated-random.ts";

test("timers run by time, then by the order they were set", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(20), { maxLength: 60 }), fc.nat(5), async (delays, cancelEvery) => {
      const clock = new SimulatedClock();
      const ran: number[] = [];
      const timers = delays.map((delay, index) => clock.setTimer(delay, () => ran.push(index)));
      const kept = delays.map((_, index) => index).filter((index) => cancelEvery < 2 || index % cancelEvery !== 0);
      if (cancelEvery >= 2) for (let index = 0; index < timers.length; index += cancelEvery) timers[index]!.cancel();
      expect(clock.timersPending).toBe(kept.length);
      await clock.advance(20);
      expect(ran).toEqual(kept.sort((a, b) => delays[a]! - delays[b]! || a - b));
      expect(clock.timersPending).toBe(0);
    }),
    { numRuns: 50 },
  );
});

test("advance runs what becomes due on the way, also what was set on the way, and stops at its end", async () => {
  const clock = new SimulatedClock();
  const ran: string[] = [];
  const tick = () => {
    ran.push(`tick ${clock.monotonicMs()}`);
    clock.setTimer(10, tick);
  };
  clock.setTimer(10, tick);
  await clock.advance(35);
  expect(ran).toEqual(["tick 10", "tick 20", "tick 30"]);
  expect(clock.monotonicMs()).toBe(35);
});

test("pending promises settle before the next timer runs", async () => {
  const clock = new SimulatedClock();
  const order: string[] = [];
  clock.setTimer(1, () => {
    void (async () => {
      for (let step = 0; step < 5; step++) await undefined;
      order.push("settled");
    })();
  });
  clock.setTimer(1, () => order.push("second timer"));
  clock.afterEvent.push(() => order.push("law"));
  await clock.advance(1);
  expect(order).toEqual(["settled", "law", "second timer", "law"]);
});

test("runUntil stops when done, and says so when nothing is left or nothing ends", async () => {
  const clock = new SimulatedClock({ eventsMax: 50, seed: 7 });
  let count = 0;
  const again = () => {
    count++;
    clock.setTimer(1, again);
  };
  await expect(clock.runUntil(() => false)).rejects.toThrow("nothing is left to happen at 0 ms; repeat with seed 7");
  again();
  await clock.runUntil(() => count === 10);
  expect(clock.monotonicMs()).toBe(9);
  await expect(clock.runUntil(() => false)).rejects.toThrow("no end after 50 events; repeat with seed 7");
});

test("runUntilSettled gives the value or throws the reason", async () => {
  const clock = new SimulatedClock();
  const after = <T>(ms: number, value: () => T) =>
    new Promise<T>((resolve) => clock.setTimer(ms, () => resolve(value()))).then((given) => given);
  expect(await clock.runUntilSettled(after(100, () => "value"))).toBe("value");
  const failed = after(100, () => 0).then(() => Promise.reject(new Error("reason")));
  await expect(clock.runUntilSettled(failed)).rejects.toThrow("reason");
});

test("the wall clock jumps alone, by the same amount under the same seed", async () => {
  const clock = new SimulatedClock({ wallMs: 1_000 });
  await clock.advance(5);
  clock.jumpWallClock(-500);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([505, 5]);
  const byMs = clock.jumpWallClockSomewhere(new SimulatedRandom(3));
  expect(byMs).not.toBe(0);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([505 + byMs, 5]);
  expect(new SimulatedClock().jumpWallClockSomewhere(new SimulatedRandom(3))).toBe(byMs);
});
