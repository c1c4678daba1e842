// Kafka's own code reads what our log writes: DumpLogSegments has no complaint, and Kafka's classes find the very records,
// epochs, index entries and producers that went in.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Dump, dumpLogSegments } from "../../scripts/interop-kafka/dump-log-segments.mjs";
import {
  type ExpectedBatch,
  type ExpectedDataFolder,
  readWithKafka,
} from "../../scripts/interop-kafka/read-with-kafka.mjs";
import { NodeDisk } from "../../src/io/node-disk.ts";
import { writeIdentity } from "../../src/log/data-folder.ts";
import type { LogManager } from "../../src/log/log-manager.ts";
import { reservedProducerIdMin } from "../../src/protocol/batch-validation.ts";
import type { RecordToWrite } from "../../src/protocol/record.ts";
import { needs } from "../required-tools.ts";
import {
  appendBatch,
  appendRecords,
  logOf,
  openFolder,
  readAll,
  type TopicInFolder,
  topicConfig,
} from "./data-folder.ts";
import { expectedPartition, goldenData } from "./golden-folder.ts";
import { batchesOf, epochsOf, offsetIndexOf, timeIndexOf } from "./our-reading.ts";

const encoder = new TextEncoder();
const startMs = 1_750_000_000_000;
/** The first run on a machine fetches Kafka's jars. */
const firstRunMs = 300_000;

const small = { segmentBytes: 4000, indexIntervalBytes: 200 };
const topics: TopicInFolder[] = [
  { topic: "plain", topicId: "cGxhaW4tcGxhaW4tcGxhaQ", config: topicConfig(small) },
  { topic: "producers", topicId: "cHJvZHVjZXJzLXByb2R1Yw", config: topicConfig(small) },
  {
    topic: "stamped",
    topicId: "c3RhbXBlZC1zdGFtcGVkLQ",
    config: topicConfig({ messageTimestampType: "LogAppendTime" }),
  },
  { topic: "codecs", topicId: "Y29kZWNzLWNvZGVjcy1jbw", config: topicConfig() },
  { topic: "empty", topicId: "ZW1wdHktZW1wdHktZW1wdA", config: topicConfig() },
];

/** Every kind of null and emptiness, header keys with a line break, timestamps that go up and down. */
function recordsOf(turn: number): RecordToWrite[] {
  return Array.from({ length: 1 + (turn % 4) }, (_, i) => ({
    key: [null, new Uint8Array(0), encoder.encode(`key ${turn}`)][(turn + i) % 3]!,
    value: [encoder.encode(`value ${turn}.${i}\n`), new Uint8Array([0, 255, 10, 128]), null, new Uint8Array(0)][i % 4]!,
    headers:
      turn % 5 === 0
        ? [
            { key: encoder.encode("h\nü"), value: encoder.encode("v") },
            { key: encoder.encode(""), value: null },
          ]
        : [],
    timestamp: startMs + 100 * turn + ((turn * 7919 + i * 104_729) % 1000) - 500,
  }));
}

const produced: RecordToWrite[] = [];

async function firstRun(manager: LogManager): Promise<void> {
  for (const { topic } of topics) await logOf(manager, topic).becomeLeader(3);
  const plain = logOf(manager, "plain");
  for (let turn = 0; turn < 90; turn += 3) {
    const together = [turn, turn + 1, turn + 2].map(recordsOf); // three batches in one write
    produced.push(...together.flat());
    await Promise.all(together.map((records) => appendRecords(plain, records)));
  }
  const producers = logOf(manager, "producers");
  const sequences = [0, 0, 0];
  for (let turn = 0; turn < 60; turn++) {
    const p = turn % 3;
    const records = recordsOf(turn);
    const producer = { producerId: BigInt(40 + p), producerEpoch: p, baseSequence: sequences[p]! };
    await appendRecords(producers, records, producer);
    if (turn % 10 === 0) expect((await appendRecords(producers, records, producer)).duplicate).toBe(true);
    sequences[p]! += records.length;
  }
  const key = { producerId: reservedProducerIdMin + 12_345n, producerEpoch: 0, baseSequence: 0 };
  await appendRecords(producers, recordsOf(3), key);
  for (let turn = 0; turn < 10; turn++) await appendRecords(logOf(manager, "stamped"), recordsOf(turn));
  for (const batch of kafkasCompressedBatches()) await appendBatch(logOf(manager, "codecs"), batch);
}

/** After a clean stop, in a new leader epoch; one producer comes with a new epoch of its own. */
async function secondRun(manager: LogManager): Promise<void> {
  for (const { topic } of topics) await logOf(manager, topic).becomeLeader(5);
  for (let turn = 90; turn < 120; turn++) {
    produced.push(...recordsOf(turn));
    await appendRecords(logOf(manager, "plain"), recordsOf(turn));
  }
  await appendRecords(logOf(manager, "producers"), recordsOf(1), {
    producerId: 40n,
    producerEpoch: 1,
    baseSequence: 0,
  });
}

