// What a follower does to its log, one rule at a time.

import { describe, expect, test } from "vitest";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { readBatchHeader, signBatch, stampBatch, viewOf } from "../../src/protocol/record-batch.ts";
import { observe, signatureOf } from "../simulation/log-observation.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { appendKeyed, readRecords } from "./compaction-world.ts";
import { append, batchOf, codecs, readAll } from "./log-fixture.ts";
import { GatedDisk } from "./log-world.ts";
import { appendGroupBytesMax, catchUp, folder, Replica, type ReplicaOptions, rememberedBy } from "./replica-world.ts";

const x = (size: number) => "x".repeat(size);

/** As a leader stores it. */
function stored(baseOffset: number, epoch: number, size = 10, records = 1): Uint8Array {
  const batch = batchOf({ values: Array.from({ length: records }, () => x(size)) });
  stampBatch(viewOf(batch), 0, baseOffset, epoch);
  return batch;
}

const joined = (...batches: Uint8Array[]) => new Uint8Array(Buffer.concat(batches));

async function following(epoch = 5, options: ReplicaOptions = {}): Promise<Replica> {
  const replica = await Replica.make(options);
  await replica.log.becomeFollower(epoch);
  return replica;
}

/** A log of `count` batches of two records in epoch 1, which follows in epoch 2. */
async function filled(count: number, size = 200, options: ReplicaOptions = {}): Promise<Replica> {
  const replica = await Replica.make(options);
  await replica.lead(1);
  for (let i = 0; i < count; i++)
    await replica.send({ values: [`${i}`, x(size)], producerId: 7n, producerEpoch: 0, baseSequence: 2 * i });
  await replica.log.becomeFollower(2);
  return replica;
}

