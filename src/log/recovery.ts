// Opens a partition's folder and finds out what is in it (Apache Kafka's LogLoader, made stricter).
//
// After a clean stop nothing is scanned. After anything else every batch from the recovery point's segment on is checked
// (CRC, offsets without gap, epochs that never fall), indexes, epochs and producer state are made again, and what was kept
// is synced before it is relied on: a batch that survived kill -9 in the page cache alone must not be acknowledged as a duplicate.
//
// Bad bytes are a torn write only where an unsynced write can have been: in the last segment, at or above the recovery point and,
// in strict topics, at or above the checkpointed high watermark and within the last write. They are cut off and counted. Bad bytes anywhere
// else are damage to data that was acknowledged: LogCorruptError, and nothing is changed, unless an operator asked to truncate.

import type { DiskFile } from "../io/disk.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { scanBatches } from "./batch-scan.ts";
import { SegmentCorruptError } from "./batch-walk.ts";
import { CheckpointCorruptError } from "./checkpoint-file.ts";
import { copyAside } from "./copy-aside.ts";
import { type LogFileSuffix, segmentFileName } from "./file-names.ts";
import { readIndexFiles } from "./index-files.ts";
import { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { LogContext, LogIdentity } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { recoverProducers } from "./producer-recovery.ts";
import { removeSnapshots } from "./producer-snapshot.ts";
import { ProducerState } from "./producer-state.ts";
import { Segment } from "./segment.ts";
import { settleSwaps } from "./segment-swap.ts";
import { TimeIndex } from "./time-index.ts";
import type { TopicConfig } from "./topic-config.ts";

export interface RecoveryInput {
  readonly identity: LogIdentity;
  readonly config: TopicConfig;
  /** The last process closed this log in order. */
  readonly clean: boolean;
  /** From the data folder's checkpoints; undefined where they do not tell. */
  readonly recoveryPoint: number | undefined;
  readonly highWatermark: number | undefined;
  readonly logStartOffset: number | undefined;
  /** How far compaction has come; undefined: never compacted, so that no offset may be missing. */
  readonly cleanedTo?: number | undefined;
  /** An operator's wish: cut at the first damage instead of refusing, and keep what is cut off beside as *.corrupt. */
  readonly truncateCorruption?: boolean;
}

export interface RecoveredLog {
  /** In order of offset, at least one; the last is active. */
  readonly segments: readonly Segment[];
  readonly epochs: LeaderEpochCache;
  readonly producers: ProducerState;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly highWatermark: number;
  readonly cleanedTo: number | undefined;
  readonly scannedBytes: number;
  readonly cutBytes: number;
}

/** Acknowledged data is damaged or missing: the partition stays offline until an operator decides. */
export class LogCorruptError extends Error {
  override readonly name = "LogCorruptError";
}

export async function recoverLog(context: LogContext, input: RecoveryInput): Promise<RecoveredLog> {
  return await new Recovery(context, input).run();
}

/** What is known of a segment before it is opened for use. */
interface FoundSegment {
  readonly baseOffset: number;
  readonly file: DiskFile;
}

class Recovery {
  readonly #context: LogContext;
  readonly #input: RecoveryInput;
  readonly #directory: string;
  readonly #producers: ProducerState;
  /** Batches below are in the producers' state already, also when their segment is scanned again for its indexes. */
  #producersKnownTo = 0;
  #epochs: LeaderEpochCache;
  /** Their file was there and sound. */
  #epochsKnown = false;
  #epochsChanged = false;
  readonly #segments: Segment[] = [];
  /** The offset the next batch must have; undefined before the first segment. */
  #nextOffset: number | undefined;
  #lastEpoch = -1;
  /** Segments below the log start. They go once it is sure that the log reaches that far: a checkpoint may be damaged too. */
  readonly #obsolete: number[] = [];
  /** To be closed if nothing comes of it. */
  readonly #opened: DiskFile[] = [];
  #scannedBytes = 0;
  #cutBytes = 0;
  #damaged = false;

  constructor(context: LogContext, input: RecoveryInput) {
    this.#context = context;
    this.#input = input;
    this.#directory = input.identity.directory;
    this.#producers = new ProducerState(context.settings);
    this.#epochs = new LeaderEpochCache(context.disk, this.#directory);
  }

  get #isStrict(): boolean {
    return this.#input.config.flushMessages === 1;
  }

  get #mayHaveGaps(): boolean {
    return this.#input.config.cleanupPolicy.compact || this.#input.cleanedTo !== undefined;
  }

  /** By the checkpoints everything below is on the medium. A relaxed topic's high watermark says nothing about that. */
  get #syncedOffset(): number {
    const { recoveryPoint, highWatermark } = this.#input;
    return Math.max(recoveryPoint ?? 0, this.#isStrict ? (highWatermark ?? 0) : 0);
  }

  async run(): Promise<RecoveredLog> {
    try {
      return await this.#recover();
    } catch (error) {
      await Promise.all(this.#opened.map((file) => file.close()));
      throw error;
    }
  }

  async #recover(): Promise<RecoveredLog> {
    const bases = await this.#findSegments();
    this.#epochsKnown = await this.#readEpochs();
    const verifyFrom = this.#firstToVerify(bases);
    this.#producersKnownTo = bases[verifyFrom] ?? Number.POSITIVE_INFINITY;
    await recoverProducers(this.#context, this.#directory, this.#producers, bases, this.#producersKnownTo);
    for (const [i, baseOffset] of bases.entries()) {
      const found = { baseOffset, file: await this.#open(baseOffset) };
      const isLast = i === bases.length - 1;
      if (!this.#followsOn(found)) {
        await found.file.close();
        await this.#setAside(bases.slice(i));
        await this.#reopenLast();
        break;
      }
      if (i >= verifyFrom) await this.#verify(found, isLast);
      else await this.#trust(found, isLast);
      if (this.#damaged) {
        await this.#setAside(bases.slice(i + 1));
        break;
      }
    }
    return await this.#finish(verifyFrom < bases.length);
  }

  #path(offset: number, suffix: LogFileSuffix): string {
    return `${this.#directory}/${segmentFileName(offset, suffix)}`;
  }

  /** Removes leftovers; gives the base offsets of the segments that do not lie below the log start. */
  async #findSegments(): Promise<number[]> {
    const { disk } = this.#context;
    await settleSwaps(this.#context, this.#directory, this.#input.truncateCorruption ?? false).catch((error) => {
      throw error instanceof SegmentCorruptError ? new LogCorruptError(error.message) : error;
    });
    const entries = await disk.list(this.#directory);
    for (const { name, kind } of entries)
      if (kind === "file" && /\.(deleted|cleaned|tmp|index\.swap|timeindex\.swap)$/.test(name))
        await disk.removeFile(`${this.#directory}/${name}`);
    const logs = entries.filter(({ name }) => /^\d{20}\.log$/.test(name));
    const odd = logs.find(({ kind }) => kind !== "file");
    if (odd) throw new LogCorruptError(`${this.#directory}/${odd.name} is not a file`);
    const bases = logs.map(({ name }) => Number(name.slice(0, 20))).sort((a, b) => a - b);
    const tooLarge = bases.find((base) => !Number.isSafeInteger(base));
    if (tooLarge !== undefined) throw new LogCorruptError(`${this.#directory}: a segment begins at ${tooLarge}`);
    if (bases.length === 0) throw new LogCorruptError(`${this.#directory} holds no segment; a log has at least one`);
    const start = this.#input.logStartOffset;
    while (start !== undefined && bases.length > 1 && bases[1]! <= start) this.#obsolete.push(bases.shift()!);
    for (const { name } of entries)
      if (/^\d{20}\.(index|timeindex)$/.test(name) && !bases.includes(Number(name.slice(0, 20))))
        if (!this.#obsolete.includes(Number(name.slice(0, 20)))) await disk.removeFile(`${this.#directory}/${name}`);
    if (start !== undefined && bases[0]! > start && !this.#input.truncateCorruption)
      throw new LogCorruptError(
        `${this.#directory} starts at ${start}, but its first segment at ${bases[0]}: what lies between is missing`,
      );
    return bases;
  }

  async #open(baseOffset: number): Promise<DiskFile> {
    const file = await this.#context.disk.open(this.#path(baseOffset, ".log"));
    this.#opened.push(file);
    return file;
  }

  async #remove(baseOffset: number): Promise<void> {
    for (const suffix of [".log", ".index", ".timeindex"] as const) {
      const path = this.#path(baseOffset, suffix);
      if (await this.#context.disk.stat(path)) await this.#context.disk.removeFile(path);
    }
  }

  /** False when the file is missing or damaged: the whole log is scanned then. */
  async #readEpochs(): Promise<boolean> {
    const { disk, logger } = this.#context;
    try {
      const epochs = await LeaderEpochCache.read(disk, this.#directory);
      if (!epochs) return false;
      this.#epochs = epochs;
      return true;
    } catch (error) {
      if (!(error instanceof CheckpointCorruptError)) throw error;
      logger.warn({ err: error, directory: this.#directory }, "the leader epochs are made again from the log");
      return false;
    }
  }

  /** The index of the first segment whose batches have to be checked; beyond the last when none has. */
  #firstToVerify(bases: readonly number[]): number {
    if (!this.#epochsKnown) return 0;
    if (this.#input.clean) return bases.length;
    const recoveryPoint = this.#input.recoveryPoint ?? 0;
    return Math.max(
      0,
      bases.findLastIndex((base) => base <= recoveryPoint),
    );
  }

  /** Whether the segment begins where the one before ended. A compacted log may have lost whole batches in between. */
  #followsOn({ baseOffset }: FoundSegment): boolean {
    const next = this.#nextOffset;
    if (next === undefined || baseOffset === next) return true;
    if (baseOffset > next && this.#mayHaveGaps) return true;
    this.#damage(`segment ${baseOffset} should begin at ${next}`);
    return false;
  }

  /** Opens a segment whose batches need no check: only its end is looked at, which the next segment must continue. */
  async #trust({ baseOffset, file }: FoundSegment, isLast: boolean): Promise<void> {
    const indexes = await readIndexFiles(this.#context.disk, this.#directory, baseOffset, file.sizeBytes);
    if (!indexes) {
      this.#context.logger.warn({ segment: file.path }, "an index is missing or damaged; the segment is scanned");
      return await this.#verify({ baseOffset, file }, isLast);
    }
    const from = indexes.offsets.lastPosition;
    let nextOffset = baseOffset;
    let firstTimestamp: number | undefined;
    // Only the active segment is rolled by its age.
    if (isLast && from > 0)
      await scanBatches(file, 0, file.sizeBytes, (header) => {
        firstTimestamp = header.maxTimestamp;
        return "only the first";
      });
    const { bad, position } = await scanBatches(file, from, file.sizeBytes, (header) => {
      firstTimestamp ??= header.maxTimestamp;
      nextOffset = header.lastOffset + 1;
      return undefined;
    });
    if (bad) {
      // An index that points into nowhere looks like a damaged segment; a scan from the front tells them apart.
      const fields = { segment: file.path, position, reason: bad };
      this.#context.logger.warn(fields, "the end of a segment is not as its index says; the segment is scanned");
      return await this.#verify({ baseOffset, file }, isLast);
    }
    const largest = indexes.times.last;
    const segment = new Segment(this.#context, this.#directory, baseOffset, file, {
      active: true,
      sizeBytes: file.sizeBytes,
      indexes,
      ...(largest && { largest }),
      ...(firstTimestamp !== undefined && { firstTimestamp }),
    });
    if (!isLast) segment.seal();
    this.#segments.push(segment);
    this.#nextOffset = nextOffset;
  }

  /** Checks every batch of a segment and makes its indexes again. */
  async #verify({ baseOffset, file }: FoundSegment, isLast: boolean): Promise<void> {
    const segment = new Segment(this.#context, this.#directory, baseOffset, file, {
      active: true,
      sizeBytes: 0,
      indexes: { offsets: new OffsetIndex(baseOffset), times: new TimeIndex(baseOffset) },
    });
    this.#nextOffset = baseOffset;
    const { bad, position } = await scanBatches(
      file,
      0,
      file.sizeBytes,
      (header) => this.#checkBatch(header) ?? this.#keepBatch(segment, header),
      this.#context.codecs,
    );
    this.#scannedBytes += position;
    this.#segments.push(segment);
    if (bad) await this.#cut(segment, file, position, bad, isLast);
    if (isLast || this.#damaged) return;
    await segment.writeIndexes();
    await segment.sync();
    segment.seal();
  }

  #checkBatch(header: BatchHeader): string | undefined {
    const next = this.#nextOffset!;
    if (header.lastOffsetDelta < 0 || header.recordsCount < 0)
      return `a batch says it has ${header.recordsCount} records`;
    if (this.#mayHaveGaps ? header.baseOffset < next : header.baseOffset !== next)
      return `a batch at offset ${header.baseOffset} where ${next} is due`;
    if (header.partitionLeaderEpoch < this.#lastEpoch)
      return `a batch of leader epoch ${header.partitionLeaderEpoch} after one of ${this.#lastEpoch}`;
    // The CRC does not cover the epoch. Its file was durable before the first batch of an epoch was written.
    const known = this.#epochsKnown ? this.#epochs.epochOf(header.baseOffset) : undefined;
    if (known !== undefined && header.partitionLeaderEpoch !== known)
      return `a batch of leader epoch ${header.partitionLeaderEpoch} where ${known} wrote`;
    return undefined;
  }

  #keepBatch(segment: Segment, header: BatchHeader): undefined {
    segment.noteBatch(header, this.#input.config.indexIntervalBytes);
    if (header.baseOffset >= this.#producersKnownTo) this.#producers.replay(header, this.#context.clock.monotonicMs());
    this.#lastEpoch = header.partitionLeaderEpoch;
    this.#nextOffset = header.lastOffset + 1;
    const epoch = header.partitionLeaderEpoch;
    // Below the log start epochs are forgotten on purpose: noted again they would gainsay the batches behind them.
    const counts = epoch >= 0 && header.lastOffset >= (this.#input.logStartOffset ?? 0);
    if (counts && this.#epochs.assign(epoch, header.baseOffset)) this.#epochsChanged = true;
  }

  /** Bad bytes from `position` on: cut a torn write off, or say that the log is damaged. */
  async #cut(segment: Segment, file: DiskFile, position: number, reason: string, isLast: boolean): Promise<void> {
    const { logger, observer, settings } = this.#context;
    const offset = this.#nextOffset!;
    const bytes = file.sizeBytes - position;
    const withinLastWrite = !this.#isStrict || bytes <= settings.appendGroupBytesMax;
    const torn = !this.#input.clean && isLast && offset >= this.#syncedOffset && withinLastWrite;
    if (!torn) {
      this.#damage(`${file.path}: at byte ${position} (offset ${offset}): ${reason}`);
      await copyAside(this.#context.disk, file, position);
    }
    logger.warn({ segment: file.path, position, offset, bytes, reason }, "cut a torn write off the end of the log");
    observer.tornTailCut(bytes);
    this.#cutBytes += bytes;
    await segment.truncate(position);
  }

  #damage(reason: string): void {
    if (!this.#input.truncateCorruption) throw new LogCorruptError(reason);
    this.#context.logger.error({ reason }, "the log is damaged here; it is truncated, as asked");
    this.#damaged = true;
  }

  /** The segment before the damage takes appends again. */
  async #reopenLast(): Promise<void> {
    const last = this.#segments.pop()!;
    await last.close();
    await this.#trust({ baseOffset: last.baseOffset, file: await this.#open(last.baseOffset) }, true);
  }

  /** Segments behind the damage: kept, but out of the log. */
  async #setAside(bases: readonly number[]): Promise<void> {
    for (const base of bases) {
      const path = this.#path(base, ".log");
      await this.#context.disk.rename(path, `${path}.corrupt`);
      await this.#remove(base);
    }
  }

  async #finish(verified: boolean): Promise<RecoveredLog> {
    const { disk, settings } = this.#context;
    const logEndOffset = this.#nextOffset!;
    if (logEndOffset < this.#syncedOffset)
      this.#damage(`${this.#directory} ends at ${logEndOffset}, but was synced up to ${this.#syncedOffset}`);
    const firstOffset = this.#segments[0]!.baseOffset;
    let logStartOffset = Math.max(this.#input.logStartOffset ?? firstOffset, firstOffset);
    if (logEndOffset < logStartOffset) {
      this.#damage(`${this.#directory} ends at ${logEndOffset}, below its start at ${logStartOffset}`);
      logStartOffset = logEndOffset;
      await this.#setAside(this.#obsolete);
    } else for (const base of this.#obsolete) await this.#remove(base);
    const active = this.#segments.at(-1)!;
    if (verified && !this.#input.clean) {
      if (this.#isStrict) await active.rewriteTail(settings.appendGroupBytesMax);
      await active.sync();
    }
    await removeSnapshots(disk, this.#directory, (offset) => offset > logEndOffset);
    if (this.#epochs.truncateFromStart(logStartOffset)) this.#epochsChanged = true;
    if (this.#epochs.truncateFromEnd(logEndOffset)) this.#epochsChanged = true;
    if (this.#epochsChanged) await this.#epochs.write();
    await disk.syncDir(this.#directory);
    const highWatermark = Math.min(Math.max(this.#input.highWatermark ?? logStartOffset, logStartOffset), logEndOffset);
    return {
      segments: this.#segments,
      epochs: this.#epochs,
      producers: this.#producers,
      logStartOffset,
      logEndOffset,
      highWatermark,
      cleanedTo: this.#input.cleanedTo,
      scannedBytes: this.#scannedBytes,
      cutBytes: this.#cutBytes,
    };
  }
}
