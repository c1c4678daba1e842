// Compaction of one log: of each key the last record stays (batch-cleaner.ts has the rules). Offsets never change, gaps appear.
//
// One round maps the keys of the dirty part, as many as fit, then writes the log up to there again, oldest first, a group of segments at
// a time. It reads and writes beside appends and readers; only to put a group in the place of the old segments it takes the writer.
// Never touched: the active segment, what is at or above the high watermark, what is younger than min.compaction.lag.ms.
// The last batch of each group stays, as a header if need be, so that segments go on without a gap between them; so do the
// batches that are remembered of a producer, so that a start without snapshots still knows what a retry repeats.

import { readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import { type CleaningRules, mapBatch } from "./batch-cleaner.ts";
import { cleanableSegments, dirtyRatio, firstDirtyOffset, groupsOf } from "./compaction-rules.ts";
import { batchName, GroupCleaning, type GroupMember } from "./group-cleaning.ts";
import { KeyMap } from "./key-map.ts";
import type { LogContext, LogIdentity } from "./log-context.ts";
import type { ProducerEntry } from "./producer-state.ts";
import { ReadGate } from "./read-gate.ts";
import type { Segment } from "./segment.ts";
import { batchesIn } from "./segment-batches.ts";
import type { SegmentList } from "./segment-list.ts";
import { removeCleaned } from "./segment-swap.ts";
import type { Throttle } from "./throttle.ts";
import type { TopicConfig } from "./topic-config.ts";

/** The log whose segments are compacted. */
export interface CompactedLog {
  readonly identity: LogIdentity;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
  producers(): readonly ProducerEntry[];
}

/** What of it only its own parts see. */
export interface CompactedInside {
  readonly segments: SegmentList;
  config(): TopicConfig;
  /** Runs it between two writes; refused when the log is offline, closed or deleted, and a failure takes it offline. */
  onWriter(run: () => Promise<void>): Promise<void>;
}

export interface CompactionLimits {
  readonly keyMapBytesMax: number;
  readonly decompressedBytesMax: number;
  readonly throttle: Throttle;
}

type Cleanable = GroupMember & { largestTimestamp(): Promise<number> };

export class LogCompaction {
  readonly #context: LogContext;
  readonly #log: CompactedLog;
  readonly #inside: CompactedInside;
  /** Keys below were mapped by a round that ended; undefined: this log was never compacted. */
  #cleanedTo: number | undefined;
  #stop = new AbortController();
  #stopped = false;
  #running: Promise<unknown> | undefined;
  /** All that reads segments for compaction. */
  readonly #readers = new ReadGate();

  constructor(context: LogContext, log: CompactedLog, inside: CompactedInside, cleanedTo: number | undefined) {
    this.#context = context;
    this.#log = log;
    this.#inside = inside;
    this.#cleanedTo = cleanedTo;
  }

  get cleanedTo(): number | undefined {
    return this.#cleanedTo;
  }

  /** Whether offsets may be missing: always once it was compacted, whatever the policy is now. */
  get mayHaveGaps(): boolean {
    return this.#cleanedTo !== undefined || this.#inside.config().cleanupPolicy.compact;
  }

  /** Before a round: that there may be gaps has to be durable before there are any. */
  async begin(checkpoint: () => Promise<void>): Promise<void> {
    if (this.#cleanedTo !== undefined) return;
    this.#cleanedTo = this.#log.logStartOffset;
    try {
      await checkpoint();
    } catch (error) {
      this.#cleanedTo = undefined;
      throw error;
    }
  }

  /** How much of what may be compacted is dirty; 0 while nothing is due. */
  dueRatio(): Promise<number> {
    return this.#readers.read(() => this.#dueRatio());
  }

  async #dueRatio(): Promise<number> {
    const config = this.#inside.config();
    if (!config.cleanupPolicy.compact || this.#stop.signal.aborted) return 0;
    const firstDirty = firstDirtyOffset(this.#cleanedTo, this.#log);
    const segments = await this.#cleanable();
    const ratio = dirtyRatio(segments, firstDirty);
    if (ratio === 0 || ratio > config.minCleanableDirtyRatio) return ratio;
    if (!Number.isFinite(config.maxCompactionLagMs)) return 0;
    const oldest = segments.find(({ nextOffset }) => nextOffset > firstDirty)!;
    const since = await firstTimestampOf(oldest.segment);
    return this.#context.clock.nowMs() - since > config.maxCompactionLagMs ? ratio : 0;
  }

  /** One round. Ends early, with whole groups done, when the log is closed or deleted. */
  run(limits: CompactionLimits): Promise<void> {
    const round = this.#readers.read(() => this.#round(limits));
    const running = round.finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  /** Runs `change` while no round does: one under way ends early, those that come meanwhile wait. */
  without<T>(change: () => Promise<T>): Promise<T> {
    const run = async () => {
      try {
        return await change();
      } finally {
        if (!this.#stopped) this.#stop = new AbortController();
      }
    };
    return this.#readers.alone(run, () => this.#stop.abort());
  }

  /** The log ends at `offset` now. True when less of it is compacted than was. */
  cutTo(offset: number): boolean {
    if (this.#cleanedTo === undefined || this.#cleanedTo <= offset) return false;
    this.#cleanedTo = offset;
    return true;
  }

  /** No more rounds; returns when the one that runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stop.abort();
    await this.#running?.catch(() => {}); // told to whoever runs it
  }

  async #round(limits: CompactionLimits): Promise<void> {
    const { clock, codecs } = this.#context;
    const config = this.#inside.config();
    const segments = await this.#cleanable();
    const firstDirty = firstDirtyOffset(this.#cleanedTo, this.#log);
    await removeCleaned(this.#context, this.#log.identity.directory);
    const map = await this.#mapKeys(segments, firstDirty, limits);
    if (!map) return;
    const { keys, mappedTo } = map;
    const rules: CleaningRules = {
      keys,
      mappedTo,
      nowMs: clock.nowMs(),
      deleteRetentionMs: config.deleteRetentionMs,
      codecs,
      decompressedBytesMax: limits.decompressedBytesMax,
    };
    const remembered = batchesOf(this.#log.producers());
    const mapped = segments.filter(({ baseOffset }) => baseOffset < mappedTo);
    const target = { ...this.#inside, directory: this.#log.identity.directory, remembered, rules };
    for (const group of groupsOf(mapped, config.segmentBytes)) {
      const cleaning = new GroupCleaning(this.#context, target, group);
      // What a later group's tombstones delete must be gone before their horizon is set.
      if (!(await cleaning.run(limits.throttle, this.#stop.signal))) return;
    }
    this.#cleanedTo = mappedTo;
  }

  async #cleanable(): Promise<Cleanable[]> {
    const { segments } = this.#inside;
    const sealed = segments.sealed();
    const all = sealed.map((segment, i): Cleanable => {
      const nextOffset = (sealed[i + 1] ?? segments.active).baseOffset;
      const { baseOffset, sizeBytes } = segment;
      return { segment, baseOffset, nextOffset, sizeBytes, largestTimestamp: () => this.#largestTimestamp(segment) };
    });
    const { minCompactionLagMs } = this.#inside.config();
    const youngestMs =
      minCompactionLagMs > 0 ? this.#context.clock.nowMs() - minCompactionLagMs : Number.POSITIVE_INFINITY;
    return await cleanableSegments(all, this.#log.highWatermark, youngestMs);
  }

  /** One that retention has let go meanwhile is not read any more. */
  async #largestTimestamp(segment: Segment): Promise<number> {
    return this.#inside.segments.holds([segment]) ? await segment.largestTimestamp() : Number.POSITIVE_INFINITY;
  }

  /** False when the log is closed or deleted, or retention has let go of the segment. */
  #mayReadOn(segment: Segment): boolean {
    return !this.#stop.signal.aborted && this.#inside.segments.holds([segment]);
  }

  /**
   * The keys from `firstDirty` on, until the map is full or the segments end; `mappedTo` is the first offset that is not in it.
   * undefined when there is no going on.
   */
  async #mapKeys(
    segments: readonly Cleanable[],
    firstDirty: number,
    { keyMapBytesMax, decompressedBytesMax, throttle }: CompactionLimits,
  ): Promise<{ keys: KeyMap; mappedTo: number } | undefined> {
    const { codecs } = this.#context;
    const end = segments.at(-1)?.nextOffset ?? firstDirty;
    const keys = new KeyMap(keyMapBytesMax, Math.max(1, end - firstDirty));
    let bytes = 0;
    for (const { segment, nextOffset } of segments) {
      if (nextOffset <= firstDirty) continue;
      if (!this.#mayReadOn(segment)) return undefined;
      for await (const { header, batch, isLastOfChunk } of batchesIn(segment)) {
        bytes += batch.byteLength;
        if (header.lastOffset >= firstDirty) {
          const fullAt = mapBatch(batch, header, firstDirty, keys, codecs, decompressedBytesMax);
          if (fullAt !== undefined) return { keys, mappedTo: fullAt };
        }
        if (!isLastOfChunk) continue;
        await throttle.took(bytes, this.#stop.signal);
        if (!this.#mayReadOn(segment)) return undefined;
        bytes = 0;
      }
    }
    return { keys, mappedTo: Math.max(end, firstDirty) };
  }
}

/** Of records without a time the time is not known: as if it had just come. */
async function firstTimestampOf(segment: Segment): Promise<number> {
  const bytes = await segment.readChunk(0, 1);
  const { maxTimestamp } = readBatchHeader(viewOf(bytes), 0);
  return maxTimestamp < 0 ? Number.POSITIVE_INFINITY : maxTimestamp;
}

function batchesOf(producers: readonly ProducerEntry[]): ReadonlySet<string> {
  return new Set(
    producers.flatMap(({ producerId, batches }) =>
      batches.map(({ firstOffset }) => batchName(producerId, firstOffset)),
    ),
  );
}
