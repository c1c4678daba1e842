// All batches of a sealed segment, front to back, a chunk at a time: how compaction reads.

import { type BatchHeader, batchSizeAt, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import type { Segment } from "./segment.ts";

/** Keys of so much are hashed and records walked in a few milliseconds, then others have their turn. */
const chunkBytes = 256 * 1024;

interface WalkedBatch {
  readonly header: BatchHeader;
  /** May be kept: nobody writes into it. */
  readonly batch: Uint8Array;
  /** The next one has to be read from the disk. */
  readonly isLastOfChunk: boolean;
  /** Of the segment. */
  readonly isLast: boolean;
}

/** Whoever reads on after a chunk makes sure that the segment is still part of its log. */
export async function* batchesIn(segment: Segment): AsyncGenerator<WalkedBatch, void> {
  for (let position = 0; position < segment.sizeBytes; ) {
    const bytes = await segment.readChunk(position, chunkBytes);
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) {
      const header = readBatchHeader(view, at);
      const end = at + header.sizeBytes;
      const isLastOfChunk = end === bytes.byteLength;
      yield {
        header,
        batch: bytes.subarray(at, end),
        isLastOfChunk,
        isLast: isLastOfChunk && position + end === segment.sizeBytes,
      };
    }
    position += bytes.byteLength;
  }
}
