// What a leader demands of a batch before it gets offsets. Nothing is changed; what is not legal is a BrokerError that
// says why. A batch that passes can be stored as it is and read by every Kafka client.

import { CodecError, type Codecs } from "./codecs.ts";
import { BrokerError, type ErrorCode } from "./error-codes.ts";
import {
  BatchCorruptError,
  type BatchHeader,
  batchHeaderBytes,
  batchPrefixBytes,
  batchSizeAt,
  codecOf,
  currentMagic,
  hasDeleteHorizon,
  hasUnknownAttributes,
  hasValidCrc,
  isControl,
  isLogAppendTime,
  isTransactional,
  magicAt,
  noProducerId,
  noTimestamp,
  readBatchHeader,
  viewOf,
} from "./record-batch.ts";
import { RecordReader, recordBytes, recordBytesMin } from "./record-reader.ts";

export interface ProduceLimits {
  /** The topic's max.message.bytes. */
  readonly maxMessageBytes: number;
  /** The topic's segment.bytes. */
  readonly segmentBytes: number;
  /** The topic's message.timestamp.after.max.ms and .before.max.ms; Infinity allows any time. */
  readonly timestampAfterMaxMs: number;
  readonly timestampBeforeMaxMs: number;
  /** On a compacted topic every record needs a key. */
  readonly compacted: boolean;
  readonly decompressedBytesMax: number;
  readonly nowMs: number;
}

export interface BatchOrigin {
  /** Walk the records too. For bytes a client made; our own encoder's are walked only where a rule asks for it. */
  readonly deep: boolean;
  /** The ids that stand for Idempotency-Keys are the broker's own: a client may not name one. */
  readonly reservedProducerIdsAllowed: boolean;
}

/** Of the records at fault an error names so many. */
export const recordIndexesMax = 100;
/** Ids from here on are made from Idempotency-Keys. */
export const reservedProducerIdMin = 2n ** 62n;
/** Ids of producers fit in a JSON number. */
export const producerIdMax = 2n ** 53n - 1n;
/** Then the producer needs a new id. */
export const producerEpochMax = 32_766;

/** Throws a BrokerError unless `batch` is exactly one legal batch of a producer. */
export function validateProducedBatch(
  batch: Uint8Array,
  limits: ProduceLimits,
  codecs: Codecs,
  origin: BatchOrigin,
): BatchHeader {
  const view = viewOf(batch);
  checkFrame(batch, view);
  checkSize(batch.length, limits);
  if (!hasValidCrc(batch, codecs)) throw new BrokerError("CORRUPT_MESSAGE", "the CRC does not match the batch");
  const header = readBatchHeader(view, 0);
  checkAttributes(header);
  checkCounts(header);
  checkProducer(header, origin);
  checkHeaderTimestamps(header);
  // Only the records can say which of them break a rule.
  const bounded = limits.nowMs - limits.timestampBeforeMaxMs > noTimestamp;
  const late = header.maxTimestamp > limits.nowMs + limits.timestampAfterMaxMs;
  if (origin.deep || limits.compacted || bounded || late) checkRecords(batch, header, limits, codecs);
  return header;
}

/** Exactly one batch of version 2, as far as the bytes before the CRC tell. */
function checkFrame(batch: Uint8Array, view: DataView): void {
  if (batch.length === 0) throw invalid("there is no record batch");
  if (batch.length < batchHeaderBytes) {
    throw new BrokerError("CORRUPT_MESSAGE", `${batch.length} bytes are too few for a record batch`);
  }
  const size = batchSizeAt(view, 0);
  const magic = magicAt(view, 0);
  if (size < batchHeaderBytes && (magic === 0 || magic === 1)) throw wrongMagic(magic);
  if (size < batchHeaderBytes || size > batch.length) {
    throw new BrokerError("CORRUPT_MESSAGE", `the batch says it has ${size} bytes, there are ${batch.length}`);
  }
  if (magic !== currentMagic) throw wrongMagic(magic);
  const left = batch.length - size;
  if (left === 0) return;
  const another = left > batchPrefixBytes + 4 && magicAt(view, size) === currentMagic;
  throw invalid(another ? "there are two batches or more, where one is allowed" : `${left} bytes follow the batch`);
}

function wrongMagic(magic: number): BrokerError {
  return invalid(`the batch has magic ${magic}; only ${currentMagic} is taken`);
}

function checkSize(size: number, limits: ProduceLimits): void {
  if (size > limits.maxMessageBytes) {
    throw tooLarge("MESSAGE_TOO_LARGE", `the batch has ${size} bytes`, "max.message.bytes", limits.maxMessageBytes);
  }
  if (size > limits.segmentBytes) {
    throw tooLarge("RECORD_LIST_TOO_LARGE", `the batch has ${size} bytes`, "segment.bytes", limits.segmentBytes);
  }
}

function checkAttributes(header: BatchHeader): void {
  if (hasUnknownAttributes(header)) throw invalid("the batch sets attributes that are not defined");
  if (codecOf(header) === undefined) {
    throw new BrokerError("UNSUPPORTED_COMPRESSION_TYPE", `there is no compression codec ${header.attributes & 7}`);
  }
  if (isControl(header)) throw invalid("only the broker writes control batches");
  if (isTransactional(header)) throw new BrokerError("INVALID_REQUEST", "transactions are not supported");
  if (isLogAppendTime(header)) {
    throw new BrokerError("INVALID_TIMESTAMP", "only the broker sets the timestamp type LogAppendTime");
  }
  if (hasDeleteHorizon(header)) throw invalid("only the broker sets a delete horizon");
}