describe("appending what the leader sent", () => {
  test("the bytes are the leader's, and synced when it resolves", async () => {
    const follower = await following();
    const batches = joined(stored(0, 1), stored(1, 3, 20, 2));
    await follower.log.replica.append(batches);
    expect([follower.log.logEndOffset, follower.log.flushedOffset, follower.log.highWatermark]).toEqual([3, 3, 0]);
    const again = await follower.restart(true);
    expect(await again.bytes()).toEqual(Buffer.from(batches));
    expect(again.log.epochs.entries).toEqual([
      { epoch: 1, startOffset: 0 },
      { epoch: 3, startOffset: 1 },
    ]);
  });

  const flipped = stored(3, 1);
  flipped[flipped.length - 1]! ^= 1;
  const ofMagic1 = stored(3, 1);
  ofMagic1[16] = 1;
  const negative = stored(3, 1);
  viewOf(negative).setInt32(23, -1);
  signBatch(negative, codecs);
  const refused: [string, Uint8Array][] = [
    ["a flipped bit", flipped],
    ["a flipped bit in the second batch", joined(stored(3, 1), stored(4, 1), flipped)],
    ["another magic", ofMagic1],
    ["a batch cut short", stored(3, 1).subarray(0, 65)],
    ["half a header behind a batch", joined(stored(3, 1), new Uint8Array(30))],
    ["a size of nothing", new Uint8Array(61)],
    ["a negative number of offsets", negative],
    ["an offset below the end", stored(2, 1)],
    ["a gap", stored(4, 1)],
    ["a gap between batches", joined(stored(3, 1), stored(5, 1))],
    ["an epoch that falls", stored(3, 0)],
    ["an epoch that falls between batches", joined(stored(3, 4), stored(4, 3))],
    ["no epoch", stored(3, -1)],
    ["an epoch above the leader's", stored(3, 6)],
    ["a batch larger than a write", stored(3, 1, appendGroupBytesMax)],
    ["an offset beyond all", stored(2 ** 53, 1)],
  ];
  test.for(refused)("%s: nothing of it is taken, and the log goes on", async ([, batches]) => {
    const follower = await following();
    await follower.log.replica.append(stored(0, 1, 10, 3));
    const from = follower.disk.operationCount;
    await expect(follower.log.replica.append(batches)).rejects.toMatchObject({ code: "CORRUPT_MESSAGE" });
    expect(follower.disk.operationCount).toBe(from);
    await follower.log.replica.append(stored(3, 1));
    expect([follower.log.logEndOffset, follower.log.offline]).toEqual([4, undefined]);
  });

  test("gaps are taken where compaction makes them, or made them at the leader's", async () => {
    const compacted = await following(5, { overrides: { "cleanup.policy": "compact" } });
    await compacted.log.replica.append(joined(stored(2, 1), stored(7, 1)));
    expect(compacted.log.logEndOffset).toBe(8);
    await expect(compacted.log.replica.append(stored(7, 1))).rejects.toMatchObject({ code: "CORRUPT_MESSAGE" });
    const plain = await following();
    await plain.log.replica.append(stored(0, 1));
    await plain.log.replica.expectGaps();
    await plain.log.replica.append(stored(9, 1));
    const again = await plain.restart(true);
    expect([again.log.logEndOffset, again.log.compaction.mayHaveGaps]).toEqual([10, true]);
  });

  test("no write is larger than appendGroupBytesMax, and each is synced before the next", async () => {
    const follower = await following(5, { overrides: {} });
    const from = follower.disk.operationCount;
    await follower.log.replica.append(joined(...Array.from({ length: 10 }, (_, i) => stored(i, 1, 700))));
    const onLog = follower.disk.operations.filter(({ number, path }) => number >= from && path.endsWith(".log"));
    const writes = onLog.filter(({ kind }) => kind === "append");
    expect(Math.max(...writes.map(({ bytes }) => bytes!))).toBeLessThanOrEqual(appendGroupBytesMax);
    expect(writes.length).toBe(5);
    expect(onLog.map(({ kind }) => kind)).toEqual(writes.flatMap(() => ["append", "sync"]));
  });

  test("segments are rolled where the leader rolls them", async () => {
    const leader = await Replica.make();
    await leader.lead(1);
    for (let i = 0; i < 12; i++) await leader.send({ values: [x(37 * i)] });
    const follower = await following(1);
    await catchUp(leader.log, 1, follower.log, { bytesMax: 5000 });
    const segments = async (replica: Replica) => (await replica.names()).filter((name) => /log$|snapshot$/.test(name));
    expect(await segments(follower)).toEqual(await segments(leader));
    expect(follower.log.segmentCount).toBeGreaterThan(2);
  });

  test("a new epoch is durable before its batch is written", async () => {
    const follower = await following();
    await follower.log.replica.append(stored(0, 1));
    const seen: string[] = [];
    follower.disk.onOperation = ({ kind, path }) => {
      if (kind === "syncDir" && path === folder) seen.push("epochs");
      if (kind === "append" && path.endsWith(".log")) seen.push("batch");
    };
    await follower.log.replica.append(joined(stored(1, 2), stored(2, 3)));
    expect(seen).toEqual(["epochs", "batch"]);
  });

  test("an epoch that this broker led in without a record is forgotten", async () => {
    const follower = await following(1);
    await follower.log.replica.append(stored(0, 1));
    await follower.lead(3);
    await follower.log.becomeFollower(4);
    await follower.log.replica.append(stored(1, 2)); // the leader wrote it before we led
    expect(follower.log.replica.lastEpoch).toBe(2);
    expect((await follower.restart()).log.logEndOffset).toBe(2);
  });

  test("a retry is judged as the leader would, Idempotency-Keys too", async () => {
    const leader = await Replica.make();
    await leader.lead(1);
    const key = { values: ["k"], producerId: 2n ** 62n + 5n, producerEpoch: 0, baseSequence: 0 };
    const sketches = Array.from({ length: 7 }, (_, i) => ({
      values: [`${i}`],
      producerId: BigInt(1 + (i % 2)),
      producerEpoch: 0,
      baseSequence: i >> 1,
    }));
    await leader.send(...sketches, key);
    const follower = await following(1);
    await catchUp(leader.log, 1, follower.log);
    expect(rememberedBy(follower.log)).toEqual(rememberedBy(leader.log));
    await follower.lead(2);
    const infos = await follower.send(...sketches, key);
    expect(infos.map(({ baseOffset, duplicate }) => [baseOffset, duplicate])).toEqual(
      [...sketches, key].map((_, i) => [i, true]),
    );
  });

  test("an almost full disk refuses it, and nothing is taken offline", async () => {
    const guard = { low: true, refusal: () => new BrokerError("KAFKA_STORAGE_ERROR", "the disk is full") };
    const follower = await following(5, { guard });
    await expect(follower.log.replica.append(stored(0, 1))).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    guard.low = false;
    await follower.log.replica.append(stored(0, 1));
    expect([follower.log.logEndOffset, follower.log.offline]).toEqual([1, undefined]);
  });
});

