// One partition's durable log: the door to this folder of source. Appends go through one writer that takes all that waits,
// writes once, syncs once and answers all; everything else that changes files runs on that same writer, between groups.
// Readers run beside it and see what was written below the bound they name.
//
// logStartOffset ≤ highWatermark ≤ flushedOffset (relaxed topics: logEndOffset) ≤ logEndOffset, always.
// After a failed write or sync the log is offline until the process starts again: nothing is retried.

import { AssertionError, assert } from "../assert.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { FlushTimer } from "./flush-timer.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import { LogCompaction } from "./log-compaction.ts";
import type { CheckpointLogStarts, LogContext, LogIdentity, LogListener } from "./log-context.ts";
import { outOfRangeError, readRefusal, refusalOf } from "./log-refusals.ts";
import { LogWriter } from "./log-writer.ts";
import { removeSnapshots } from "./producer-snapshot.ts";
import type { ProducerEntry, ProducerState } from "./producer-state.ts";
import type { RecoveredLog } from "./recovery.ts";
import { retentionRules } from "./retention.ts";
import { beginNextSegment, mustRoll, writeSealFiles } from "./roll.ts";
import { overtaken, SegmentList } from "./segment-list.ts";
import type { TopicConfig } from "./topic-config.ts";
import { type AppendInfo, WriteGroup } from "./write-group.ts";

export class PartitionLog {
  readonly identity: LogIdentity;
  readonly compaction: LogCompaction;
  readonly epochs: LeaderEpochCache;
  readonly #context: LogContext;
  readonly #checkpointLogStarts: CheckpointLogStarts;
  readonly #writer: LogWriter;
  readonly #segments: SegmentList;
  readonly #producers: ProducerState;
  readonly #flushTimer: FlushTimer;
  #config: TopicConfig;
  #listener: LogListener = { advanced() {}, wentOffline() {} };
  #closing = false;
  #deleted = false;
  #offline: string | undefined;
  /** The epoch this log leads in; undefined: it takes no appends. */
  #leaderEpoch: number | undefined;
  #logStartOffset: number;
  #logEndOffset: number;
  #flushedOffset: number;
  #highWatermark: number;

  constructor(
    context: LogContext,
    identity: LogIdentity,
    config: TopicConfig,
    recovered: RecoveredLog,
    checkpointLogStarts: CheckpointLogStarts,
  ) {
    this.#context = context;
    this.identity = identity;
    this.#config = config;
    this.#checkpointLogStarts = checkpointLogStarts;
    this.#writer = new LogWriter(context.settings.appendQueueBytesMax, () => this.#writeGroup());
    this.#segments = new SegmentList(context, recovered.segments);
    this.epochs = recovered.epochs;
    this.#producers = recovered.producers;
    this.#flushTimer = new FlushTimer(context.clock, () => this.flush());
    this.#logStartOffset = recovered.logStartOffset;
    this.#logEndOffset = recovered.logEndOffset;
    this.#flushedOffset = recovered.logEndOffset;
    this.#highWatermark = recovered.highWatermark;
    const compactedInside = {
      segments: this.#segments,
      config: () => this.#config,
      onWriter: (run: () => Promise<void>) => this.#onWriter(run),
    };
    this.compaction = new LogCompaction(context, this, compactedInside, recovered.cleanedTo);
  }

  get logStartOffset(): number {
    return this.#logStartOffset;
  }
  /** The offset the next record gets. */
  get logEndOffset(): number {
    return this.#logEndOffset;
  }
  /** Everything below survives a power cut: what recovery may rely on. */
  get flushedOffset(): number {
    return this.#flushedOffset;
  }
  get highWatermark(): number {
    return this.#highWatermark;
  }
  get leaderEpoch(): number | undefined {
    return this.#leaderEpoch;
  }
  get sizeBytes(): number {
    return this.#segments.sizeBytes;
  }
  get segmentCount(): number {
    return this.#segments.count;
  }
  /** Why it is offline; undefined while it is not. */
  get offline(): string | undefined {
    return this.#offline;
  }
  /** What this replica counts for in the high watermark: what a power cut leaves, or all it has if the topic is relaxed. */
  get acknowledgedOffset(): number {
    return this.#isStrict ? this.#flushedOffset : this.#logEndOffset;
  }

