import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DiskSpace } from "../../src/io/disk.ts";
import { scanBatches } from "../../src/log/batch-scan.ts";
import { DiskGuard } from "../../src/log/disk-guard.ts";
import { IndexMemory } from "../../src/log/index-memory.ts";
import { ProducerState } from "../../src/log/producer-state.ts";
import { dueSegments, type RetentionSegment } from "../../src/log/retention.ts";
import { type AppendInfo, WriteGroup } from "../../src/log/write-group.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { batchSizeAt, readBatchHeader, stampBatch, viewOf } from "../../src/protocol/record-batch.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { type BatchSketch, batchOf, codecs } from "./log-fixture.ts";

describe("which segments are due", () => {
  const segment = (sizeBytes: number, nextOffset: number, largestTimestamp = 0): RetentionSegment => ({
    sizeBytes,
    nextOffset,
    largestTimestamp,
  });
  const three = [segment(100, 10, 1), segment(100, 20, 2), segment(100, 30, 3)];
  const bounds = { logStartOffset: 0, highWatermark: 30, nowMs: 1000 };
  const keep = { retentionMs: -1, retentionBytes: -1 };

  test.each<[string, Parameters<typeof dueSegments>, number]>([
    ["no limits", [three, keep, bounds], 0],
    ["size: no less than the limit stays", [three, { ...keep, retentionBytes: 200 }, bounds], 1],
    ["size: a byte more stays", [three, { ...keep, retentionBytes: 201 }, bounds], 0],
    ["size 0: all", [three, { ...keep, retentionBytes: 0 }, bounds], 3],
    ["time: older than the limit", [three, { ...keep, retentionMs: 998 }, bounds], 1],
    [
      "time: an older one behind a younger one waits",
      [[segment(1, 1, 900), segment(1, 2, 1)], { ...keep, retentionMs: 500 }, bounds],
      0,
    ],
    ["time: none without timestamps", [[segment(1, 1, -1)], { ...keep, retentionMs: 0 }, bounds], 0],
    ["time unlimited", [three, { ...keep, retentionMs: Number.POSITIVE_INFINITY }, bounds], 0],
    ["below the log start, whatever the limits", [three, keep, { ...bounds, logStartOffset: 20 }], 2],
    ["the log start within a segment", [three, keep, { ...bounds, logStartOffset: 19 }], 1],
    [
      "never what reaches the high watermark",
      [three, { ...keep, retentionBytes: 0 }, { ...bounds, highWatermark: 19 }],
      1,
    ],
    ["an empty one stays", [[segment(0, 0, -1)], { retentionMs: 0, retentionBytes: 0 }, bounds], 0],
  ])("%s", (_what, parameters, expected) => {
    expect(dueSegments(...parameters)).toBe(expected);
  });
});

