// Records, to and from the bytes of a batch. Writing measures first, so that a batch is one buffer of exactly its size.

import type { Codecs } from "./codecs.ts";
import { BrokerError } from "./error-codes.ts";
import {
  type BatchHeader,
  batchHeaderBytes,
  noProducerEpoch,
  noProducerId,
  noSequence,
  noTimestamp,
  writeBatchHeader,
} from "./record-batch.ts";
import { type DecodeLimits, type RecordHeader, RecordReader } from "./record-reader.ts";
import { varintSize, varlongSize, writeVarint, writeVarlong } from "./varint.ts";

export interface RecordToWrite {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
  /** Milliseconds since the epoch, or noTimestamp. */
  readonly timestamp: number;
}

export interface StoredRecord extends RecordToWrite {
  readonly offset: number;
}

export interface BatchOptions {
  /** All three or none. */
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly codecs: Codecs;
}

/** The largest batch that can be written: batchLength is an int32. */
export const batchBytesMax = 2 ** 31 - 1;

const slabBytes = 16 * 1024;
const sharedBytesMax = slabBytes / 8;
let slab = new Uint8Array(0);
let slabUsed = 0;

/** Zeroed, never handed out twice. Small ones share a buffer: making one of its own takes longer than the whole rest. */
function allocate(size: number): Uint8Array {
  if (size > sharedBytesMax) return new Uint8Array(size);
  if (slabUsed + size > slab.length) {
    slab = new Uint8Array(slabBytes);
    slabUsed = 0;
  }
  slabUsed += size;
  return slab.subarray(slabUsed - size, slabUsed);
}

/**
 * A signed batch of CreateTime records, not compressed, as a producer sends it: base offset 0, no leader epoch. Its
 * ArrayBuffer may be shared with other batches.
 */
export function encodeRecordBatch(records: readonly RecordToWrite[], options: BatchOptions): Uint8Array {
  const first = records[0];
  if (first === undefined) throw new BrokerError("INVALID_RECORD", "a batch needs at least one record");
  const baseTimestamp = first.timestamp;
  let maxTimestamp = baseTimestamp;
  let size = batchHeaderBytes;
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!;
    checkTimestamp(record.timestamp, baseTimestamp, index);
    if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp;
    const body = bodySize(record, index, record.timestamp - baseTimestamp);
    size += varintSize(body) + body;
    // Checked in the loop: beyond 31 bits the varints themselves would be wrong.
    if (size > batchBytesMax) throw tooLarge(size);
  }
  const batch = allocate(size);
  let position = batchHeaderBytes;
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!;
    position = writeRecord(batch, position, record, index, record.timestamp - baseTimestamp);
  }
  writeBatchHeader(
    batch,
    {
      attributes: 0,
      lastOffsetDelta: records.length - 1,
      baseTimestamp,
      maxTimestamp,
      producerId: options.producerId ?? noProducerId,
      producerEpoch: options.producerEpoch ?? noProducerEpoch,
      baseSequence: options.baseSequence ?? noSequence,
      recordsCount: records.length,
    },
    options.codecs,
  );
  return batch;
}

function checkTimestamp(timestamp: number, baseTimestamp: number, index: number): void {
  if (Number.isSafeInteger(timestamp) && timestamp >= noTimestamp && Number.isSafeInteger(timestamp - baseTimestamp)) {
    return;
  }
  throw new BrokerError("INVALID_TIMESTAMP", `the timestamp ${timestamp} of record ${index} is not a legal one`, {
    fields: { recordIndexes: [index] },
  });
}

function tooLarge(size: number): BrokerError {
  return new BrokerError("MESSAGE_TOO_LARGE", `a batch cannot have ${size} bytes or more`, {
    fields: { limit: { name: "batchBytesMax", value: batchBytesMax } },
  });
}

/** The bytes of a record after its length. */
function bodySize(record: RecordToWrite, offsetDelta: number, timestampDelta: number): number {
  const headers = record.headers;
  let size =
    1 +
    varlongSize(timestampDelta) +
    varintSize(offsetDelta) +
    spanSize(record.key) +
    spanSize(record.value) +
    varintSize(headers.length);
  for (let index = 0; index < headers.length; index++) {
    const header = headers[index]!;
    size += spanSize(header.key) + spanSize(header.value);
  }
  return size;
}

function spanSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length;
}

function writeRecord(
  target: Uint8Array,
  start: number,
  record: RecordToWrite,
  offsetDelta: number,
  timestampDelta: number,
): number {
  const headers = record.headers;
  let position = writeVarint(target, start, bodySize(record, offsetDelta, timestampDelta));
  target[position++] = 0; // attributes: none is defined
  position = writeVarlong(target, position, timestampDelta);
  position = writeVarint(target, position, offsetDelta);
  position = writeSpan(target, position, record.key);
  position = writeSpan(target, position, record.value);
  position = writeVarint(target, position, headers.length);
  for (let index = 0; index < headers.length; index++) {
    const header = headers[index]!;
    position = writeSpan(target, position, header.key);
    position = writeSpan(target, position, header.value);
  }
  return position;
}

/** Below this a loop is faster than TypedArray.set. */
const shortSpanBytes = 24;

function writeSpan(target: Uint8Array, start: number, bytes: Uint8Array | null): number {
  if (bytes === null) {
    target[start] = 1; // zigzag of −1
    return start + 1;
  }
  const position = writeVarint(target, start, bytes.length);
  if (bytes.length > shortSpanBytes) target.set(bytes, position);
  else for (let index = 0; index < bytes.length; index++) target[position + index] = bytes[index]!;
  return position + bytes.length;
}

/**
 * The records of one batch, in order; keys, values and headers are views into it. Lazy: a BatchCorruptError can come
 * after some records were given. Of control batches too: the caller asks isControl(header) first. Where every
 * nanosecond counts, RecordReader does the same without the objects.
 */
export function* decodeRecords(
  batch: Uint8Array,
  header: BatchHeader,
  codecs: Codecs,
  limits: DecodeLimits,
): Generator<StoredRecord, void> {
  const reader = RecordReader.open(batch, header, codecs, limits);
  while (reader.next()) {
    yield {
      offset: reader.offset,
      timestamp: reader.timestamp,
      key: reader.key,
      value: reader.value,
      headers: reader.headers,
    };
  }
}
