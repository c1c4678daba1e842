import { describe, expect, test } from "vitest";
import { DiskError } from "../../src/io/disk.ts";
import { PartitionLog } from "../../src/log/partition-log.ts";
import { recoverLog } from "../../src/log/recovery.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import { batchSizeAt, hasValidCrc, isLogAppendTime, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { append, batchOf, codecs, directory, identity, noCheckpoints, openLog, readAll } from "./log-fixture.ts";
import { GatedDisk, LogWorld } from "./log-world.ts";

const of = (count: number, size = 1) => Array.from({ length: count }, (_, i) => `${i}`.padStart(size, "x"));

describe("group commit", () => {
  test("what waits shares one write and one sync", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    const from = world.disk.operationCount;
    const infos = await Promise.all(of(100).map((value) => append(log, { values: [value] })));
    expect(infos.map(({ baseOffset }) => baseOffset)).toEqual(of(100).map(Number));
    expect(world.onLogFiles("append", from)).toHaveLength(2); // the first alone, the 99 that came meanwhile together
    expect(world.onLogFiles("sync", from)).toHaveLength(2);
    expect((await readAll(log)).map(({ value }) => value)).toEqual(of(100));
  });

  test("a write holds no more than appendGroupBytesMax", async () => {
    const world = await LogWorld.make({ appendGroupBytesMax: 1000 });
    const log = await world.lead();
    const from = world.disk.operationCount;
    await Promise.all(of(20).map((value) => append(log, { values: [value.repeat(100)] })));
    const writes = world.onLogFiles("append", from);
    expect(Math.max(...writes.map(({ bytes }) => bytes!))).toBeLessThanOrEqual(1000);
    expect(writes.length).toBeGreaterThan(3);
  });

  test("an answer comes only after the sync", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    const seen: string[] = [];
    world.disk.onOperation = ({ kind }) => void (kind === "sync" && seen.push(kind));
    await append(log, { values: ["a"] }).then(() => seen.push("answer"));
    expect(seen).toEqual(["sync", "answer"]);
    expect(log.flushedOffset).toBe(1);
    expect(log.highWatermark).toBe(1);
  });

  test("a full queue refuses, and what waits is not held up", async () => {
    const world = await LogWorld.make({ appendQueueBytesMax: 200 });
    const log = await world.lead();
    const outcomes = await Promise.allSettled(of(5, 60).map((value) => append(log, { values: [value] })));
    // The first is with the disk already; one waits; there is no room for the others.
    expect(outcomes.map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "rejected",
      "rejected",
    ]);
    expect(outcomes[2]).toMatchObject({ reason: { code: "THROTTLING_QUOTA_EXCEEDED", maybeAppended: false } });
    expect((await append(log, { values: ["later"] })).baseOffset).toBe(2);
  });

  test("a batch larger than the queue is taken when nothing waits", async () => {
    const world = await LogWorld.make({ appendQueueBytesMax: 10 });
    const log = await world.lead();
    expect((await append(log, { values: ["x".repeat(500)] })).lastOffset).toBe(0);
  });

  test("a retry in the same group gets the first append's offsets", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    const batch = (baseSequence: number) => ({ values: of(10), producerId: 7n, producerEpoch: 0, baseSequence });
    const infos = await Promise.all([
      append(log, { values: ["other"] }),
      append(log, batch(10)),
      append(log, batch(20)),
      append(log, batch(10)),
    ]);
    expect(infos.map(({ baseOffset, duplicate }) => [baseOffset, duplicate])).toEqual([
      [0, false],
      [1, false],
      [11, false],
      [1, true],
    ]);
    expect(log.logEndOffset).toBe(21);
  });

  test("expectedOffset is compared with what the batch would get behind the others of its group", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    const outcomes = await Promise.allSettled([
      append(log, { values: ["a"] }),
      append(log, { values: ["b"] }, 1),
      append(log, { values: ["c"] }, 1),
      append(log, { values: ["d"] }, 2),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    expect(outcomes[2]).toMatchObject({
      reason: { code: "EXPECTED_OFFSET_MISMATCH", fields: { logEndOffset: 2, expectedOffset: 1 } },
    });
    expect((await readAll(log)).map(({ value }) => value)).toEqual(["a", "b", "d"]);
  });
});

