// Finding one's way through a chunk of a segment, batch by batch, by the lengths and offsets in their headers.

import type { Codecs } from "../protocol/codecs.ts";
import {
  baseOffsetAt,
  batchHeaderBytes,
  batchSizeAt,
  currentMagic,
  hasValidCrc,
  lastOffsetAt,
  magicAt,
  viewOf,
} from "../protocol/record-batch.ts";

/** The stored bytes contradict themselves where they must not. The partition has to go offline. */
export class SegmentCorruptError extends Error {
  override readonly name = "SegmentCorruptError";
}

export function notInSegment(path: string, offset: number): SegmentCorruptError {
  return new SegmentCorruptError(`${path}: no batch holds offset ${offset}`);
}

/** Where in the chunk the first batch begins whose last offset is ≥ `offset`; may be beyond the chunk. */
export function skipTo(view: DataView, offset: number, path: string, filePosition: number): number {
  let at = 0;
  while (at + batchHeaderBytes <= view.byteLength) {
    const size = batchSizeAt(view, at);
    if (size < batchHeaderBytes || magicAt(view, at) !== currentMagic)
      throw new SegmentCorruptError(`${path}: at byte ${filePosition + at} there is no batch`);
    if (lastOffsetAt(view, at) >= offset) return at;
    at += size;
  }
  return at;
}

/** The end of the last whole batch from `start` on that keeps within `bytesMax` and below `endOffset`; `start` if there is none. */
export function lastWhole(view: DataView, start: number, bytesMax: number, endOffset: number): number {
  let end = start;
  while (end + batchHeaderBytes <= view.byteLength) {
    const next = end + batchSizeAt(view, end);
    const tooMuch = next - start > bytesMax && end > start;
    if (next <= end || next > view.byteLength || tooMuch || lastOffsetAt(view, end) >= endOffset) break;
    end = next;
  }
  return end;
}

/** One stored batch has decayed: what lies before and behind it can be read. */
export class DamagedBatchError extends Error {
  override readonly name = "DamagedBatchError";
  readonly baseOffset: number;
  readonly lastOffset: number;
  constructor(path: string, baseOffset: number, lastOffset: number) {
    super(`${path}: the CRC of the batch of offsets ${baseOffset} to ${lastOffset} does not match its bytes`);
    this.baseOffset = baseOffset;
    this.lastOffset = lastOffset;
  }
}

/**
 * The whole batches of `bytes` up to the first that is not as it was written: what decays on the medium must not reach a reader. If
 * that is the first of all, a DamagedBatchError. The CRC does not cover the offsets, but each batch has to begin where the one before ended.
 */
export function soundBatches(bytes: Uint8Array, mayHaveGaps: boolean, codecs: Codecs, path: string): Uint8Array {
  const view = viewOf(bytes);
  let next: number | undefined;
  for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) {
    const baseOffset = baseOffsetAt(view, at);
    if (next !== undefined && (mayHaveGaps ? baseOffset < next : baseOffset !== next))
      throw new SegmentCorruptError(`${path}: a batch at offset ${baseOffset} where ${next} is due`);
    const lastOffset = lastOffsetAt(view, at);
    if (!hasValidCrc(bytes.subarray(at, at + batchSizeAt(view, at)), codecs)) {
      if (at === 0) throw new DamagedBatchError(path, baseOffset, lastOffset);
      return bytes.subarray(0, at);
    }
    next = lastOffset + 1;
  }
  return bytes;
}
