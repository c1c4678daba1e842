// One partition's durable log: the door to this folder of source. Appends go through one writer that takes all that waits,
// writes once, syncs once and answers all; everything else that changes files runs on that same writer, between groups.
// Readers run beside it and see what was written below the bound they name.
//
// logStartOffset ≤ highWatermark ≤ flushedOffset (relaxed topics: logEndOffset) ≤ logEndOffset, always.
// After a failed write or sync the log is offline until the process starts again: nothing is retried.

import { AssertionError } from "../assert.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { FlushTimer } from "./flush-timer.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import { LogCompaction } from "./log-compaction.ts";
import type { Checkpoints, LogContext, LogIdentity, LogListener } from "./log-context.ts";
import { outOfRangeError, readRefusal, refusalOf } from "./log-refusals.ts";
import { LogWriter } from "./log-writer.ts";
import type { ProducerEntry } from "./producer-state.ts";
import { ReadGate } from "./read-gate.ts";
import type { RecoveredLog } from "./recovery.ts";
import { ReplicaLog } from "./replica-log.ts";
import { overtaken } from "./segment-list.ts";
import { StoredLog } from "./stored-log.ts";
import type { TopicConfig } from "./topic-config.ts";
import { type AppendInfo, WriteGroup } from "./write-group.ts";

export class PartitionLog {
  readonly identity: LogIdentity;
  readonly compaction: LogCompaction;
  /** What it does while another broker leads. */
  readonly replica: ReplicaLog;
  readonly #context: LogContext;
  readonly #writer: LogWriter;
  readonly #stored: StoredLog;
  readonly #readers = new ReadGate();
  readonly #flushTimer: FlushTimer;
  #listener: LogListener = { advanced() {}, wentOffline() {} };
  #closing = false;
  #deleted = false;
  #offline: string | undefined;
  /** The epoch this log leads in; undefined: it takes no appends. */
  #leaderEpoch: number | undefined;
  /** The epoch in which it follows another broker's; undefined: it takes no batches of a leader. */
  #followedEpoch: number | undefined;