describe("LogAppendTime", () => {
  test("stamps and signs again", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "message.timestamp.type": "LogAppendTime" });
    await append(log, { values: ["a", "b"], timestamp: 5 });
    const bytes = await log.read(0, 1000, log.highWatermark);
    const header = readBatchHeader(viewOf(bytes), 0);
    expect(isLogAppendTime(header)).toBe(true);
    expect(header.maxTimestamp).toBe(world.clock.nowMs());
    expect(hasValidCrc(bytes, codecs)).toBe(true);
    world.restart();
    expect(await readAll(await world.lead())).toHaveLength(2);
  });

  test("a segment's age counts by the time of append, whatever time the producer says", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "message.timestamp.type": "LogAppendTime", "segment.ms": 1000 });
    await append(log, { values: ["a"], timestamp: 5 });
    await append(log, { values: ["b"], timestamp: world.clock.nowMs() + 50_000 });
    expect(log.segmentCount).toBe(1);
    await world.clock.advance(1001);
    await append(log, { values: ["c"], timestamp: 5 });
    expect(log.segmentCount).toBe(2);
  });
});

describe("roll", () => {
  test("by size, in the middle of what waits", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 1024 });
    await Promise.all(of(40).map((value) => append(log, { values: [value.repeat(100)] })));
    const names = await world.names();
    const sizes = names
      .filter((name) => name.endsWith(".log"))
      .map((name) => world.disk.contentOf(`${directory}/${name}`));
    expect(sizes.length).toBe(log.segmentCount);
    expect(sizes.length).toBeGreaterThan(5);
    for (const { byteLength } of sizes) expect(byteLength).toBeLessThanOrEqual(1024);
    expect(await readAll(log)).toHaveLength(40);
    world.restart();
    expect(await readAll(await world.lead({ "segment.bytes": 1024 }))).toHaveLength(40);
  });

  test("behind a duplicate at the head of a group", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 1024 });
    const once = { values: ["x"], producerId: 1n, producerEpoch: 0, baseSequence: 0 };
    await append(log, once);
    await append(log, { values: ["w".repeat(500)] });
    await settled();
    const infos = await Promise.all([
      append(log, { values: ["y"] }), // goes to the disk alone, so that the next two share a group
      append(log, once),
      append(log, { values: ["z".repeat(600)] }),
    ]);
    expect(infos[1]!.duplicate).toBe(true);
    expect(world.disk.contentOf(`${directory}/00000000000000000000.log`).byteLength).toBeLessThanOrEqual(1024);
    expect(log.segmentCount).toBe(2);
  });

  test("by the time of the records, and by the wall clock when they have none", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.ms": 100 });
    await append(log, { values: ["a"], timestamp: 1000 });
    await append(log, { values: ["b"], timestamp: 1100 });
    expect(log.segmentCount).toBe(1);
    await append(log, { values: ["c"], timestamp: 1101 });
    expect(log.segmentCount).toBe(2);
    await append(log, { values: ["d"], timestamp: 900 });
    expect(log.segmentCount).toBe(2);
    const timeless = await LogWorld.make();
    const other = await timeless.lead({ "segment.ms": 100 });
    await append(other, { values: ["a"], timestamp: -1 });
    await timeless.clock.advance(100);
    await append(other, { values: ["b"], timestamp: -1 });
    expect(other.segmentCount).toBe(1);
    await timeless.clock.advance(1);
    await append(other, { values: ["c"], timestamp: -1 });
    expect(other.segmentCount).toBe(2);
  });

  test("when an index is full", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.index.bytes": 48, "index.interval.bytes": 0 });
    for (const value of of(12)) await append(log, { values: [value], timestamp: 1000 + Number(value) });
    expect(log.segmentCount).toBeGreaterThan(2);
    expect(await readAll(log)).toHaveLength(12);
  });

  test("the age of the active segment survives a clean restart, however large its first batch is", async () => {
    const world = await LogWorld.make({ appendGroupBytesMax: 1024 * 1024 });
    const config = { "segment.ms": 1000 };
    const log = await world.lead(config);
    await append(log, { values: ["x".repeat(100_000)], timestamp: 10_000 });
    await append(log, { values: ["y".repeat(5000)], timestamp: 10_900 });
    await append(log, { values: ["z"], timestamp: 10_900 });
    await append(log, { values: ["z"], timestamp: 10_900 });
    expect(await log.close()).toBe(true);
    world.restart();
    const again = await world.lead(config, { clean: true });
    await append(again, { values: ["later"], timestamp: 11_500 });
    expect(again.segmentCount).toBe(2);
  });
});

