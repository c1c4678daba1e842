// All logs of one data folder: loads them in parallel, makes and deletes them, keeps the checkpoints, runs retention and compaction.
// A folder is deleted only when the metadata store says that its topic was; what nobody knows is set aside and reported.

import { assert } from "../assert.ts";
import type { Timer } from "../io/clock.ts";
import type { FolderLock } from "../io/disk.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { parsePartitionFolderName, partitionFolderName } from "../protocol/topic-partition.ts";
import { type CompactionSettings, Compactor } from "./compactor.ts";
import { readTopicId, takeCleanMarker, writeCleanMarker, writeTopicId } from "./data-folder.ts";
import { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { LogContext, LogIdentity } from "./log-context.ts";
import { finishRestart, recoverFolder } from "./log-restart.ts";
import { OffsetCheckpoints } from "./offset-checkpoints.ts";
import { PartitionLog } from "./partition-log.ts";
import { ProducerState } from "./producer-state.ts";
import { Segment } from "./segment.ts";
import type { TopicConfig } from "./topic-config.ts";

export interface KnownPartition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly config: TopicConfig;
}

export interface LogManagerSettings extends CompactionSettings {
  readonly recoveryConcurrency: number;
  readonly checkpointIntervalMs: number;
  readonly retentionCheckMs: number;
  readonly compactionCheckMs: number;
}

const progressEveryMs = 1000;

export class LogManager {
  readonly #context: LogContext;
  readonly #dataDir: string;
  readonly #settings: LogManagerSettings;
  readonly #lock: FolderLock;
  readonly #logs = new Map<string, PartitionLog>();
  /** Partitions that could not be opened, and why. Their checkpoint entries are kept as they were. */
  readonly #offline = new Map<string, string>();
  readonly #checkpoints: OffsetCheckpoints;
  readonly #compactor: Compactor;
  readonly #timers = new Set<Timer>();
  readonly #removals = new Set<Promise<void>>();
  /** Names and folders of logs that begin anew, of which the checkpoints do not know yet. */
  readonly #restarted = new Map<string, string>();
  #closing = false;
  /** True when the last process did not close every log in order. */
  readonly unclean: boolean;

  private constructor(
    context: LogContext,
    dataDir: string,
    settings: LogManagerSettings,
    lock: FolderLock,
    loaded: OffsetCheckpoints["loaded"],
    unclean: boolean,
  ) {
    this.#context = context;
    this.#dataDir = dataDir;
    this.#settings = settings;
    this.#lock = lock;
    this.#checkpoints = new OffsetCheckpoints(context, dataDir, loaded, { logs: this.#logs, offline: this.#offline });
    const checkpoint = () => this.#checkpoints.writeCleaned();
    this.#compactor = new Compactor(context, settings, () => this.#logs.values(), checkpoint);
    this.unclean = unclean;
  }

  /** Takes a folder whose lock the caller holds; the manager gives it back at close. */
  static async open(
    context: LogContext,
    dataDir: string,
    settings: LogManagerSettings,
    lock: FolderLock,
  ): Promise<LogManager> {
    const clean = await takeCleanMarker(context.disk, dataDir);
    const loaded = await OffsetCheckpoints.read(context, dataDir);
    return new LogManager(context, dataDir, settings, lock, loaded, !clean);
  }

  /** The log, KAFKA_STORAGE_ERROR while it is offline, undefined when this folder has no such partition. */
  get(topic: string, partition: number): PartitionLog | undefined {
    const name = partitionFolderName(topic, partition);
    const log = this.#logs.get(name);
    if (log) return log;
    const reason = this.#offline.get(name);
    if (reason !== undefined) throw new BrokerError("KAFKA_STORAGE_ERROR", `${name} is offline: ${reason}`);
    return undefined;
  }

  /** Whether its log could not be opened. */
  isOffline(topic: string, partition: number): boolean {
    return this.#offline.has(partitionFolderName(topic, partition));
  }

  logs(): Iterable<PartitionLog> {
    return this.#logs.values();
  }

