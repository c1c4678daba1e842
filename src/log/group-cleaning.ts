// Compaction of one group of neighbouring segments: written again as one, or as several if it grew, which compressed batches may;
// then put in their place.

import { type BatchHeader, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import { type CleaningRules, cleanBatch } from "./batch-cleaner.ts";
import type { SealedSegment } from "./compaction-rules.ts";
import { cleanedSuffix } from "./file-names.ts";
import type { LogContext } from "./log-context.ts";
import { Segment } from "./segment.ts";
import { batchesIn } from "./segment-batches.ts";
import type { SegmentList } from "./segment-list.ts";
import { removeCleaned, swapSegments } from "./segment-swap.ts";
import type { Throttle } from "./throttle.ts";
import type { TopicConfig } from "./topic-config.ts";

export interface CleaningTarget {
  readonly directory: string;
  readonly segments: SegmentList;
  readonly rules: CleaningRules;
  /** The batches that producers' retries are judged by, as batchName names them. */
  readonly remembered: ReadonlySet<string>;
  config(): TopicConfig;
  /** Runs it between two writes; a failure takes the log offline. */
  onWriter(run: () => Promise<void>): Promise<void>;
}

export type GroupMember = SealedSegment & { readonly segment: Segment };

export function batchName(producerId: bigint, baseOffset: number): string {
  return `${producerId} ${baseOffset}`;
}

export class GroupCleaning {
  readonly #context: LogContext;
  readonly #target: CleaningTarget;
  readonly #group: readonly GroupMember[];
  readonly #written: Segment[] = [];
  /** Behind the last batch written. */
  #endOffset = 0;
  #isChanged: boolean;
  #swap: "not begun" | "begun" | "done" = "not begun";

  constructor(context: LogContext, target: CleaningTarget, group: readonly GroupMember[]) {
    this.#context = context;
    this.#target = target;
    this.#group = group;
    this.#isChanged = group.length > 1;
  }

  /** False when the group could not be cleaned: the log is closed or deleted, or retention took a part of it. */
  async run(throttle: Throttle, signal: AbortSignal): Promise<boolean> {
    const before = this.#group.map(({ segment }) => segment);
    if (this.#group.every(({ sizeBytes }) => sizeBytes === 0)) return true;
    try {
      const isWhole = await this.#write(throttle, signal);
      if (!isWhole || !this.#isChanged) return isWhole;
      for (const segment of this.#written) await segment.sync();
      await this.#target.onWriter(async () => {
        if (!this.#target.segments.holds(before)) return;
        this.#swap = "begun";
        await swapSegments(this.#context, this.#target.directory, before, this.#written);
        for (const segment of this.#written) segment.seal();
        this.#target.segments.replace(before, this.#written);
        this.#swap = "done";
      });
    } finally {
      await this.#cleanUp();
    }
    if (this.#isSwapped) this.#tell(before);
    return this.#isSwapped;
  }

  get #isSwapped(): boolean {
    return this.#swap === "done";
  }

  /** What a swap that has begun leaves is for the next start to put in order. */
  async #cleanUp(): Promise<void> {
    if (this.#isSwapped) return;
    for (const segment of this.#written) await segment.close();
    if (this.#swap === "not begun") await removeCleaned(this.#context, this.#target.directory);
  }

  /** False when it ended early. */
  async #write(throttle: Throttle, signal: AbortSignal): Promise<boolean> {
    const { segments, remembered, rules } = this.#target;
    const last = this.#group.findLast(({ sizeBytes }) => sizeBytes > 0)?.segment;
    await this.#begin(this.#group[0]!.baseOffset);
    for (const { segment } of this.#group) {
      let cleaned: Uint8Array[] = [];
      let bytes = 0;
      for await (const { header, batch, isLastOfChunk, isLast } of batchesIn(segment)) {
        const isRemembered = remembered.has(batchName(header.producerId, header.baseOffset));
        const left = cleanBatch(batch, header, isRemembered || (isLast && segment === last), rules);
        if (left[0] !== batch) this.#isChanged = true;
        cleaned.push(...left);
        bytes += left.reduce((sum, { byteLength }) => sum + byteLength, batch.byteLength);
        if (!isLastOfChunk) continue;
        await this.#append(cleaned);
        await throttle.took(bytes, signal);
        if (signal.aborted || !segments.holds([segment])) return false;
        cleaned = [];
        bytes = 0;
      }
    }
    return true;
  }

  async #append(batches: readonly Uint8Array[]): Promise<void> {
    const { segmentBytes } = this.#target.config();
    let chunks: Uint8Array[] = [];
    let headers: BatchHeader[] = [];
    let bytes = this.#written.at(-1)!.sizeBytes;
    for (const batch of batches) {
      if (bytes > 0 && bytes + batch.byteLength > segmentBytes) {
        await this.#store(chunks, headers);
        await this.#begin(this.#endOffset);
        [chunks, headers, bytes] = [[], [], 0];
      }
      const header = readBatchHeader(viewOf(batch), 0);
      chunks.push(batch);
      headers.push(header);
      bytes += batch.byteLength;
      this.#endOffset = header.lastOffset + 1;
    }
    await this.#store(chunks, headers);
  }

  async #store(chunks: readonly Uint8Array[], headers: readonly BatchHeader[]): Promise<void> {
    if (chunks.length === 0) return;
    await this.#written.at(-1)!.append(chunks, headers, this.#target.config().indexIntervalBytes);
  }

  async #begin(baseOffset: number): Promise<void> {
    this.#written.push(await Segment.create(this.#context, this.#target.directory, baseOffset, cleanedSuffix));
  }

  #tell(before: readonly Segment[]): void {
    const sizeOf = (segments: readonly Segment[]) => segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const [bytesBefore, bytesAfter] = [sizeOf(before), sizeOf(this.#written)];
    this.#context.observer.compacted(bytesBefore, bytesAfter);
    const { directory } = this.#target;
    const fields = { directory, baseOffset: before[0]!.baseOffset, segments: before.length, bytesBefore, bytesAfter };
    this.#context.logger.info(fields, "segments compacted");
  }
}