describe("relaxed flush", () => {
  test("flush.messages: a sync after so many records; the high watermark does not wait for it", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "flush.messages": 5 });
    const from = world.disk.operationCount;
    await append(log, { values: of(4) });
    expect([log.flushedOffset, log.highWatermark, world.onLogFiles("sync", from).length]).toEqual([0, 4, 0]);
    await append(log, { values: ["e"] });
    expect([log.flushedOffset, log.highWatermark, world.onLogFiles("sync", from).length]).toEqual([5, 5, 1]);
  });

  test("flush.ms: a sync after that time, once", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "flush.messages": 1000, "flush.ms": 50 });
    const from = world.disk.operationCount;
    await append(log, { values: ["a"] });
    await append(log, { values: ["b"] });
    await world.clock.advance(49);
    expect(log.flushedOffset).toBe(0);
    await world.clock.advance(1);
    expect(log.flushedOffset).toBe(2);
    await world.clock.advance(1000);
    expect(world.onLogFiles("sync", from)).toHaveLength(1);
    expect(world.clock.timersPending).toBe(0);
  });

  test("becoming strict syncs what was acknowledged", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "flush.messages": 1000 });
    await append(log, { values: of(3) });
    await log.changeConfig(topicConfig({ "flush.messages": 1 }));
    expect(log.flushedOffset).toBe(3);
    world.cutPower();
    expect(await readAll(await world.lead())).toHaveLength(3);
  });

  test("records are deleted only up to what a power cut leaves", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "flush.messages": 1000 });
    await append(log, { values: of(3) });
    await append(log, { values: of(3) });
    expect(await log.deleteRecordsBefore(4)).toBe(4);
    world.cutPower();
    const again = await world.lead({ "flush.messages": 1000 }, { logStartOffset: 4 });
    expect([again.logStartOffset, again.logEndOffset]).toEqual([4, 6]);
  });

  test("the process may be killed without loss", async () => {
    const world = await LogWorld.make();
    await append(await world.lead({ "flush.messages": 1000 }), { values: of(3) });
    world.restart();
    expect(await readAll(await world.lead({ "flush.messages": 1000 }))).toHaveLength(3);
  });
});