function checkCounts(header: BatchHeader): void {
  const { recordsCount, lastOffsetDelta } = header;
  if (header.baseOffset !== 0) throw invalid(`the base offset is ${header.baseOffset}; a producer's is 0`);
  if (recordsCount <= 0) throw invalid(`the batch says it has ${recordsCount} records`);
  if (lastOffsetDelta + 1 !== recordsCount) {
    throw invalid(`the last offset delta is ${lastOffsetDelta} with ${recordsCount} records`);
  }
  const room = header.sizeBytes - batchHeaderBytes;
  if (codecOf(header) === "none" && recordsCount * recordBytesMin > room) {
    throw invalid(`${recordsCount} records do not fit in ${room} bytes`);
  }
}

function checkProducer(header: BatchHeader, origin: BatchOrigin): void {
  // Without an id epoch and sequence mean nothing; some clients leave zeros there.
  const { producerId, producerEpoch, baseSequence } = header;
  if (producerId === noProducerId) return;
  const reserved = producerId >= reservedProducerIdMin && origin.reservedProducerIdsAllowed;
  if (producerId < 0n || (producerId > producerIdMax && !reserved)) throw invalid(`${producerId} is no producer id`);
  if (producerEpoch < 0 || producerEpoch > producerEpochMax) {
    throw invalid(`the producer epoch is ${producerEpoch}; it goes from 0 to ${producerEpochMax}`);
  }
  if (baseSequence < 0) throw invalid(`the batch of producer ${producerId} has the sequence ${baseSequence}`);
}

function checkHeaderTimestamps(header: BatchHeader): void {
  for (const timestamp of [header.baseTimestamp, header.maxTimestamp]) {
    if (Number.isSafeInteger(timestamp) && timestamp >= noTimestamp) continue;
    throw new BrokerError("INVALID_TIMESTAMP", "a timestamp of the batch is not in -1 … 2^53 - 1");
  }
}

/** Walks the records: their bytes, offsets, times and keys. Makes no object for a record. */
function checkRecords(batch: Uint8Array, header: BatchHeader, limits: ProduceLimits, codecs: Codecs): void {
  try {
    walkRecords(new RecordReader(header, recordBytes(batch, header, codecs, limits)), header, limits);
  } catch (cause) {
    if (cause instanceof CodecError) throw inflateError(cause, limits);
    if (!(cause instanceof BatchCorruptError)) throw cause;
    throw invalid(cause.message, cause.recordIndex === undefined ? [] : [cause.recordIndex], cause);
  }
}

function walkRecords(reader: RecordReader, header: BatchHeader, limits: ProduceLimits): void {
  const earliest = Math.max(limits.nowMs - limits.timestampBeforeMaxMs, 0);
  const latest = Math.min(limits.nowMs + limits.timestampAfterMaxMs, Number.MAX_SAFE_INTEGER);
  const outOfTime = new FaultyRecords();
  const withoutKey = new FaultyRecords();
  let maxTimestamp: number = noTimestamp;
  while (reader.next()) {
    if (reader.offsetDelta !== reader.index) {
      throw new BatchCorruptError(`record ${reader.index} has the offset delta ${reader.offsetDelta}`, reader.index);
    }
    if (reader.attributes !== 0) {
      throw new BatchCorruptError(`record ${reader.index} sets attributes that are not defined`, reader.index);
    }
    const timestamp = reader.timestamp;
    if (timestamp > maxTimestamp) maxTimestamp = timestamp;
    if ((timestamp < earliest || timestamp > latest) && timestamp !== noTimestamp) outOfTime.add(reader.index);
    if (reader.keyLength < 0 && limits.compacted) withoutKey.add(reader.index);
  }
  if (withoutKey.count > 0) {
    throw invalid(`${withoutKey.count} records have no key, which a compacted topic needs`, withoutKey.indexes);
  }
  if (outOfTime.count > 0) {
    throw new BrokerError("INVALID_TIMESTAMP", `${outOfTime.count} records lie outside the topic's time bounds`, {
      fields: { recordIndexes: outOfTime.indexes },
    });
  }
  if (maxTimestamp !== header.maxTimestamp) {
    throw invalid(`the batch says ${header.maxTimestamp} is its latest time, its records say ${maxTimestamp}`);
  }
}

class FaultyRecords {
  readonly indexes: number[] = [];
  count = 0;

  add(index: number): void {
    if (this.count++ < recordIndexesMax) this.indexes.push(index);
  }
}

function inflateError(cause: CodecError, limits: ProduceLimits): BrokerError {
  if (cause.kind === "corrupt") return invalid(`the records cannot be inflated: ${cause.message}`, [], cause);
  return tooLarge("MESSAGE_TOO_LARGE", cause.message, "decompressedBytesMax", limits.decompressedBytesMax);
}

function invalid(detail: string, recordIndexes: readonly number[] = [], cause?: unknown): BrokerError {
  return new BrokerError("INVALID_RECORD", detail, {
    fields: recordIndexes.length === 0 ? {} : { recordIndexes },
    cause,
  });
}

function tooLarge(code: ErrorCode, what: string, name: string, value: number): BrokerError {
  return new BrokerError(code, `${what}; ${name} is ${value}`, { fields: { limit: { name, value } } });
}
