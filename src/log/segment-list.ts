// The segments of one log, oldest first; the last is active. Finds the segment of an offset, reads across segments, and lets go of
// the oldest: out of sight at once, renamed, and removed when those who still read them have had time. Compaction puts others in
// the place of some.

import { assert } from "../assert.ts";
import type { Timer } from "../io/clock.ts";
import type { LogContext } from "./log-context.ts";
import { dueSegments, type RetentionRules } from "./retention.ts";
import type { Segment } from "./segment.ts";

/** A read lost the race against retention: what it asked for was deleted meanwhile. */
export const overtaken = Symbol("overtaken by retention");

export class SegmentList {
  readonly #context: LogContext;
  readonly #segments: Segment[];
  /** Deleted segments whose files are still there. */
  readonly #removals = new Map<() => Promise<void>, Timer>();
  /** Removals under way: they go by names, so that nothing may take over the folder before they end. */
  readonly #removing = new Set<Promise<void>>();

  constructor(context: LogContext, segments: readonly Segment[]) {
    this.#context = context;
    this.#segments = [...segments];
  }

  get active(): Segment {
    return this.#segments.at(-1)!;
  }
  get count(): number {
    return this.#segments.length;
  }
  get firstOffset(): number {
    return this.#segments[0]!.baseOffset;
  }
  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** From now on `next` takes the appends; the one before was sealed. */
  push(next: Segment): void {
    this.#segments.push(next);
  }

  /** The base offset of the segment after the first `count`. */
  baseOffsetOf(count: number): number {
    return this.#segments[count]!.baseOffset;
  }

  /** As PartitionLog.read, without its checks. `logStartOffset` tells the log start at any moment; only compaction makes gaps. */
  async read(
    offset: number,
    bytesMax: number,
    endOffset: number,
    { mayHaveGaps, logStartOffset }: { mayHaveGaps: boolean; logStartOffset: () => number },
  ): Promise<Uint8Array | typeof overtaken> {
    for (let from = offset; ; ) {
      const i = this.#indexOf(from);
      const segment = this.#segments[i]!;
      const next = this.#segments[i + 1];
      const bytes = await segment.read(offset, bytesMax, endOffset, segment.sizeBytes, mayHaveGaps);
      if (bytes.byteLength > 0 || !next || next.baseOffset >= endOffset) return bytes;
      if (next.baseOffset < logStartOffset()) return overtaken;
      from = next.baseOffset;
    }
  }

  /** As PartitionLog.findTimestamp. Goes on by offset: the segments may be others after each look. */
  async findTimestamp(timestamp: number, fromOffset: number, endOffset: number): Promise<Uint8Array | undefined> {
    for (let from = fromOffset; ; ) {
      const i = this.#indexOf(from);
      const segment = this.#segments[i]!;
      const next = this.#segments[i + 1]?.baseOffset;
      if (segment.baseOffset >= endOffset) return undefined;
      const mayHoldIt = (await segment.largestTimestamp()) >= timestamp;
      if (mayHoldIt && !this.#segments.includes(segment) && from >= this.firstOffset) continue; // look at what took its place
      if (mayHoldIt && this.#segments.includes(segment)) {
        const batch = await segment.findTimestamp(timestamp, from, endOffset, segment.sizeBytes);
        if (batch) return batch;
      }
      if (next === undefined) return undefined;
      from = Math.max(from, next);
    }
  }

  /** The one that holds `offset`, if any does, and those behind it. */
  from(offset: number): readonly Segment[] {
    return this.#segments.slice(this.#indexOf(offset));
  }

  /** All but the active one. */
  sealed(): readonly Segment[] {
    return this.#segments.slice(0, -1);
  }

  /** Whether these, in a row, are all still part of the log. */
  holds(segments: readonly Segment[]): boolean {
    const first = this.#segments.indexOf(segments[0]!);
    return first >= 0 && segments.every((segment, i) => this.#segments[first + i] === segment);
  }

  /** From now on `after` stands for `before`, whose files are gone; they are closed once their readers are done. */
  replace(before: readonly Segment[], after: readonly Segment[]): void {
    assert(this.holds(before), "segments are replaced that are not there");
    this.#segments.splice(this.#segments.indexOf(before[0]!), before.length, ...after);
    this.#closeLater(before);
  }

  /** From now on these are the log; those before are closed once their readers are done. */
  replaceAll(segments: readonly Segment[]): void {
    this.#closeLater(this.#segments.splice(0, this.#segments.length, ...segments));
  }

  #closeLater(segments: readonly Segment[]): void {
    for (const segment of segments) {
      const closing = segment
        .close()
        .catch((error) => this.#context.logger.warn({ err: error, segment: segment.path }, "a replaced segment's file"))
        .finally(() => this.#removing.delete(closing));
      this.#removing.add(closing);
    }
  }

  /** Reads what `dueFor` goes by, so that it need not wait for the disk later. */
  async loadTimestamps(): Promise<void> {
    for (const segment of [...this.#segments]) if (this.#segments.includes(segment)) await segment.largestTimestamp();
  }

  /** How many of the oldest retention lets go; may be all. */
  async dueFor(
    rules: RetentionRules,
    bounds: { logStartOffset: number; highWatermark: number; logEndOffset: number; nowMs: number },
  ): Promise<number> {
    const segments = await Promise.all(
      this.#segments.map(async (segment, i) => ({
        sizeBytes: segment.sizeBytes,
        nextOffset: this.#segments[i + 1]?.baseOffset ?? bounds.logEndOffset,
        largestTimestamp: await segment.largestTimestamp(),
      })),
    );
    return dueSegments(segments, rules, bounds);
  }

  /** Takes the oldest out of sight; their files are renamed now and removed after fileDeleteDelayMs. */
  async removeOldest(count: number): Promise<void> {
    const { clock, logger, settings } = this.#context;
    for (const segment of this.#segments.splice(0, count)) {
      const paths = await segment.renameAside(".deleted");
      logger.info({ segment: segment.path, sizeBytes: segment.sizeBytes }, "segment deleted by retention");
      const remove = () => {
        timer.cancel();
        this.#removals.delete(remove);
        const removing = this.#removeFiles(segment, paths).finally(() => this.#removing.delete(removing));
        this.#removing.add(removing);
        return removing;
      };
      const timer = clock.setTimer(settings.fileDeleteDelayMs, () => void remove());
      this.#removals.set(remove, timer);
    }
  }

  /** Removes what waits to be removed. */
  async finishRemovals(): Promise<void> {
    for (const remove of [...this.#removals.keys()]) await remove();
    await Promise.all(this.#removing);
  }

  /** Removes what waits to be removed, and closes all files once their readers are done. */
  async close(): Promise<void> {
    await this.finishRemovals();
    await Promise.all(this.#segments.map((segment) => segment.close()));
  }

  /** Closes all files; the folder is about to go, so deleted files may stay. */
  async abandon(): Promise<void> {
    for (const timer of this.#removals.values()) timer.cancel();
    await Promise.all(this.#removing);
    await Promise.all(this.#segments.map((segment) => segment.close()));
  }

  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.baseOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  async #removeFiles(segment: Segment, paths: readonly string[]): Promise<void> {
    const { disk, logger } = this.#context;
    try {
      await segment.close();
      for (const path of paths) await disk.removeFile(path);
    } catch (error) {
      const fields = { err: error, segment: segment.path };
      logger.warn(fields, "a deleted segment's files could not be removed; the next start removes them");
    }
  }
}
