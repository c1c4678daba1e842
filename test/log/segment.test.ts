import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { type BatchHeader, batchSizeAt, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { append, directory, readAll } from "./log-fixture.ts";
import { LogWorld } from "./log-world.ts";

const config = { "segment.bytes": 1024, "index.interval.bytes": 100 };

/** A log whose older segments were opened by a clean start, so that their indexes are read from files. */
async function logOf(
  batches: readonly { count: number; size: number; timestamp: number }[],
): Promise<{ world: LogWorld; log: PartitionLog }> {
  const world = await LogWorld.make();
  const log = await world.lead(config);
  const half = batches.length >> 1;
  const fill = async (to: PartitionLog, some: typeof batches) => {
    for (const { count, size, timestamp } of some)
      await append(to, { values: Array.from({ length: count }, () => "x".repeat(size)), timestamp });
  };
  await fill(log, batches.slice(0, half));
  expect(await log.close()).toBe(true);
  world.restart();
  const again = await world.lead(config, { clean: true });
  await fill(again, batches.slice(half));
  return { world, log: again };
}

function headersIn(bytes: Uint8Array): BatchHeader[] {
  const view = viewOf(bytes);
  const headers: BatchHeader[] = [];
  for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) headers.push(readBatchHeader(view, at));
  return headers;
}

const batch = fc.record({
  count: fc.integer({ min: 1, max: 5 }),
  size: fc.integer({ min: 0, max: 150 }),
  timestamp: fc.integer({ min: -1, max: 40 }),
});

describe("against a plain list of batches", () => {
  test("read, from every offset, with every bound", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 0, max: 3000 }),
        async (batches, bytesMax) => {
          const { log } = await logOf(batches);
          const all: BatchHeader[] = [];
          for (let offset = 0; offset < log.logEndOffset; offset = all.at(-1)!.lastOffset + 1)
            all.push(...headersIn(await log.read(offset, 1, log.logEndOffset)));
          expect(all.map(({ recordsCount }) => recordsCount)).toEqual(batches.map(({ count }) => count));
          const bases = new Set<number>();
          for (let offset = 0; offset < log.logEndOffset; offset++)
            for (const bound of [offset, Math.min(offset + 4, log.logEndOffset), log.logEndOffset]) {
              const got = headersIn(await log.read(offset, bytesMax, bound));
              const wanted: BatchHeader[] = [];
              let bytes = 0;
              for (const header of all.filter(({ lastOffset }) => lastOffset >= offset && lastOffset < bound)) {
                bytes += header.sizeBytes;
                if (wanted.length > 0 && bytes > bytesMax) break;
                wanted.push(header);
              }
              // A read ends with its segment, and when what it looked ahead is used up: a prefix, but not an empty one.
              expect(got).toEqual(wanted.slice(0, got.length));
              if (wanted.length > 0) expect(got.length).toBeGreaterThan(0);
              for (const { baseOffset } of got) bases.add(baseOffset);
            }
          expect(bases.size).toBe(all.length);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("findTimestamp, for every time and start", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 25 }), async (batches) => {
        const { log } = await logOf(batches);
        const all = (await log.read(0, 1, 0)) && ([] as BatchHeader[]);
        for (let offset = 0; offset < log.logEndOffset; offset = all.at(-1)!.lastOffset + 1)
          all.push(...headersIn(await log.read(offset, 1, log.logEndOffset)));
        for (let timestamp = 0; timestamp <= 41; timestamp += 3)
          for (const from of [0, log.logEndOffset >> 1])
            for (const bound of [log.logEndOffset >> 1, log.logEndOffset]) {
              const found = await log.findTimestamp(timestamp, from, bound);
              const wanted = all.find(
                (header) => header.lastOffset >= from && header.lastOffset < bound && header.maxTimestamp >= timestamp,
              );
              expect(found && headersIn(found)[0]).toEqual(wanted);
            }
      }),
      { numRuns: 25 },
    );
  });
});