describe("failures", () => {
  const failing = async (kind: "append" | "sync") => {
    const world = await LogWorld.make();
    const log = await world.lead();
    await append(log, { values: ["kept"] });
    world.disk.failWhen((operation) => operation.kind === kind && operation.path.endsWith(".log"), { code: "EIO" });
    return { world, log };
  };

  test.each(["append", "sync"] as const)(
    "after a failed %s the log is offline, nothing is tried again",
    async (kind) => {
      const { world, log } = await failing(kind);
      const from = world.disk.operationCount;
      let offline = 0;
      log.listen({ advanced() {}, wentOffline: () => void offline++ });
      const outcomes = await Promise.allSettled([append(log, { values: ["a"] }), append(log, { values: ["b"] })]);
      // The first was with the disk: nobody knows. The second had not left the queue: surely not written.
      expect(outcomes).toMatchObject([
        { reason: { code: "KAFKA_STORAGE_ERROR", maybeAppended: true } },
        { reason: { code: "KAFKA_STORAGE_ERROR", maybeAppended: false } },
      ]);
      expect(log.offline).toContain("EIO");
      expect(offline).toBe(1);
      await expect(append(log, { values: ["c"] })).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
      await expect(log.read(0, 100, 1)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
      await expect(log.flush()).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
      expect(log.flushedOffset).toBe(1);
      expect(await log.close()).toBe(false);
      expect(world.onLogFiles("append", from)).toHaveLength(1);
      expect(world.onLogFiles("sync", from)).toHaveLength(kind === "sync" ? 1 : 0);
    },
  );

  test("a producer's batch of a failed write is not remembered, a duplicate in its group shares its fate", async () => {
    const { log } = await failing("sync");
    const batch = { values: ["a"], producerId: 1n, producerEpoch: 0, baseSequence: 0 };
    const first = append(log, { values: ["first"] });
    const outcomes = await Promise.allSettled([append(log, batch), append(log, batch), first]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(log.producers()).toEqual([]);
  });

  test("a duplicate in a group whose write fails gets the same answer as the original", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    const batch = { values: ["a"], producerId: 1n, producerEpoch: 0, baseSequence: 0 };
    const first = append(log, { values: ["first"] });
    const both = Promise.allSettled([append(log, batch), append(log, batch)]);
    const fault = { code: "EIO" };
    world.disk.failWhen(({ kind, bytes }) => kind === "append" && bytes === batchOf(batch).byteLength, fault);
    await first;
    const doubtful = { reason: { code: "KAFKA_STORAGE_ERROR", maybeAppended: true } };
    expect(await both).toMatchObject([doubtful, doubtful]);
  });

  test("half a write is cut off by the next start", async () => {
    const { world, log } = await failing("append");
    await expect(append(log, { values: ["torn"] })).rejects.toMatchObject({ maybeAppended: true });
    world.restart();
    const again = await world.lead({}, { recoveryPoint: 1, highWatermark: 1 }, 1);
    expect(await readAll(again)).toEqual([{ offset: 0, value: "kept" }]);
    expect((await append(again, { values: ["next"] })).baseOffset).toBe(1);
  });

  test("what a failed sync left in the cache is written again before it is relied on", async () => {
    const { world, log } = await failing("sync");
    const batch = { values: ["doubtful"], producerId: 1n, producerEpoch: 0, baseSequence: 0 };
    await expect(append(log, batch)).rejects.toMatchObject({ maybeAppended: true });
    world.restart(); // the page cache still shows it
    const again = await world.lead({}, {}, 1);
    expect(await append(again, batch)).toMatchObject({ baseOffset: 1, duplicate: true });
    world.cutPower();
    expect((await readAll(await world.lead({}, {}, 2))).map(({ value }) => value)).toEqual(["kept", "doubtful"]);
  });

  test("a failed roll leaves what waits unwritten", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 1024 });
    await append(log, { values: ["x".repeat(900)] });
    world.disk.failWhen(({ kind, path }) => kind === "create" && path.endsWith(".log"), { code: "ENOSPC" });
    await expect(append(log, { values: ["y".repeat(900)] })).rejects.toMatchObject({
      code: "KAFKA_STORAGE_ERROR",
      maybeAppended: false,
    });
    world.restart();
    expect(await readAll(await world.lead({}, {}, 1))).toHaveLength(1);
  });

  test("low disk refuses appends and lets reads go on", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    await append(log, { values: ["a"] });
    Object.assign(world.context.diskGuard, { low: true });
    await expect(append(log, { values: ["b"] })).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    expect(log.offline).toBeUndefined();
    expect(await readAll(log)).toHaveLength(1);
    Object.assign(world.context.diskGuard, { low: false });
    expect((await append(log, { values: ["b"] })).baseOffset).toBe(1);
  });

  test("a lack of file descriptors fails a read, not the log", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 1024 });
    for (let i = 0; i < 4; i++) await append(log, { values: ["x".repeat(900)] });
    expect(await log.close()).toBe(true);
    world.restart();
    const again = await world.lead({ "segment.bytes": 1024 }, { clean: true });
    expect(again.segmentCount).toBe(4);
    world.context.indexMemory.used({ dropIndexes() {} }, 2 ** 30); // drives the others out
    world.disk.failWhen(({ kind }) => kind === "readFile", { code: "EMFILE" });
    await expect(again.read(0, 100, again.highWatermark)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    expect(again.offline).toBeUndefined();
    expect(await readAll(again)).toHaveLength(4);
  });
});

