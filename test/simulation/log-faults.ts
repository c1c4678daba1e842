// Faults of the disk under the logs, and which ends of the process the disk's contract still allows after them.

import type { DiskOperation } from "./disk-operations.ts";
import { type History, isStrict } from "./log-history.ts";
import { folderOf } from "./log-process.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

export class PlannedFaults {
  /** What failed so far. */
  readonly failed: DiskOperation[] = [];
  readonly #disk: SimulatedDisk;

  constructor(disk: SimulatedDisk) {
    this.#disk = disk;
  }

  /** The first operation that matches fails; with `persistent` everything from then on does. */
  failWhen(matches: (operation: DiskOperation) => boolean, code: "EIO" | "ENOSPC", persistent = false): void {
    const failsNow = (operation: DiskOperation): boolean => {
      if (withoutErrors.has(operation.kind)) return false;
      if (code === "ENOSPC" && !takesSpace.has(operation.kind)) return false;
      const first = this.failed[0];
      if (!first) return matches(operation);
      // A filesystem whose folder cannot be synced takes no more changes: its journal has failed.
      return persistent || (first.kind === "syncDir" && operation.changes);
    };
    const fault = (operation: DiskOperation): boolean => {
      if (!failsNow(operation)) return false;
      this.failed.push(operation);
      return true;
    };
    this.#disk.failWhen(fault, { code }, Number.POSITIVE_INFINITY);
  }

  /**
   * After these failures only what is on the medium counts: a folder's sync failed, so the filesystem has to be mounted again,
   * or a relaxed log's did, of which recovery cannot tell how much has to be written again.
   */
  needPowerCut(history: History): boolean {
    const relaxed = [...history.logs.values()].filter((log) => !isStrict(log)).map(({ name }) => `${folderOf(name)}/`);
    return this.failed.some(
      ({ kind, path }) =>
        kind === "syncDir" || (kind === "sync" && path.endsWith(".log") && relaxed.some((at) => path.startsWith(at))),
    );
  }
}

const withoutErrors = new Set(["close", "lock", "unlock", "space"]);
const takesSpace = new Set(["create", "makeDir", "append", "write"]);