describe("who leads", () => {
  test("a log that leads takes nothing of another leader, nor one that follows nobody", async () => {
    const replica = await Replica.make();
    const refusal = { code: "NOT_LEADER_OR_FOLLOWER" };
    const { replica: follower } = replica.log;
    await expect(follower.append(stored(0, 1))).rejects.toMatchObject(refusal);
    await replica.lead(1);
    await replica.send({ values: ["a"] });
    await expect(follower.append(stored(1, 1))).rejects.toMatchObject(refusal);
    await expect(follower.truncateTo(0)).rejects.toMatchObject(refusal);
    await expect(follower.startOver(7)).rejects.toMatchObject(refusal);
    await expect(follower.followEnds({ highWatermark: 1, logStartOffset: 1 })).rejects.toMatchObject(refusal);
    expect([replica.log.logStartOffset, replica.log.logEndOffset, replica.log.offline]).toEqual([0, 1, undefined]);
  });

  test("becoming a follower refuses what waits, finishes what is written, and resolves when the writer is quiet", async () => {
    const replica = await Replica.make({ overrides: {} });
    await replica.lead(1);
    const first = append(replica.log, { values: ["written"] });
    const waiting = append(replica.log, { values: ["waits"] });
    const order: string[] = [];
    void first.then(() => order.push("answered"));
    await replica.log.becomeFollower(2).then(() => order.push("follows"));
    expect(order).toEqual(["answered", "follows"]);
    await expect(waiting).rejects.toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER", maybeAppended: false });
    await expect(append(replica.log, { values: ["late"] })).rejects.toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER" });
    expect((await first).baseOffset).toBe(0);
    expect([replica.log.logEndOffset, replica.log.leaderEpoch]).toEqual([1, undefined]);
    await replica.log.replica.append(stored(1, 2));
    await replica.lead(3);
    expect((await append(replica.log, { values: ["led again"] })).baseOffset).toBe(2);
  });

  test("leadership that ends during a roll leaves nothing half done", async () => {
    const replica = await Replica.make();
    await replica.lead(1);
    await replica.send({ values: [x(900)] });
    const rolling = append(replica.log, { values: [x(900)] });
    await replica.log.becomeFollower(2);
    const outcome = await rolling.catch((error: unknown) => error);
    expect(outcome).toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER", maybeAppended: false });
    expect([replica.log.logEndOffset, replica.log.offline]).toEqual([1, undefined]);
  });
});