describe("leading", () => {
  test("without a leader epoch nothing is appended", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    await log.close();
    world.restart();

    const follower = await openLog(world.context);
    await expect(append(follower, { values: ["a"] })).rejects.toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER" });
  });

  test("batches carry the epoch, whose beginning is durable first", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({}, {}, 3);
    await append(log, { values: ["a"] });
    const bytes = await log.read(0, 1000, 1);
    expect(readBatchHeader(viewOf(bytes), 0).partitionLeaderEpoch).toBe(3);
    world.cutPower();
    const again = await world.lead({}, {}, 4);
    expect(again.epochs.entries).toEqual([
      { epoch: 3, startOffset: 0 },
      { epoch: 4, startOffset: 1 },
    ]);
  });

  test("an epoch below the log's last one is refused: the next recovery would take its batches for damage", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({}, {}, 7);
    await append(log, { values: ["a"] });
    await log.close();
    world.restart();
    await expect(world.lead({}, { clean: true }, 6)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  });
});

describe("close and abandon", () => {
  test("close finishes what waits and leaves no timer", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "flush.messages": 1000, "flush.ms": 60_000 });
    const appends = [append(log, { values: ["a"] }), append(log, { values: ["b"] }), append(log, { values: ["c"] })];
    const closed = log.close();
    await expect(append(log, { values: ["late"] })).rejects.toMatchObject({ code: "BROKER_SHUTTING_DOWN" });
    expect(await closed).toBe(true);
    expect(await Promise.all(appends)).toHaveLength(3);
    expect(world.clock.timersPending).toBe(0);
    world.cutPower();
    const again = await world.lead({ "flush.messages": 1000 }, { clean: true });
    expect(await readAll(again)).toHaveLength(3);
  });

  test("close leaves no flush timer of what it wrote last", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "flush.messages": 1000, "flush.ms": 60_000 });
    const flushed = log.flush();
    const appended = append(log, { values: ["a"] });
    expect(await log.close()).toBe(true);
    await Promise.all([flushed, appended]);
    expect(world.clock.timersPending).toBe(0);
  });

  test("a read under way does not make a close unclean", async () => {
    const gate = new GatedDisk();
    const world = await LogWorld.make({}, gate);
    const config = { "segment.bytes": 1024 };
    const log = await world.lead(config);
    for (let i = 0; i < 6; i++) await append(log, { values: ["x".repeat(400)], timestamp: i % 2 === 0 ? 5000 : 1000 });
    world.context.indexMemory.used({ dropIndexes() {} }, 2 ** 30);
    gate.holds = (kind, path) => kind === "readFile" && path.includes("00000.");
    // The first segment's index promises such a time, but before offset 1: the search goes on, to a file closed meanwhile.
    const found = log.findTimestamp(2000, 1, log.highWatermark);
    const refused = expect(found).rejects.toMatchObject({ code: "BROKER_SHUTTING_DOWN" });
    await settled();
    expect(gate.waitingCount).toBe(1);
    const closed = log.close();
    await settled();
    gate.releaseAll();
    await refused;
    expect(await closed).toBe(true);
    expect(log.offline).toBeUndefined();
  });

  test("abandon refuses what waits and finishes the write under way", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    const appends = Promise.allSettled([append(log, { values: ["a"] }), append(log, { values: ["b"] })]);
    const abandoned = log.abandon();
    expect(await appends).toMatchObject([
      { status: "fulfilled" },
      { reason: { code: "UNKNOWN_TOPIC_OR_PARTITION", maybeAppended: false } },
    ]);
    await abandoned;
    await expect(append(log, { values: ["c"] })).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
    await expect(log.read(0, 100, 0)).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
  });
});

