// Lag in records and in time, against a model that knows every batch.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Lags } from "../../src/broker/lag.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { codecs } from "../log/log-fixture.ts";
import { GroupWorld } from "./group-world.ts";

interface Batch {
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly timestamp: number;
}

const hourMs = 3_600_000;

test("lag is highWatermark − nextOffset, lagMs the age of the batch that holds the next record", async () => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ records: fc.integer({ min: 1, max: 4 }), ageMs: fc.integer({ min: 0, max: hourMs }) }),
    },
    { weight: 2, arbitrary: fc.record({ passMs: fc.integer({ min: 0, max: 1000 }) }) },
    { weight: 1, arbitrary: fc.record({ deleteBefore: fc.integer({ min: 1, max: 4 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const world = await GroupWorld.start();
      await world.topic("t");
      const partition = world.partition("t", 0);
      const { log } = partition;
      const lags = new Lags(world.parts);
      const batches: Batch[] = [];
      for (const step of steps) {
        const baseOffset = partition.highWatermark;
        if ("records" in step) {
          const timestamp = world.clock.nowMs() - step.ageMs;
          await world.produce("t", 0, Array(step.records).fill("x"), timestamp);
          batches.push({ baseOffset, endOffset: baseOffset + step.records, timestamp });
        } else if ("passMs" in step) await world.clock.advance(step.passMs);
        else await log.deleteRecordsBefore(Math.min(log.logStartOffset + step.deleteBefore, baseOffset));
        const { highWatermark } = partition;
        const expected = (nextOffset: number) => {
          const from = Math.max(nextOffset, log.logStartOffset);
          const next = batches.find(({ endOffset }) => endOffset > from);
          return { lag: highWatermark - nextOffset, lagMs: next ? world.clock.nowMs() - next.timestamp : 0 };
        };
        for (let nextOffset = 0; nextOffset <= highWatermark; nextOffset++)
          expect(await lags.of(partition, nextOffset)).toEqual(expected(nextOffset));
        expect(await lags.of(partition, null)).toEqual(expected(log.logStartOffset));
      }
    }),
    { numRuns: 60 },
  );
});

test("a header is read once for a place, also by another group, and again once the place has moved", async () => {
  const world = await GroupWorld.start();
  await world.topic("t");
  for (const value of ["a", "b"]) await world.produce("t", 0, [value]);
  const partition = world.partition("t", 0);
  const lags = new Lags(world.parts);
  let reads = 0;
  const read = partition.read.bind(partition);
  partition.read = (...range) => {
    reads++;
    return read(...range);
  };
  await lags.of(partition, 0);
  await world.clock.advance(5000);
  expect(await lags.of(partition, 0)).toEqual({ lag: 2, lagMs: 5000 });
  expect(reads).toBe(1);
  expect(await lags.of(partition, 1)).toEqual({ lag: 1, lagMs: 5000 });
  expect(reads).toBe(2);
  expect(await lags.of(partition, 2)).toEqual({ lag: 0, lagMs: 0 });
  expect(reads).toBe(2);
});

test("what the header of the batch does not tell is not guessed", async () => {
  const world = await GroupWorld.start();
  await world.topic("t", 1, { "message.timestamp.type": "LogAppendTime" });
  await world.topic("none");
  await world.produce("t", 0, ["a"], world.clock.nowMs() - hourMs);
  const lags = new Lags(world.parts);
  await world.clock.advance(10);
  expect(await lags.of(world.partition("t", 0), 0)).toEqual({ lag: 1, lagMs: 10 });
  const batch = encodeRecordBatch([{ key: null, value: null, headers: [], timestamp: -1 }], { codecs });
  await world.partition("none", 0).append(batch, readBatchHeader(viewOf(batch), 0), { acks: 1, timeoutMs: 1000 });
  expect(await lags.of(world.partition("none", 0), 0)).toEqual({ lag: 1, lagMs: null });
});

test("a clock that was set back gives no negative age", async () => {
  const world = await GroupWorld.start();
  await world.topic("t");
  await world.produce("t", 0, ["a"]);
  world.clock.jumpWallClock(-hourMs);
  expect(await new Lags(world.parts).of(world.partition("t", 0), 0)).toEqual({ lag: 1, lagMs: 0 });
});
