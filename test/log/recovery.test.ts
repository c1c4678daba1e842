import { describe, expect, test } from "vitest";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { type RecoveryInput, recoverLog } from "../../src/log/recovery.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import { batchSizeAt, viewOf } from "../../src/protocol/record-batch.ts";
import { append, directory, identity, makeLogFolder, openLog, readAll } from "./log-fixture.ts";
import { LogWorld } from "./log-world.ts";

const segment = `${directory}/00000000000000000000.log`;
const epochFile = `${directory}/leader-epoch-checkpoint`;

/** A log of batches of one record, "0", "1", …, killed; `small`: a segment a record. */
async function killed(count: number, overrides: Record<string, unknown> = {}, size = 1): Promise<LogWorld> {
  const world = await LogWorld.make();
  const log = await world.lead(overrides);
  for (let i = 0; i < count; i++) await append(log, { values: [`${i}`.padStart(size, "x")], timestamp: 1000 + i });
  world.restart();
  return world;
}
const small = { "segment.bytes": 1024 };
const large = 900;

const offsetsOf = async (log: PartitionLog) => (await readAll(log)).map(({ offset }) => offset);
const fails = (world: LogWorld, known: Partial<RecoveryInput> = {}, overrides = {}) =>
  expect(openLog(world.context, overrides, known)).rejects;
const corrupt = { name: "LogCorruptError" };

function change(world: LogWorld, path: string, edit: (bytes: Uint8Array) => Uint8Array): void {
  world.disk.replaceContent(path, edit(world.disk.contentOf(path).slice()));
}
const withByte = (position: number, value: number) => (bytes: Uint8Array) => bytes.fill(value, position, position + 1);
const text = (value: string) => () => new TextEncoder().encode(value);