describe("retention", () => {
  const filled = async (overrides: Record<string, unknown>) => {
    const world = await LogWorld.make({ fileDeleteDelayMs: 1000 });
    const log = await world.lead({ "segment.bytes": 1024, ...overrides });
    for (let i = 0; i < 5; i++) await append(log, { values: ["x".repeat(900)], timestamp: world.clock.nowMs() + i });
    expect(log.segmentCount).toBe(5);
    return { world, log };
  };

  test("by size lets go of the oldest; files go later", async () => {
    const { world, log } = await filled({ "retention.bytes": 2000 });
    expect(await log.applyRetention()).toBe(2);
    expect([log.logStartOffset, log.segmentCount]).toEqual([2, 3]);
    expect((await world.names()).filter((name) => name.endsWith(".deleted"))).toHaveLength(6);
    await expect(log.read(1, 100, 5)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    await world.clock.advance(1000);
    expect((await world.names()).filter((name) => name.endsWith(".deleted"))).toEqual([]);
    expect(world.clock.timersPending).toBe(0);
  });

  test("by time may let go of all; one empty segment stays", async () => {
    const { world, log } = await filled({ "retention.ms": 1000 });
    await world.clock.advance(1002);
    expect(await log.applyRetention()).toBe(2);
    await world.clock.advance(10);
    expect(await log.applyRetention()).toBe(3);
    expect([log.logStartOffset, log.logEndOffset, log.segmentCount, log.sizeBytes]).toEqual([5, 5, 1, 0]);
    expect(await log.applyRetention()).toBe(0);
    expect((await append(log, { values: ["next"] })).baseOffset).toBe(5);
  });

  test("the log start is checkpointed before a file goes", async () => {
    const { world } = await filled({ "retention.bytes": 2000 });
    world.restart();
    const config = topicConfig({ "segment.bytes": 1024, "retention.bytes": 2000 });
    const input = { identity, config, clean: false, recoveryPoint: 0, highWatermark: 5, logStartOffset: undefined };
    const recovered = await recoverLog(world.context, input);
    const seen: string[] = [];
    const log = new PartitionLog(world.context, identity, config, recovered, {
      ...noCheckpoints,
      writeLogStarts: async () => void seen.push("checkpoint"),
    });
    world.disk.onOperation = ({ kind }) => void (kind === "rename" && seen.push("rename"));
    await log.applyRetention();
    expect(seen[0]).toBe("checkpoint");
    expect(seen).toContain("rename");
  });

  test("records above the high watermark stay", async () => {
    const { world, log } = await filled({ "retention.ms": 0 });
    await world.clock.advance(100);
    world.restart();
    const config = topicConfig({ "segment.bytes": 1024, "retention.ms": 0 });
    const input = { identity, config, clean: false, recoveryPoint: 0, highWatermark: 3, logStartOffset: undefined };
    const recovered = await recoverLog(world.context, input);
    const behind = new PartitionLog(world.context, identity, config, recovered, noCheckpoints);
    expect(await behind.applyRetention()).toBe(3);
    expect([behind.logStartOffset, behind.highWatermark, log.logEndOffset]).toEqual([3, 3, 5]);
  });

  test("a reader of a segment that is let go reads on, and no file comes back", async () => {
    const { world, log } = await filled({ "retention.bytes": 2000 });
    world.context.indexMemory.used({ dropIndexes() {} }, 2 ** 30);
    const reads = Promise.allSettled([log.read(0, 100, 5), log.findTimestamp(world.clock.nowMs() + 1, 0, 5)]);
    await log.applyRetention();
    const [read, found] = await reads;
    for (const outcome of [read, found])
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    await world.clock.advance(1000);
    const names = await world.names();
    expect(names.filter((name) => Number(name.slice(0, 20)) < 2)).toEqual([]);
    expect(log.offline).toBeUndefined();
  });

  test("without room for the checkpoint nothing is removed, and the log stays online", async () => {
    const { world } = await filled({ "retention.bytes": 2000 });
    world.restart();
    const config = topicConfig({ "segment.bytes": 1024, "retention.bytes": 2000 });
    const input = { identity, config, clean: false, recoveryPoint: 0, highWatermark: 5, logStartOffset: undefined };
    const recovered = await recoverLog(world.context, input);
    let full = true;
    const log = new PartitionLog(world.context, identity, config, recovered, {
      ...noCheckpoints,
      async writeLogStarts() {
        if (full) throw new DiskError("ENOSPC", "create", "data/log-start-offset-checkpoint.tmp");
      },
    });
    await expect(log.applyRetention()).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    await expect(log.deleteRecordsBefore(3)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    expect([log.logStartOffset, log.segmentCount, log.offline]).toEqual([0, 5, undefined]);
    full = false;
    expect(await log.applyRetention()).toBe(2);
  });

  test("deleteRecordsBefore raises the log start, never lowers it, and never above the high watermark", async () => {
    const { world, log } = await filled({});
    expect(await log.deleteRecordsBefore(3)).toBe(3);
    expect(await log.deleteRecordsBefore(1)).toBe(3);
    await expect(log.deleteRecordsBefore(6)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    await expect(log.read(2, 100, 5)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    expect(log.epochs.entries).toEqual([{ epoch: 0, startOffset: 3 }]);
    expect(await log.applyRetention()).toBe(3);
    expect(await log.deleteRecordsBefore(5)).toBe(5);
    expect(await log.applyRetention()).toBe(2);
    expect(log.sizeBytes).toBe(0);
    await settled();
    world.restart();
    const again = await world.lead({}, { logStartOffset: 5 }, 1);
    expect([again.logStartOffset, again.logEndOffset]).toEqual([5, 5]);
  });
});

describe("reading", () => {
  test("never gives a batch that reaches the bound", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    for (const value of of(6)) await append(log, { values: [value, value] });
    for (let bound = 0; bound <= 12; bound++) {
      const bytes = await log.read(0, 10_000, bound);
      const view = viewOf(bytes);
      let last = -1;
      for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) last = readBatchHeader(view, at).lastOffset;
      expect(last).toBe(Math.floor(bound / 2) * 2 - 1);
    }
  });

  test("beside a writer sees only what lies below its bound", async () => {
    const world = await LogWorld.make();
    const log = await world.lead({ "segment.bytes": 1024 });
    const appends: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      appends.push(append(log, { values: [`${i}`.repeat(20)] }));
      const bound = log.highWatermark;
      const bytes = await log.read(log.logStartOffset, 1_000_000, bound);
      if (bytes.byteLength > 0) {
        const view = viewOf(bytes);
        for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at))
          expect(readBatchHeader(view, at).lastOffset).toBeLessThan(bound);
      }
    }
    await Promise.all(appends);
    expect(await readAll(log)).toHaveLength(60);
  });

  test("out of range below the start and above the end, empty at the end", async () => {
    const world = await LogWorld.make();
    const log = await world.lead();
    await append(log, { values: of(3) });
    expect(await log.read(3, 100, 3)).toHaveLength(0);
    await expect(log.read(4, 100, 3)).rejects.toMatchObject({
      code: "OFFSET_OUT_OF_RANGE",
      fields: { logStartOffset: 0, highWatermark: 3, logEndOffset: 3 },
    });
  });
});