describe("an index that lies", () => {
  const sealed = `${directory}/00000000000000000000`;
  const twelve = async () => {
    const world = await LogWorld.make();
    const large = { "segment.bytes": 4096, "index.interval.bytes": 0 };
    const log = await world.lead(large);
    for (let i = 0; i < 30; i++) await append(log, { values: [`${i}`.padStart(200, "x")], timestamp: 1000 + i });
    expect(log.segmentCount).toBeGreaterThan(1);
    expect(await log.close()).toBe(true);
    world.restart();
    return { world, large };
  };
  const entry = (bytes: Uint8Array, i: number) => viewOf(bytes).getInt32(8 * i + 4);

  test.each([
    ["too late", (at: number, next: number) => (at + next > 0 ? next : 0)],
    ["into a batch", (at: number) => at + 7],
    ["near the end", () => 3900],
  ] as const)("by a position %s is made again", async (_what, wrong) => {
    const { world, large } = await twelve();
    const bytes = world.disk.contentOf(`${sealed}.index`).slice();
    // All but the last entry, which the start looks at.
    const count = bytes.byteLength / 8;
    const i = count - 2;
    const position = Math.min(wrong(entry(bytes, i), entry(bytes, i + 1) - 1), entry(bytes, i + 1) - 1);
    viewOf(bytes).setInt32(8 * i + 4, position);
    world.disk.replaceContent(`${sealed}.index`, bytes);
    const log = await world.lead(large, { clean: true });
    const values = await readAll(log, 0, 1);
    expect(values.map(({ offset }) => offset)).toEqual(Array.from({ length: 30 }, (_, n) => n));
    expect(log.offline).toBeUndefined();
    expect(world.tells("made again")).toBe(true);
    expect(world.disk.contentOf(`${sealed}.index`)).not.toEqual(bytes);
  });

  test("by an offset too small does not make a read skip records", async () => {
    const { world, large } = await twelve();
    const bytes = world.disk.contentOf(`${sealed}.index`).slice();
    for (let i = 1; i + 1 < bytes.byteLength / 8; i++) viewOf(bytes).setInt32(8 * i, i); // one batch less than it points to
    world.disk.replaceContent(`${sealed}.index`, bytes);
    const log = await world.lead(large, { clean: true });
    expect(await readAll(log, 0, 1)).toHaveLength(30);
    const found = await log.findTimestamp(1005, 0, log.highWatermark);
    expect(headersIn(found!)[0]!.baseOffset).toBe(5);
  });

  test("or is missing, cannot be stored again: reads go on", async () => {
    const { world, large } = await twelve();
    const log = await world.lead(large, { clean: true });
    world.context.indexMemory.used({ dropIndexes() {} }, 2 ** 30);
    await world.context.disk.removeFile(`${sealed}.index`);
    world.disk.failWhen(({ kind }) => kind === "create", { code: "ENOSPC" }, 100);
    expect(await readAll(log)).toHaveLength(30);
    expect(log.offline).toBeUndefined();
  });
});

describe("damage in a segment that nobody scanned", () => {
  const damaged = async (change: (bytes: Uint8Array, view: DataView) => void, which = "00000000000000000000") => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 4096 });
    for (let i = 0; i < 30; i++) await append(log, { values: [`${i}`.padStart(200, "x")], timestamp: 1000 + i });
    expect(await log.close()).toBe(true);
    world.restart();
    const again = await world.lead({ "segment.bytes": 4096 }, { clean: true });
    const path = `${directory}/${which}.log`;
    const bytes = world.disk.contentOf(path).slice();
    change(bytes, viewOf(bytes));
    world.disk.replaceContent(path, bytes);
    return { world, log: again };
  };
  const length = (bytes: Uint8Array, n: number) => {
    let at = 0;
    for (let i = 0; i < n; i++) at += batchSizeAt(viewOf(bytes), at);
    return at + 8;
  };

  test.each([
    [
      "a batch that reaches beyond the end",
      (bytes: Uint8Array, view: DataView) => view.setInt32(length(bytes, 2), 100_000),
    ],
    [
      "a batch that ends just before the end",
      (bytes: Uint8Array, view: DataView) =>
        view.setInt32(length(bytes, 2), bytes.byteLength - length(bytes, 2) - 4 - 30),
    ],
    ["a batch of negative length", (bytes: Uint8Array, view: DataView) => view.setInt32(length(bytes, 2), -1)],
    ["an offset far ahead", (bytes: Uint8Array, view: DataView) => view.setInt32(length(bytes, 5) - 4, 1_000_000)],
    ["an offset a little ahead", (bytes: Uint8Array, view: DataView) => view.setInt32(length(bytes, 5) - 4, 6)],
  ] as const)("%s: an error, never a gap, never an endless walk", async (_what, change) => {
    const { log } = await damaged(change);
    await expect(log.read(5, 1, log.highWatermark)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    expect(log.offline).toContain(".log");
  });

  test("findTimestamp does not take it for the end", async () => {
    const { log } = await damaged((bytes, view) => view.setInt32(length(bytes, 2), 100_000));
    await expect(log.findTimestamp(1005, 0, log.highWatermark)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  });
});

describe("index memory", () => {
  test("keeps the indexes of sealed segments within its bound, and forgets closed ones", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 1024 });
    for (let i = 0; i < 60; i++) await append(log, { values: ["x".repeat(900)] });
    await log.close();
    expect(world.context.indexMemory.bytes).toBe(0);
  });
});
