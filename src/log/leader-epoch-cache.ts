// Which leader epoch wrote from which offset on: what truncation after a change of leader goes by (KIP-101, KIP-279).
// Kept in memory and in leader-epoch-checkpoint; the file is durable before a batch of a new epoch is written.

import type { Disk } from "../io/disk.ts";
import {
  CheckpointCorruptError,
  checkpointNumber,
  decodeCheckpoint,
  encodeCheckpoint,
  readFileIfThere,
  replaceFile,
} from "./checkpoint-file.ts";

export interface EpochEntry {
  readonly epoch: number;
  readonly startOffset: number;
}

export const leaderEpochCheckpointName = "leader-epoch-checkpoint";

export class LeaderEpochCache {
  readonly #disk: Disk;
  readonly #directory: string;
  /** Strictly rising in epoch and in start offset. */
  #entries: EpochEntry[];

  constructor(disk: Disk, directory: string, entries: readonly EpochEntry[] = []) {
    this.#disk = disk;
    this.#directory = directory;
    this.#entries = [...entries];
  }

  /** undefined when the file is missing; a CheckpointCorruptError when it contradicts itself. */
  static async read(disk: Disk, directory: string): Promise<LeaderEpochCache | undefined> {
    const path = `${directory}/${leaderEpochCheckpointName}`;
    const content = await readFileIfThere(disk, path);
    if (!content) return undefined;
    const entries = decodeCheckpoint(path, content, 2).map(([epoch, startOffset]) => ({
      epoch: checkpointNumber(path, epoch),
      startOffset: checkpointNumber(path, startOffset),
    }));
    if (entries.some((entry, i) => i > 0 && !rises(entries[i - 1]!, entry)))
      throw new CheckpointCorruptError(path, "epochs and their start offsets must rise");
    return new LeaderEpochCache(disk, directory, entries);
  }

  get entries(): readonly EpochEntry[] {
    return this.#entries;
  }

  get latest(): EpochEntry | undefined {
    return this.#entries.at(-1);
  }

  /** Notes that `epoch` begins at `startOffset`, if it is newer than all known. In memory only: call write() before relying on it. */
  assign(epoch: number, startOffset: number): boolean {
    const latest = this.latest;
    if (latest && epoch <= latest.epoch) return false;
    // An epoch that wrote nothing leaves no trace once the next begins at the same place.
    while (this.#entries.length > 0 && this.#entries.at(-1)!.startOffset >= startOffset) this.#entries.pop();
    this.#entries.push({ epoch, startOffset });
    return true;
  }

  /**
   * Durable when it returns. An epoch below the latest is refused: its batches would look like damage to the next recovery.
   * That happens when the metadata was put back from an older copy.
   */
  async begin(epoch: number, startOffset: number): Promise<void> {
    const { latest } = this;
    if (latest && epoch < latest.epoch)
      throw new Error(`leader epoch ${epoch} is below ${latest.epoch}, which wrote to ${this.#directory} already`);
    if (this.assign(epoch, startOffset)) await this.write();
  }

  /** The epoch of the batch at `offset`; undefined when no known epoch reaches down to it. */
  epochOf(offset: number): number | undefined {
    return this.#entries.findLast((entry) => entry.startOffset <= offset)?.epoch;
  }

  /**
   * The largest known epoch ≤ `epoch`, and where it ends (core rule of KIP-279). An epoch below the first known ends
   * where the first begins; the latest ends at `logEndOffset`; undefined when nothing is known or `epoch` is newer.
   */
  endOffsetFor(epoch: number, logEndOffset: number): { epoch: number; endOffset: number } | undefined {
    const latest = this.latest;
    if (!latest || epoch > latest.epoch) return undefined;
    if (epoch === latest.epoch) return { epoch, endOffset: logEndOffset };
    const next = this.#entries.findIndex((entry) => entry.epoch > epoch);
    const floor = this.#entries[next - 1];
    return { epoch: floor?.epoch ?? epoch, endOffset: this.#entries[next]!.startOffset };
  }

  /** Forgets epochs that begin at or above `logEndOffset`, after the log was cut there. */
  truncateFromEnd(logEndOffset: number): boolean {
    const kept = this.#entries.filter((entry) => entry.startOffset < logEndOffset);
    const changed = kept.length < this.#entries.length;
    this.#entries = kept;
    return changed;
  }

  /** Forgets epochs that end at or below `logStartOffset`; the one that holds it begins there from now on. */
  truncateFromStart(logStartOffset: number): boolean {
    const holder = this.#entries.findLastIndex((entry) => entry.startOffset <= logStartOffset);
    if (holder === -1 || this.#entries[holder]!.startOffset === logStartOffset) {
      if (holder <= 0) return false;
      this.#entries = this.#entries.slice(holder);
      return true;
    }
    this.#entries = [
      { epoch: this.#entries[holder]!.epoch, startOffset: logStartOffset },
      ...this.#entries.slice(holder + 1),
    ];
    return true;
  }

  /** Makes the present entries durable. */
  async write(): Promise<void> {
    const lines = this.#entries.map(({ epoch, startOffset }) => `${epoch} ${startOffset}`);
    await replaceFile(this.#disk, this.#directory, leaderEpochCheckpointName, encodeCheckpoint(lines));
  }
}

function rises(before: EpochEntry, after: EpochEntry): boolean {
  return after.epoch > before.epoch && after.startOffset > before.startOffset;
}
