// RecordBatch v2, the unit of everything: produced, stored, replicated and fetched as the same bytes.
// Layout: Apache Kafka, DefaultRecordBatch.java. All integers are big-endian. The CRC covers byte 21 to the end,
// so a leader stamps base offset and leader epoch without touching what the producer signed.

import { type Codecs, type CompressionCodec, compressionCodecs } from "./codecs.ts";

/** A batch is this header, then its records (one compressed blob if a codec is set). */
export const batchHeaderBytes = 61;
/** The bytes before and including batchLength, which batchLength does not count. */
export const batchPrefixBytes = 12;
export const currentMagic = 2;

export const noProducerId = -1n;
export const noProducerEpoch = -1;
export const noSequence = -1;
export const noTimestamp = -1;

const at = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordsCount: 57,
} as const;

/** A batch or its records contradict themselves. Whose fault that is, and so the code, only the caller knows. */
export class BatchCorruptError extends Error {
  override readonly name = "BatchCorruptError";
  /** The record, counted in its batch, if the fault lies within one. */
  readonly recordIndex: number | undefined;
  constructor(message: string, recordIndex?: number, options?: ErrorOptions) {
    super(message, options);
    this.recordIndex = recordIndex;
  }
}

const codecMask = 0x07;
const logAppendTimeBit = 0x08;
const transactionalBit = 0x10;
const controlBit = 0x20;
const deleteHorizonBit = 0x40;
const knownAttributes = 0x7f;

