// A data folder on a real disk under our log manager, for tests that read what Kafka wrote or write what Kafka reads.

import { nodeCodecs } from "../../src/io/codecs.ts";
import { silentLogger } from "../../src/io/logger.ts";
import { NodeClock } from "../../src/io/node-clock.ts";
import { NodeDisk } from "../../src/io/node-disk.ts";
import { IndexMemory } from "../../src/log/index-memory.ts";
import { type LogContext, silentObserver } from "../../src/log/log-context.ts";
import { LogManager } from "../../src/log/log-manager.ts";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import type { TopicConfig } from "../../src/log/topic-config.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import type { RecordToWrite } from "../../src/protocol/record.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";

const dayMs = 86_400_000;
const mebibyte = 1024 * 1024;

const context: LogContext = {
  disk: new NodeDisk(),
  clock: new NodeClock(),
  codecs: nodeCodecs,
  logger: silentLogger,
  observer: silentObserver,
  settings: {
    appendQueueBytesMax: 64 * mebibyte,
    appendGroupBytesMax: 4 * mebibyte,
    fileDeleteDelayMs: 0,
    producerIdsMax: 1000,
    producerIdExpirationMs: dayMs,
    idempotencyKeysMax: 1000,
    idempotencyWindowMs: dayMs,
  },
  indexMemory: new IndexMemory(mebibyte),
  diskGuard: { low: false, refusal: () => new BrokerError("KAFKA_STORAGE_ERROR", "the disk is full") },
};

const managerSettings = {
  recoveryConcurrency: 4,
  checkpointIntervalMs: dayMs,
  retentionCheckMs: dayMs,
  compactionCheckMs: dayMs,
  compactionPerSecondBytes: 1024 * mebibyte,
  compactionKeyMapBytesMax: mebibyte,
  decompressedBytesMax: mebibyte,
};

export function topicConfig(changed: Partial<TopicConfig> = {}): TopicConfig {
  return {
    cleanupPolicy: { delete: true, compact: false },
    messageTimestampType: "CreateTime",
    segmentBytes: mebibyte,
    segmentMs: Number.MAX_SAFE_INTEGER,
    segmentIndexBytes: mebibyte,
    indexIntervalBytes: 200,
    retentionMs: -1,
    retentionBytes: -1,
    flushMessages: 1,
    flushMs: Number.POSITIVE_INFINITY,
    maxMessageBytes: mebibyte,
    minInsyncReplicas: 1,
    minCleanableDirtyRatio: 0.5,
    minCompactionLagMs: 0,
    maxCompactionLagMs: Number.POSITIVE_INFINITY,
    deleteRetentionMs: dayMs,
    messageTimestampBeforeMaxMs: Number.POSITIVE_INFINITY,
    messageTimestampAfterMaxMs: Number.POSITIVE_INFINITY,
    ...changed,
  };
}

export interface TopicInFolder {
  readonly topic: string;
  readonly topicId: string;
  readonly config: TopicConfig;
}

/** Opens the folder, with partition 0 of each topic, as a starting broker does. */
export async function openFolder(dataDir: string, topics: readonly TopicInFolder[]): Promise<LogManager> {
  const lock = await context.disk.lock(dataDir);
  const manager = await LogManager.open(context, dataDir, managerSettings, lock);
  await manager.load(
    topics.map((topic) => ({ ...topic, partition: 0 })),
    () => false,
  );
  return manager;
}

export function logOf(manager: LogManager, topic: string): PartitionLog {
  const log = manager.get(topic, 0);
  if (!log) throw new Error(`${topic}-0 is not in the folder`);
  return log;
}

export interface Producer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

export function appendRecords(log: PartitionLog, records: readonly RecordToWrite[], producer?: Producer) {
  return appendBatch(log, encodeRecordBatch(records, { ...producer, codecs: nodeCodecs }));
}

export function appendBatch(log: PartitionLog, batch: Uint8Array) {
  return log.append(batch, readBatchHeader(viewOf(batch), 0));
}

/** All stored batches from the log start on, as one piece. */
export async function readAll(log: PartitionLog): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let offset = log.logStartOffset; offset < log.logEndOffset; ) {
    const bytes = await log.read(offset, 1000, log.logEndOffset);
    if (bytes.byteLength === 0) break;
    chunks.push(bytes);
    offset = lastOffsetIn(bytes) + 1;
  }
  return Buffer.concat(chunks);
}

function lastOffsetIn(bytes: Uint8Array): number {
  let lastOffset = -1;
  for (let position = 0; position < bytes.byteLength; ) {
    const header = readBatchHeader(viewOf(bytes), position);
    lastOffset = header.lastOffset;
    position += header.sizeBytes;
  }
  return lastOffset;
}
