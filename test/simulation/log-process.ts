// One life of a broker's logs on a simulated disk: opened, recovered and led as src/broker/broker.ts does it, with the metadata
// store replaced by the history, which never fails.

import type { Disk } from "../../src/io/disk.ts";
import { silentLogger } from "../../src/io/logger.ts";
import { DiskGuard } from "../../src/log/disk-guard.ts";
import type { LogContext } from "../../src/log/log-context.ts";
import { type KnownPartition, LogManager } from "../../src/log/log-manager.ts";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { partitionFolderName } from "../../src/protocol/topic-partition.ts";
import { Partition } from "../../src/replication/partition.ts";
import { compactionSettings, logContext } from "../log/log-fixture.ts";
import { LawBroken } from "./laws/law-broken.ts";
import type { ExpectedLog, History } from "./log-history.ts";
import { SimulatedClock } from "./simulated-clock.ts";

export const dataDir = "data";
/** Small, so that a tail of two writes is told from one. */
export const appendGroupBytesMax = 2048;
export const lowDiskBytes = 8 * 1024;
export const checkpointIntervalMs = 5_000;
export const fileDeleteDelayMs = 2_000;
/** Of producers and Idempotency-Keys; longer than any random life. */
export const rememberedMs = 3_600_000;
const retentionCheckMs = 3_600_000_000;

export class LogProcess {
  readonly clock: SimulatedClock;
  readonly manager: LogManager;
  readonly guard: DiskGuard;
  readonly partitions = new Map<string, Partition>();
  readonly #history: History;

  private constructor(clock: SimulatedClock, manager: LogManager, guard: DiskGuard, history: History) {
    this.clock = clock;
    this.manager = manager;
    this.guard = guard;
    this.#history = history;
  }

  /** Recovers; nothing is led yet. `isSimulated` disks need no time. */
  static async load(disk: Disk, history: History, wallMs: number): Promise<LogProcess> {
    const clock = new SimulatedClock({ wallMs });
    const options = { disk, clock, logger: silentLogger, directory: dataDir, lowDiskBytes, lowDiskCheckMs: 1e12 };
    const guard = new DiskGuard(options);
    await guard.check();
    const settings = {
      appendGroupBytesMax,
      appendQueueBytesMax: 64 * 1024,
      fileDeleteDelayMs,
      producerIdExpirationMs: rememberedMs,
      idempotencyWindowMs: rememberedMs,
    };
    const context: LogContext = { ...logContext(disk, clock, settings), diskGuard: guard };
    const lock = await disk.lock(dataDir);
    const managerSettings = { ...compactionSettings, recoveryConcurrency: 2, checkpointIntervalMs, retentionCheckMs };
    const manager = await LogManager.open(context, dataDir, managerSettings, lock);
    await manager.load([...history.logs.values()].map(knownPartition), (topicId) => history.deletedIds.has(topicId));
    return new LogProcess(clock, manager, guard, history);
  }

  /** Takes appends from now on, after an unclean end of the life before under new leader epochs. */
  async lead(): Promise<void> {
    this.#history.add({ kind: "deletionsSettled" });
    if (this.manager.unclean) this.#history.add({ kind: "epochsRaised" });
    for (const expected of this.#history.logs.values()) await this.leadOne(expected);
  }

  async leadOne(expected: ExpectedLog): Promise<void> {
    const log = this.find(expected);
    if (!log) return;
    const partition = new Partition(log, this.clock);
    this.partitions.set(expected.topicId, partition);
    await partition.lead(expected.leaderEpoch).catch((error) => {
      if (!(error instanceof BrokerError)) throw error; // the log is offline now and says why; the others go on
    });
  }

  /** undefined while it is offline. */
  find(expected: ExpectedLog): PartitionLog | undefined {
    try {
      const log = this.manager.get(expected.name, 0);
      return log?.offline === undefined ? log : undefined;
    } catch {
      return undefined;
    }
  }

  log(expected: ExpectedLog): PartitionLog {
    const log = this.manager.get(expected.name, 0); // throws why it is offline
    if (!log) throw new LawBroken("L1", `the store knows ${expected.name}, the data folder does not`);
    if (log.offline !== undefined) throw new LawBroken("L12", `${expected.name} is offline: ${log.offline}`);
    return log;
  }
}

export function knownPartition({ name, topicId, overrides }: ExpectedLog): KnownPartition {
  return { topic: name, topicId, partition: 0, config: topicConfig(overrides) };
}

export function folderOf(name: string): string {
  return `${dataDir}/${partitionFolderName(name, 0)}`;
}
