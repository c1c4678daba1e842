// Rules of the log that a crash does not show: what a failed write leaves in memory, what retention may take, whose clock counts,
// and what goes on while the disk is almost full.

import { expect, test } from "vitest";
import { append, readAll } from "../log/log-fixture.ts";
import { type ExpectedLog, History } from "./log-history.ts";
import { observe } from "./log-observation.ts";
import type { Step } from "./log-plan.ts";
import { lowDiskBytes, rememberedMs } from "./log-process.ts";
import { LogRunner, newDisk } from "./log-runner.ts";

const topic = "t";
const small = { "segment.bytes": 1500, "retention.bytes": 1000 };

async function started(options: { faulty?: boolean } = {}): Promise<{ runner: LogRunner; expected: ExpectedLog }> {
  const runner = new LogRunner(newDisk(), new History(), options);
  await runner.start();
  await runner.run([{ do: "create", topic, overrides: small }]);
  return { runner, expected: runner.history.byName(topic)! };
}

const send = (...sizes: number[]): Step => ({
  do: "send",
  topic,
  batches: sizes.map((size) => ({ sizes: [size], producer: 1 })),
});

test("what was not written is not remembered", async () => {
  const { runner, expected } = await started({ faulty: true });
  const log = runner.process!.log(expected);
  runner.disk.failWhen(({ kind, path }) => kind === "append" && path.endsWith(".log"), {
    code: "EIO",
    writtenBytes: 0,
  });
  await runner.run([send(20, 30)]);
  expect(log.offline).toMatch("EIO");
  expect(log.producers()).toEqual([]);
  expect(log.logEndOffset).toBe(0);
});

test("retention takes nothing at or above the high watermark", async () => {
  const { runner, expected } = await started();
  const log = runner.process!.log(expected);
  log.listen({ advanced() {}, wentOffline() {} }); // nobody raises the high watermark
  for (let i = 0; i < 5; i++) await append(log, { values: ["x".repeat(1000)] });
  expect(await log.applyRetention()).toBe(0);
  log.advanceHighWatermark(2);
  expect(await log.applyRetention()).toBe(2);
  expect((await observe(log)).logStartOffset).toBe(2);
});

test("a jump of the wall clock makes nobody forget a producer; time that passes does", async () => {
  const { runner } = await started();
  const { clock } = runner.process!;
  await runner.run([send(20, 30), send(40)]);
  clock.jumpWallClock(10 * 365 * 86_400_000);
  await runner.run([{ do: "retry", topic }]);
  clock.jumpWallClock(-20 * 365 * 86_400_000);
  await runner.run([{ do: "retry", topic }]);
  const log = runner.process!.log(runner.history.byName(topic)!);
  expect(log.logEndOffset).toBe(3);
  await clock.advance(rememberedMs + 1);
  await log.applyRetention();
  expect(log.producers()).toEqual([]);
});

test("an almost full disk: appends are surely refused, the rest goes on, and it heals", async () => {
  const { runner, expected } = await started({ faulty: true });
  const log = runner.process!.log(expected);
  await runner.run([send(1200), send(1200), send(1200)]);
  const endOffset = log.logEndOffset;
  runner.disk.capacityBytes = 3 * 1200 + lowDiskBytes;
  await runner.run([{ do: "checkSpace" }, send(50)]);
  expect(runner.history.events.at(-1)).toMatchObject({
    kind: "refused",
    code: "KAFKA_STORAGE_ERROR",
    maybeAppended: false,
  });
  expect((await readAll(log)).length).toBe(endOffset);
  await runner.run([{ do: "retention" }, { do: "advance", ms: 2_000 }]);
  expect(log.logStartOffset).toBeGreaterThan(0);
  runner.disk.capacityBytes = 2 ** 39;
  await runner.run([{ do: "checkSpace" }, { do: "retry", topic }]);
  expect(log.logEndOffset).toBe(endOffset + 1);
});
