// A compacted log on a simulated disk, and the model it is held against: the last record of each key, tombstones, their horizon.

import type { PartitionLog } from "../../src/log/partition-log.ts";
import { Throttle } from "../../src/log/throttle.ts";
import { decodeRecords, encodeRecordBatch } from "../../src/protocol/record.ts";
import { type BatchHeader, batchSizeAt, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { codecs } from "./log-fixture.ts";
import type { LogWorld } from "./log-world.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const megabyte = 1024 * 1024;

export interface KeyedRecord {
  readonly key: string | null;
  /** null: a tombstone. */
  readonly value: string | null;
}

export interface StoredRecord extends KeyedRecord {
  readonly offset: number;
  readonly timestamp: number;
}

export interface Sender {
  readonly producerId: bigint;
  readonly baseSequence: number;
}

export async function appendKeyed(
  log: PartitionLog,
  records: readonly KeyedRecord[],
  timestamp: number,
  sender?: Sender,
) {
  const batch = encodeRecordBatch(
    records.map(({ key, value }) => ({
      key: key === null ? null : encoder.encode(key),
      value: value === null ? null : encoder.encode(value),
      headers: [],
      timestamp,
    })),
    { ...(sender && { ...sender, producerEpoch: 0 }), codecs },
  );
  return await log.append(batch, readBatchHeader(viewOf(batch), 0));
}

export interface StoredBatch {
  readonly header: BatchHeader;
  readonly records: readonly StoredRecord[];
}

/** Every batch below the high watermark, read as a fetch does; fails if a reader could get stuck. */
export async function readBatches(log: PartitionLog, from = log.logStartOffset): Promise<StoredBatch[]> {
  const batches: StoredBatch[] = [];
  for (let offset = from; offset < log.highWatermark; ) {
    const bytes = await log.read(offset, 300, log.highWatermark);
    if (bytes.byteLength === 0) throw new Error(`nothing to read at ${offset}, below ${log.highWatermark}`);
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) {
      const header = readBatchHeader(view, at);
      const decoded = decodeRecords(bytes.subarray(at, at + header.sizeBytes), header, codecs, {
        decompressedBytesMax: megabyte,
      });
      const records = [...decoded].map(({ offset: at_, timestamp, key, value }) => ({
        offset: at_,
        timestamp,
        key: key && decoder.decode(key),
        value: value && decoder.decode(value),
      }));
      batches.push({ header, records });
      offset = header.lastOffset + 1;
    }
  }
  return batches;
}

export async function readRecords(log: PartitionLog): Promise<StoredRecord[]> {
  return (await readBatches(log)).flatMap(({ records }) => records);
}

export async function compact(world: LogWorld, log: PartitionLog, keyMapBytesMax = megabyte): Promise<void> {
  const { compaction } = log;
  await compaction.begin(async () => {});
  const throttle = new Throttle(world.context.clock, 1024 * megabyte);
  await compaction.run({ keyMapBytesMax, decompressedBytesMax: megabyte, throttle });
}