describe("truncation", () => {
  // Batches of two records; two batches a segment.
  const cuts: [number, number][] = [
    [20, 20],
    [25, 20],
    [19, 18],
    [18, 18],
    [17, 16],
    [16, 16],
    [9, 8],
    [3, 2],
    [1, 0],
    [0, 0],
  ];
  test.for(cuts)("at %i: the log ends at %i and is what a start would find", async ([offset, end]) => {
    const follower = await filled(10);
    expect(follower.log.segmentCount).toBe(4);
    const kept = signatureOf(await observe(follower.log));
    await follower.log.replica.truncateTo(offset);
    const found = signatureOf(await observe(follower.log));
    expect(found).toBe(await follower.asRecovered());
    expect(follower.log.logEndOffset).toBe(end);
    expect(found === kept).toBe(end === 20);
    expect(follower.log.highWatermark).toBeLessThanOrEqual(end);
    const names = await follower.names();
    expect(names.filter((name) => /^\d/.test(name) && Number(name.slice(0, 20)) > end)).toEqual([]);
    await follower.log.replica.append(stored(end, 2));
    expect((await follower.restart(true)).log.logEndOffset).toBe(end + 1);
  });

  test("below the log start, or within the batch that holds it, the log begins anew", async () => {
    for (const [offset, start] of [
      [3, 3],
      [5, 5],
    ] as const) {
      const follower = await filled(6);
      await follower.log.replica.followEnds({ highWatermark: 12, logStartOffset: 5 });
      expect(follower.log.logStartOffset).toBe(5);
      await follower.log.replica.truncateTo(offset);
      expect([follower.log.logStartOffset, follower.log.logEndOffset]).toEqual([start, start]);
      expect(follower.log.epochs.entries).toEqual([]);
      expect((await follower.restart(true)).log.logEndOffset).toBe(start);
    }
  });

  test("readers beside it get what they asked for or are told that it is gone, and the log stays online", async () => {
    const gate = new GatedDisk();
    const follower = await filled(10, 200, { gate });
    const { log } = follower;
    const before = await readAll(log, 0);
    gate.holds = (kind) => kind === "removeFile";
    const underWay = [log.read(0, 100, 20), log.read(14, 1000, 20), log.findTimestamp(0, 16, 20)];
    const truncation = log.replica.truncateTo(9);
    await settled();
    expect(gate.waitingCount).toBeGreaterThan(0);
    let isAnswered = false;
    const late = log.read(2, 100_000, 20).finally(() => (isAnswered = true));
    const gone = log.read(12, 100, 20);
    await expect(gone).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    await settled();
    expect(isAnswered).toBe(false); // the files are being changed
    gate.releaseAll();
    await truncation;
    for (const read of underWay) expect((await read)!.byteLength).toBeGreaterThan(0);
    expect(readBatchHeader(viewOf(await late), 0).baseOffset).toBe(2);
    expect(await readAll(log, 0)).toEqual(before.slice(0, 8));
    expect(log.offline).toBeUndefined();
  });

  test("a bound from before the cut shows nothing that is not committed", async () => {
    const follower = await filled(5);
    await follower.log.replica.truncateTo(4);
    await follower.log.replica.append(stored(4, 2, 10, 2));
    const bytes = await follower.log.read(2, 100_000, 10);
    expect(readBatchHeader(viewOf(bytes), 0)).toMatchObject({ baseOffset: 2, lastOffset: 3 });
    expect(bytes.byteLength).toBe(readBatchHeader(viewOf(bytes), 0).sizeBytes);
  });

  test("compaction under way ends before, and goes on after", async () => {
    const gate = new GatedDisk();
    const options = {
      gate,
      overrides: { "cleanup.policy": "compact", "segment.bytes": 1024, "min.cleanable.dirty.ratio": 0.01 },
    };
    const follower = await Replica.make(options);
    await follower.lead(1, false);
    const written: { key: string; value: string }[] = [];
    for (let i = 0; i < 30; i++) {
      written.push({ key: `${i % 4}`, value: `${i}${x(150)}` });
      await appendKeyed(follower.log, [written.at(-1)!], 1000);
    }
    follower.log.advanceHighWatermark(21);
    await follower.log.becomeFollower(2);
    const compaction = follower.manager.compact();
    gate.holds = (kind, path) => kind === "create" && path.endsWith(".cleaned");
    await settled();
    expect(gate.waitingCount).toBe(1);
    const truncation = follower.log.replica.truncateTo(21);
    await settled();
    expect(follower.log.logEndOffset).toBe(30); // it waits for the round to end
    gate.releaseAll();
    await truncation;
    await compaction;
    await follower.manager.compact();
    expect(follower.log.compaction.cleanedTo!).toBeLessThanOrEqual(21);
    const expected = new Map(written.slice(0, 21).map(({ key, value }) => [key, value]));
    const found = (await readRecords(follower.log)).map(({ key, value }) => [key, value] as const);
    expect(new Map(found)).toEqual(expected);
    expect([follower.log.logEndOffset, follower.log.offline]).toEqual([21, undefined]);
    expect(signatureOf(await observe(follower.log))).toBe(await follower.asRecovered());
  });

  test("files that retention has let go of are gone before", async () => {
    const options = { overrides: { "segment.bytes": 1024, "retention.bytes": 2000 } };
    const follower = await filled(10, 300, options);
    await follower.log.applyRetention();
    expect((await follower.names()).some((name) => name.endsWith(".deleted"))).toBe(true);
    await follower.log.replica.truncateTo(19);
    expect((await follower.names()).filter((name) => name.endsWith(".deleted"))).toEqual([]);
    await follower.clock.advance(2000);
    expect([follower.log.logEndOffset, follower.log.offline]).toEqual([18, undefined]);
  });
});

