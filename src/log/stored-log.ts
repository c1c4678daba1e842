// What one log has stored, and what it knows of that: its segments, leader epochs and producers, and where it begins and ends.
// No queue, no leader, no readers: whoever calls a method that changes files makes sure that no other of them runs.
//
// logStartOffset ≤ highWatermark ≤ flushedOffset (relaxed topics: logEndOffset) ≤ logEndOffset, always.

import { assert } from "../assert.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import type { FlushTimer } from "./flush-timer.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { Checkpoints, LogContext, LogIdentity } from "./log-context.ts";
import { removeSnapshots } from "./producer-snapshot.ts";
import type { ProducerState } from "./producer-state.ts";
import type { RecoveredLog } from "./recovery.ts";
import { retentionRules } from "./retention.ts";
import { beginNextSegment, mustRoll, writeSealFiles } from "./roll.ts";
import { SegmentList } from "./segment-list.ts";
import type { TopicConfig } from "./topic-config.ts";

/** Batches that go to the log in one write. */
interface BatchesToWrite {
  readonly chunks: readonly Uint8Array[];
  /** Of all batches in the chunks, with the offsets they have in the log. */
  readonly headers: readonly BatchHeader[];
  readonly bytes: number;
  /** Behind the last of them. */
  readonly endOffset: number;
  /** Called once they are written: their producers count from now on. */
  remember(): void;
}

export class StoredLog {
  readonly identity: LogIdentity;
  readonly segments: SegmentList;
  readonly checkpoints: Checkpoints;
  config: TopicConfig;
  readonly #context: LogContext;
  readonly #flushTimer: FlushTimer;
  #epochs: LeaderEpochCache;
  #producers: ProducerState;
  #logStartOffset: number;
  #logEndOffset: number;
  #flushedOffset: number;
  #highWatermark: number;

  constructor(
    context: LogContext,
    identity: LogIdentity,
    config: TopicConfig,
    recovered: RecoveredLog,
    checkpoints: Checkpoints,
    flushTimer: FlushTimer,
  ) {
    this.#context = context;
    this.identity = identity;
    this.config = config;
    this.checkpoints = checkpoints;
    this.#flushTimer = flushTimer;
    this.segments = new SegmentList(context, recovered.segments);
    this.#epochs = recovered.epochs;
    this.#producers = recovered.producers;
    this.#logStartOffset = recovered.logStartOffset;
    this.#logEndOffset = recovered.logEndOffset;
    this.#flushedOffset = recovered.logEndOffset;
    this.#highWatermark = recovered.highWatermark;
  }

  get name(): string {
    return `${this.identity.topic}-${this.identity.partition}`;
  }
  get epochs(): LeaderEpochCache {
    return this.#epochs;
  }
  get producers(): ProducerState {
    return this.#producers;
  }
  get logStartOffset(): number {
    return this.#logStartOffset;
  }
  get logEndOffset(): number {
    return this.#logEndOffset;
  }
  get flushedOffset(): number {
    return this.#flushedOffset;
  }
  get highWatermark(): number {
    return this.#highWatermark;
  }
  get isStrict(): boolean {
    return this.config.flushMessages === 1;
  }
  /** What this replica counts for in the high watermark: what a power cut leaves, or all it has if the topic is relaxed. */
  get acknowledgedOffset(): number {
    return this.isStrict ? this.#flushedOffset : this.#logEndOffset;
  }

