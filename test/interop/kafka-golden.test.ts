// Our code reads what a real Kafka wrote: test/golden/kafka/data, held against what Kafka's own classes read in it.
// How both were made: scripts/interop-kafka/README.md.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { NodeDisk } from "../../src/io/node-disk.ts";
import { readOffsets } from "../../src/log/checkpoint-file.ts";
import { segmentFileName } from "../../src/log/file-names.ts";
import { decodeProducerSnapshot } from "../../src/log/producer-snapshot.ts";
import { incrementSequence } from "../../src/protocol/record-batch.ts";
import { expectedCheckpoints, expectedPartition, goldenData, goldenTopics } from "./golden-folder.ts";
import { batchesOf, epochsOf, offsetIndexOf, timeIndexOf } from "./our-reading.ts";

const disk = new NodeDisk();

test("the golden folder has something of everything", () => {
  const folders = readdirSync(goldenData, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map((entry) => entry.name).sort()).toEqual(goldenTopics.map((topic) => `${topic}-0`).sort());
  const all = goldenTopics.map(expectedPartition);
  const segments = all.flatMap((partition) => partition.segments);
  const batches = segments.flatMap((segment) => segment.batches);
  expect(new Set(batches.map((batch) => batch.compression))).toEqual(
    new Set(["none", "gzip", "snappy", "lz4", "zstd"]),
  );
  expect(batches.some((batch) => batch.isControl)).toBe(true);
  expect(batches.some((batch) => batch.recordsCount === 0)).toBe(true);
  expect(batches.some((batch) => batch.deleteHorizonMs !== undefined)).toBe(true);
  expect(batches.some((batch) => batch.timestampType === "LogAppendTime")).toBe(true);
  expect(segments.filter((segment) => (segment.offsetIndex ?? []).length > 1).length).toBeGreaterThan(5);
  expect(all.some((partition) => partition.leaderEpochs.length > 1)).toBe(true);
  expect(all.flatMap((partition) => partition.snapshots).some(({ producers }) => producers.length > 2)).toBe(true);
});

describe.each(goldenTopics)("%s-0", (topic) => {
  const expected = expectedPartition(topic);
  const folder = join(goldenData, `${topic}-0`);
  const read = (offset: number, suffix: Parameters<typeof segmentFileName>[1]) =>
    disk.readFile(`${folder}/${segmentFileName(offset, suffix)}`);

  test("every batch, record and header", async () => {
    for (const segment of expected.segments) {
      const bytes = await read(segment.baseOffset, ".log");
      expect(bytes.byteLength).toBe(segment.sizeBytes);
      expect(batchesOf(bytes)).toEqual(segment.batches);
    }
  });

  test("the offset indexes", async () => {
    for (const { baseOffset, sizeBytes, offsetIndex = [] } of expected.segments) {
      const bytes = await read(baseOffset, ".index");
      const index = offsetIndexOf(baseOffset, bytes, sizeBytes);
      expect(index.count).toBe(offsetIndex.length);
      for (const [offset, position] of offsetIndex) expect(index.positionBefore(offset)).toBe(position);
      expect(index.encode()).toEqual(bytes);
    }
  });

  test("the time indexes", async () => {
    for (const { baseOffset, timeIndex = [] } of expected.segments) {
      const bytes = await read(baseOffset, ".timeindex");
      const index = timeIndexOf(baseOffset, bytes);
      expect(index.count).toBe(timeIndex.length);
      for (const [timestamp, offset] of timeIndex) expect(index.offsetBefore(timestamp + 1)).toBe(offset);
      expect(index.encode()).toEqual(bytes);
    }
  });

  test("the producer snapshots", async () => {
    for (const { offset, producers } of expected.snapshots) {
      const entries = decodeProducerSnapshot(await read(offset, ".snapshot"), nodeCodecs, 0);
      // A row with lastOffset −1 is a producer with control batches only: there is nothing of it to remember.
      const known = producers.filter((row) => row.lastOffset >= 0);
      expect(entries).toEqual(
        known.map((row) => ({
          producerId: BigInt(row.producerId),
          producerEpoch: row.producerEpoch,
          seenMs: 0,
          batches: [
            {
              firstSequence: incrementSequence(row.lastSequence, 2 ** 31 - row.offsetDelta),
              lastSequence: row.lastSequence,
              firstOffset: row.lastOffset - row.offsetDelta,
              lastOffset: row.lastOffset,
              timestamp: row.lastTimestamp,
            },
          ],
        })),
      );
    }
  });

  test("the leader epochs", async () => {
    expect(await epochsOf(disk, folder)).toEqual(expected.leaderEpochs);
  });
});

test("the checkpoints of the data folder", async () => {
  const checkpoints = expectedCheckpoints();
  expect(Object.keys(checkpoints)).toHaveLength(4);
  for (const [name, offsets] of Object.entries(checkpoints))
    expect(Object.fromEntries((await readOffsets(disk, goldenData, name)) ?? [])).toEqual(offsets);
});
