// One segment: a file of batches and its two sparse indexes. The last segment of a log is active, its indexes live in memory
// and are written when it is sealed; the indexes of sealed segments are read when needed.
// Readers hold no lock: what they may see is fixed by the size and the offset bound they bring along.

import { assert } from "../assert.ts";
import type { DiskFile } from "../io/disk.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import {
  batchHeaderBytes,
  batchSizeAt,
  currentMagic,
  lastOffsetAt,
  magicAt,
  viewOf,
} from "../protocol/record-batch.ts";
import { scanBatches } from "./batch-scan.ts";
import { segmentFileName } from "./file-names.ts";
import { type Indexes, readIndexFiles, writeIndexFiles } from "./index-files.ts";
import type { LogContext } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { TimeIndex, type TimestampOffset } from "./time-index.ts";

/** How far a read may have to look past its index entry; saves most reads a second trip to the disk. */
const scanAheadBytes = 8 * 1024;

/** The stored bytes contradict themselves where they must not. The partition has to go offline. */
export class SegmentCorruptError extends Error {
  override readonly name = "SegmentCorruptError";
}

export class Segment {
  readonly baseOffset: number;
  readonly #context: LogContext;
  readonly #directory: string;
  readonly #file: DiskFile;
  /** undefined while they are only on disk. */
  #indexes: Indexes | undefined;
  #loading: Promise<Indexes> | undefined;
  #active: boolean;
  /** Bytes of whole, written batches. */
  #sizeBytes: number;
  #largest: TimestampOffset | undefined;
  #firstTimestamp: number | undefined;
  #bytesSinceIndexEntry = 0;
  readonly #createdMs: number;
  #readers = 0;
  #closing: (() => void) | undefined;

  constructor(
    context: LogContext,
    directory: string,
    baseOffset: number,
    file: DiskFile,
    state: {
      active: boolean;
      sizeBytes: number;
      indexes?: Indexes;
      largest?: TimestampOffset;
      firstTimestamp?: number;
    },
  ) {
    this.#context = context;
    this.#directory = directory;
    this.baseOffset = baseOffset;
    this.#file = file;
    this.#active = state.active;
    this.#sizeBytes = state.sizeBytes;
    this.#indexes = state.indexes;
    this.#largest = state.largest;
    this.#firstTimestamp = state.firstTimestamp;
    this.#createdMs = context.clock.nowMs();
  }