describe("beginning anew", () => {
  test("the log is empty and begins there; nothing of the old one is left, now and after a power cut", async () => {
    const follower = await filled(10);
    await follower.log.replica.startOver(1000);
    for (const replica of [follower, await follower.restart(true)]) {
      const { log } = replica;
      expect([log.logStartOffset, log.highWatermark, log.flushedOffset, log.logEndOffset]).toEqual([
        1000, 1000, 1000, 1000,
      ]);
      expect([log.producers(), log.epochs.entries, log.replica.lastEpoch]).toEqual([[], [], undefined]);
    }
    const again = await follower.restart();
    expect((await again.names()).filter((name) => /^\d/.test(name))).toEqual(["00000000000000001000.log"]);
    await expect(again.log.read(5, 100, 1000)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    await again.log.becomeFollower(2);
    await again.log.replica.append(stored(1000, 2));
    expect((await again.restart(true)).log.logEndOffset).toBe(1001);
  });

  test("a leader's log that starts within a batch is followed from that batch on", async () => {
    const follower = await filled(3);
    await follower.log.replica.startOver(52);
    await follower.log.replica.append(stored(50, 2, 10, 4));
    expect([follower.log.logStartOffset, follower.log.logEndOffset]).toEqual([50, 54]);
    await follower.log.replica.followEnds({ highWatermark: 54, logStartOffset: 52 });
    expect((await follower.restart(true)).log.logStartOffset).toBe(52);
  });

  test("a batch that reaches below the end is taken only if the leader's log begins there", async () => {
    const follower = await following();
    await follower.log.replica.append(stored(0, 1, 10, 3));
    const batch = stored(2, 2, 10, 4);
    await expect(follower.log.replica.append(batch, 2)).rejects.toMatchObject({ code: "CORRUPT_MESSAGE" });
    expect(follower.log.logStartOffset).toBe(0);
    await follower.log.replica.append(batch, 3);
    expect([follower.log.logStartOffset, follower.log.logEndOffset]).toEqual([2, 6]);
  });

  test("what is not sound makes nothing begin anew", async () => {
    const follower = await filled(3);
    await follower.log.replica.startOver(52);
    const batch = stored(50, 2, 10, 4);
    batch[batch.length - 1]! ^= 1;
    await expect(follower.log.replica.append(batch)).rejects.toMatchObject({ code: "CORRUPT_MESSAGE" });
    expect(follower.log.logStartOffset).toBe(52);
  });

  test("an empty log does not put an older epoch behind the bytes of a newer one that were deleted", async () => {
    const follower = await following();
    await follower.log.replica.append(stored(0, 4, 10, 3));
    await follower.log.replica.followEnds({ highWatermark: 3, logStartOffset: 3 });
    await follower.log.replica.append(stored(3, 2));
    expect((await follower.restart(true)).log.logEndOffset).toBe(4);
  });
});

describe("the leader's ends", () => {
  const ends = ({ logStartOffset, highWatermark }: PartitionLog) => [logStartOffset, highWatermark];

  test("are taken over as far as the own log goes, and never back", async () => {
    const follower = await following();
    const { log } = follower;
    await log.replica.append(stored(0, 1, 10, 4));
    await log.replica.followEnds({ highWatermark: 2, logStartOffset: 0 });
    expect(ends(log)).toEqual([0, 2]);
    await log.replica.followEnds({ highWatermark: 1, logStartOffset: 3 });
    expect(ends(log)).toEqual([2, 2]);
    await log.replica.followEnds({ highWatermark: 9, logStartOffset: 1 });
    expect(ends(log)).toEqual([2, 4]);
    expect((await follower.restart(true)).log.logStartOffset).toBe(2);
  });

  test("a high watermark counts only what the topic calls durable", async () => {
    for (const [overrides, mark] of [
      [{ "flush.messages": 10 }, 4],
      [{}, 4],
    ] as const) {
      const follower = await following(5, { overrides });
      await follower.log.replica.append(stored(0, 1, 10, 4));
      await follower.log.replica.followEnds({ highWatermark: 100, logStartOffset: 0 });
      expect(follower.log.highWatermark).toBe(mark);
      expect(follower.log.highWatermark).toBe(follower.log.acknowledgedOffset);
    }
  });

  test("the view that the protocol goes by", async () => {
    const follower = await following();
    expect(follower.log.replica.lastEpoch).toBeUndefined();
    await follower.log.replica.append(joined(stored(0, 1), stored(1, 3), stored(2, 3)));
    const { logStartOffset, highWatermark, logEndOffset, lastEpoch } = follower.log.replica;
    expect([logStartOffset, highWatermark, logEndOffset, lastEpoch]).toEqual([0, 0, 3, 3]);
    expect([0, 1, 2, 3, 4].map((epoch) => follower.log.replica.endOffsetFor(epoch))).toEqual([
      { epoch: 0, endOffset: 0 },
      { epoch: 1, endOffset: 1 },
      { epoch: 1, endOffset: 1 },
      { epoch: 3, endOffset: 3 },
      undefined,
    ]);
  });
});