  advanceHighWatermark(offset: number): void {
    assert(
      offset <= this.acknowledgedOffset,
      `${this.name}: high watermark ${offset} above ${this.acknowledgedOffset}`,
    );
    if (offset > this.#highWatermark) this.#highWatermark = offset;
  }

  /** As durable as the flush settings ask for when it returns; what they put off is put off. */
  async write(batches: BatchesToWrite): Promise<void> {
    const { clock, observer } = this.#context;
    const started = clock.monotonicMs();
    await this.segments.active.append(batches.chunks, batches.headers, this.config.indexIntervalBytes);
    batches.remember();
    this.#logEndOffset = batches.endOffset;
    observer.groupWritten(batches.headers.length, batches.bytes, clock.monotonicMs() - started);
    if (this.#logEndOffset - this.#flushedOffset >= this.config.flushMessages) await this.flush();
    else this.#flushTimer.arm(this.config.flushMs);
  }

  async flush(): Promise<void> {
    const { clock, observer } = this.#context;
    const started = clock.monotonicMs();
    const upTo = this.#logEndOffset;
    await this.segments.active.sync();
    this.#flushedOffset = upTo;
    observer.synced(clock.monotonicMs() - started);
  }

  async flushRest(): Promise<void> {
    if (this.#flushedOffset < this.#logEndOffset) await this.flush();
  }

  /** Whether `header` has to begin a new segment when `groupBytes` go before it and it would end at `lastOffset`. */
  mustRoll(header: BatchHeader, groupBytes: number, lastOffset: number): boolean {
    return mustRoll(this.segments.active, this.config, header, groupBytes, lastOffset, this.#context.clock.nowMs());
  }

  async roll(): Promise<void> {
    await this.flushRest();
    const { directory, topic, partition } = this.identity;
    const baseOffset = this.#logEndOffset;
    this.segments.push(
      await beginNextSegment(this.#context, directory, this.segments.active, this.#producers, baseOffset),
    );
    this.#context.logger.info({ topic, partition, baseOffset }, "rolled to a new segment");
  }

  /** Leaves files from which the next start needs no scan. */
  async sealForStop(): Promise<void> {
    await this.flushRest();
    const { directory } = this.identity;
    await writeSealFiles(this.#context, directory, this.segments.active, this.#producers, this.#logEndOffset);
    await this.#context.disk.syncDir(directory);
  }

  /** Raises the log start to `offset`, which must not be above the high watermark; whole segments go with the next retention. */
  async removeBefore(offset: number): Promise<void> {
    if (offset > this.#flushedOffset) await this.flush(); // else a power cut could leave an end below the start
    if (await this.#raiseLogStart(offset)) await this.#forgetBelowStart();
  }

  /** Lets go of the segments that are due, and of producers not seen for long. Gives how many went. */
  async applyRetention(): Promise<number> {
    const { clock } = this.#context;
    this.#producers.forgetOld(clock.monotonicMs());
    const { logStartOffset, highWatermark, logEndOffset } = this;
    const bounds = { logStartOffset, highWatermark, logEndOffset, nowMs: clock.nowMs() };
    let due = await this.segments.dueFor(retentionRules(this.config), bounds);
    if (due === 0) return 0;
    if (due === this.segments.count) await this.roll();
    due = Math.min(due, this.segments.count - 1);
    await this.#raiseLogStart(this.segments.baseOffsetOf(due));
    await this.segments.removeOldest(due);
    await this.#forgetBelowStart();
    return due;
  }

  /** Nothing at or above `offset` counts any more, nor may a checkpoint say so: do it before the files are cut there. */
  lowerEnds(offset: number): void {
    assert(
      offset >= this.#logStartOffset,
      `${this.name}: cut at ${offset}, below its start at ${this.#logStartOffset}`,
    );
    this.#logEndOffset = Math.min(this.#logEndOffset, offset);
    this.#flushedOffset = Math.min(this.#flushedOffset, offset);
    this.#highWatermark = Math.min(this.#highWatermark, offset);
  }

  /** The log is about to be an empty one that begins at `offset`. */
  emptyAt(offset: number): void {
    this.#logStartOffset = offset;
    this.#logEndOffset = offset;
    this.#flushedOffset = offset;
    this.#highWatermark = offset;
  }

  /** From now on what a recovery of the changed files has found is the log. */
  adopt(recovered: RecoveredLog): void {
    this.segments.replaceAll(recovered.segments);
    this.#epochs = recovered.epochs;
    this.#producers = recovered.producers;
    this.#logStartOffset = recovered.logStartOffset;
    this.#logEndOffset = recovered.logEndOffset;
    this.#flushedOffset = recovered.logEndOffset;
    this.#highWatermark = recovered.highWatermark;
  }

  /** Durable when it returns. When that fails nothing of the log is harmed: it starts where it did and stays online. */
  async #raiseLogStart(offset: number): Promise<boolean> {
    const before = this.#logStartOffset;
    if (offset <= before) return false;
    this.#logStartOffset = offset;
    try {
      await this.checkpoints.writeLogStarts();
      return true;
    } catch (cause) {
      this.#logStartOffset = before;
      throw new BrokerError("KAFKA_STORAGE_ERROR", `the log start of ${this.name} cannot be stored`, { cause });
    }
  }

  /** Snapshots and epochs that only concern offsets below the log start. */
  async #forgetBelowStart(): Promise<void> {
    const first = this.segments.firstOffset;
    await removeSnapshots(this.#context.disk, this.identity.directory, (offset) => offset < first);
    if (this.#epochs.truncateFromStart(this.#logStartOffset)) await this.#epochs.write();
  }
}