export interface BatchHeader {
  readonly baseOffset: number;
  readonly lastOffset: number;
  /** Of the whole batch, header and prefix included. */
  readonly sizeBytes: number;
  readonly partitionLeaderEpoch: number;
  readonly crc: number;
  readonly attributes: number;
  readonly lastOffsetDelta: number;
  /** Milliseconds; the delete horizon if that bit is set. */
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  /** noProducerId unless the producer is idempotent. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordsCount: number;
}

const sequences = 2 ** 31;

/** The sequence `delta` after `sequence`; sequences wrap from 2^31−1 to 0. */
export function incrementSequence(sequence: number, delta: number): number {
  return (sequence + delta) % sequences;
}

export function lastSequence(header: BatchHeader): number {
  return header.baseSequence === noSequence
    ? noSequence
    : incrementSequence(header.baseSequence, header.lastOffsetDelta);
}

export function codecOf(header: BatchHeader): CompressionCodec | undefined {
  return compressionCodecs[header.attributes & codecMask];
}
export const isLogAppendTime = (header: BatchHeader): boolean => (header.attributes & logAppendTimeBit) !== 0;
export const isTransactional = (header: BatchHeader): boolean => (header.attributes & transactionalBit) !== 0;
export const isControl = (header: BatchHeader): boolean => (header.attributes & controlBit) !== 0;
export const hasDeleteHorizon = (header: BatchHeader): boolean => (header.attributes & deleteHorizonBit) !== 0;
export const hasUnknownAttributes = (header: BatchHeader): boolean =>
  (header.attributes & 0xffff & ~knownAttributes) !== 0;

/** The attributes of a batch that is written again, not compressed, with a delete horizon or as it was in that. */
export function rewrittenAttributes(header: BatchHeader, setsDeleteHorizon: boolean): number {
  return (header.attributes & ~codecMask) | (setsDeleteHorizon ? deleteHorizonBit : 0);
}

/** The size the batch at `position` says it has; needs the first batchPrefixBytes. Anything may stand there: check it. */
export function batchSizeAt(view: DataView, position: number): number {
  return view.getInt32(position + at.batchLength) + batchPrefixBytes;
}

export function magicAt(view: DataView, position: number): number {
  return view.getInt8(position + at.magic);
}

export function baseOffsetAt(view: DataView, position: number): number {
  return int64(view, position + at.baseOffset);
}

/** The last offset of the batch at `position`, without reading the rest of its header. */
export function lastOffsetAt(view: DataView, position: number): number {
  return int64(view, position + at.baseOffset) + view.getInt32(position + at.lastOffsetDelta);
}

/** An i64 as a number; exact up to 2^53, beyond that no longer: check the range before trusting it. */
function int64(view: DataView, position: number): number {
  return view.getInt32(position) * 2 ** 32 + view.getUint32(position + 4);
}

function setInt64(view: DataView, position: number, value: number): void {
  view.setInt32(position, Math.floor(value / 2 ** 32));
  view.setUint32(position + 4, value >>> 0);
}

/** Reads a header; needs batchHeaderBytes from `position` on, and judges nothing. */
export function readBatchHeader(view: DataView, position: number): BatchHeader {
  const baseOffset = int64(view, position + at.baseOffset);
  const lastOffsetDelta = view.getInt32(position + at.lastOffsetDelta);
  // The common −1 is told apart without making a bigint.
  const withoutProducer =
    view.getInt32(position + at.producerId) === -1 && view.getInt32(position + at.producerId + 4) === -1;
  return {
    baseOffset,
    lastOffset: baseOffset + lastOffsetDelta,
    sizeBytes: batchSizeAt(view, position),
    partitionLeaderEpoch: view.getInt32(position + at.partitionLeaderEpoch),
    crc: view.getUint32(position + at.crc),
    attributes: view.getInt16(position + at.attributes),
    lastOffsetDelta,
    baseTimestamp: int64(view, position + at.baseTimestamp),
    maxTimestamp: int64(view, position + at.maxTimestamp),
    producerId: withoutProducer ? noProducerId : view.getBigInt64(position + at.producerId),
    producerEpoch: view.getInt16(position + at.producerEpoch),
    baseSequence: view.getInt32(position + at.baseSequence),
    recordsCount: view.getInt32(position + at.recordsCount),
  };
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What a leader stamps on append. Outside the CRC. */
export function stampBatch(view: DataView, position: number, baseOffset: number, partitionLeaderEpoch: number): void {
  setInt64(view, position + at.baseOffset, baseOffset);
  view.setInt32(position + at.partitionLeaderEpoch, partitionLeaderEpoch);
}

/** Makes a whole batch LogAppendTime: every record's time is `timestamp` then. Re-signs it. */
export function stampLogAppendTime(batch: Uint8Array, timestamp: number, codecs: Codecs): void {
  const view = viewOf(batch);
  view.setInt16(at.attributes, view.getInt16(at.attributes) | logAppendTimeBit);
  setInt64(view, at.maxTimestamp, timestamp);
  signBatch(batch, codecs);
}

/** What stampBatch leaves open: everything else of a header. */
export interface HeaderFields {
  readonly attributes: number;
  readonly lastOffsetDelta: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordsCount: number;
}

/** Writes the header of a batch that fills `batch` to its end, base offset 0 and no leader epoch, and signs it. */
export function writeBatchHeader(batch: Uint8Array, fields: HeaderFields, codecs: Codecs): void {
  const view = viewOf(batch);
  stampBatch(view, 0, 0, -1);
  view.setInt32(at.batchLength, batch.byteLength - batchPrefixBytes);
  view.setInt8(at.magic, currentMagic);
  view.setInt16(at.attributes, fields.attributes);
  view.setInt32(at.lastOffsetDelta, fields.lastOffsetDelta);
  setInt64(view, at.baseTimestamp, fields.baseTimestamp);
  setInt64(view, at.maxTimestamp, fields.maxTimestamp);
  view.setBigInt64(at.producerId, fields.producerId);
  view.setInt16(at.producerEpoch, fields.producerEpoch);
  view.setInt32(at.baseSequence, fields.baseSequence);
  view.setInt32(at.recordsCount, fields.recordsCount);
  view.setUint32(at.crc, codecs.crc32c(batch.subarray(at.attributes)));
}

export function signBatch(batch: Uint8Array, codecs: Codecs): void {
  viewOf(batch).setUint32(at.crc, codecs.crc32c(batch.subarray(at.attributes)));
}

export function hasValidCrc(batch: Uint8Array, codecs: Codecs): boolean {
  return viewOf(batch).getUint32(at.crc) === codecs.crc32c(batch.subarray(at.attributes));
}