describe("torn or corrupt", () => {
  const cutAt = 69 * 2 + 30; // in the third of three batches

  test.each([
    ["above all checkpoints: cut", {}, "cut"],
    ["at the recovery point: cut", { recoveryPoint: 2 }, "cut"],
    ["at the high watermark: cut", { highWatermark: 2 }, "cut"],
    ["below the recovery point: damage", { recoveryPoint: 3 }, "corrupt"],
    ["below the high watermark: damage", { highWatermark: 3 }, "corrupt"],
    ["after a clean stop: damage", { clean: true, recoveryPoint: 0 }, "corrupt"],
  ] as const)("a torn batch %s", async (_what, known, outcome) => {
    const world = await killed(3);
    if ("clean" in known) await (await world.lead()).close();
    change(world, segment, (bytes) => bytes.slice(0, cutAt));
    if (outcome === "corrupt") return await fails(world, known).toMatchObject(corrupt);
    const log = await world.lead({}, known, 1);
    expect(await offsetsOf(log)).toEqual([0, 1]);
    expect(world.disk.contentOf(segment).byteLength).toBe(69 * 2);
    expect(world.tells("torn write")).toBe(true);
    expect((await append(log, { values: ["again"] })).baseOffset).toBe(2);
  });

  test("in a relaxed topic the high watermark does not tell what was synced", async () => {
    const world = await killed(3, { "flush.messages": 100 });
    change(world, segment, (bytes) => bytes.slice(0, cutAt));
    const log = await openLog(world.context, { "flush.messages": 100 }, { highWatermark: 3 });
    expect(await offsetsOf(log)).toEqual([0, 1]);
  });

  test("a torn write is no longer than a write", async () => {
    const world = await killed(200, {}, 400); // 90 KiB; a write holds at most 64
    change(world, segment, withByte(600, 0));
    await fails(world).toMatchObject(corrupt);
    expect(await offsetsOf(await openLog(world.context, { "flush.messages": 2 }))).toEqual([0]);
  });

  test("bad bytes in a segment before the last are damage, and nothing is changed", async () => {
    const world = await killed(3, small, large);
    change(world, segment, withByte(100, 0));
    const before = world.disk.contentOf(segment);
    await fails(world, {}, small).toMatchObject(corrupt);
    expect(world.disk.contentOf(segment)).toEqual(before);
    expect((await world.names()).filter((name) => name.endsWith(".log"))).toHaveLength(3);
  });

  test("a log that ends below what was synced is damage, also at the end of a batch", async () => {
    const world = await killed(3);
    change(world, segment, (bytes) => bytes.slice(0, 69 * 2));
    await fails(world, { recoveryPoint: 3 }).toMatchObject(corrupt);
    await fails(world, { highWatermark: 3 }).toMatchObject(corrupt);
    expect(await offsetsOf(await openLog(world.context, {}, { recoveryPoint: 2 }))).toEqual([0, 1]);
  });

  test.each([
    ["zeros", (bytes: Uint8Array) => new Uint8Array([...bytes, ...new Uint8Array(500)])],
    ["half a header", (bytes: Uint8Array) => new Uint8Array([...bytes, ...bytes.slice(0, 30)])],
    ["noise", (bytes: Uint8Array) => new Uint8Array([...bytes, ...new Uint8Array(300).map((_, i) => (i * 97) ^ 0x5a)])],
    ["a batch that was there before", (bytes: Uint8Array) => new Uint8Array([...bytes, ...bytes.slice(0, 69)])],
  ])("%s behind the last batch are cut off", async (_what, edit) => {
    const world = await killed(3);
    change(world, segment, edit);
    expect(await offsetsOf(await openLog(world.context, {}, { recoveryPoint: 3, highWatermark: 3 }))).toEqual([
      0, 1, 2,
    ]);
    expect(world.disk.contentOf(segment).byteLength).toBe(69 * 3);
  });

  test("an operator may truncate at the damage, also a second time; what is cut off is kept", async () => {
    const world = await killed(4, small, large);
    change(world, `${directory}/00000000000000000001.log`, withByte(100, 0));
    // The first attempt ends half-way.
    world.disk.failWhen(({ kind, path }) => kind === "truncate" && path.endsWith(".log"), { code: "EIO" });
    await fails(world, { truncateCorruption: true }, small).toMatchObject({ code: "EIO" });
    const log = await openLog(world.context, small, { truncateCorruption: true, highWatermark: 4 });
    expect(await offsetsOf(log)).toEqual([0]);
    const names = await world.names();
    expect(names.filter((name) => name.endsWith(".corrupt"))).toEqual([
      "00000000000000000001.log.0.corrupt",
      "00000000000000000002.log.corrupt",
      "00000000000000000003.log.corrupt",
    ]);
    await log.becomeLeader(1);
    await append(log, { values: ["y".repeat(large)] });
    await append(log, { values: ["y".repeat(large)] });
    world.restart();
    expect(await offsetsOf(await openLog(world.context, small))).toEqual([0, 1, 2]);
  });
});

