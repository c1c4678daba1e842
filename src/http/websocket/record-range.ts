// The records of one read of a partition, encoded once for each form that somebody wants them in, and cut for each subscriber without
// being written again: a cut is a view. What it holds is bounded by what one read takes and may inflate to.

import { Buffer } from "node:buffer";
import type { FetchedPartition } from "../../broker/broker.ts";
import type { StoredRecord } from "../../protocol/record.ts";
import { batchSizeAt, lastOffsetAt, readBatchHeader, viewOf } from "../../protocol/record-batch.ts";
import { ByteWriter } from "../formats/byte-writer.ts";
import { MsgpackWriter, writeMsgpackRecord } from "../formats/msgpack-writer.ts";
import type { PartFormat } from "../formats/produce-options.ts";
import { RecordTextWriter } from "../formats/record-text.ts";
import type { RecordWalk, Unreadable } from "../record-walk.ts";
import { rangeInflatedBytesMax, rangeRecordsMax } from "./socket-limits.ts";

export type RecordStyle =
  | { readonly encoding: "msgpack" }
  | { readonly encoding: "json"; readonly keyFormat: PartFormat; readonly valueFormat: PartFormat };

/** How much of a range a subscriber may take. */
export interface CutLimits {
  readonly from: number;
  /** Exclusive. */
  readonly until: number;
  readonly records: number;
  readonly bytes: number;
  /** The first record comes even if it is larger. */
  readonly atLeastOne: boolean;
}

export interface Cut {
  /** Places among the range's records; `end` exclusive. */
  readonly start: number;
  readonly end: number;
  /** Behind the last of them, or behind the range where nothing is left in it. */
  readonly nextOffset: number;
  /** Keys, values and headers. */
  readonly bytes: number;
}

/** Where the records of a range stand; small, so that an un-acked delivery keeps it and not the records. */
export interface RangeIndex {
  readonly offsets: readonly number[];
  /** Through each record: keys, values and headers of all before and of it. */
  readonly bytes: readonly number[];
}

/** Of the records from `start` through `last`. */
export const bytesThrough = ({ bytes }: RangeIndex, start: number, last: number): number =>
  bytes[last]! - (start === 0 ? 0 : bytes[start - 1]!);

interface Encoded {
  readonly body: Buffer;
  /** Where each record ends in the body. */
  readonly ends: readonly number[];
}

export class RecordRange {
  readonly topic: string;
  readonly partition: number;
  /** The place that was asked for. */
  readonly from: number;
  readonly highWatermark: number;
  readonly #fetched: FetchedPartition;
  readonly #walk: RecordWalk;
  #index: { readonly offsets: number[]; readonly bytes: number[] } | undefined;
  #nextOffset = 0;
  #unreadable: Unreadable | undefined;
  readonly #encoded = new Map<string, Encoded>();

  constructor(fetched: FetchedPartition, from: number, walk: RecordWalk) {
    this.topic = fetched.topic;
    this.partition = fetched.partition;
    this.from = from;
    this.highWatermark = fetched.highWatermark;
    this.#fetched = fetched;
    this.#walk = walk;
  }

  /** Where a reader of records goes on behind this range. */
  get nextOffset(): number {
    this.#scanned();
    return this.#nextOffset;
  }

  /** Where a reader of batches goes on. */
  get batchesEnd(): number {
    return this.#fetched.nextOffset;
  }

  /** Set where the range's first batch cannot be read, so that there is no way on. */
  get unreadable(): Unreadable | undefined {
    const { offsets } = this.#scanned();
    return offsets.length === 0 && this.#nextOffset === this.from ? this.#unreadable : undefined;
  }

  get index(): RangeIndex {
    return this.#scanned();
  }