  constructor(
    context: LogContext,
    identity: LogIdentity,
    config: TopicConfig,
    recovered: RecoveredLog,
    checkpoints: Checkpoints,
  ) {
    this.#context = context;
    this.identity = identity;
    this.#writer = new LogWriter(context.settings.appendQueueBytesMax, () => this.#writeGroup());
    this.#flushTimer = new FlushTimer(context.clock, () => this.flush());
    const stored = new StoredLog(context, identity, config, recovered, checkpoints, this.#flushTimer);
    this.#stored = stored;
    const onWriter = <T>(run: () => Promise<T>) => this.#onWriter(run);
    const compactedInside = { segments: stored.segments, config: () => stored.config, onWriter };
    this.compaction = new LogCompaction(context, this, compactedInside, recovered.cleanedTo);
    const { compaction } = this;
    const followedEpoch = () => this.#followedEpoch;
    this.replica = new ReplicaLog(context, stored, { compaction, readers: this.#readers, onWriter, followedEpoch });
  }

  get epochs(): LeaderEpochCache {
    return this.#stored.epochs;
  }
  get logStartOffset(): number {
    return this.#stored.logStartOffset;
  }
  /** The offset the next record gets. */
  get logEndOffset(): number {
    return this.#stored.logEndOffset;
  }
  /** Everything below survives a power cut: what recovery may rely on. */
  get flushedOffset(): number {
    return this.#stored.flushedOffset;
  }
  get highWatermark(): number {
    return this.#stored.highWatermark;
  }
  get leaderEpoch(): number | undefined {
    return this.#leaderEpoch;
  }
  get sizeBytes(): number {
    return this.#stored.segments.sizeBytes;
  }
  get segmentCount(): number {
    return this.#stored.segments.count;
  }
  /** Why it is offline; undefined while it is not. */
  get offline(): string | undefined {
    return this.#offline;
  }
  /** What this replica counts for in the high watermark: what a power cut leaves, or all it has if the topic is relaxed. */
  get acknowledgedOffset(): number {
    return this.#stored.acknowledgedOffset;
  }

  listen(listener: LogListener): void {
    this.#listener = listener;
  }

  /** Takes appends from now on, stamped with `epoch`, whose beginning is durable when this returns. */
  becomeLeader(epoch: number): Promise<void> {
    return this.#onWriter(async () => {
      await this.epochs.begin(epoch, this.logEndOffset);
      this.#followedEpoch = undefined;
      this.#leaderEpoch = epoch;
    });
  }

  /**
   * Leads no longer, from the call on: appends that wait are refused, nothing of theirs is in the log. What is being written is finished
   * and answered as ever. When it resolves the writer is quiet, and `replica` takes what the leader of `leaderEpoch` sends.
   */
  becomeFollower(leaderEpoch: number): Promise<void> {
    this.#stopLeading();
    return this.#onWriter(async () => {
      this.#stopLeading();
      this.#followedEpoch = leaderEpoch;
    });
  }

  /** Appends one validated batch; resolves when it is as durable as the topic's flush settings ask for. The log keeps the bytes. */
  append(batch: Uint8Array, header: BatchHeader, expectedOffset?: number): Promise<AppendInfo> {
    return new Promise((resolve, reject) => {
      if (this.#offline !== undefined || this.#closing) throw this.#refusal();
      if (this.#leaderEpoch === undefined) throw this.#notLed();
      if (this.#context.diskGuard.low) throw this.#context.diskGuard.refusal();
      this.#writer.append({ batch, header, expectedOffset, resolve, reject });
    });
  }

  /**
   * Whole batches from the one that holds `offset` on, all below `endOffset`; at most `bytesMax` but at least one; empty at the end.
   * OFFSET_OUT_OF_RANGE below the log start and above the log end.
   */
  async read(offset: number, bytesMax: number, endOffset: number): Promise<Uint8Array> {
    if (offset < this.logStartOffset || offset > this.logEndOffset) throw this.outOfRange(offset);
    // A bound above the end is from before the log was cut: what came since may not be what it was meant for.
    const bound = endOffset <= this.logEndOffset ? endOffset : this.highWatermark;
    const { mayHaveGaps } = this.compaction;
    const rules = { mayHaveGaps, logStartOffset: () => this.logStartOffset };
    const bytes = await this.#guarded(() => this.#stored.segments.read(offset, bytesMax, bound, rules));
    if (bytes === overtaken) throw this.outOfRange(offset);
    return bytes;
  }

  /**
   * The first batch that reaches from `fromOffset` or above to below `endOffset` and whose largest timestamp is ≥ `timestamp`.
   * Which of its records it is, and whether one at or above `fromOffset` is, only its records tell.
   */
  async findTimestamp(timestamp: number, fromOffset: number, endOffset: number): Promise<Uint8Array | undefined> {
    return this.#guarded(() => this.#stored.segments.findTimestamp(timestamp, fromOffset, endOffset));
  }

  producers(): readonly ProducerEntry[] {
    return [...this.#stored.producers.entries()];
  }

  /** Told by replication: everything below `offset` is committed. */
  advanceHighWatermark(offset: number): void {
    this.#stored.advanceHighWatermark(offset);
  }

  /** Raises the log start to `offset`, durably; whole segments below it go with the next retention. */
  deleteRecordsBefore(offset: number): Promise<number> {
    return this.#onWriter(async () => {
      if (offset > this.highWatermark) throw this.outOfRange(offset);
      await this.#stored.removeBefore(offset);
      return this.logStartOffset;
    });
  }

  /** Lets go of the segments that are due, and of producers not seen for long. */
  async applyRetention(): Promise<number> {
    await this.#guarded(() => this.#stored.segments.loadTimestamps()); // beside the writer, which need not wait for it
    return this.#onWriter(() => this.#stored.applyRetention());
  }

  /** From now on this config holds. A topic that becomes strict has everything it acknowledged synced when this returns. */
  changeConfig(config: TopicConfig): Promise<void> {
    return this.#onWriter(async () => {
      this.#stored.config = config;
      if (this.#stored.isStrict) await this.#stored.flushRest();
    });
  }

  /** Syncs what is written and advances the recovery point to it; indexes above it are made again after a crash. */
  flush(): Promise<void> {
    return this.#onWriter(() => this.#stored.flush());
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
      if (this.#offline === undefined) await this.#storing(() => this.#stored.sealForStop()).catch(() => {}); // offline now, and logged
    });
    await this.#stored.segments.close();
    return this.#offline === undefined;
  }

  /** The topic is deleted: refuses everything from now on and closes the files as they are, once the writer is done. */
  async abandon(): Promise<void> {
    this.#closing = true;
    this.#deleted = true;
    this.#writer.queue.rejectAll(this.#refusal());
    await this.compaction.stop();
    await this.#writer.run(async () => this.#flushTimer.cancel());
    await this.#stored.segments.abandon();
  }

  outOfRange(offset: number): BrokerError {
    return outOfRangeError(this.#name, offset, this);
  }

  get #name(): string {
    return this.#stored.name;
  }

  #notLed(): BrokerError {
    return new BrokerError("NOT_LEADER_OR_FOLLOWER", `${this.#name} is not led here at the moment`);
  }

  #stopLeading(): void {
    this.#leaderEpoch = undefined;
    this.#writer.queue.rejectAll(this.#notLed());
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
      if (this.#mustRoll(this.#writer.queue.peek()!.header)) await this.#stored.roll();
      group = this.#gather();
      if (group.chunks.length > 0) {
        await this.#stored.write(group);
        this.#listener.advanced();
      }
      group.succeed();
    } catch (error) {
      this.#goOffline(error);
      group?.fail(this.#refusal(true));
    }
  }

  /** Takes from the queue what one write may hold: nothing when leadership ended meanwhile. */
  #gather(): WriteGroup {
    const { clock, codecs, settings, observer } = this.#context;
    const group = new WriteGroup({
      logEndOffset: this.logEndOffset,
      leaderEpoch: this.#leaderEpoch!,
      producers: this.#stored.producers,
      logAppendTime: this.#stored.config.messageTimestampType === "LogAppendTime" ? clock.nowMs() : undefined,
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

  /** Whether `header` has to begin a new segment, when `group` is to be written before it. */
  #mustRoll(header: BatchHeader, group?: WriteGroup): boolean {
    const lastOffset = (group?.endOffset ?? this.logEndOffset) + header.lastOffsetDelta;
    return this.#stored.mustRoll(header, group?.bytes ?? 0, lastOffset);
  }

  /** Runs what only reads: damage it meets takes the log offline. */
  async #guarded<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await this.#readers.read(() => {
        if (this.#offline !== undefined || this.#closing) throw this.#refusal();
        return read();
      });
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
    this.#followedEpoch = undefined;
    const { topic, partition } = this.identity;
    this.#context.logger.error(
      { err: error, topic, partition, logEndOffset: this.logEndOffset, flushedOffset: this.flushedOffset },
      "partition is offline: its storage failed; restart the broker to recover it",
    );
    this.#writer.queue.rejectAll(this.#refusal());
    this.#listener.wentOffline();
  }

  #refusal(maybeAppended = false): BrokerError {
    return refusalOf(this.#name, { deleted: this.#deleted, offline: this.#offline }, maybeAppended);
  }
}