describe("every byte and every length of a small segment", () => {
  /** Three batches, the first two in an earlier epoch; the values are what must not change. */
  const three = async () => {
    const world = await LogWorld.make();
    const log = await world.lead({}, {}, 1);
    await append(log, { values: ["a", "b"] });
    await append(log, { values: ["c"] });
    await log.becomeLeader(2);
    await append(log, { values: ["d", "e"] });
    const values = await readAll(log);
    world.restart();
    return { world, values, bytes: world.disk.contentOf(segment).slice() };
  };
  const outcome = async (world: LogWorld, known: Partial<RecoveryInput>) => {
    const copy = world.disk.copy();
    copy.kill();
    const context = { ...world.context, disk: copy.startProcess() };
    try {
      const log = await openLog(context, {}, known);
      return { values: await readAll(log), epochs: log.epochs.entries };
    } catch (error) {
      if (error instanceof Error && error.name === "LogCorruptError") return "corrupt";
      throw error;
    }
  };
  const epochs = [
    { epoch: 1, startOffset: 0 },
    { epoch: 2, startOffset: 3 },
  ];

  test("a flipped bit is an error below the recovery point, and cuts at its batch above", async () => {
    const { world, values, bytes } = await three();
    const ends = [batchSizeAt(viewOf(bytes), 0)];
    ends.push(ends[0]! + batchSizeAt(viewOf(bytes), ends[0]!), bytes.byteLength);
    const keptBefore = [0, 2, 3];
    for (let byte = 0; byte < bytes.byteLength; byte++) {
      const bit = byte % 8;
      const batch = ends.findIndex((end) => byte < end);
      world.disk.flipBit(segment, byte, bit);
      expect(await outcome(world, { recoveryPoint: 5, highWatermark: 5 }), `byte ${byte}`).toBe("corrupt");
      const torn = await outcome(world, { recoveryPoint: 0, highWatermark: 0 });
      expect(torn, `byte ${byte}`).toMatchObject({ values: values.slice(0, keptBefore[batch]!) });
      world.disk.flipBit(segment, byte, bit);
    }
    expect(await outcome(world, { recoveryPoint: 5, highWatermark: 5 })).toEqual({ values, epochs });
  });

  test("every other bit of what the CRC does not cover", async () => {
    const { world, values } = await three();
    for (let byte = 0; byte < 21; byte++)
      for (let bit = 0; bit < 8; bit++) {
        world.disk.flipBit(segment, byte, bit);
        expect(await outcome(world, { recoveryPoint: 5 }), `byte ${byte} bit ${bit}`).toBe("corrupt");
        world.disk.flipBit(segment, byte, bit);
      }
    expect(await outcome(world, { recoveryPoint: 5 })).toEqual({ values, epochs });
  });

  test("any length: an error below the recovery point, whole batches above", async () => {
    const { world, values, bytes } = await three();
    const first = batchSizeAt(viewOf(bytes), 0);
    const second = first + batchSizeAt(viewOf(bytes), first);
    for (let length = 0; length < bytes.byteLength; length++) {
      world.disk.replaceContent(segment, bytes.slice(0, length));
      expect(await outcome(world, { recoveryPoint: 5 }), `length ${length}`).toBe("corrupt");
      const count = length < first ? 0 : length < second ? 2 : 3;
      expect(await outcome(world, {}), `length ${length}`).toMatchObject({ values: values.slice(0, count) });
    }
  });
});