describe("a walk over batches", () => {
  const chunk = 1024 * 1024;
  const written = async (parts: readonly Uint8Array[]) => {
    const disk = new SimulatedDisk({ folders: ["data"] }).startProcess();
    const file = await disk.create("data/f");
    await file.append(parts);
    return file;
  };
  const batchesOf = (sizes: readonly number[]) =>
    sizes.map((size, i) => {
      const batch = batchOf({ values: ["x".repeat(size)] });
      stampBatch(viewOf(batch), 0, i, 0);
      return batch;
    });

  test("sees each batch once, in order, of any size, also across chunks", async () => {
    for (const sizes of [[], [0], [10, 20, 30], [chunk - 100, 10, 10], [2 * chunk, 5], [5, 3 * chunk, 5, chunk, 1]]) {
      const batches = batchesOf(sizes);
      const file = await written(batches);
      const seen: number[] = [];
      const { position, bad } = await scanBatches(
        file,
        0,
        file.sizeBytes,
        (header, at, bytes) => {
          expect(bytes.byteLength).toBe(header.sizeBytes);
          expect(at).toBe(batches.slice(0, header.baseOffset).reduce((sum, batch) => sum + batch.byteLength, 0));
          seen.push(header.baseOffset);
          return undefined;
        },
        codecs,
      );
      expect([position, bad, seen]).toEqual([file.sizeBytes, undefined, sizes.map((_, i) => i)]);
    }
  });

  test("begins and ends where it is told", async () => {
    const batches = batchesOf([10, 20, 30, 40]);
    const file = await written(batches);
    const seen: number[] = [];
    const from = batches[0]!.byteLength;
    const to = from + batches[1]!.byteLength + batches[2]!.byteLength;
    await scanBatches(file, from, to, ({ baseOffset }) => void seen.push(baseOffset));
    expect(seen).toEqual([1, 2]);
  });

  test("stops before what the visitor refuses", async () => {
    const batches = batchesOf([10, 20, 30]);
    const file = await written(batches);
    const { position, bad } = await scanBatches(file, 0, file.sizeBytes, ({ baseOffset }) =>
      baseOffset === 1 ? "no" : undefined,
    );
    expect([position, bad]).toEqual([batches[0]!.byteLength, "no"]);
  });

  test.each([
    ["a short tail", (good: Uint8Array) => good.subarray(0, 40), /does not fit/],
    ["half a batch", (good: Uint8Array) => good.subarray(0, good.byteLength - 1), /does not fit/],
    ["zeros", () => new Uint8Array(200), /says it has 12 bytes/],
    ["a length of 2^31−1", (good: Uint8Array) => withInt32(good, 8, 2 ** 31 - 1), /says it has|does not fit/],
    ["a negative length", (good: Uint8Array) => withInt32(good, 8, -5), /says it has/],
    ["another magic", (good: Uint8Array) => good.map((byte, i) => (i === 16 ? 1 : byte)), /magic 1/],
    ["a flipped bit", (good: Uint8Array) => good.map((byte, i) => (i === 65 ? byte ^ 4 : byte)), /CRC/],
  ] as const)("%s is bad, and where it begins is told", async (_what, edit, reason) => {
    const [first, second] = batchesOf([10, 20]);
    const file = await written([first!, edit(second!)]);
    const result = await scanBatches(file, 0, file.sizeBytes, () => undefined, codecs);
    expect(result.position).toBe(first!.byteLength);
    expect(result.bad).toMatch(reason);
  });

  test("any bytes end the walk", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
        const [first] = batchesOf([10]);
        const file = await written([first!, noise]);
        const { position } = await scanBatches(file, 0, file.sizeBytes, () => undefined, codecs);
        expect(position).toBe(first!.byteLength);
      }),
      { numRuns: 50 },
    );
  });
});

function withInt32(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  viewOf(copy).setInt32(at, value);
  return copy;
}

describe("a write group", () => {
  const limits = { producerIdsMax: 10, producerIdExpirationMs: 1e9, idempotencyKeysMax: 10, idempotencyWindowMs: 1e9 };
  const groupOver = (producers = new ProducerState(limits)) => {
    const group = new WriteGroup({
      logEndOffset: 5,
      leaderEpoch: 3,
      producers,
      logAppendTime: undefined,
      monotonicMs: 0,
      codecs,
    });
    const answers: (AppendInfo | BrokerError | undefined)[] = [];
    const take = (sketch: BatchSketch, expectedOffset?: number) => {
      const i = answers.push(undefined) - 1;
      const batch = batchOf(sketch);
      group.take({
        batch,
        header: readBatchHeader(viewOf(batch), 0),
        expectedOffset,
        resolve: (info) => (answers[i] = info),
        reject: (error) => (answers[i] = error),
      });
    };
    return { group, answers, take, producers };
  };
  const from = (baseSequence: number) => ({
    values: Array(10).fill("v"),
    producerId: 1n,
    producerEpoch: 0,
    baseSequence,
  });

  test("[10–19], [20–29] and a retry of [10–19]: two are written, the retry gets the first one's offsets", () => {
    const { group, answers, take, producers } = groupOver();
    take(from(10));
    take(from(20));
    take(from(10));
    take(from(40));
    expect([group.chunks.length, group.endOffset, group.duplicates, group.sequenceErrors]).toEqual([2, 25, 1, 1]);
    expect(answers).toEqual([undefined, undefined, undefined, undefined]);
    expect([...producers.entries()]).toEqual([]);
    group.remember();
    group.succeed();
    expect(answers).toMatchObject([
      { baseOffset: 5, lastOffset: 14, duplicate: false, leaderEpoch: 3 },
      { baseOffset: 15, duplicate: false },
      { baseOffset: 5, lastOffset: 14, duplicate: true },
      { code: "OUT_OF_ORDER_SEQUENCE_NUMBER", maybeAppended: false, fields: { expectedSequence: 30 } },
    ]);
  });

  test("a failed write takes the retry along, not what was refused", async () => {
    const { group, answers, take } = groupOver();
    take(from(10));
    take(from(10));
    take(from(50));
    group.fail(new BrokerError("KAFKA_STORAGE_ERROR", "lost", { maybeAppended: true }));
    expect(answers).toMatchObject([
      { code: "KAFKA_STORAGE_ERROR", maybeAppended: true },
      { code: "KAFKA_STORAGE_ERROR", maybeAppended: true },
      { code: "OUT_OF_ORDER_SEQUENCE_NUMBER", maybeAppended: false },
    ]);
  });

  test("a duplicate is one whatever offset it expects", () => {
    const { group, answers, take } = groupOver();
    take(from(10), 5);
    take(from(10), 5);
    group.succeed();
    expect(answers).toMatchObject([{ duplicate: false }, { duplicate: true }]);
  });

  test("offsets and epoch are stamped, the rest of the bytes is the producer's", () => {
    const { group, take } = groupOver();
    take({ values: ["a", "b"] });
    take({ values: ["c"] });
    const original = batchOf({ values: ["c"] });
    const stamped = group.chunks[1]!;
    expect(readBatchHeader(viewOf(stamped), 0)).toMatchObject({
      baseOffset: 7,
      lastOffset: 7,
      partitionLeaderEpoch: 3,
    });
    expect(stamped.subarray(16)).toEqual(original.subarray(16));
    expect(batchSizeAt(viewOf(stamped), 0)).toBe(original.byteLength);
    expect(group.headers).toMatchObject([
      { baseOffset: 5, lastOffset: 6 },
      { baseOffset: 7, lastOffset: 7 },
    ]);
  });
});

