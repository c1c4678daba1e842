// Writes a stored batch again without some of its records: compaction's one change to bytes. Base offset, last offset, leader epoch,
// producer and sequences stay; so do the offsets, times and contents of the records that are left.
//
// The new batch is not compressed, whatever the old one was: compressing again would need every codec's other half and hold up the
// event loop for it, while what compaction leaves of a compressed batch is mostly a small part of it.

import type { Codecs } from "./codecs.ts";
import {
  BatchCorruptError,
  type BatchHeader,
  batchHeaderBytes,
  incrementSequence,
  isLogAppendTime,
  noSequence,
  rewrittenAttributes,
  stampBatch,
  viewOf,
  writeBatchHeader,
} from "./record-batch.ts";
import type { RecordReader } from "./record-reader.ts";
import { varintSize, varlongSize, writeVarint, writeVarlong } from "./varint.ts";

/** What inflated to more becomes several batches, so that none is too large to be read. */
const rewrittenBytesMax = 16 * 1024 * 1024;

/** A record that stays, by where its bytes lie. */
export interface KeptRecord {
  readonly attributes: number;
  /** The base timestamp of its batch and its delta. */
  readonly timestamp: number;
  readonly offsetDelta: number;
  readonly restStart: number;
  readonly end: number;
}

export function keptRecord(header: BatchHeader, reader: RecordReader): KeptRecord {
  const { attributes, timestampDelta, offsetDelta, restStart, end } = reader;
  return { attributes, timestamp: header.baseTimestamp + timestampDelta, offsetDelta, restStart, end };
}

/**
 * The batch of `header` with `kept` alone, in order, whose bytes are in `bytes`; none left: a header alone, which keeps offsets
 * and sequences. Several batches if it would be very large. `deleteHorizonMs` is set where given.
 */
export function rewriteBatch(
  header: BatchHeader,
  kept: readonly KeptRecord[],
  bytes: Uint8Array,
  deleteHorizonMs: number | undefined,
  codecs: Codecs,
): readonly Uint8Array[] {
  const base = deleteHorizonMs ?? header.baseTimestamp;
  const batches: Uint8Array[] = [];
  let firstDelta = 0;
  for (let from = 0, to = 0; from < kept.length || batches.length === 0; from = to) {
    let size = batchHeaderBytes;
    for (; to < kept.length; to++) {
      const body = bodySize(kept[to]!, base, firstDelta);
      const next = size + varintSize(body) + body;
      if (next > rewrittenBytesMax && to > from) break;
      if (next > 2 * rewrittenBytesMax) throw new BatchCorruptError(`a record of ${body} bytes is too large`);
      size = next;
    }
    const lastDelta = to < kept.length ? kept[to]!.offsetDelta - 1 : header.lastOffsetDelta;
    const batch = new Uint8Array(size);
    let position = batchHeaderBytes;
    for (let i = from; i < to; i++) position = writeKept(batch, position, kept[i]!, bytes, base, firstDelta);
    sign(batch, header, { base, firstDelta, lastDelta, kept: kept.slice(from, to), deleteHorizonMs }, codecs);
    batches.push(batch);
    firstDelta = lastDelta + 1;
  }
  return batches;
}

interface Part {
  readonly base: number;
  readonly firstDelta: number;
  readonly lastDelta: number;
  readonly kept: readonly KeptRecord[];
  readonly deleteHorizonMs: number | undefined;
}

function sign(batch: Uint8Array, header: BatchHeader, part: Part, codecs: Codecs): void {
  const ownTimes = part.kept.length > 0 && !isLogAppendTime(header);
  const fields = {
    attributes: rewrittenAttributes(header, part.deleteHorizonMs !== undefined),
    lastOffsetDelta: part.lastDelta - part.firstDelta,
    baseTimestamp: part.base,
    maxTimestamp: ownTimes
      ? part.kept.reduce((max, { timestamp }) => Math.max(max, timestamp), -1)
      : header.maxTimestamp,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence:
      header.baseSequence === noSequence ? noSequence : incrementSequence(header.baseSequence, part.firstDelta),
    recordsCount: part.kept.length,
  };
  writeBatchHeader(batch, fields, codecs);
  stampBatch(viewOf(batch), 0, header.baseOffset + part.firstDelta, header.partitionLeaderEpoch);
}

function bodySize({ timestamp, offsetDelta, restStart, end }: KeptRecord, base: number, firstDelta: number): number {
  return 1 + varlongSize(timestamp - base) + varintSize(offsetDelta - firstDelta) + end - restStart;
}

function writeKept(
  target: Uint8Array,
  start: number,
  record: KeptRecord,
  bytes: Uint8Array,
  base: number,
  firstDelta: number,
): number {
  let position = writeVarint(target, start, bodySize(record, base, firstDelta));
  target[position++] = record.attributes;
  position = writeVarlong(target, position, record.timestamp - base);
  position = writeVarint(target, position, record.offsetDelta - firstDelta);
  target.set(bytes.subarray(record.restStart, record.end), position);
  return position + record.end - record.restStart;
}
