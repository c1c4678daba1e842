// One partition's durable log: the door to this folder of source. Appends go through one writer that takes all that waits,
// writes once, syncs once and answers all; everything else that changes files runs on that same writer, between groups.
// Readers run beside it and see what was written below the bound they name.
//
// logStartOffset ≤ highWatermark ≤ flushedOffset (relaxed topics: logEndOffset) ≤ logEndOffset, always.
// After a failed write or sync the log is offline until the process starts again: nothing is retried.

import { AssertionError, assert } from "../assert.ts";
import type { Timer } from "../io/clock.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { AppendQueue } from "./append-queue.ts";
import type { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { LogContext } from "./log-context.ts";
import { writeProducerSnapshot } from "./producer-snapshot.ts";
import type { ProducerEntry, ProducerState } from "./producer-state.ts";
import type { RecoveredLog } from "./recovery.ts";
import { dueSegments } from "./retention.ts";
import { Segment, segmentFileName } from "./segment.ts";
import type { TopicConfig } from "./topic-config.ts";
import { type AppendInfo, WriteGroup } from "./write-group.ts";

export interface LogIdentity {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** The partition's folder. */
  readonly directory: string;
}

/** Told, synchronously and in order, when the log has moved on; must not throw. */
export interface LogListener {
  /** logEndOffset or flushedOffset have risen. */
  advanced(): void;
  wentOffline(): void;
}

/** Makes the data folder's log start checkpoint durable with every partition's present log start. */
export type CheckpointLogStarts = () => Promise<void>;

export class PartitionLog {
  readonly identity: LogIdentity;
  readonly #context: LogContext;
  readonly #checkpointLogStarts: CheckpointLogStarts;
  readonly #queue: AppendQueue;
  readonly #jobs: (() => Promise<void>)[] = [];
  readonly #segments: Segment[];
  readonly #epochs: LeaderEpochCache;
  readonly #producers: ProducerState;
  #config: TopicConfig;
  #listener: LogListener = { advanced() {}, wentOffline() {} };
  #writerRuns = false;
  #closing = false;
  #deleted = false;
  #offline: string | undefined;
  /** The epoch this log leads in; undefined: it takes no appends. */
  #leaderEpoch: number | undefined;
  #logStartOffset: number;
  #logEndOffset: number;
  #flushedOffset: number;
  #highWatermark: number;
  #flushTimer: Timer | undefined;
  /** Deleted segments whose files are still there. */
  readonly #removals = new Map<() => Promise<void>, Timer>();

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
    this.#queue = new AppendQueue(context.settings.appendQueueBytesMax);
    this.#segments = [...recovered.segments];
    this.#epochs = recovered.epochs;
    this.#producers = recovered.producers;
    this.#logStartOffset = recovered.logStartOffset;
    this.#logEndOffset = recovered.logEndOffset;
    this.#flushedOffset = recovered.logEndOffset;
    this.#highWatermark = recovered.highWatermark;
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
  get config(): TopicConfig {
    return this.#config;
  }
  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }
  get segmentCount(): number {
    return this.#segments.length;
  }
  get epochs(): LeaderEpochCache {
    return this.#epochs;
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
      if (this.#epochs.assign(epoch, this.#logEndOffset)) await this.#epochs.write();
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
      this.#queue.push({ batch, header, expectedOffset, resolve, reject });
      this.#startWriter();
    });
  }

  /**
   * Whole batches from the one that holds `offset` on, all below `endOffset`; at most `bytesMax` but at least one; empty at the end.
   * OFFSET_OUT_OF_RANGE below the log start and above the log end.
   */
  async read(offset: number, bytesMax: number, endOffset: number): Promise<Uint8Array> {
    this.#requireReadable(offset);
    assert(
      endOffset <= this.#logEndOffset,
      `${this.#name}: a read up to ${endOffset} ends beyond ${this.#logEndOffset}`,
    );
    return this.#guarded(async () => {
      for (let from = offset; ; ) {
        const i = this.#indexOfSegment(from);
        const segment = this.#segments[i]!;
        const next = this.#segments[i + 1];
        const bytes = await segment.read(offset, bytesMax, endOffset, segment.sizeBytes);
        if (bytes.byteLength > 0 || !next || next.baseOffset >= endOffset) return bytes;
        if (next.baseOffset < this.#logStartOffset) throw this.outOfRange(offset); // retention was faster than this read
        from = next.baseOffset;
      }
    });
  }

  /**
   * The first batch that reaches from `fromOffset` or above to below `endOffset` and whose largest timestamp is ≥ `timestamp`.
   * Which of its records it is, and whether one at or above `fromOffset` is, only its records tell.
   */
  async findTimestamp(timestamp: number, fromOffset: number, endOffset: number): Promise<Uint8Array | undefined> {
    return this.#guarded(async () => {
      for (const segment of this.#segments.slice(this.#indexOfSegment(fromOffset))) {
        if (segment.baseOffset >= endOffset || !this.#segments.includes(segment)) continue;
        if ((await segment.largestTimestamp()) < timestamp) continue;
        const batch = await segment.findTimestamp(timestamp, fromOffset, endOffset, segment.sizeBytes);
        if (batch) return batch;
      }
      return undefined;
    });
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
      if (offset > this.#logStartOffset) {
        this.#logStartOffset = offset;
        await this.#checkpointLogStarts();
        await this.#forgetBelowStart();
      }
      return this.#logStartOffset;
    });
  }

  /** Lets go of the segments that are due, and of producers not seen for long. */
  async applyRetention(): Promise<number> {
    for (const segment of [...this.#segments]) await this.#guarded(() => segment.largestTimestamp()); // read beside the writer
    return this.#onWriter(async () => {
      this.#producers.forgetOld(this.#context.clock.monotonicMs());
      let due = await this.#dueSegments();
      if (due === 0) return 0;
      if (due === this.#segments.length) await this.#roll(this.#logEndOffset);
      due = Math.min(due, this.#segments.length - 1);
      const nextStart = this.#segments[due]!.baseOffset;
      if (nextStart > this.#logStartOffset) {
        this.#logStartOffset = nextStart;
        await this.#checkpointLogStarts();
      }
      await this.#removeSegments(due);
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
    await this.#job(async () => {
      this.#flushTimer?.cancel();
      while (!this.#queue.isEmpty) await this.#writeGroup();
      if (this.#offline === undefined) await this.#storing(() => this.#closeClean()).catch(() => {}); // offline now, and logged
    });
    for (const remove of [...this.#removals.keys()]) await remove();
    await Promise.all(this.#segments.map((segment) => segment.close()));
    return this.#offline === undefined;
  }

  /** The topic is deleted: refuses everything from now on and closes the files as they are, once the writer is done. */
  async abandon(): Promise<void> {
    this.#closing = true;
    this.#deleted = true;
    this.#queue.rejectAll(this.#refusal());
    await this.#job(async () => this.#flushTimer?.cancel());
    for (const timer of this.#removals.values()) timer.cancel();
    await Promise.all(this.#segments.map((segment) => segment.close()));
  }

  outOfRange(offset: number): BrokerError {
    return new BrokerError(
      "OFFSET_OUT_OF_RANGE",
      `offset ${offset} is not in ${this.#name}: it holds ${this.#logStartOffset} to ${this.#logEndOffset}`,
      {
        fields: {
          logStartOffset: this.#logStartOffset,
          highWatermark: this.#highWatermark,
          logEndOffset: this.#logEndOffset,
        },
      },
    );
  }

  get #name(): string {
    return `${this.identity.topic}-${this.identity.partition}`;
  }

  get #active(): Segment {
    return this.#segments.at(-1)!;
  }

  get #isStrict(): boolean {
    return this.#config.flushMessages === 1;
  }

  #startWriter(): void {
    if (this.#writerRuns) return;
    this.#writerRuns = true;
    void this.#runWriter();
  }

  /** Never rejects: a failed write has taken the log offline, and each job answers its own caller. */
  async #runWriter(): Promise<void> {
    for (;;) {
      const job = this.#jobs.shift();
      if (job) await job();
      else if (!this.#queue.isEmpty) await this.#writeGroup();
      else break;
    }
    this.#writerRuns = false;
  }

  #job<T>(run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#jobs.push(() => run().then(resolve, reject));
      this.#startWriter();
    });
  }

  #onWriter<T>(run: () => Promise<T>): Promise<T> {
    return this.#job(async () => {
      if (this.#offline !== undefined || this.#closing) throw this.#refusal();
      return await this.#storing(run);
    });
  }

  async #writeGroup(): Promise<void> {
    let group: WriteGroup | undefined;
    try {
      const first = this.#queue.peek()!.header;
      if (this.#mustRoll(first, 0, 0)) await this.#roll(this.#logEndOffset);
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
    for (let pending = this.#queue.peek(); pending; pending = this.#queue.peek()) {
      const size = pending.batch.byteLength;
      const full = group.bytes > 0 && group.bytes + size > settings.appendGroupBytesMax;
      if (
        full ||
        (group.bytes > 0 && this.#mustRoll(pending.header, group.bytes, group.endOffset - this.#logEndOffset))
      )
        break;
      this.#queue.advance();
      group.take(pending);
    }
    for (let i = 0; i < group.duplicates; i++) observer.duplicateBatch();
    for (let i = 0; i < group.sequenceErrors; i++) observer.sequenceError();
    return group;
  }

  async #store(group: WriteGroup): Promise<void> {
    const { clock, observer } = this.#context;
    const started = clock.monotonicMs();
    await this.#active.append(group.chunks, group.headers, this.#config.indexIntervalBytes);
    group.remember();
    this.#logEndOffset = group.endOffset;
    observer.groupWritten(group.chunks.length, group.bytes, clock.monotonicMs() - started);
    if (this.#logEndOffset - this.#flushedOffset >= this.#config.flushMessages) await this.#flush();
    else this.#flushLater();
    this.#listener.advanced();
  }

  async #flush(): Promise<void> {
    const { clock, observer } = this.#context;
    const started = clock.monotonicMs();
    const upTo = this.#logEndOffset;
    await this.#active.sync();
    this.#flushedOffset = upTo;
    observer.synced(clock.monotonicMs() - started);
  }

  #flushLater(): void {
    if (!Number.isFinite(this.#config.flushMs) || this.#flushTimer) return;
    this.#flushTimer = this.#context.clock.setTimer(this.#config.flushMs, () => {
      this.#flushTimer = undefined;
      this.flush().catch(() => {}); // a failure has taken the log offline and is logged there
    });
  }

  /** Whether `header` has to begin a new segment, when `groupBytes` and `groupRecords` are to be written before it. */
  #mustRoll(header: BatchHeader, groupBytes: number, groupRecords: number): boolean {
    const { segmentBytes, segmentMs, segmentIndexBytes } = this.#config;
    const active = this.#active;
    const size = active.sizeBytes + groupBytes;
    if (size === 0) return false;
    const lastOffset = this.#logEndOffset + groupRecords + header.lastOffsetDelta;
    return (
      size + header.sizeBytes > segmentBytes ||
      lastOffset - active.baseOffset >= 2 ** 31 - 1 ||
      active.ageMs(header.maxTimestamp, this.#context.clock.nowMs()) > segmentMs ||
      active.isIndexFull(segmentIndexBytes)
    );
  }

  /** Seals the active segment with all that goes with it, durably, and begins the next at `baseOffset`. */
  async #roll(baseOffset: number): Promise<void> {
    const { disk, logger } = this.#context;
    const { directory } = this.identity;
    const sealed = this.#active;
    if (this.#flushedOffset < this.#logEndOffset) await this.#flush();
    await sealed.writeIndexes();
    await this.#writeSnapshot(baseOffset);
    const next = await Segment.create(this.#context, directory, baseOffset);
    await disk.syncDir(directory);
    sealed.seal();
    this.#segments.push(next);
    logger.info(
      { topic: this.identity.topic, partition: this.identity.partition, baseOffset },
      "rolled to a new segment",
    );
  }

  #writeSnapshot(endOffset: number): Promise<void> {
    const path = `${this.identity.directory}/${segmentFileName(endOffset, ".snapshot")}`;
    return writeProducerSnapshot(this.#context.disk, path, this.#producers, this.#context.codecs);
  }

  async #closeClean(): Promise<void> {
    if (this.#flushedOffset < this.#logEndOffset) await this.#flush();
    await this.#active.writeIndexes();
    await this.#writeSnapshot(this.#logEndOffset);
    await this.#context.disk.syncDir(this.identity.directory);
  }

  async #dueSegments(): Promise<number> {
    const segments = await Promise.all(
      this.#segments.map(async (segment, i) => ({
        sizeBytes: segment.sizeBytes,
        nextOffset: this.#segments[i + 1]?.baseOffset ?? this.#logEndOffset,
        largestTimestamp: await segment.largestTimestamp(),
      })),
    );
    const rules = this.#config.cleanupPolicy.delete ? this.#config : { retentionMs: -1, retentionBytes: -1 };
    const { logStartOffset, highWatermark } = this;
    return dueSegments(segments, rules, { logStartOffset, highWatermark, nowMs: this.#context.clock.nowMs() });
  }

  /** Takes the oldest segments out of sight; their files are renamed now and removed after fileDeleteDelayMs. */
  async #removeSegments(count: number): Promise<void> {
    const { clock, logger, settings } = this.#context;
    for (const segment of this.#segments.splice(0, count)) {
      const paths = await segment.renameAside(".deleted");
      logger.info({ segment: segment.path, sizeBytes: segment.sizeBytes }, "segment deleted by retention");
      const remove = () => {
        timer.cancel();
        this.#removals.delete(remove);
        return this.#removeFiles(segment, paths);
      };
      const timer = clock.setTimer(settings.fileDeleteDelayMs, () => void remove());
      this.#removals.set(remove, timer);
    }
  }

  async #removeFiles(segment: Segment, paths: readonly string[]): Promise<void> {
    const { disk, logger } = this.#context;
    try {
      await segment.close();
      for (const path of paths) await disk.removeFile(path);
    } catch (error) {
      logger.warn(
        { err: error, segment: segment.path },
        "a deleted segment's files could not be removed; the next start removes them",
      );
    }
  }

  /** Snapshots and epochs that only concern offsets below the log start. */
  async #forgetBelowStart(): Promise<void> {
    const { disk } = this.#context;
    const { directory } = this.identity;
    const first = this.#segments[0]!.baseOffset;
    for (const { name } of await disk.list(directory))
      if (name.endsWith(".snapshot") && Number(name.slice(0, 20)) < first)
        await disk.removeFile(`${directory}/${name}`);
    if (this.#epochs.truncateFromStart(this.#logStartOffset)) await this.#epochs.write();
  }

  #indexOfSegment(offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.baseOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #requireReadable(offset: number): void {
    if (offset < this.#logStartOffset || offset > this.#logEndOffset) throw this.outOfRange(offset);
  }

  /** Runs what only reads: damage it meets takes the log offline. */
  async #guarded<T>(read: () => Promise<T>): Promise<T> {
    if (this.#offline !== undefined || this.#closing) throw this.#refusal();
    try {
      return await read();
    } catch (error) {
      if (error instanceof BrokerError) throw error;
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
    this.#queue.rejectAll(this.#refusal());
    this.#listener.wentOffline();
  }

  #refusal(maybeAppended = false): BrokerError {
    if (this.#deleted)
      return new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `${this.#name} was deleted`, { maybeAppended });
    if (this.#offline === undefined)
      return new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down", { maybeAppended });
    return new BrokerError(
      "KAFKA_STORAGE_ERROR",
      `${this.#name} is offline until the broker restarts: ${this.#offline}`,
      { maybeAppended },
    );
  }
}