  cut({ from, until, records, bytes, atLeastOne }: CutLimits): Cut {
    const index = this.#scanned();
    const { offsets } = index;
    const start = lowerBound(offsets, from);
    const last = Math.min(lowerBound(offsets, until), start + records);
    let end = last;
    if (last > start && bytesThrough(index, start, last - 1) > bytes) {
      end = start;
      while (bytesThrough(index, start, end) <= bytes) end += 1;
    }
    if (end === start && atLeastOne && last > start) end = start + 1;
    const taken = end === start ? 0 : bytesThrough(index, start, end - 1);
    if (end === offsets.length || offsets[end]! >= until) {
      return { start, end, bytes: taken, nextOffset: Math.max(from, Math.min(this.#nextOffset, until)) };
    }
    return { start, end, bytes: taken, nextOffset: end === start ? from : offsets[end - 1]! + 1 };
  }

  /** The leader epoch of the batch that holds the last record before an offset. */
  leaderEpochBefore(offset: number): number {
    const { batches } = this.#fetched;
    const view = viewOf(batches);
    let epoch = 0;
    for (let at = 0; at < batches.byteLength; at += batchSizeAt(view, at)) {
      const header = readBatchHeader(view, at);
      epoch = header.partitionLeaderEpoch;
      if (header.lastOffset >= offset - 1) break;
    }
    return epoch;
  }

  /** The records of a cut as they stand in a frame behind its head; for JSON with what closes the frame. Shared: do not change it. */
  encoded(style: RecordStyle, { start, end }: Cut): Buffer {
    if (start === end) return style.encoding === "json" ? jsonEnd : noBytes;
    const { body, ends } = this.#encode(style);
    const separator = style.encoding === "json" ? 1 : 0;
    const from = start === 0 ? 0 : ends[start - 1]! + separator;
    if (end === ends.length) return body.subarray(from);
    if (style.encoding === "msgpack") return body.subarray(from, ends[end - 1]);
    return Buffer.concat([body.subarray(from, ends[end - 1]), jsonEnd]);
  }

  /** Whole stored batches from the one that holds an offset on, as far as they fit; the first one in any case, if `atLeastOne`. */
  batches({ from, until, records, bytes, atLeastOne }: CutLimits): {
    bytes: Uint8Array;
    records: number;
    nextOffset: number;
  } {
    const { batches, nextOffset } = this.#fetched;
    const view = viewOf(batches);
    let start = 0;
    while (start < batches.byteLength && lastOffsetAt(view, start) < from) start += batchSizeAt(view, start);
    let end = start;
    let taken = 0;
    let next = from;
    while (end < batches.byteLength) {
      const header = readBatchHeader(view, end);
      if (header.baseOffset >= until) return { bytes: batches.subarray(start, end), records: taken, nextOffset: until };
      const fits = taken + header.recordsCount <= records && end + header.sizeBytes - start <= bytes;
      if (!fits && !(atLeastOne && end === start))
        return { bytes: batches.subarray(start, end), records: taken, nextOffset: next };
      taken += header.recordsCount;
      end += header.sizeBytes;
      next = Math.min(header.lastOffset + 1, until);
    }
    return { bytes: batches.subarray(start), records: taken, nextOffset: Math.min(Math.max(next, nextOffset), until) };
  }

  #scanned(): RangeIndex {
    if (this.#index !== undefined) return this.#index;
    const offsets: number[] = [];
    const bytes: number[] = [];
    let sum = 0;
    const walked = this.#walk.run(this.#fetched, { from: this.from, until: Number.POSITIVE_INFINITY }, (record) => {
      sum += storedBytes(record);
      offsets.push(record.offset);
      bytes.push(sum);
      return sum < rangeInflatedBytesMax && offsets.length < rangeRecordsMax;
    });
    this.#nextOffset = walked.nextOffset;
    this.#unreadable = walked.unreadable;
    this.#index = { offsets, bytes };
    return this.#index;
  }

  #encode(style: RecordStyle): Encoded {
    const name = style.encoding === "json" ? `${style.keyFormat} ${style.valueFormat}` : "msgpack";
    const known = this.#encoded.get(name);
    if (known !== undefined) return known;
    const count = this.#scanned().offsets.length;
    const out = new ByteWriter(this.#fetched.batches.byteLength + 64 * count + 64);
    const ends: number[] = [];
    const write = writerOf(out, style);
    this.#walk.run(this.#fetched, { from: this.from, until: this.#nextOffset }, (record) => {
      write(record, ends.length);
      ends.push(out.length);
      return ends.length < count;
    });
    if (style.encoding === "json") out.copy(jsonEnd);
    const encoded = { body: out.take(), ends };
    this.#encoded.set(name, encoded);
    return encoded;
  }
}

const jsonEnd = Buffer.from("]}");
const noBytes = Buffer.alloc(0);

function writerOf(out: ByteWriter, style: RecordStyle): (record: StoredRecord, index: number) => void {
  if (style.encoding === "msgpack") {
    const writer = new MsgpackWriter(out);
    return (record) => writeMsgpackRecord(writer, record);
  }
  const writer = new RecordTextWriter(out, { ...style, lineBreaks: "kept" });
  return (record, index) => {
    if (index > 0) out.byte(0x2c);
    writer.record(record);
  };
}

function storedBytes({ key, value, headers }: StoredRecord): number {
  let bytes = (key?.byteLength ?? 0) + (value?.byteLength ?? 0);
  for (const header of headers) bytes += header.key.byteLength + (header.value?.byteLength ?? 0);
  return bytes;
}

/** The first place whose offset is not below; the length if there is none. */
function lowerBound(offsets: readonly number[], offset: number): number {
  let low = 0;
  let high = offsets.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (offsets[middle]! < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