describe("segments", () => {
  test("a gap between two is damage", async () => {
    const world = await killed(4, small, large);
    await world.context.disk.removeFile(`${directory}/00000000000000000002.log`);
    await fails(world, {}, small).toMatchObject({ ...corrupt, message: expect.stringContaining("should begin at 2") });
    const log = await openLog(world.context, small, { truncateCorruption: true });
    expect(await offsetsOf(log)).toEqual([0, 1]);
    await log.becomeLeader(1);
    expect((await append(log, { values: ["next"] })).baseOffset).toBe(2);
  });

  test("overlapping ones are damage", async () => {
    const world = await killed(4, small, large);
    world.disk.replaceContent(`${directory}/00000000000000000000.index`, new Uint8Array(0));
    change(
      world,
      segment,
      (bytes) => new Uint8Array([...bytes, ...world.disk.contentOf(`${directory}/00000000000000000001.log`)]),
    );
    await fails(world, {}, small).toMatchObject(corrupt);
    await fails(world, { clean: true }, small).toMatchObject(corrupt);
  });

  test("a first one above the log start is damage", async () => {
    const world = await killed(3, small, large);
    await world.context.disk.removeFile(segment);
    await fails(world, { logStartOffset: 0 }, small).toMatchObject(corrupt);
  });

  test("none at all is damage", async () => {
    const world = await killed(1);
    await world.context.disk.removeFile(segment);
    await fails(world).toMatchObject(corrupt);
  });

  test("those below the log start go, and only once the log is known to reach it", async () => {
    const world = await killed(4, small, large);
    await fails(world, { logStartOffset: 9 }, small).toMatchObject(corrupt);
    expect((await world.names()).filter((name) => name.endsWith(".log"))).toHaveLength(4);
    const log = await openLog(world.context, small, { logStartOffset: 2 });
    expect([log.logStartOffset, log.logEndOffset]).toEqual([2, 4]);
    expect((await world.names()).filter((name) => name.endsWith(".log"))).toHaveLength(2);
    expect((await world.names()).filter((name) => name.startsWith("00000000000000000000."))).toEqual([]);
  });

  test.each([
    ["a folder where a segment belongs", "00000000000000000003.log", corrupt],
    ["an offset beyond all", "99999999999999999999.log", corrupt],
  ])("%s is damage", async (_what, name, error) => {
    const world = await killed(3);
    if (name.startsWith("9")) await (await world.context.disk.create(`${directory}/${name}`)).close();
    else await world.context.disk.makeDir(`${directory}/${name}`);
    await fails(world).toMatchObject(error);
  });

  test("what does not belong there is left alone or swept away", async () => {
    const world = await killed(3);
    const files = [
      "0.log",
      "00000000000000000000.log.swap",
      "notes.txt",
      "00000000000000000007.index",
      "x.tmp",
      "1.log.deleted",
    ];
    for (const name of files) await (await world.context.disk.create(`${directory}/${name}`)).close();
    await world.context.disk.makeDir(`${directory}/folder.tmp`);
    expect(await offsetsOf(await openLog(world.context))).toEqual([0, 1, 2]);
    const names = await world.names();
    for (const kept of ["0.log", "notes.txt", "folder.tmp"]) expect(names).toContain(kept);
    const gone = ["00000000000000000007.index", "x.tmp", "1.log.deleted", "00000000000000000000.log.swap"];
    for (const name of gone) expect(names).not.toContain(name);
  });

  test("a log that cannot be opened leaves no file open", async () => {
    const world = await killed(4, small, large);
    change(world, `${directory}/00000000000000000002.log`, withByte(100, 0));
    const from = world.disk.operationCount;
    await fails(world, {}, small).toMatchObject(corrupt);
    const count = (kind: string) =>
      world.disk.operations.filter((operation) => operation.number >= from && operation.kind === kind).length;
    expect(count("close")).toBe(count("open") + count("create"));
  });
});