describe("index memory", () => {
  const holder = (dropped: string[], name: string) => ({ dropIndexes: () => void dropped.push(name) });

  test("lets go of those used longest ago, never of the one in use", () => {
    const dropped: string[] = [];
    const memory = new IndexMemory(100);
    const [a, b, c] = ["a", "b", "c"].map((name) => holder(dropped, name));
    memory.used(a!, 40);
    memory.used(b!, 40);
    memory.used(a!, 50);
    expect([memory.bytes, dropped]).toEqual([90, []]);
    memory.used(c!, 60);
    expect([memory.bytes, dropped]).toEqual([60, ["b", "a"]]);
    memory.used(a!, 1000);
    expect([memory.bytes, dropped]).toEqual([1000, ["b", "a", "c"]]);
    memory.forget(a!);
    memory.forget(a!);
    expect(memory.bytes).toBe(0);
  });
});

describe("the disk guard", () => {
  test("closes below the limit, opens above it, and goes on when the disk cannot tell", async () => {
    let space: DiskSpace | Error = { freeBytes: 100, totalBytes: 1000 };
    const disk = {
      ...new SimulatedDisk().startProcess(),
      space: async () => {
        if (space instanceof Error) throw space;
        return space;
      },
    };
    const clock = new SimulatedClock();
    const told: string[] = [];
    const tell = (_fields: object, message: string) => void told.push(message);
    const guard = new DiskGuard({
      disk: disk as unknown as ConstructorParameters<typeof DiskGuard>[0]["disk"],
      clock,
      logger: { info: tell, warn: tell, error: tell },
      directory: "data",
      lowDiskBytes: 100,
      lowDiskCheckMs: 1000,
    });
    await guard.start();
    expect([guard.low, guard.freeBytes, guard.totalBytes]).toEqual([false, 100, 1000]);
    space = { freeBytes: 99, totalBytes: 1000 };
    await clock.advance(1000);
    expect(guard.low).toBe(true);
    expect(guard.refusal()).toMatchObject({
      code: "KAFKA_STORAGE_ERROR",
      maybeAppended: false,
      fields: { freeBytes: 99 },
    });
    space = new Error("gone");
    await clock.advance(1000);
    expect(guard.low).toBe(true);
    space = { freeBytes: 100, totalBytes: 1000 };
    await clock.advance(1000);
    expect(guard.low).toBe(false);
    expect(told).toHaveLength(3);
    guard.stop();
    await clock.advance(5000);
    expect(clock.timersPending).toBe(0);
  });
});
