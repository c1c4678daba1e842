// Walks the batches of a segment file front to back, a chunk at a time, and judges each as far as the bytes alone allow.

import type { DiskFile } from "../io/disk.ts";
import type { Codecs } from "../protocol/codecs.ts";
import {
  type BatchHeader,
  batchHeaderBytes,
  batchSizeAt,
  currentMagic,
  hasValidCrc,
  magicAt,
  readBatchHeader,
  viewOf,
} from "../protocol/record-batch.ts";

const chunkBytes = 1024 * 1024;
/** No batch is larger than this; a length beyond it is damage. Bounds what a scan holds. */
export const batchBytesMax = 64 * 1024 * 1024;

export interface ScanResult {
  /** Where the walk stopped: the end, a bad batch, or the batch the visitor refused. */
  readonly position: number;
  /** Why the bytes at `position` are not a good batch; undefined when the walk reached the end. */
  readonly bad?: string;
}

/** Sees each good batch; `bytes` are only valid during the call. A reason stops the walk before this batch. */
export type BatchVisitor = (header: BatchHeader, position: number, bytes: Uint8Array) => string | undefined;

/** Walks from `from` to `to`. With `codecs` each CRC is checked. Holds a chunk, or one batch if that is larger. */
export async function scanBatches(
  file: DiskFile,
  from: number,
  to: number,
  visit: BatchVisitor,
  codecs?: Codecs,
): Promise<ScanResult> {
  let buffer = new Uint8Array(Math.min(chunkBytes, to - from));
  let position = from;
  while (position < to) {
    const filled = await file.read(position, buffer.subarray(0, Math.min(buffer.byteLength, to - position)));
    const { used, bad } = scanBytes(buffer.subarray(0, filled), position, visit, codecs);
    position += used;
    if (bad) return { position, bad };
    if (used > 0) continue;
    const need = filled < batchHeaderBytes ? batchHeaderBytes : batchSizeAt(viewOf(buffer), 0);
    if (position + need > to)
      return { position, bad: `a batch of ${need} bytes does not fit into the remaining ${to - position}` };
    if (need > batchBytesMax) return { position, bad: `a batch says it has ${need} bytes` };
    if (filled < Math.min(buffer.byteLength, to - position))
      return { position, bad: `the file ends after ${position + filled} bytes` };
    buffer = new Uint8Array(Math.max(need, chunkBytes));
  }
  return { position };
}

/** Walks the whole batches of a chunk; `used` is where the first unfinished, bad or refused one begins. */
function scanBytes(
  bytes: Uint8Array,
  filePosition: number,
  visit: BatchVisitor,
  codecs?: Codecs,
): { used: number; bad?: string } {
  const view = viewOf(bytes);
  let used = 0;
  while (used + batchHeaderBytes <= bytes.byteLength) {
    const size = batchSizeAt(view, used);
    if (size < batchHeaderBytes) return { used, bad: `a batch says it has ${size} bytes` };
    if (magicAt(view, used) !== currentMagic)
      return { used, bad: `magic ${magicAt(view, used)} is not a record batch of version 2` };
    if (used + size > bytes.byteLength) break;
    const batch = bytes.subarray(used, used + size);
    if (codecs && !hasValidCrc(batch, codecs)) return { used, bad: "the CRC of a batch does not match its bytes" };
    const refused = visit(readBatchHeader(view, used), filePosition + used, batch);
    if (refused) return { used, bad: refused };
    used += size;
  }
  return { used };
}
