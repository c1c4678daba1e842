// Compacts the logs of a data folder, one at a time and the dirtiest first, within one bound of memory and one of disk traffic.

import type { LogCompaction } from "./log-compaction.ts";
import type { LogContext, LogIdentity } from "./log-context.ts";
import { Throttle } from "./throttle.ts";

export interface CompactionSettings {
  readonly compactionPerSecondBytes: number;
  readonly compactionKeyMapBytesMax: number;
  readonly decompressedBytesMax: number;
}

interface HasCompaction {
  readonly identity: LogIdentity;
  readonly offline: string | undefined;
  readonly compaction: LogCompaction;
}

export class Compactor {
  readonly #context: LogContext;
  readonly #settings: CompactionSettings;
  readonly #throttle: Throttle;
  readonly #logs: () => Iterable<HasCompaction>;
  readonly #checkpoint: () => Promise<void>;
  #running: Promise<void> | undefined;
  #stopped = false;

  /** `checkpoint` makes every log's cleanedTo durable. */
  constructor(
    context: LogContext,
    settings: CompactionSettings,
    logs: () => Iterable<HasCompaction>,
    checkpoint: () => Promise<void>,
  ) {
    this.#context = context;
    this.#settings = settings;
    this.#throttle = new Throttle(context.clock, settings.compactionPerSecondBytes);
    this.#logs = logs;
    this.#checkpoint = checkpoint;
  }

  /** Compacts until nothing is due. One that fails is left for the next run, so that it does not hold up the others. */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    const tried = new Set<HasCompaction>();
    while (!this.#stopped && !this.#context.diskGuard.low) {
      const log = await this.#dirtiest(tried);
      if (!log) return;
      const before = log.compaction.cleanedTo;
      await this.#guarded(log, () => this.#compact(log));
      if (log.compaction.cleanedTo === before || log.offline !== undefined) tried.add(log);
    }
  }

  async #compact({ compaction }: HasCompaction): Promise<void> {
    await compaction.begin(this.#checkpoint);
    await compaction.run({
      keyMapBytesMax: this.#settings.compactionKeyMapBytesMax,
      decompressedBytesMax: this.#settings.decompressedBytesMax,
      throttle: this.#throttle,
    });
    if (!this.#stopped) await this.#checkpoint();
  }

  async #dirtiest(tried: ReadonlySet<HasCompaction>): Promise<HasCompaction | undefined> {
    let dirtiest: HasCompaction | undefined;
    let most = 0;
    for (const log of [...this.#logs()]) {
      if (log.offline !== undefined || tried.has(log)) continue;
      const ratio = (await this.#guarded(log, () => log.compaction.dueRatio())) ?? 0;
      if (ratio <= most) continue;
      dirtiest = log;
      most = ratio;
    }
    return dirtiest;
  }

  async #guarded<T>(log: HasCompaction, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!this.#stopped)
        this.#context.logger.warn({ err: error, partition: log.identity.directory }, "compaction failed");
      return undefined;
    }
  }
}
