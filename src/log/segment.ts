// One segment: a file of batches and its two sparse indexes. The last segment of a log is active, its indexes live in memory
// and are written when it is sealed; the indexes of sealed segments are read when needed.
// Readers hold no lock: what they may see is fixed by the size and the offset bound they bring along.

import { assert } from "../assert.ts";
import type { DiskFile } from "../io/disk.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { batchHeaderBytes, batchSizeAt, lastOffsetAt, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import { scanBatches } from "./batch-scan.ts";
import { lastWhole, notInSegment, SegmentCorruptError, skipTo, soundBatches } from "./batch-walk.ts";
import { segmentFileName } from "./file-names.ts";
import { type Indexes, readIndexFiles, writeIndexFiles } from "./index-files.ts";
import type { LogContext } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { TimeIndex, type TimestampOffset } from "./time-index.ts";

/** How far a read may have to look past its index entry; saves most reads a second trip to the disk. */
const scanAheadBytes = 8 * 1024;

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
  /** Its files have other names, or none; they are about to go. */
  #isAside = false;
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

  /** Makes an empty active segment. Its name, with `suffix` until it is renamed, is not durable before the directory is synced. */
  static async create(context: LogContext, directory: string, baseOffset: number, suffix = ""): Promise<Segment> {
    const file = await context.disk.create(`${directory}/${segmentFileName(baseOffset, ".log")}${suffix}`);
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
    // A batch that compaction has emptied still says when its producer wrote, but there is nothing of that time in it.
    if (header.recordsCount > 0 && header.maxTimestamp > (this.#largest?.timestamp ?? -1))
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
    await writeIndexFiles(this.#context.disk, this.#directory, this.baseOffset, this.#completeIndexes());
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
    if (!this.#largest) await this.#whileOpen(async () => (this.#largest = (await this.#loadIndexes()).times.last));
    return this.#largest?.timestamp ?? -1;
  }

  /**
   * Whole batches from the one that holds `offset` (or the first behind it) on, all below `endOffset` and within the first
   * `endPosition` bytes; at most `bytesMax`, but at least one. Empty when there is none. Without gaps a batch must hold `offset`, if that is
   * below the bound: passing over records would be worse than no answer.
   */
  async read(
    offset: number,
    bytesMax: number,
    endOffset: number,
    endPosition: number,
    mayHaveGaps: boolean,
  ): Promise<Uint8Array> {
    return this.#byIndex(async ({ offsets }) => {
      const from = offsets.positionBefore(offset);
      let position = from;
      while (position < endPosition) {
        const wanted = Math.max(bytesMax, batchHeaderBytes) + scanAheadBytes;
        const bytes = await this.#readAt(position, Math.min(wanted, endPosition - position));
        const view = viewOf(bytes);
        if (position === from && from > 0) this.#requireBefore(readBatchHeader(view, 0), offset, from);
        const start = skipTo(view, offset, this.path, position);
        if (start + batchHeaderBytes > bytes.byteLength) {
          position += start;
          if (start === 0 || position > endPosition)
            throw new SegmentCorruptError(
              `${this.path}: no batch ends at byte ${endPosition}, where the last one must`,
            );
          continue;
        }
        if (!mayHaveGaps && readBatchHeader(view, start).baseOffset > offset) throw notInSegment(this.path, offset);
        const end = lastWhole(view, start, bytesMax, endOffset);
        if (end === start && lastOffsetAt(view, start) >= endOffset) return new Uint8Array(0);
        const batches =
          end > start
            ? bytes.subarray(start, end)
            : await this.#readAt(position + start, batchSizeAt(view, start), endPosition);
        return soundBatches(batches, mayHaveGaps, this.#context.codecs, this.path);
      }
      if (!mayHaveGaps && offset < endOffset) throw notInSegment(this.path, offset);
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
    return this.#byIndex(async ({ offsets, times }) => {
      const target = Math.max(fromOffset, times.offsetBefore(timestamp));
      const from = offsets.positionBefore(target);
      let found: Uint8Array | undefined;
      const { bad, position } = await scanBatches(this.#file, from, endPosition, (header, at, bytes) => {
        if (at === from && from > 0) this.#requireBefore(header, target, from);
        if (header.lastOffset >= endOffset) return beyondBound;
        if (header.maxTimestamp < timestamp || header.lastOffset < fromOffset || header.recordsCount === 0)
          return undefined;
        found = bytes.slice();
        return beyondBound;
      });
      if (bad && bad !== beyondBound) throw new SegmentCorruptError(`${this.path}: at byte ${position}: ${bad}`);
      return found;
    });
  }

  /** Whole, sound batches from byte `position` on, at most `bytesMax` but at least one; empty at the end. */
  async readChunk(position: number, bytesMax: number): Promise<Uint8Array> {
    return this.#whileOpen(async () => {
      if (position === this.#sizeBytes) return new Uint8Array(0);
      const wanted = Math.min(Math.max(bytesMax, batchHeaderBytes), this.#sizeBytes - position);
      const bytes = await this.#readAt(position, wanted);
      const view = viewOf(bytes);
      const end = lastWhole(view, 0, bytesMax, Number.POSITIVE_INFINITY);
      const batches =
        end > 0 ? bytes.subarray(0, end) : await this.#readAt(position, batchSizeAt(view, 0), this.#sizeBytes);
      return soundBatches(batches, true, this.#context.codecs, this.path);
    });
  }

  /** Where to begin to look for the batch that holds `offset`: by the index, which may be wrong. */
  async positionBefore(offset: number): Promise<number> {
    return (await this.#loadIndexes()).offsets.positionBefore(offset);
  }

  /** Removes the files; the batches can be read by those who do until close. */
  async remove(): Promise<void> {
    this.#isAside = true;
    for (const path of await this.#filesOf(".index", ".timeindex", ".log")) await this.#context.disk.removeFile(path);
  }

  /** Renames the files out of the way; they can be read by those who do until close. */
  async renameAside(suffix: string): Promise<readonly string[]> {
    this.#isAside = true;
    const paths = await this.#filesOf(".log", ".index", ".timeindex");
    for (const path of paths) await this.#context.disk.rename(path, path + suffix);
    return paths.map((path) => path + suffix);
  }

  /** Those that are there. */
  async #filesOf(...kinds: readonly (".log" | ".index" | ".timeindex")[]): Promise<string[]> {
    const paths = kinds.map((kind) => `${this.#directory}/${segmentFileName(this.baseOffset, kind)}`);
    const stats = await Promise.all(paths.map((path) => this.#context.disk.stat(path)));
    return paths.filter((_path, i) => stats[i] !== undefined);
  }

  /** Resolves once the last reader is done and the file is closed. */
  async close(): Promise<void> {
    if (this.#readers > 0) await new Promise<void>((resolve) => (this.#closing = resolve));
    this.#context.indexMemory.forget(this);
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

  /** Looks something up by the indexes. Those that lead astray are made again, once: it is no harm to the segment. */
  async #byIndex<T>(look: (indexes: Indexes) => Promise<T>): Promise<T> {
    return this.#whileOpen(async () => {
      const indexes = await this.#loadIndexes();
      try {
        return await look(indexes);
      } catch (error) {
        if (!(error instanceof SegmentCorruptError) || this.#active) throw error;
        this.#context.logger.warn({ err: error, segment: this.path }, "an index leads astray; it is made again");
        if (this.#indexes === indexes) this.#indexes = undefined;
        return await look(await this.#loadIndexes(() => this.#rebuildIndexes()));
      }
    });
  }

  /** The batch that an index entry points to cannot begin behind what was looked up. */
  #requireBefore({ baseOffset }: BatchHeader, offset: number, position: number): void {
    if (baseOffset < this.baseOffset || baseOffset > offset)
      throw new SegmentCorruptError(`${this.path}: by its index offset ${offset} is at byte ${position} or behind`);
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

  /** With the entry for the largest timestamp, which otherwise only the next batches would bring. */
  #completeIndexes(): Indexes {
    const indexes = this.#activeIndexes();
    if (this.#largest) indexes.times.append(this.#largest.timestamp, this.#largest.offset);
    return indexes;
  }

  #heldBytes(): number {
    return this.#indexes ? this.#indexes.offsets.heldBytes + this.#indexes.times.heldBytes : 0;
  }

  async #loadIndexes(load = () => this.#readIndexes()): Promise<Indexes> {
    if (!this.#indexes) {
      this.#loading ??= load().finally(() => (this.#loading = undefined));
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
    if (this.#isAside) return this.#rebuildIndexes(); // the files of that name are, or are about to be, another segment's
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
    let next = this.baseOffset;
    const { bad, position } = await scanBatches(this.#file, 0, this.#sizeBytes, (header) => {
      if (
        header.baseOffset < next ||
        header.lastOffset < header.baseOffset ||
        header.lastOffset - this.baseOffset >= 2 ** 31
      )
        return `a batch of offsets ${header.baseOffset} to ${header.lastOffset} where ${next} is due`;
      next = header.lastOffset + 1;
      rebuilt.noteBatch(header, rebuiltIndexIntervalBytes);
      return undefined;
    });
    if (bad) throw new SegmentCorruptError(`${this.path}: at byte ${position}: ${bad}`);
    const indexes = rebuilt.#completeIndexes();
    if (!this.#isAside) await this.#storeRebuilt(indexes);
    return indexes;
  }

  /** Only saves the next process the work. */
  async #storeRebuilt(indexes: Indexes): Promise<void> {
    const { disk, logger } = this.#context;
    try {
      await writeIndexFiles(disk, this.#directory, this.baseOffset, indexes);
    } catch (error) {
      logger.warn({ err: error, segment: this.path }, "an index that was made again cannot be stored");
    }
  }
}

/** Why a walk was ended that found no fault. */
const beyondBound = "no more is wanted";

/** An index made again is as dense as Kafka's default; how dense it was is not known any more. */
const rebuiltIndexIntervalBytes = 4096;