  listen(listener: LogListener): void {
    this.#listener = listener;
  }

  /** Takes appends from now on, stamped with `epoch`, whose beginning is durable when this returns. */
  becomeLeader(epoch: number): Promise<void> {
    return this.#onWriter(async () => {
      await this.epochs.begin(epoch, this.#logEndOffset);
      this.#leaderEpoch = epoch;
    });
  }

  /** Appends one validated batch; resolves when it is as durable as the topic's flush settings ask for. The log keeps the bytes. */
  append(batch: Uint8Array, header: BatchHeader, expectedOffset?: number): Promise<AppendInfo> {
    return new Promise((resolve, reject) => {
      if (this.#offline !== undefined || this.#closing) throw this.#refusal();
      if (this.#leaderEpoch === undefined)
        throw new BrokerError("NOT_LEADER_OR_FOLLOWER", `${this.#name} is not led here at the moment`);
      if (this.#context.diskGuard.low) throw this.#context.diskGuard.refusal();
      this.#writer.append({ batch, header, expectedOffset, resolve, reject });
    });
  }

  /**
   * Whole batches from the one that holds `offset` on, all below `endOffset`; at most `bytesMax` but at least one; empty at the end.
   * OFFSET_OUT_OF_RANGE below the log start and above the log end.
   */
  async read(offset: number, bytesMax: number, endOffset: number): Promise<Uint8Array> {
    if (offset < this.#logStartOffset || offset > this.#logEndOffset) throw this.outOfRange(offset);
    assert(
      endOffset <= this.#logEndOffset,
      `${this.#name}: a read up to ${endOffset} ends beyond ${this.#logEndOffset}`,
    );
    const { mayHaveGaps } = this.compaction;
    const rules = { mayHaveGaps, logStartOffset: () => this.#logStartOffset };
    const bytes = await this.#guarded(() => this.#segments.read(offset, bytesMax, endOffset, rules));
    if (bytes === overtaken) throw this.outOfRange(offset);
    return bytes;
  }

  /**
   * The first batch that reaches from `fromOffset` or above to below `endOffset` and whose largest timestamp is ≥ `timestamp`.
   * Which of its records it is, and whether one at or above `fromOffset` is, only its records tell.
   */
  async findTimestamp(timestamp: number, fromOffset: number, endOffset: number): Promise<Uint8Array | undefined> {
    return this.#guarded(() => this.#segments.findTimestamp(timestamp, fromOffset, endOffset));
  }

  producers(): readonly ProducerEntry[] {
    return [...this.#producers.entries()];
  }

  /** Told by replication: everything below `offset` is committed. */
  advanceHighWatermark(offset: number): void {
    assert(
      offset <= this.acknowledgedOffset,
      `${this.#name}: high watermark ${offset} above ${this.acknowledgedOffset}`,
    );
    if (offset > this.#highWatermark) this.#highWatermark = offset;
  }

  /** Raises the log start to `offset`, durably; whole segments below it go with the next retention. */
  deleteRecordsBefore(offset: number): Promise<number> {
    return this.#onWriter(async () => {
      if (offset > this.#highWatermark) throw this.outOfRange(offset);
      if (offset > this.#flushedOffset) await this.#flush(); // else a power cut could leave an end below the start
      if (await this.#raiseLogStart(offset)) await this.#forgetBelowStart();
      return this.#logStartOffset;
    });
  }

  /** Lets go of the segments that are due, and of producers not seen for long. */
  async applyRetention(): Promise<number> {
    await this.#guarded(() => this.#segments.loadTimestamps()); // beside the writer, which need not wait for it
    return this.#onWriter(async () => {
      this.#producers.forgetOld(this.#context.clock.monotonicMs());
      const { logStartOffset, highWatermark, logEndOffset } = this;
      const bounds = { logStartOffset, highWatermark, logEndOffset, nowMs: this.#context.clock.nowMs() };
      let due = await this.#segments.dueFor(retentionRules(this.#config), bounds);
      if (due === 0) return 0;
      if (due === this.#segments.count) await this.#roll();
      due = Math.min(due, this.#segments.count - 1);
      await this.#raiseLogStart(this.#segments.baseOffsetOf(due));
      await this.#segments.removeOldest(due);
      await this.#forgetBelowStart();
      return due;
    });
  }

  /** From now on this config holds. A topic that becomes strict has everything it acknowledged synced when this returns. */
  changeConfig(config: TopicConfig): Promise<void> {
    return this.#onWriter(async () => {
      this.#config = config;
      if (this.#isStrict && this.#flushedOffset < this.#logEndOffset) await this.#flush();
    });
  }

  /** Syncs what is written and advances the recovery point to it; indexes above it are made again after a crash. */
  flush(): Promise<void> {
    return this.#onWriter(() => this.#flush());
  }

  /**
   * Refuses new appends, finishes those that wait, and leaves files from which the next start needs no scan.
   * False when the log was offline: then the next start has to recover it.
   */
  async close(): Promise<boolean> {
    this.#closing = true;
    await this.compaction.stop();
    await this.#writer.run(async () => {
      await this.#writer.drain();
      this.#flushTimer.cancel();
      if (this.#offline === undefined) await this.#storing(() => this.#closeClean()).catch(() => {}); // offline now, and logged
    });
    await this.#segments.close();
    return this.#offline === undefined;
  }

  /** The topic is deleted: refuses everything from now on and closes the files as they are, once the writer is done. */
  async abandon(): Promise<void> {
    this.#closing = true;
    this.#deleted = true;
    this.#writer.queue.rejectAll(this.#refusal());
    await this.compaction.stop();
    await this.#writer.run(async () => this.#flushTimer.cancel());
    await this.#segments.abandon();
  }

  outOfRange(offset: number): BrokerError {
    return outOfRangeError(this.#name, offset, this);
  }

  get #name(): string {
    return `${this.identity.topic}-${this.identity.partition}`;
  }

  get #isStrict(): boolean {
    return this.#config.flushMessages === 1;
  }

  #onWriter<T>(run: () => Promise<T>): Promise<T> {
    return this.#writer.run(async () => {
      if (this.#offline !== undefined || this.#closing) throw this.#refusal();
      return await this.#storing(run);
    });
  }

  async #writeGroup(): Promise<void> {
    let group: WriteGroup | undefined;
    try {
      if (this.#mustRoll(this.#writer.queue.peek()!.header)) await this.#roll();
      group = this.#gather();
      if (group.chunks.length > 0) await this.#store(group);
      group.succeed();
    } catch (error) {
      this.#goOffline(error);
      group?.fail(this.#refusal(true));
    }
  }

  /** Takes from the queue what one write may hold. */
  #gather(): WriteGroup {
    const { clock, codecs, settings, observer } = this.#context;
    const group = new WriteGroup({
      logEndOffset: this.#logEndOffset,
      leaderEpoch: this.#leaderEpoch!,
      producers: this.#producers,
      logAppendTime: this.#config.messageTimestampType === "LogAppendTime" ? clock.nowMs() : undefined,
      monotonicMs: clock.monotonicMs(),
      codecs,
    });
    const { queue } = this.#writer;
    for (let pending = queue.peek(); pending; pending = queue.peek()) {
      const full = group.bytes + pending.batch.byteLength > settings.appendGroupBytesMax;
      if (!group.isUntouched && (full || this.#mustRoll(pending.header, group))) break;
      queue.advance();
      group.take(pending);
    }
    for (let i = 0; i < group.duplicates; i++) observer.duplicateBatch();
    for (let i = 0; i < group.sequenceErrors; i++) observer.sequenceError();
    return group;
  }

  async #store(group: WriteGroup): Promise<void> {
    const { clock, observer } = this.#context;
    const started = clock.monotonicMs();
    await this.#segments.active.append(group.chunks, group.headers, this.#config.indexIntervalBytes);
    group.remember();
    this.#logEndOffset = group.endOffset;
    observer.groupWritten(group.chunks.length, group.bytes, clock.monotonicMs() - started);
    if (this.#logEndOffset - this.#flushedOffset >= this.#config.flushMessages) await this.#flush();
    else this.#flushTimer.arm(this.#config.flushMs);
    this.#listener.advanced();
  }

  async #flush(): Promise<void> {
    const { clock, observer } = this.#context;
    const started = clock.monotonicMs();
    const upTo = this.#logEndOffset;
    await this.#segments.active.sync();
    this.#flushedOffset = upTo;
    observer.synced(clock.monotonicMs() - started);
  }

  /** Whether `header` has to begin a new segment, when `group` is to be written before it. */
  #mustRoll(header: BatchHeader, group?: WriteGroup): boolean {
    const lastOffset = (group?.endOffset ?? this.#logEndOffset) + header.lastOffsetDelta;
    const nowMs = this.#context.clock.nowMs();
    return mustRoll(this.#segments.active, this.#config, header, group?.bytes ?? 0, lastOffset, nowMs);
  }

  async #roll(): Promise<void> {
    if (this.#flushedOffset < this.#logEndOffset) await this.#flush();
    const { directory, topic, partition } = this.identity;
    const baseOffset = this.#logEndOffset;
    this.#segments.push(
      await beginNextSegment(this.#context, directory, this.#segments.active, this.#producers, baseOffset),
    );
    this.#context.logger.info({ topic, partition, baseOffset }, "rolled to a new segment");
  }

  async #closeClean(): Promise<void> {
    if (this.#flushedOffset < this.#logEndOffset) await this.#flush();
    const { directory } = this.identity;
    await writeSealFiles(this.#context, directory, this.#segments.active, this.#producers, this.#logEndOffset);
    await this.#context.disk.syncDir(directory);
  }

  /** Durable when it returns. When that fails nothing of the log is harmed: it starts where it did and stays online. */
  async #raiseLogStart(offset: number): Promise<boolean> {
    const before = this.#logStartOffset;
    if (offset <= before) return false;
    this.#logStartOffset = offset;
    try {
      await this.#checkpointLogStarts();
      return true;
    } catch (cause) {
      this.#logStartOffset = before;
      throw new BrokerError("KAFKA_STORAGE_ERROR", `the log start of ${this.#name} cannot be stored`, { cause });
    }
  }

  /** Snapshots and epochs that only concern offsets below the log start. */
  async #forgetBelowStart(): Promise<void> {
    const first = this.#segments.firstOffset;
    await removeSnapshots(this.#context.disk, this.identity.directory, (offset) => offset < first);
    if (this.epochs.truncateFromStart(this.#logStartOffset)) await this.epochs.write();
  }

  /** Runs what only reads: damage it meets takes the log offline. */
  async #guarded<T>(read: () => Promise<T>): Promise<T> {
    if (this.#offline !== undefined || this.#closing) throw this.#refusal();
    try {
      return await read();
    } catch (error) {
      if (error instanceof BrokerError) throw error;
      if (this.#closing) throw this.#refusal(); // the files were closed under it
      const refusal = readRefusal(this.#name, error, this.#context.logger);
      if (refusal) throw refusal;
      this.#goOffline(error);
      throw this.#refusal();
    }
  }

  /** Runs what changes files: any failure but a refusal takes the log offline, and it is unknown how much was done. */
  async #storing<T>(change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } catch (error) {
      if (error instanceof BrokerError) throw error;
      this.#goOffline(error);
      throw this.#refusal(true);
    }
  }

  #goOffline(error: unknown): void {
    if (error instanceof AssertionError) throw error;
    if (this.#offline !== undefined) return;
    this.#offline = error instanceof Error ? error.message : String(error);
    this.#leaderEpoch = undefined;
    const { topic, partition } = this.identity;
    this.#context.logger.error(
      { err: error, topic, partition, logEndOffset: this.#logEndOffset, flushedOffset: this.#flushedOffset },
      "partition is offline: its storage failed; restart the broker to recover it",
    );
    this.#writer.queue.rejectAll(this.#refusal());
    this.#listener.wentOffline();
  }

  #refusal(maybeAppended = false): BrokerError {
    return refusalOf(this.#name, { deleted: this.#deleted, offline: this.#offline }, maybeAppended);
  }
}