describe("indexes", () => {
  const stopped = async () => {
    const world = await LogWorld.make();
    const config = { ...small, "index.interval.bytes": 0 };
    const log = await world.lead(config);
    const producer = { producerId: 5n, producerEpoch: 0 };
    for (let i = 0; i < 12; i++)
      await append(log, { values: ["x".repeat(200)], timestamp: 1000 + i, ...producer, baseSequence: i });
    expect(await log.close()).toBe(true);
    world.restart();
    return { world, config, producer };
  };
  const none = { clean: true, recoveryPoint: 12, highWatermark: 12 };

  test("a clean start scans nothing", async () => {
    const { world, config } = await stopped();
    const log = await world.lead(config, none);
    expect(await offsetsOf(log)).toHaveLength(12);
    expect(world.told.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.each([
    ["missing", undefined],
    ["zeros", new Uint8Array(64)],
    ["odd bytes", new Uint8Array(13).fill(1)],
    ["negative", new Uint8Array(24).fill(0xff)],
    ["falling", new Uint8Array([0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0])],
    ["beyond the segment", new Uint8Array([0, 0, 0, 1, 0, 100, 0, 0])],
    ["between two batches", new Uint8Array([0, 0, 0, 1, 0, 0, 0, 5])],
  ] as const)("%s: made again, and the producers' state is as it was", async (_what, content) => {
    for (const base of ["00000000000000000000", "00000000000000000009"])
      for (const suffix of [".index", ".timeindex"] as const) {
        if (content && content.byteLength === 8 && suffix === ".timeindex") continue;
        const { world, config, producer } = await stopped();
        const path = `${directory}/${base}${suffix}`;
        if (content) world.disk.replaceContent(path, content);
        else await world.context.disk.removeFile(path);
        const log = await world.lead(config, none);
        expect(await offsetsOf(log)).toHaveLength(12);
        expect(log.producers()[0]!.batches.map(({ firstSequence }) => firstSequence)).toEqual([7, 8, 9, 10, 11]);
        const next = { values: ["n"], ...producer };
        expect((await append(log, { ...next, baseSequence: 12 })).baseOffset).toBe(12);
        const again = await append(log, { values: ["x".repeat(200)], ...producer, baseSequence: 11 });
        expect(again).toMatchObject({ baseOffset: 11, duplicate: true });
      }
  });

  test("an index that leads the replay of producers astray is not followed", async () => {
    const { world, config } = await stopped();
    const snapshots = (await world.names()).filter((name) => name.endsWith(".snapshot"));
    // Without the newest snapshots the state comes from an older one and the batches behind it.
    for (const name of snapshots.slice(1)) world.disk.replaceContent(`${directory}/${name}`, new Uint8Array(3));
    const path = `${directory}/00000000000000000003.index`;
    world.disk.replaceContent(path, new Uint8Array([0, 0, 0, 0, 0, 0, 0, 77]));
    const log = await world.lead(config, none);
    expect(log.producers()[0]!.batches.map(({ firstSequence }) => firstSequence)).toEqual([7, 8, 9, 10, 11]);
  });
});

describe("leader epochs", () => {
  test.each([
    ["missing", undefined],
    ["garbage", text("garbage")],
    ["of another version", text("1\n1\n1 0\n")],
    ["falling", text("0\n2\n2 0\n1 2\n")],
    ["of equal starts", text("0\n2\n1 0\n2 0\n")],
    ["short", text("0\n2\n1 0\n")],
    ["empty", text("")],
  ])("a file that is %s is made again from the batches", async (_what, edit) => {
    for (const clean of [false, true]) {
      const world = await LogWorld.make();
      const log = await world.lead({}, {}, 1);
      await append(log, { values: ["a"] });
      await log.becomeLeader(2);
      await append(log, { values: ["b"] });
      await log.close();
      world.restart();
      if (edit) change(world, epochFile, edit);
      else await world.context.disk.removeFile(epochFile);
      const again = await openLog(world.context, {}, { clean });
      expect(again.epochs.entries).toEqual([
        { epoch: 1, startOffset: 0 },
        { epoch: 2, startOffset: 1 },
      ]);
    }
  });

  test("an epoch that wrote nothing is forgotten with the tail it began at", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({}, {}, 1);
    await append(log, { values: ["a"] });
    await log.becomeLeader(5);
    world.cutPower();
    expect((await openLog(world.context)).epochs.entries).toEqual([{ epoch: 1, startOffset: 0 }]);
  });
});

describe("producers", () => {
  const batch = (baseSequence: number, values = ["v"]) => ({ values, producerId: 9n, producerEpoch: 0, baseSequence });

  test("a batch that survived in the page cache alone is synced before it answers a duplicate", async () => {
    const world = await LogWorld.make();
    const relaxed = { "flush.messages": 100 };
    const log = await world.lead(relaxed);
    await append(log, batch(0));
    world.restart();
    const again = await world.lead({}, {}, 1);
    expect(await append(again, batch(0))).toMatchObject({ duplicate: true, baseOffset: 0 });
    world.cutPower();
    expect(await offsetsOf(await openLog(world.context))).toEqual([0]);
  });

  test("five batches survive a clean and an unclean restart", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    for (let i = 0; i < 8; i++) await append(log, batch(i));
    world.restart();
    const second = await world.lead({}, {}, 1);
    expect((await append(second, batch(3))).baseOffset).toBe(3);
    await expect(append(second, batch(2))).rejects.toMatchObject({ code: "OUT_OF_ORDER_SEQUENCE_NUMBER" });
    expect(await second.close()).toBe(true);
    world.restart();
    const third = await world.lead({}, { clean: true }, 1);
    expect((await append(third, batch(3))).baseOffset).toBe(3);
    expect((await append(third, batch(8))).baseOffset).toBe(8);
  });

  test("a damaged snapshot gives way to an older one, and to the log itself", async () => {
    const world = await LogWorld.make();
    const log = await world.lead(small);
    for (let i = 0; i < 6; i++) await append(log, batch(i, ["x".repeat(large)]));
    expect(await log.close()).toBe(true);
    world.restart();
    for (const name of (await world.names()).filter((found) => found.endsWith(".snapshot"))) {
      change(world, `${directory}/${name}`, (bytes) => withByte(bytes.byteLength - 1, bytes.at(-1)! ^ 1)(bytes));
    }
    const again = await world.lead(small, { clean: true });
    expect(again.producers()[0]!.batches.map(({ lastSequence }) => lastSequence)).toEqual([1, 2, 3, 4, 5]);
  });

  test("a key that was forgotten and used again answers for its second request after a restart too", async () => {
    const world = await LogWorld.make({ idempotencyWindowMs: 1000 });
    const key = 2n ** 62n + 5n;
    const request = (value: string) => ({ values: [value], producerId: key, producerEpoch: 0, baseSequence: 0 });
    const log = await world.lead();
    expect((await append(log, request("first"))).baseOffset).toBe(0);
    await world.clock.advance(1001);
    expect((await append(log, request("second"))).baseOffset).toBe(1);
    expect(await append(log, request("second"))).toMatchObject({ baseOffset: 1, duplicate: true });
    world.restart();
    const again = await world.lead({}, {}, 1);
    expect(await append(again, request("second"))).toMatchObject({ baseOffset: 1, duplicate: true });
  });

  test("a producer that was forgotten and began again is answered with its newest batch", async () => {
    const world = await LogWorld.make({ producerIdExpirationMs: 1000 });
    const log = await world.lead();
    await append(log, batch(0));
    await world.clock.advance(1001);
    expect((await append(log, batch(0))).baseOffset).toBe(1);
    world.restart();
    const again = await world.lead({}, {}, 1);
    expect(await append(again, batch(0))).toMatchObject({ baseOffset: 1, duplicate: true });
  });

  test("age counts from the start, so that a restart does not forget", async () => {
    const world = await LogWorld.make({ producerIdExpirationMs: 1000 });
    const log = await world.lead();
    await append(log, batch(0));
    await world.clock.advance(900);
    world.restart();
    const again = await world.lead({}, {}, 1);
    await world.clock.advance(900);
    expect(await append(again, batch(0))).toMatchObject({ duplicate: true });
    await world.clock.advance(1001);
    expect(await append(again, batch(0))).toMatchObject({ duplicate: false, baseOffset: 1 });
  });
});

test("the high watermark is the checkpointed one within the log's bounds", async () => {
  const world = await killed(5, small, large);
  for (const [highWatermark, expected] of [
    [undefined, 2],
    [1, 2],
    [4, 4],
    [5, 5],
  ] as const) {
    const recovered = await recoverLog(world.context, {
      identity,
      config: topicConfig(small),
      clean: false,
      recoveryPoint: 0,
      logStartOffset: 2,
      highWatermark,
    });
    expect(recovered.highWatermark).toBe(expected);
    await Promise.all(recovered.segments.map((found) => found.close()));
  }
});

test("an empty log", async () => {
  const world = await LogWorld.make();
  const log = await world.lead();
  expect(await readAll(log)).toEqual([]);
  expect(await log.close()).toBe(true);
  world.restart();
  expect((await world.lead({}, { clean: true })).logEndOffset).toBe(0);
  await expect(makeLogFolder(world.context)).rejects.toMatchObject({ code: "EEXIST" });
});
