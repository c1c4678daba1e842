// What tests of the log share: a context over any disk, records to append, and a look at what is stored.

import type { Clock } from "../../src/io/clock.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import type { Disk } from "../../src/io/disk.ts";
import { silentLogger } from "../../src/io/logger.ts";
import { IndexMemory } from "../../src/log/index-memory.ts";
import { type Checkpoints, type LogContext, silentObserver } from "../../src/log/log-context.ts";
import { PartitionLog } from "../../src/log/partition-log.ts";
import { type RecoveryInput, recoverLog } from "../../src/log/recovery.ts";
import { Segment } from "../../src/log/segment.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import type { AppendInfo } from "../../src/log/write-group.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { decodeRecords, encodeRecordBatch } from "../../src/protocol/record.ts";
import { batchSizeAt, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";

export const codecs = nodeCodecs;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function logContext(disk: Disk, clock: Clock, settings: Partial<LogContext["settings"]> = {}): LogContext {
  return {
    disk,
    clock,
    codecs,
    logger: silentLogger,
    observer: silentObserver,
    settings: {
      appendQueueBytesMax: 1024 * 1024,
      appendGroupBytesMax: 64 * 1024,
      fileDeleteDelayMs: 60_000,
      producerIdsMax: 1000,
      producerIdExpirationMs: 86_400_000,
      idempotencyKeysMax: 100,
      idempotencyWindowMs: 600_000,
      ...settings,
    },
    indexMemory: new IndexMemory(1024 * 1024),
    diskGuard: { low: false, refusal: () => new BrokerError("KAFKA_STORAGE_ERROR", "the disk is full") },
  };
}

export const compactionSettings = {
  compactionCheckMs: 3_600_000_000,
  compactionPerSecondBytes: 1024 * 1024 * 1024,
  compactionKeyMapBytesMax: 64 * 1024,
  decompressedBytesMax: 1024 * 1024,
};

/** Of a log that is looked at alone. */
export const noCheckpoints: Checkpoints = { async writeAll() {}, async writeLogStarts() {}, async writeCleaned() {} };

export const directory = "data/t-0";
export const identity = { topic: "t", topicId: "AAAAAAAAAAAAAAAAAAAAAA", partition: 0, directory };

/** The folder of a log as LogManager makes it, with one empty segment. */
export async function makeLogFolder(context: LogContext): Promise<void> {
  const { disk } = context;
  if (!(await disk.stat("data"))) {
    await disk.makeDir("data");
    await disk.syncDir(".");
  }
  await disk.makeDir(directory);
  const segment = await Segment.create(context, directory, 0);
  await segment.sync();
  await segment.close();
  await disk.syncDir(directory);
  await disk.syncDir("data");
}

export async function openLog(
  context: LogContext,
  overrides: Record<string, unknown> = {},
  known: Partial<RecoveryInput> = {},
): Promise<PartitionLog> {
  const config = topicConfig(overrides);
  const input: RecoveryInput = {
    identity,
    config,
    clean: false,
    recoveryPoint: undefined,
    highWatermark: undefined,
    logStartOffset: undefined,
    ...known,
  };
  const recovered = await recoverLog(context, input);
  const log = new PartitionLog(context, identity, config, recovered, noCheckpoints);
  log.listen({ advanced: () => log.advanceHighWatermark(log.acknowledgedOffset), wentOffline() {} });
  log.advanceHighWatermark(log.acknowledgedOffset);
  return log;
}

export interface BatchSketch {
  readonly values: readonly string[];
  readonly timestamp?: number;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
}

export function batchOf({ values, timestamp = 1000, ...producer }: BatchSketch): Uint8Array {
  const records = values.map((value) => ({ key: null, value: encoder.encode(value), headers: [], timestamp }));
  return encodeRecordBatch(records, { ...producer, codecs });
}

export function append(log: PartitionLog, sketch: BatchSketch, expectedOffset?: number): Promise<AppendInfo> {
  const batch = batchOf(sketch);
  return log.append(batch, readBatchHeader(viewOf(batch), 0), expectedOffset);
}

export interface StoredValue {
  readonly offset: number;
  readonly value: string;
}

/** Every record from `from` to the high watermark. */
export async function readAll(
  log: PartitionLog,
  from = log.logStartOffset,
  bytesMax = 1024 * 1024,
): Promise<StoredValue[]> {
  const values: StoredValue[] = [];
  for (let offset = from; ; ) {
    const bytes = await log.read(offset, bytesMax, log.highWatermark);
    if (bytes.byteLength === 0) return values;
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) {
      const header = readBatchHeader(view, at);
      const batch = bytes.subarray(at, at + header.sizeBytes);
      for (const record of decodeRecords(batch, header, codecs, { decompressedBytesMax: 1024 * 1024 }))
        if (record.offset >= from)
          values.push({ offset: record.offset, value: decoder.decode(record.value ?? new Uint8Array(0)) });
      offset = header.lastOffset + 1;
    }
  }
}