/** As a producer would send them: each with base offset 0. */
function kafkasCompressedBatches(): Uint8Array[] {
  const { segments } = expectedPartition("codecs");
  const bytes = new Uint8Array(readFileSync(join(goldenData, "codecs-0/00000000000000000000.log")));
  return segments[0]!.batches.map(({ position, sizeBytes }) => {
    const batch = bytes.slice(position, position + sizeBytes);
    batch.fill(0, 0, 8);
    return batch;
  });
}

const allOf = (batches: readonly ExpectedBatch[]) => batches.flatMap((batch) => batch.records);
const base64 = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("base64"));

needs("java", "maven").describe("Kafka reads what we wrote", () => {
  const disk = new NodeDisk();
  let scratch: string;
  let dataDir: string;
  let dump: Dump;
  let kafkas: ExpectedDataFolder;

  const segmentFiles = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(log|index|timeindex|snapshot)$/.test(name))
      .map((name) => join(folder, name));

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "millrace-interop-"));
    dataDir = join(scratch, "data");
    mkdirSync(dataDir);
    await writeIdentity(disk, dataDir, {
      clusterId: "bWlsbHJhY2UtdGVzdGluZw",
      brokerId: 1,
      directoryId: "ZGlyZWN0b3J5LW9mLW91cg",
    });
    const made = await openFolder(dataDir, []);
    await made.create(topics.map((topic) => ({ ...topic, partition: 0 })));
    await firstRun(made);
    await made.close(1);
    const again = await openFolder(dataDir, topics);
    await secondRun(again);
    await again.close(2);
    [dump, kafkas] = await Promise.all([dumpLogSegments(segmentFiles(dataDir)), readWithKafka(dataDir)]);
  }, firstRunMs);

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  test("DumpLogSegments has no complaint and finds no gap", () => {
    expect(dump.complaints).toEqual([]);
    expect(dump.gaps).toEqual([]);
    const files = [...dump.files.values()];
    expect(files.filter((file) => file.offsetIndex.length > 3).length).toBeGreaterThan(3);
    expect(files.filter((file) => file.timeIndex.length > 3).length).toBeGreaterThan(3);
    expect(files.filter((file) => file.producers.length > 2).length).toBeGreaterThan(2);
  });

  test("Kafka finds every record that went in, at its offset", () => {
    const records = allOf(kafkas.partitions["plain-0"]!.segments.flatMap((segment) => segment.batches));
    expect(records).toEqual(
      produced.map(({ key, value, headers, timestamp }, offset) => ({
        offset,
        timestamp,
        key: base64(key),
        value: base64(value),
        headers: headers.map((header) => [new TextDecoder().decode(header.key), base64(header.value)]),
      })),
    );
  });

  test("both read the same batches, epochs and index entries in every segment", async () => {
    expect(Object.keys(kafkas.partitions).sort()).toEqual(topics.map(({ topic }) => `${topic}-0`).sort());
    for (const [name, { leaderEpochs, segments }] of Object.entries(kafkas.partitions)) {
      expect(await epochsOf(disk, join(dataDir, name))).toEqual(leaderEpochs);
      for (const { baseOffset, sizeBytes, batches, offsetIndex = [], timeIndex = [] } of segments) {
        const stem = join(dataDir, name, String(baseOffset).padStart(20, "0"));
        expect(batchesOf(await disk.readFile(`${stem}.log`))).toEqual(batches);
        const offsets = offsetIndexOf(baseOffset, await disk.readFile(`${stem}.index`), sizeBytes);
        expect(offsets.count).toBe(offsetIndex.length);
        for (const [offset, position] of offsetIndex) expect(offsets.positionBefore(offset)).toBe(position);
        const times = timeIndexOf(baseOffset, await disk.readFile(`${stem}.timeindex`));
        expect(times.count).toBe(timeIndex.length);
        for (const [timestamp, offset] of timeIndex) expect(times.offsetBefore(timestamp + 1)).toBe(offset);
      }
    }
    expect(kafkas.partitions["plain-0"]!.leaderEpochs.map(([epoch]) => epoch)).toEqual([3, 5]);
  });

  test("Kafka finds the producers, the last batch of each last", () => {
    const { snapshots, segments } = kafkas.partitions["producers-0"]!;
    const { offset, producers } = snapshots.at(-1)!;
    const batches = segments.flatMap((segment) => segment.batches);
    expect(offset).toBe(batches.at(-1)!.lastOffset + 1);
    const lastRows = new Map(producers.map((row) => [row.producerId, row])); // as Kafka's own loader keeps them
    const lastBatches = new Map(batches.map((batch) => [batch.producerId, batch]));
    expect(new Set(lastRows.keys())).toEqual(new Set(lastBatches.keys()));
    for (const [producerId, batch] of lastBatches)
      expect(lastRows.get(producerId)).toEqual({
        producerId,
        producerEpoch: batch.producerEpoch,
        coordinatorEpoch: -1,
        lastTimestamp: batch.maxTimestamp,
        currentTxnFirstOffset: -1,
        lastSequence: batch.lastSequence,
        lastOffset: batch.lastOffset,
        offsetDelta: batch.lastOffset - batch.baseOffset,
      });
  });

  test("Kafka has no complaint about a folder it began and we went on with", async () => {
    const continued = join(scratch, "continued");
    cpSync(goldenData, continued, { recursive: true });
    const topic = { topic: "producers", topicId: expectedPartition("producers").topicId, config: topicConfig(small) };
    const manager = await openFolder(continued, [topic]);
    const log = logOf(manager, "producers");
    await log.becomeLeader(9);
    for (let turn = 0; turn < 60; turn++) await appendRecords(log, recordsOf(turn));
    await manager.close(3);
    const theirs = await dumpLogSegments(segmentFiles(join(continued, "producers-0")));
    expect(theirs.complaints).toEqual([]);
    expect(theirs.gaps).toEqual([]);
    const epochs = [...theirs.files.values()]
      .flatMap((file) => file.batches)
      .map((batch) => batch.partitionLeaderEpoch);
    expect(new Set(epochs)).toEqual(new Set([0, 2, 9]));
  });

  test("Kafka has no complaint about indexes and snapshots that recovery made again", async () => {
    const recovered = join(scratch, "recovered");
    cpSync(dataDir, recovered, { recursive: true });
    const before = segmentFiles(recovered);
    for (const file of before) if (!file.endsWith(".log")) rmSync(file);
    for (const name of [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"]) rmSync(join(recovered, name));
    const manager = await openFolder(recovered, topics);
    expect(manager.offlineCount).toBe(0);
    await manager.close(3);
    const after = segmentFiles(recovered);
    expect(after.filter((file) => /index$/.test(file))).toEqual(before.filter((file) => /index$/.test(file)));
    const theirs = await dumpLogSegments(after);
    expect(theirs.complaints).toEqual([]);
    // A stop in the middle of a segment shifts its later entries, so only which files have entries is the same.
    const withEntries = (from: Dump) =>
      [...from.files.values()].filter(({ offsetIndex, timeIndex }) => offsetIndex.length + timeIndex.length > 0).length;
    expect(withEntries(theirs)).toBe(withEntries(dump));
  });

  test("Kafka has no complaint about what compaction has left, and finds the same records", async () => {
    const compacted = join(scratch, "compacted");
    mkdirSync(compacted);
    const config = topicConfig({
      ...small,
      cleanupPolicy: { compact: true, delete: false },
      minCleanableDirtyRatio: 0,
      deleteRetentionMs: 3_600_000,
    });
    const topic = { topic: "compacted", topicId: "Y29tcGFjdGVkLWNvbXBhYw", config };
    await writeIdentity(disk, compacted, {
      clusterId: "bWlsbHJhY2UtdGVzdGluZw",
      brokerId: 1,
      directoryId: "ZGlyZWN0b3J5LW9mLW91cg",
    });
    const manager = await openFolder(compacted, []);
    await manager.create([{ ...topic, partition: 0 }]);
    const log = logOf(manager, "compacted");
    log.listen({ advanced: () => log.advanceHighWatermark(log.acknowledgedOffset), wentOffline() {} });
    await log.becomeLeader(1);
    for (let turn = 0; turn < 150; turn++) {
      const records = recordsOf(turn).map((record, i) => ({
        ...record,
        key: encoder.encode(`key ${(turn * 3 + i) % 11}`),
      }));
      const early = { producerId: 7n, producerEpoch: 0, baseSequence: 0 };
      await appendRecords(log, records, turn === 2 ? early : undefined);
    }
    const { sizeBytes, segmentCount } = log;
    await manager.compact();
    expect(log.sizeBytes).toBeLessThan(sizeBytes / 2);
    for (let turn = 0; turn < 40; turn++)
      await appendRecords(log, [{ ...recordsOf(turn)[0]!, key: encoder.encode(`key ${turn % 11}`) }]);
    await manager.compact(); // puts the small segments of the first round together
    expect(log.segmentCount).toBeLessThan(segmentCount);
    const ours = batchesOf(await readAll(log));
    await manager.close(1);
    const [theirs, folder] = await Promise.all([dumpLogSegments(segmentFiles(compacted)), readWithKafka(compacted)]);
    expect(theirs.complaints).toEqual([]);
    const batches = folder.partitions["compacted-0"]!.segments.flatMap((segment) => segment.batches);
    const plain = ({ position: _position, ...batch }: Pick<ExpectedBatch, "position">) => batch;
    expect(ours.map(plain)).toEqual(batches.map(plain));
    expect(batches.some((batch) => batch.deleteHorizonMs !== undefined)).toBe(true);
    expect(batches.filter((batch) => batch.producerId === "7")).toMatchObject([{ recordsCount: 0 }]);
  });

  test("a damaged byte is a complaint", async () => {
    const damaged = join(scratch, "damaged");
    cpSync(join(dataDir, "plain-0"), damaged, { recursive: true });
    const file = await disk.open(join(damaged, "00000000000000000000.log"));
    await file.write(70, new Uint8Array([7]));
    await file.close();
    expect((await dumpLogSegments(segmentFiles(damaged))).complaints.length).toBeGreaterThan(0);
  });
});