  get offlineCount(): number {
    let count = this.#offline.size;
    for (const log of this.#logs.values()) if (log.offline !== undefined) count += 1;
    return count;
  }

  /**
   * Opens the logs of all known partitions, several at a time, and settles every other folder: deleted if `wasDeleted`, else set
   * aside as a stray. A log that cannot be opened is offline; the others are not held up by it.
   */
  async load(known: readonly KnownPartition[], wasDeleted: (topicId: string) => boolean): Promise<void> {
    const { clock, logger } = this.#context;
    const started = clock.monotonicMs();
    const present = await this.#settleFolders(known, wasDeleted);
    const waiting = [...known];
    let done = 0;
    let toldMs = started;
    const worker = async () => {
      for (let partition = waiting.shift(); partition; partition = waiting.shift()) {
        await this.#openKnown(partition, present);
        done += 1;
        if (clock.monotonicMs() - toldMs < progressEveryMs) continue;
        toldMs = clock.monotonicMs();
        logger.info({ done, of: known.length, unclean: this.unclean }, "loading logs");
      }
    };
    await Promise.all(Array.from({ length: this.#settings.recoveryConcurrency }, worker));
    await this.#checkpoints.writeAll();
    for (const [name, directory] of this.#restarted) await this.#finishRestart(name, directory);
    const fields = {
      partitions: known.length,
      offline: this.#offline.size,
      unclean: this.unclean && known.length > 0,
      tookMs: Math.round(clock.monotonicMs() - started),
    };
    logger.info(fields, "logs loaded");
    this.#every(this.#settings.checkpointIntervalMs, () => this.#checkpoints.writeAll());
    this.#every(this.#settings.retentionCheckMs, () => this.applyRetention());
    this.#every(this.#settings.compactionCheckMs, () => this.compact());
  }

  /**
   * Makes the folders of new partitions, empty and durable. Do it before the store's transaction that makes the topic known:
   * a folder that is not known is set aside, a known partition without its folder would be offline.
   */
  async create(partitions: readonly KnownPartition[]): Promise<void> {
    try {
      for (const partition of partitions) await this.#createOne(partition);
      await this.#context.disk.syncDir(this.#dataDir);
      await this.#checkpoints.writeAll(); // a deleted partition of the same name has left entries of its own
      await this.#checkpoints.forgetCleaned(partitions.map((one) => partitionFolderName(one.topic, one.partition)));
    } catch (error) {
      this.forget(partitions);
      throw error;
    }
  }

  /** Takes back a create whose partitions never became known: their folders are strays now. */
  forget(partitions: readonly { topic: string; partition: number }[]): void {
    for (const { topic, partition } of partitions) this.#track(this.#letGo(partitionFolderName(topic, partition)));
  }

  /**
   * Lets go of partitions: their names are free when this returns, their files go a little later. What a log's writer has begun is
   * waited for: it goes by the folder's name, which may soon be another topic's.
   */
  async delete(partitions: readonly { topic: string; partition: number; topicId: string }[]): Promise<void> {
    const { disk, settings } = this.#context;
    await Promise.all(
      partitions.map(({ topic, partition }) =>
        this.#letGo(partitionFolderName(topic, partition)).catch(this.#toldOnly),
      ),
    );
    for (const { topic, partition, topicId } of partitions) {
      const name = partitionFolderName(topic, partition);
      const aside = `${this.#dataDir}/${topicId}-${partition}-delete`;
      if (await disk.stat(`${this.#dataDir}/${name}`)) await disk.rename(`${this.#dataDir}/${name}`, aside);
      this.#after(settings.fileDeleteDelayMs, () => disk.removeDir(aside));
    }
    await disk.syncDir(this.#dataDir);
  }

  /** Nobody finds it any more; resolves when its files are closed. */
  async #letGo(name: string): Promise<void> {
    const log = this.#logs.get(name);
    this.#logs.delete(name);
    this.#offline.delete(name);
    await log?.abandon();
  }

  async applyRetention(): Promise<void> {
    for (const log of [...this.#logs.values()]) {
      if (log.offline !== undefined || this.#closing) continue;
      await log.applyRetention().catch((error) => {
        if (!this.#closing)
          this.#context.logger.warn({ err: error, partition: log.identity.directory }, "retention failed");
      });
    }
  }

  /** Compacts every log for which it is due. */
  compact(): Promise<void> {
    return this.#compactor.run();
  }

  /** Closes every log in order; the next start scans nothing if all of them could be. */
  async close(brokerEpoch: number): Promise<void> {
    this.#closing = true;
    this.#compactor.stop();
    for (const timer of this.#timers) timer.cancel();
    try {
      const closed = await Promise.all([...this.#logs.values()].map((log) => log.close()));
      await Promise.all(this.#removals);
      await this.#checkpoints.writeAll();
      if (closed.every(Boolean) && this.#offline.size === 0)
        await writeCleanMarker(this.#context.disk, this.#dataDir, brokerEpoch);
    } finally {
      await this.#lock.unlock();
    }
  }

  async #openKnown(known: KnownPartition, present: ReadonlySet<string>): Promise<void> {
    const name = partitionFolderName(known.topic, known.partition);
    const directory = `${this.#dataDir}/${name}`;
    try {
      if (!present.has(name)) throw new Error(`its folder ${directory} is missing, or its partition.metadata`);
      const recovered = await recoverFolder(this.#context, {
        identity: { ...known, directory },
        config: known.config,
        clean: !this.unclean,
        recoveryPoint: this.#checkpoints.loaded.recoveryPoint?.get(name),
        highWatermark: this.#checkpoints.loaded.highWatermark?.get(name),
        logStartOffset: this.#checkpoints.loaded.logStart?.get(name),
        cleanedTo: this.#checkpoints.cleanedTo(name),
      });
      if (recovered.restarted) this.#restarted.set(name, directory);
      if (recovered.scannedBytes > 0) {
        const { logStartOffset, logEndOffset, scannedBytes, cutBytes } = recovered;
        this.#context.logger.info(
          { partition: name, logStartOffset, logEndOffset, scannedBytes, cutBytes },
          "log recovered",
        );
      }
      this.#logs.set(
        name,
        new PartitionLog(this.#context, { ...known, directory }, known.config, recovered, this.#checkpoints),
      );
    } catch (error) {
      this.#setOffline(name, error);
    }
  }

  #setOffline(name: string, error: unknown): void {
    this.#offline.set(name, error instanceof Error ? error.message : String(error));
    this.#context.logger.error(
      { err: error, partition: name },
      "partition is offline: its log cannot be opened; 'millrace log truncate' cuts it at the damage, if that is wanted",
    );
  }

  async #finishRestart(name: string, directory: string): Promise<void> {
    try {
      await finishRestart(this.#context.disk, directory);
    } catch (error) {
      await this.#letGo(name); // nothing may be appended while the next start would drop it
      this.#setOffline(name, error);
    }
  }

  async #createOne(partition: KnownPartition): Promise<void> {
    const name = partitionFolderName(partition.topic, partition.partition);
    const directory = `${this.#dataDir}/${name}`;
    assert(!this.#logs.has(name) && !this.#offline.has(name), `${name} is made twice`);
    await this.#setAsideStray(name);
    await this.#context.disk.makeDir(directory);
    this.#logs.set(name, await this.#makeEmpty(partition, directory));
  }

  async #makeEmpty(partition: KnownPartition, directory: string): Promise<PartitionLog> {
    const { disk } = this.#context;
    await writeTopicId(disk, directory, partition.topicId);
    const epochs = new LeaderEpochCache(disk, directory);
    await epochs.write();
    const segment = await Segment.create(this.#context, directory, 0);
    await segment.sync();
    await disk.syncDir(directory);
    const identity: LogIdentity = {
      topic: partition.topic,
      topicId: partition.topicId,
      partition: partition.partition,
      directory,
    };
    const empty = {
      segments: [segment],
      epochs,
      producers: new ProducerState(this.#context.settings),
      logStartOffset: 0,
      logEndOffset: 0,
      highWatermark: 0,
      cleanedTo: undefined,
      scannedBytes: 0,
      cutBytes: 0,
    };
    return new PartitionLog(this.#context, identity, partition.config, empty, this.#checkpoints);
  }

  /** Deletes or sets aside what no known partition owns; gives the names of the folders that are theirs. */
  async #settleFolders(
    known: readonly KnownPartition[],
    wasDeleted: (topicId: string) => boolean,
  ): Promise<Set<string>> {
    const { disk, logger } = this.#context;
    const owners = new Map(
      known.map((partition) => [partitionFolderName(partition.topic, partition.partition), partition.topicId]),
    );
    const present = new Set<string>();
    for (const { name, kind } of await disk.list(this.#dataDir)) {
      if (kind !== "directory") continue;
      if (/^[A-Za-z0-9_-]{22}-\d+-delete$/.test(name)) await disk.removeDir(`${this.#dataDir}/${name}`);
      if (!parsePartitionFolderName(name)) continue;
      const topicId = await readTopicId(disk, `${this.#dataDir}/${name}`);
      if (topicId === undefined && owners.has(name)) continue; // cannot be told whose it is: left as it is, and offline
      if (topicId !== undefined && owners.get(name) === topicId) present.add(name);
      else if (topicId !== undefined && wasDeleted(topicId)) await disk.removeDir(`${this.#dataDir}/${name}`);
      else {
        const aside = await this.#setAsideStray(name);
        logger.warn(
          { folder: name, topicId, aside },
          "a folder belongs to no known topic; it is kept, under another name",
        );
      }
    }
    await disk.syncDir(this.#dataDir);
    return present;
  }

  async #setAsideStray(name: string): Promise<string | undefined> {
    const { disk } = this.#context;
    const directory = `${this.#dataDir}/${name}`;
    if (!(await disk.stat(directory))) return undefined;
    const owner = (await readTopicId(disk, directory)) ?? "unknown";
    for (let n = 0; ; n++) {
      const aside = `${owner}-${name.slice(name.lastIndexOf("-") + 1)}${n === 0 ? "" : `.${n}`}-stray`;
      if (await disk.stat(`${this.#dataDir}/${aside}`)) continue;
      await disk.rename(directory, `${this.#dataDir}/${aside}`);
      return aside;
    }
  }

  #every(intervalMs: number, run: () => Promise<void>): void {
    this.#after(intervalMs, async () => {
      try {
        await run();
      } finally {
        if (!this.#closing) this.#every(intervalMs, run);
      }
    });
  }

  #after(delayMs: number, run: () => Promise<void>): void {
    if (this.#closing) return; // the next start does what is left to do
    const timer = this.#context.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      this.#track(run());
    });
    this.#timers.add(timer);
  }

  readonly #toldOnly = (error: unknown): void =>
    this.#context.logger.error({ err: error }, "background work on the data folder failed");

  /** Background work: close waits for it, and its failure is told. */
  #track(work: Promise<unknown>): void {
    const tracked = work
      .then(() => {})
      .catch(this.#toldOnly)
      .finally(() => this.#removals.delete(tracked));
    this.#removals.add(tracked);
  }
}