  /** Makes an empty active segment. Its name is not durable before the directory is synced. */
  static async create(context: LogContext, directory: string, baseOffset: number): Promise<Segment> {
    const file = await context.disk.create(`${directory}/${segmentFileName(baseOffset, ".log")}`);
    return new Segment(context, directory, baseOffset, file, {
      active: true,
      sizeBytes: 0,
      indexes: { offsets: new OffsetIndex(baseOffset), times: new TimeIndex(baseOffset) },
    });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get path(): string {
    return `${this.#directory}/${segmentFileName(this.baseOffset, ".log")}`;
  }

  /** The largest timestamp of its batches; undefined when it has none or it is not in memory (then ask largestTimestamp). */
  get largest(): TimestampOffset | undefined {
    return this.#largest;
  }

  /** For roll by time: how long this segment has been filling, by its records' time or, without timestamps, by the wall clock. */
  ageMs(incomingTimestamp: number, nowMs: number): number {
    if (this.#firstTimestamp === undefined || this.#firstTimestamp < 0) return nowMs - this.#createdMs;
    return incomingTimestamp - this.#firstTimestamp;
  }

  /** Whether the next batch may need an entry that an index of `indexBytesMax` has no room for. */
  isIndexFull(indexBytesMax: number): boolean {
    const { offsets, times } = this.#activeIndexes();
    return offsets.count >= Math.floor(indexBytesMax / 8) || times.count >= Math.floor(indexBytesMax / 12) - 1;
  }

  /** Writes the chunks, which hold exactly the batches of `headers`, in one go. Not durable before sync. */
  async append(
    chunks: readonly Uint8Array[],
    headers: readonly BatchHeader[],
    indexIntervalBytes: number,
  ): Promise<void> {
    await this.#file.append(chunks);
    for (const header of headers) this.noteBatch(header, indexIntervalBytes);
  }

  /** Takes a batch that stands at the end of the written bytes into size, times and indexes. */
  noteBatch(header: BatchHeader, indexIntervalBytes: number): void {
    const { offsets, times } = this.#activeIndexes();
    if (this.#firstTimestamp === undefined) this.#firstTimestamp = header.maxTimestamp;
    if (header.maxTimestamp > (this.#largest?.timestamp ?? -1))
      this.#largest = { timestamp: header.maxTimestamp, offset: header.lastOffset };
    if (this.#bytesSinceIndexEntry > indexIntervalBytes) {
      offsets.append(header.lastOffset, this.#sizeBytes);
      if (this.#largest) times.append(this.#largest.timestamp, this.#largest.offset);
      this.#bytesSinceIndexEntry = 0;
    }
    this.#bytesSinceIndexEntry += header.sizeBytes;
    this.#sizeBytes += header.sizeBytes;
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  /** Writes the last `bytes` bytes again in place, so that a later sync really stores them after a sync that failed unseen. */
  async rewriteTail(bytes: number): Promise<void> {
    const tail = new Uint8Array(Math.min(bytes, this.#sizeBytes));
    if (tail.byteLength === 0) return;
    await this.#file.read(this.#sizeBytes - tail.byteLength, tail);
    await this.#file.write(this.#sizeBytes - tail.byteLength, tail);
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#file.truncate(sizeBytes);
  }

  /** Writes the indexes as files and syncs them; their names are not durable before the directory is synced. */
  async writeIndexes(): Promise<void> {
    const { offsets, times } = this.#activeIndexes();
    if (this.#largest) times.append(this.#largest.timestamp, this.#largest.offset);
    await writeIndexFiles(this.#context.disk, this.#directory, this.baseOffset, { offsets, times });
  }

  /** No more appends: the indexes are on disk and may leave memory. */
  seal(): void {
    assert(this.#active, `segment ${this.baseOffset} is sealed already`);
    this.#active = false;
    this.#context.indexMemory.used(this, this.#heldBytes());
  }

  dropIndexes(): void {
    this.#indexes = undefined;
  }

  /** Milliseconds; −1 when no record has a timestamp. */
  async largestTimestamp(): Promise<number> {
    if (this.#largest) return this.#largest.timestamp;
    const { times } = await this.#loadIndexes();
    this.#largest = times.last;
    return this.#largest?.timestamp ?? -1;
  }

  /**
   * Whole batches from the one that holds `offset` (or the first behind it) on, all below `endOffset` and within the first
   * `endPosition` bytes; at most `bytesMax`, but at least one. Empty when there is none.
   */
  async read(offset: number, bytesMax: number, endOffset: number, endPosition: number): Promise<Uint8Array> {
    return this.#whileOpen(async () => {
      const { offsets } = await this.#loadIndexes();
      let position = offsets.positionBefore(offset);
      while (position < endPosition) {
        const wanted = Math.max(bytesMax, batchHeaderBytes) + scanAheadBytes;
        const bytes = await this.#readAt(position, Math.min(wanted, endPosition - position));
        const view = viewOf(bytes);
        const start = skipTo(view, offset, this.path, position);
        if (start + batchHeaderBytes > bytes.byteLength) {
          position += start;
          continue;
        }
        const end = lastWhole(view, start, bytesMax, endOffset);
        if (end > start) return bytes.subarray(start, end);
        if (lastOffsetAt(view, start) >= endOffset) break;
        return await this.#readAt(position + start, batchSizeAt(view, start), endPosition);
      }
      return new Uint8Array(0);
    });
  }

  /** The first batch that reaches from `fromOffset` or above to below `endOffset` and whose largest timestamp is ≥ `timestamp`. */
  async findTimestamp(
    timestamp: number,
    fromOffset: number,
    endOffset: number,
    endPosition: number,
  ): Promise<Uint8Array | undefined> {
    return this.#whileOpen(async () => {
      const { offsets, times } = await this.#loadIndexes();
      const from = offsets.positionBefore(Math.max(fromOffset, times.offsetBefore(timestamp)));
      let found: Uint8Array | undefined;
      await scanBatches(this.#file, from, endPosition, (header, _position, bytes) => {
        if (header.lastOffset >= endOffset) return "beyond the bound";
        if (header.maxTimestamp < timestamp || header.lastOffset < fromOffset) return undefined;
        found = bytes.slice();
        return "found";
      });
      return found;
    });
  }

  /** Renames the files out of the way; they can be read by those who do until close. */
  async renameAside(suffix: string): Promise<readonly string[]> {
    const renamed: string[] = [];
    for (const kind of [".log", ".index", ".timeindex"] as const) {
      const path = `${this.#directory}/${segmentFileName(this.baseOffset, kind)}`;
      if (!(await this.#context.disk.stat(path))) continue;
      await this.#context.disk.rename(path, path + suffix);
      renamed.push(path + suffix);
    }
    return renamed;
  }

  /** Resolves once the last reader is done and the file is closed. */
  async close(): Promise<void> {
    this.#context.indexMemory.forget(this);
    if (this.#readers > 0) await new Promise<void>((resolve) => (this.#closing = resolve));
    await this.#file.close();
  }

  async #whileOpen<T>(read: () => Promise<T>): Promise<T> {
    this.#readers += 1;
    try {
      return await read();
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#closing?.();
    }
  }

  async #readAt(position: number, length: number, endPosition = position + length): Promise<Uint8Array> {
    if (position + length > endPosition)
      throw new SegmentCorruptError(
        `${this.path}: the batch at ${position} says it has ${length} bytes, beyond the end at ${endPosition}`,
      );
    const bytes = Buffer.allocUnsafe(length);
    const filled = await this.#file.read(position, bytes);
    if (filled < length)
      throw new SegmentCorruptError(
        `${this.path}: ends after ${position + filled} bytes, ${position + length} were written`,
      );
    return bytes;
  }

  #activeIndexes(): Indexes {
    assert(this.#active && this.#indexes !== undefined, `segment ${this.baseOffset} is not active`);
    return this.#indexes;
  }

  #heldBytes(): number {
    return this.#indexes ? this.#indexes.offsets.heldBytes + this.#indexes.times.heldBytes : 0;
  }

  async #loadIndexes(): Promise<Indexes> {
    if (!this.#indexes) {
      this.#loading ??= this.#readIndexes().finally(() => (this.#loading = undefined));
      this.#indexes = await this.#loading;
    }
    const indexes = this.#indexes;
    if (!this.#active) this.#context.indexMemory.used(this, this.#heldBytes());
    return indexes;
  }

  /** From the index files; from the batches if the files are missing or cannot be right. */
  async #readIndexes(): Promise<Indexes> {
    const { disk, logger } = this.#context;
    const indexes = await readIndexFiles(disk, this.#directory, this.baseOffset, this.#sizeBytes);
    if (indexes) return indexes;
    logger.warn({ segment: this.path }, "an index is missing or damaged; it is made again from the segment");
    return await this.#rebuildIndexes();
  }

  async #rebuildIndexes(): Promise<Indexes> {
    const rebuilt = new Segment(this.#context, this.#directory, this.baseOffset, this.#file, {
      active: true,
      sizeBytes: 0,
      indexes: { offsets: new OffsetIndex(this.baseOffset), times: new TimeIndex(this.baseOffset) },
    });
    const { bad, position } = await scanBatches(this.#file, 0, this.#sizeBytes, (header) => {
      rebuilt.noteBatch(header, rebuiltIndexIntervalBytes);
      return undefined;
    });
    if (bad) throw new SegmentCorruptError(`${this.path}: at byte ${position}: ${bad}`);
    await rebuilt.writeIndexes();
    return rebuilt.#activeIndexes();
  }
}

/** An index made again is as dense as Kafka's default; how dense it was is not known any more. */
const rebuiltIndexIntervalBytes = 4096;

/** Where in the chunk the first batch begins whose last offset is ≥ `offset`; may be beyond the chunk. */
function skipTo(view: DataView, offset: number, path: string, filePosition: number): number {
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
function lastWhole(view: DataView, start: number, bytesMax: number, endOffset: number): number {
  let end = start;
  while (end + batchHeaderBytes <= view.byteLength) {
    const next = end + batchSizeAt(view, end);
    const tooMuch = next - start > bytesMax && end > start;
    if (next <= end || next > view.byteLength || tooMuch || lastOffsetAt(view, end) >= endOffset) break;
    end = next;
  }
  return end;
}
