// The data folder's checkpoints of every partition's recovery point, high watermark, log start, and how far it is compacted: read
// once at start, written by one writer at a time.

import {
  CheckpointCorruptError,
  offsetCheckpointNames,
  type PartitionOffsets,
  readOffsets,
  writeOffsets,
} from "./checkpoint-file.ts";
import type { LogContext } from "./log-context.ts";

interface HasOffsets {
  readonly flushedOffset: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly compaction: { readonly cleanedTo: number | undefined };
}

/** What there is to write: the logs that are open, and the names of those that could not be opened. */
export interface CheckpointSource {
  readonly logs: ReadonlyMap<string, HasOffsets>;
  readonly offline: ReadonlyMap<string, unknown>;
}

type Loaded = { readonly [kind in keyof typeof offsetCheckpointNames]: PartitionOffsets | undefined } & {
  /** Which logs were compacted is not known any more. */
  readonly cleanerIsDamaged: boolean;
};

export class OffsetCheckpoints {
  /** As the last process left them; undefined where a file is missing or damaged. */
  readonly loaded: Loaded;
  readonly #context: LogContext;
  readonly #dataDir: string;
  readonly #source: CheckpointSource;
  readonly #logStarts = new SharedRun(() =>
    this.#write(offsetCheckpointNames.logStart, this.loaded.logStart, (log) => log.logStartOffset),
  );
  /** A log that was never compacted has no entry. */
  readonly #cleaned = new SharedRun(() => {
    for (const [folder, { compaction }] of this.#source.logs)
      if (compaction.cleanedTo !== undefined) this.#cleanedOnDisk.add(folder);
    return this.#write(offsetCheckpointNames.cleaner, this.loaded.cleaner, (log) => log.compaction.cleanedTo);
  });
  /** Names that may have an entry in the cleaner's checkpoint. */
  readonly #cleanedOnDisk: Set<string>;
  readonly #all = new SharedRun(async () => {
    const { recoveryPoint, highWatermark } = this.loaded;
    await this.#write(offsetCheckpointNames.recoveryPoint, recoveryPoint, (log) => log.flushedOffset);
    await this.#write(offsetCheckpointNames.highWatermark, highWatermark, (log) => log.highWatermark);
    await this.#logStarts.run();
  });

  constructor(context: LogContext, dataDir: string, loaded: Loaded, source: CheckpointSource) {
    this.#context = context;
    this.#dataDir = dataDir;
    this.loaded = loaded;
    this.#cleanedOnDisk = new Set(loaded.cleaner?.keys());
    this.#source = source;
  }

  static async read(context: LogContext, dataDir: string): Promise<Loaded> {
    let cleanerIsDamaged = false;
    const read = async (name: string) => {
      try {
        return await readOffsets(context.disk, dataDir, name);
      } catch (error) {
        if (!(error instanceof CheckpointCorruptError)) throw error;
        context.logger.warn({ err: error }, "a checkpoint cannot be read; recovery does without it");
        if (name === offsetCheckpointNames.cleaner) cleanerIsDamaged = true;
        return undefined;
      }
    };
    const offsets = {
      recoveryPoint: await read(offsetCheckpointNames.recoveryPoint),
      highWatermark: await read(offsetCheckpointNames.highWatermark),
      logStart: await read(offsetCheckpointNames.logStart),
      cleaner: await read(offsetCheckpointNames.cleaner),
    };
    return { ...offsets, cleanerIsDamaged };
  }

  /** How far the log was compacted; undefined only if it surely never was. */
  cleanedTo(folder: string): number | undefined {
    return this.loaded.cleanerIsDamaged ? 0 : this.loaded.cleaner?.get(folder);
  }

  /** Durable, with the offsets at the time of the call or later, when it returns; so too below. */
  writeAll(): Promise<void> {
    return this.#all.run();
  }

  writeLogStarts(): Promise<void> {
    return this.#logStarts.run();
  }

  writeCleaned(): Promise<void> {
    return this.#cleaned.run();
  }

  /** New logs of these names: what a deleted one's compaction has left must not be taken for theirs. */
  async forgetCleaned(folders: readonly string[]): Promise<void> {
    if (folders.some((folder) => this.#cleanedOnDisk.has(folder))) await this.writeCleaned();
  }

  /** A log that could not be opened keeps the entry it had. */
  #write(
    name: string,
    loaded: PartitionOffsets | undefined,
    offsetOf: (log: HasOffsets) => number | undefined,
  ): Promise<void> {
    const offsets = new Map<string, number>();
    for (const offline of this.#source.offline.keys()) {
      const offset = loaded?.get(offline);
      if (offset !== undefined) offsets.set(offline, offset);
    }
    for (const [folder, log] of this.#source.logs) {
      const offset = offsetOf(log);
      if (offset !== undefined) offsets.set(folder, offset);
    }
    return writeOffsets(this.#context.disk, this.#dataDir, name, offsets);
  }
}

/** At most one runs and one waits: whoever asks while one runs shares the next. */
class SharedRun {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  run(): Promise<void> {
    if (!this.#running) {
      this.#running = this.#work().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.run();
      });
    return this.#next;
  }
}
