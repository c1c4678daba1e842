// Where an offset expression points: the first, the next, one by number, one by time, in each of some partitions.

import { BrokerError } from "../protocol/error-codes.ts";
import type { OffsetExpression } from "../protocol/offset-expression.ts";
import { decodeRecords } from "../protocol/record.ts";
import { batchSizeAt, lastOffsetAt, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import type { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";

export interface ResolvedOffset {
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds of the record at `offset`; null when none is there (yet). */
  readonly timestamp: number | null;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
}

interface RecordPlace {
  readonly offset: number;
  readonly timestamp: number;
}

export async function resolveOffsets(
  parts: BrokerParts,
  topic: string,
  partitions: readonly number[],
  at: OffsetExpression,
): Promise<readonly ResolvedOffset[]> {
  const found = partitions.map((number) => ({ number, partition: parts.partitions.get(topic, number) }));
  return await Promise.all(found.map(({ number, partition }) => resolveOne(parts, number, partition, at)));
}

async function resolveOne(
  parts: BrokerParts,
  number: number,
  partition: Partition,
  at: OffsetExpression,
): Promise<ResolvedOffset> {
  const { highWatermark, log } = partition;
  const { logStartOffset, logEndOffset } = log;
  const place = await findPlace(parts, partition, number, at, highWatermark);
  return {
    partition: number,
    offset: typeof place === "number" ? place : place.offset,
    timestamp: typeof place === "number" ? null : place.timestamp,
    logStartOffset,
    highWatermark,
    logEndOffset,
  };
}

/** A bare number where there is no record. */
async function findPlace(
  parts: BrokerParts,
  partition: Partition,
  number: number,
  at: OffsetExpression,
  highWatermark: number,
): Promise<RecordPlace | number> {
  const { log } = partition;
  switch (at.kind) {
    case "earliest":
      return await placeAt(parts, partition, log.logStartOffset, highWatermark);
    case "latest":
      return highWatermark;
    case "last":
      return await placeAt(parts, partition, Math.max(log.logStartOffset, highWatermark - at.count), highWatermark);
    case "timestamp":
      return (await placeOfTime(parts, partition, at.timestampMs, highWatermark)) ?? highWatermark;
    case "perPartition":
      return await placeAt(parts, partition, at.offsets.get(number) ?? log.logStartOffset, highWatermark);
    case "offset":
      return await placeAt(parts, partition, at.offset, highWatermark);
  }
}

/** The record at `offset`, which may not be there; out of range below the log start and above the log end. */
async function placeAt(
  parts: BrokerParts,
  partition: Partition,
  offset: number,
  highWatermark: number,
): Promise<RecordPlace | number> {
  if (offset < partition.log.logStartOffset || offset > partition.log.logEndOffset)
    throw partition.log.outOfRange(offset);
  // Compaction may have left nothing of a batch but its header, or none of its records from `offset` on.
  for (let from = offset; from < highWatermark; ) {
    const batches = await partition.log.read(from, 1, highWatermark);
    if (batches.byteLength === 0) break;
    const place = firstRecord(parts, batches, (record) => record.offset >= offset && record.offset);
    if (place) return place;
    from = lastOffsetAt(viewOf(batches), 0) + 1;
  }
  return offset;
}

async function placeOfTime(
  parts: BrokerParts,
  partition: Partition,
  timestampMs: number,
  highWatermark: number,
): Promise<RecordPlace | undefined> {
  let from = partition.log.logStartOffset;
  for (;;) {
    const batch = await partition.log.findTimestamp(timestampMs, from, highWatermark);
    if (!batch) return undefined;
    const start = from;
    const place = firstRecord(
      parts,
      batch,
      ({ offset, timestamp }) => offset >= start && timestamp >= timestampMs && offset,
    );
    if (place) return place;
    from = lastOffsetAt(viewOf(batch), 0) + 1; // the log start cuts through this batch, and the record was before it
  }
}

/** The first record that `pick` gives an offset for, in the first batch of `bytes`. */
function firstRecord(
  { codecs, settings }: BrokerParts,
  bytes: Uint8Array,
  pick: (record: RecordPlace) => number | false,
): RecordPlace | undefined {
  if (bytes.byteLength === 0) return undefined;
  const view = viewOf(bytes);
  const batch = bytes.subarray(0, batchSizeAt(view, 0));
  const header = readBatchHeader(view, 0);
  try {
    for (const record of decodeRecords(batch, header, codecs, settings)) {
      const offset = pick(record);
      if (offset !== false) return { offset, timestamp: record.timestamp };
    }
  } catch (error) {
    throw new BrokerError(
      "KAFKA_STORAGE_ERROR",
      `a stored batch cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  return undefined;
}
