// What a log does while another broker leads: it takes over the leader's batches byte for byte, is cut where it has parted from the
// leader, and begins anew where the leader has nothing of it any more. Which of these is due, src/replication decides.
//
// All of it is durable when it returns, as far as the topic asks for it: the end of this log is what the leader may count on.
// Refused with NOT_LEADER_OR_FOLLOWER unless becomeFollower was the last word about who leads.

import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import type { LogCompaction } from "./log-compaction.ts";
import type { LogContext } from "./log-context.ts";
import { decideRestart, finishRestart, recoverFolder } from "./log-restart.ts";
import { cutFiles, findCut } from "./log-truncation.ts";
import type { ReadGate } from "./read-gate.ts";
import { firstHeader, soundReplicaBatches } from "./replica-batches.ts";
import type { StoredLog } from "./stored-log.ts";

/** What of the log only its own parts see. */
interface ReplicaInside {
  readonly compaction: LogCompaction;
  readonly readers: ReadGate;
  /** Runs it between two writes; refused when the log is offline, closed or deleted, and any failure but a refusal takes it offline. */
  onWriter<T>(run: () => Promise<T>): Promise<T>;
  /** undefined unless it follows. */
  followedEpoch(): number | undefined;
}

export class ReplicaLog {
  readonly #context: LogContext;
  readonly #stored: StoredLog;
  readonly #inside: ReplicaInside;

  constructor(context: LogContext, stored: StoredLog, inside: ReplicaInside) {
    this.#context = context;
    this.#stored = stored;
    this.#inside = inside;
  }

  get logStartOffset(): number {
    return this.#stored.logStartOffset;
  }
  get highWatermark(): number {
    return this.#stored.highWatermark;
  }
  get logEndOffset(): number {
    return this.#stored.logEndOffset;
  }
  /** Of the last batch; undefined when the log has none. */
  get lastEpoch(): number | undefined {
    const { logStartOffset, logEndOffset, epochs } = this.#stored;
    return logEndOffset > logStartOffset ? epochs.epochOf(logEndOffset - 1) : undefined;
  }

  /** The largest known epoch ≤ `epoch`, and where it ends; undefined when the epoch is newer than all known. */
  endOffsetFor(epoch: number): { readonly epoch: number; readonly endOffset: number } | undefined {
    return this.#stored.epochs.endOffsetFor(epoch, this.#stored.logEndOffset);
  }

  /**
   * Appends whole batches as the leader sent them. CORRUPT_MESSAGE when one is not sound: then none of them is appended. Where the leader's
   * log begins tells whether a batch that reaches below the end of this one is meant: it is when the leader has no more of it.
   */
  async append(batches: Uint8Array, leaderLogStart = 0): Promise<void> {
    const tryAppend = () => this.#inside.onWriter(() => this.#append(batches, leaderLogStart));
    for (let beginsAt = await tryAppend(); beginsAt !== undefined; beginsAt = await tryAppend())
      await this.startOver(beginsAt);
  }

  /**
   * Cuts the log at `offset`, or at the base of the batch that holds it. What is left is what a start would find: producers,
   * epochs and indexes know nothing of what is gone.
   */
  truncateTo(offset: number): Promise<void> {
    return this.#alone(() => this.#truncateTo(offset));
  }

  /** Drops everything: the log is empty and begins at `offset`. */
  startOver(offset: number): Promise<void> {
    return this.#alone(() => this.#startOver(offset));
  }

  /**
   * Takes over how far the leader's records are committed and where its log begins, as far as this log goes: never above what it has
   * acknowledged, and never back. The high watermark at once; the log start is durable when it resolves.
   */
  async followEnds(leader: { readonly highWatermark: number; readonly logStartOffset: number }): Promise<void> {
    this.#requireFollowing();
    this.#stored.advanceHighWatermark(Math.min(leader.highWatermark, this.#stored.acknowledgedOffset));
    if (leader.logStartOffset <= this.#stored.logStartOffset) return;
    await this.#inside.onWriter(() =>
      this.#stored.removeBefore(Math.min(leader.logStartOffset, this.#stored.highWatermark)),
    );
  }

  /** The leader's log was compacted: offsets may be missing in what it sends, whatever the topic's policy is now. */
  async expectGaps(): Promise<void> {
    await this.#inside.compaction.begin(() => this.#stored.checkpoints.writeCleaned());
  }

