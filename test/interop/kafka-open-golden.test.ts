// A folder that Kafka closed is opened by our log and served as if it were ours, after a clean stop and after a crash.

import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ExpectedBatch } from "../../scripts/interop-kafka/read-with-kafka.mjs";
import type { LogManager } from "../../src/log/log-manager.ts";
import { logOf, openFolder, readAll, type TopicInFolder, topicConfig } from "./data-folder.ts";
import { expectedCheckpoints, expectedPartition, goldenData, goldenTopics } from "./golden-folder.ts";
import { batchesOf } from "./our-reading.ts";

const checkpoints = expectedCheckpoints();

function inFolder(topic: string): TopicInFolder {
  const { topicId } = expectedPartition(topic);
  const compact = topic === "compacted" || topic === "__transaction_state";
  return { topic, topicId, config: topicConfig({ cleanupPolicy: { compact, delete: !compact } }) };
}

/** What recovery has to be able to make again from the segments alone. */
function removeDerived(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }))
    if (/\.(index|timeindex|snapshot)$/.test(name)) rmSync(join(folder, name));
}

const withoutPosition = ({ position: _position, ...batch }: Pick<ExpectedBatch, "position">) => batch;

describe.each([
  { stop: "a clean stop", lost: [] },
  {
    stop: "a crash that left no recovery points, indexes and snapshots",
    lost: [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"],
  },
])("after $stop", ({ lost }) => {
  let dataDir: string;
  let manager: LogManager;

  beforeAll(async () => {
    dataDir = join(mkdtempSync(join(tmpdir(), "millrace-interop-")), "data");
    cpSync(goldenData, dataDir, { recursive: true });
    for (const name of lost) rmSync(join(dataDir, name));
    if (lost.length > 0) removeDerived(dataDir);
    manager = await openFolder(dataDir, goldenTopics.map(inFolder));
  });

  afterAll(async () => {
    await manager.close(1);
    rmSync(join(dataDir, ".."), { recursive: true });
  });

  test("no partition is offline, all offsets are Kafka's", () => {
    expect(manager.offlineCount).toBe(0);
    for (const topic of goldenTopics) {
      const log = logOf(manager, topic);
      const name = `${topic}-0`;
      expect([name, log.logStartOffset]).toEqual([name, checkpoints["log-start-offset-checkpoint"]?.[name] ?? 0]);
      expect([name, log.highWatermark]).toEqual([name, checkpoints["replication-offset-checkpoint"]?.[name]]);
      expect([name, log.logEndOffset]).toEqual([name, log.highWatermark]);
    }
  });

  test.each(goldenTopics)("%s: the batches, the epochs and the producers", async (topic) => {
    const expected = expectedPartition(topic);
    const log = logOf(manager, topic);
    const stored = expected.segments.flatMap((segment) => segment.batches);
    const readable = stored.filter((batch) => batch.lastOffset >= log.logStartOffset);
    expect(batchesOf(await readAll(log)).map(withoutPosition)).toEqual(readable.map(withoutPosition));
    // An epoch that has written nothing yet is forgotten at the next start, by Kafka too.
    const epochs = expected.leaderEpochs.filter(([, startOffset]) => startOffset < log.logEndOffset);
    expect(log.epochs.entries.map(({ epoch, startOffset }) => [epoch, startOffset])).toEqual(epochs);
    const lastSnapshot = expected.snapshots.at(-1)?.producers.filter((row) => row.lastOffset >= 0) ?? [];
    const ours = new Map(log.producers().map((entry) => [String(entry.producerId), entry]));
    for (const row of lastSnapshot) {
      expect(ours.get(row.producerId)?.producerEpoch).toBe(row.producerEpoch);
      expect(ours.get(row.producerId)?.batches.at(-1)).toMatchObject({
        lastSequence: row.lastSequence,
        lastOffset: row.lastOffset,
      });
    }
  });

  test.each(goldenTopics)(
    "%s: the first batch at or after each timestamp, none from below the log start",
    async (topic) => {
      const expected = expectedPartition(topic);
      const log = logOf(manager, topic);
      const stored = expected.segments.flatMap((segment) => segment.batches);
      const readable = stored.filter((batch) => batch.lastOffset >= log.logStartOffset);
      for (const { maxTimestamp } of readable) {
        const found = await log.findTimestamp(maxTimestamp, log.logStartOffset, log.logEndOffset);
        // A batch that Kafka's cleaner has emptied holds nothing of that time.
        const first = readable.find((batch) => batch.maxTimestamp >= maxTimestamp && batch.recordsCount > 0);
        expect(found && batchesOf(found)[0]?.baseOffset).toBe(first?.baseOffset);
      }
    },
  );
});
