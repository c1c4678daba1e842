// A partition folder as our own code reads it, file by file, in the shape in which Kafka's reading is kept.

import { createHash } from "node:crypto";
import { nodeCodecs } from "../../src/io/codecs.ts";
import type { Disk } from "../../src/io/disk.ts";
import { LeaderEpochCache } from "../../src/log/leader-epoch-cache.ts";
import { OffsetIndex } from "../../src/log/offset-index.ts";
import { TimeIndex } from "../../src/log/time-index.ts";
import { decodeRecords, type StoredRecord } from "../../src/protocol/record.ts";
import {
  type BatchHeader,
  codecOf,
  hasDeleteHorizon,
  hasUnknownAttributes,
  hasValidCrc,
  isControl,
  isLogAppendTime,
  isTransactional,
  lastSequence,
  readBatchHeader,
  viewOf,
} from "../../src/protocol/record-batch.ts";

type Bytes = string | null | { sizeBytes: number; sha256: string };

/** Kafka's reading keeps only the digest of what is larger. */
const largeBytes = 300;
const decodeLimits = { decompressedBytesMax: 1024 * 1024 };
const utf8 = new TextDecoder("utf-8", { fatal: true });

function bytesOf(bytes: Uint8Array | null): Bytes {
  if (bytes === null) return null;
  if (bytes.byteLength <= largeBytes) return Buffer.from(bytes).toString("base64");
  return { sizeBytes: bytes.byteLength, sha256: createHash("sha256").update(bytes).digest("base64") };
}

function recordOf(record: StoredRecord) {
  return {
    offset: record.offset,
    timestamp: record.timestamp,
    key: bytesOf(record.key),
    value: bytesOf(record.value),
    headers: record.headers.map(({ key, value }) => [utf8.decode(key), bytesOf(value)]),
  };
}

function batchOf(header: BatchHeader, position: number, batch: Uint8Array) {
  if (!hasValidCrc(batch, nodeCodecs)) throw new Error(`the batch at ${header.baseOffset} has a wrong crc`);
  if (hasUnknownAttributes(header)) throw new Error(`the batch at ${header.baseOffset} has attributes we do not know`);
  return {
    position,
    baseOffset: header.baseOffset,
    lastOffset: header.lastOffset,
    sizeBytes: header.sizeBytes,
    partitionLeaderEpoch: header.partitionLeaderEpoch,
    crc: header.crc,
    compression: codecOf(header),
    timestampType: isLogAppendTime(header) ? "LogAppendTime" : "CreateTime",
    maxTimestamp: header.maxTimestamp,
    producerId: String(header.producerId),
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    lastSequence: lastSequence(header),
    isTransactional: isTransactional(header),
    isControl: isControl(header),
    ...(hasDeleteHorizon(header) ? { deleteHorizonMs: header.baseTimestamp } : {}),
    recordsCount: header.recordsCount,
    records: [...decodeRecords(batch, header, nodeCodecs, decodeLimits)].map(recordOf),
  };
}

/** All batches in `bytes`, which must hold nothing else. */
export function batchesOf(bytes: Uint8Array) {
  const view = viewOf(bytes);
  const batches: ReturnType<typeof batchOf>[] = [];
  for (let position = 0; position < bytes.byteLength; ) {
    const header = readBatchHeader(view, position);
    batches.push(batchOf(header, position, bytes.subarray(position, position + header.sizeBytes)));
    position += header.sizeBytes;
  }
  return batches;
}

export function offsetIndexOf(baseOffset: number, bytes: Uint8Array, segmentBytes: number): OffsetIndex {
  const index = OffsetIndex.decode(baseOffset, bytes, segmentBytes);
  if (!index) throw new Error(`the offset index of ${baseOffset} is not taken`);
  return index;
}

export function timeIndexOf(baseOffset: number, bytes: Uint8Array): TimeIndex {
  const index = TimeIndex.decode(baseOffset, bytes);
  if (!index) throw new Error(`the time index of ${baseOffset} is not taken`);
  return index;
}

export async function epochsOf(disk: Disk, directory: string): Promise<number[][]> {
  const cache = await LeaderEpochCache.read(disk, directory);
  return (cache?.entries ?? []).map(({ epoch, startOffset }) => [epoch, startOffset]);
}