  #requireFollowing(): number {
    const epoch = this.#inside.followedEpoch();
    if (epoch === undefined)
      throw new BrokerError("NOT_LEADER_OR_FOLLOWER", `${this.#stored.name} follows no leader at the moment`);
    return epoch;
  }

  /** Between two writes, and without compaction. */
  #alone(change: () => Promise<void>): Promise<void> {
    return this.#inside.compaction.without(() =>
      this.#inside.onWriter(async () => {
        this.#requireFollowing();
        await change();
      }),
    );
  }

  /** Gives the offset where the log has to begin before they can be appended. */
  async #append(batches: Uint8Array, leaderLogStart: number): Promise<number | undefined> {
    const leaderEpoch = this.#requireFollowing();
    if (this.#context.diskGuard.low) throw this.#context.diskGuard.refusal();
    const beginsAt = this.#otherBeginning(batches, leaderLogStart);
    const bounds = {
      nextOffset: beginsAt ?? this.logEndOffset,
      mayHaveGaps: this.#inside.compaction.mayHaveGaps,
      lastEpoch: beginsAt === undefined ? (this.lastEpoch ?? -1) : -1,
      leaderEpoch,
      batchBytesMax: this.#context.settings.appendGroupBytesMax,
    };
    const headers = soundReplicaBatches(batches, bounds, this.#context.codecs);
    if (beginsAt !== undefined || headers.length === 0) return beginsAt;
    await this.#beginEpochs(headers);
    await this.#write(batches, headers);
    return undefined;
  }

  /**
   * A leader's log may start within a batch: a log that is empty, or of which the leader has nothing, takes it and begins there. Nor does an
   * empty log put batches behind deleted ones of a newer epoch, whose bytes it still has.
   */
  #otherBeginning(batches: Uint8Array, leaderLogStart: number): number | undefined {
    const first = firstHeader(batches);
    const { logStartOffset, logEndOffset, epochs, segments } = this.#stored;
    if (first === undefined || logEndOffset > Math.max(logStartOffset, leaderLogStart)) return undefined;
    if (first.baseOffset < logEndOffset && first.lastOffset >= logEndOffset) return first.baseOffset;
    const isOlder = first.baseOffset === logEndOffset && first.partitionLeaderEpoch < (epochs.latest?.epoch ?? -1);
    return isOlder && segments.sizeBytes > 0 ? logEndOffset : undefined;
  }

  /** Durable before the first batch of each is written. An epoch that this broker led in without a record is forgotten. */
  async #beginEpochs(headers: readonly BatchHeader[]): Promise<void> {
    const { epochs, logEndOffset } = this.#stored;
    let isChanged = epochs.truncateFromEnd(logEndOffset);
    for (const { partitionLeaderEpoch, baseOffset } of headers)
      if (epochs.assign(partitionLeaderEpoch, baseOffset)) isChanged = true;
    if (isChanged) await epochs.write();
  }

  /** In as many writes as the leader would need: recovery tells a torn write by its size. */
  async #write(batches: Uint8Array, headers: readonly BatchHeader[]): Promise<void> {
    let group = new ReplicaWrite(batches, 0, (header) => this.#replay(header));
    for (const header of headers) {
      const isFull = group.bytes + header.sizeBytes > this.#context.settings.appendGroupBytesMax;
      if (group.bytes > 0 && (isFull || this.#stored.mustRoll(header, group.bytes, header.lastOffset))) {
        await this.#stored.write(group);
        group = new ReplicaWrite(batches, group.end, (written) => this.#replay(written));
      }
      if (group.bytes === 0 && this.#stored.mustRoll(header, 0, header.lastOffset)) await this.#stored.roll();
      group.take(header);
    }
    await this.#stored.write(group);
  }

  #replay(header: BatchHeader): void {
    this.#stored.producers.replay(header, this.#context.clock.monotonicMs());
  }

  async #truncateTo(offset: number): Promise<void> {
    const { logStartOffset, logEndOffset, segments } = this.#stored;
    if (offset >= logEndOffset) return;
    if (offset < logStartOffset) return await this.#startOver(offset);
    const cut = await findCut(this.#context, segments.from(offset), offset);
    if (cut.endOffset < logStartOffset) return await this.#startOver(logStartOffset);
    this.#stored.lowerEnds(cut.endOffset);
    await this.#inside.readers.alone(async () => {
      await this.#stored.checkpoints.writeAll(); // a log that ends below what they say is damaged
      await cutFiles(this.#context, this.#stored.identity.directory, cut);
      await this.#reload();
    });
    this.#tell("the log was cut where it parted from its leader's", { logEndOffset });
  }

  async #startOver(offset: number): Promise<void> {
    const { logStartOffset, logEndOffset, identity } = this.#stored;
    await decideRestart(this.#context, identity.directory, offset);
    this.#stored.emptyAt(offset);
    await this.#inside.readers.alone(async () => {
      await this.#stored.checkpoints.writeAll();
      await this.#reload();
      await finishRestart(this.#context.disk, identity.directory);
    });
    this.#tell("nothing of the log is in its leader's any more; it was begun anew", { logStartOffset, logEndOffset });
  }

  /** Puts what a start would find in the place of what is known. */
  async #reload(): Promise<void> {
    const { compaction } = this.#inside;
    const { identity, config, segments, logStartOffset, highWatermark, flushedOffset, logEndOffset } = this.#stored;
    await segments.finishRemovals(); // a start removes these files too
    if (compaction.cutTo(logEndOffset)) await this.#stored.checkpoints.writeCleaned();
    const { cleanedTo } = compaction;
    const known = { recoveryPoint: flushedOffset, highWatermark, logStartOffset, cleanedTo };
    this.#stored.adopt(await recoverFolder(this.#context, { identity, config, clean: false, ...known }));
  }

  #tell(message: string, before: { logStartOffset?: number; logEndOffset: number }): void {
    const { topic, partition } = this.#stored.identity;
    const { logStartOffset, logEndOffset } = this.#stored;
    this.#context.logger.warn({ topic, partition, before, after: { logStartOffset, logEndOffset } }, message);
  }
}

/** Neighbours of what a leader sent, in one write. */
class ReplicaWrite {
  readonly headers: BatchHeader[] = [];
  bytes = 0;
  readonly #batches: Uint8Array;
  readonly #from: number;
  readonly #replay: (header: BatchHeader) => void;

  constructor(batches: Uint8Array, from: number, replay: (header: BatchHeader) => void) {
    this.#batches = batches;
    this.#from = from;
    this.#replay = replay;
  }

  get end(): number {
    return this.#from + this.bytes;
  }
  get chunks(): readonly Uint8Array[] {
    return [this.#batches.subarray(this.#from, this.end)];
  }
  get endOffset(): number {
    return this.headers.at(-1)!.lastOffset + 1;
  }

  take(header: BatchHeader): void {
    this.headers.push(header);
    this.bytes += header.sizeBytes;
  }

  remember(): void {
    for (const header of this.headers) this.#replay(header);
  }
}
