// Every operation at which a run may end, and every disk that such an end may leave.

import type { DiskOperation } from "./disk-operations.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

interface CrashPoint {
  /** As it is before the operation. */
  readonly disk: SimulatedDisk;
  readonly operation: DiskOperation | undefined;
  /** What `progress` said then. */
  readonly progress: number;
}

/** A point before each operation that changes the disk, and one at the end. */
export async function pointsOf(
  disk: SimulatedDisk,
  run: () => Promise<unknown>,
  progress = () => 0,
): Promise<CrashPoint[]> {
  const points: CrashPoint[] = [];
  const add = (operation: DiskOperation | undefined) =>
    points.push({ disk: disk.copy(), operation, progress: progress() });
  disk.onOperation = (operation) => {
    if (operation.changes) add(operation);
  };
  await run();
  disk.onOperation = undefined;
  add(undefined);
  return points;
}

export function* endsOf(
  point: SimulatedDisk,
  operation: DiskOperation | undefined,
): Generator<[string, SimulatedDisk]> {
  const size = operation?.kind === "append" ? (operation.bytes ?? 0) : 0;
  for (const bytes of new Set([0, 1, size >> 1])) {
    const killed = point.copy();
    killed.kill(Math.min(bytes, size));
    yield [`kill after ${bytes} bytes`, killed];
  }
  const stopped = point.copy();
  stopped.kill();
  for (const choice of stopped.powerCutChoices()) {
    const cut = stopped.copy();
    cut.powerCut(choice);
    yield [JSON.stringify(choice), cut];
  }
}

/** Equal for disks that show the same, and leave the same when the power is cut. */
export function fingerprintOf(disk: SimulatedDisk): string {
  const synced = disk.copy();
  synced.powerCut({ keep: "nothing" });
  return `${disk.fingerprint()} ${synced.fingerprint()}`;
}

/** After kill -9. */
export function restarted(disk: SimulatedDisk): SimulatedDisk {
  const copy = disk.copy();
  copy.kill();
  return copy;
}

/** After the power was cut: what was synced. */
export function cut(disk: SimulatedDisk): SimulatedDisk {
  const copy = restarted(disk);
  copy.powerCut({ keep: "nothing" });
  return copy;
}
