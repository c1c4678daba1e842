// Puts segments that compaction has written in the place of those they were made from. A crash leaves the old ones or the new ones,
// never a mix: the new are written whole as *.cleaned and synced, then named *.swap, the lowest last. That name is the decision:
// before it the next start throws the new ones away, from it on it removes the old ones and finishes.
// File names and order: Apache Kafka's (LogSegments, LogLoader.completeSwapOperations).

import { scanBatches } from "./batch-scan.ts";
import { SegmentCorruptError } from "./batch-walk.ts";
import { cleanedSuffix, segmentFileName, swapSuffix } from "./file-names.ts";
import type { LogContext } from "./log-context.ts";
import type { Segment } from "./segment.ts";

/**
 * `after` cover the offsets of `before`, each from where the one before it ends; they are synced, still called *.cleaned, and no
 * other file of that folder is. Durable when it returns; whatever fails leaves files that only a start puts in order.
 */
export async function swapSegments(
  context: LogContext,
  directory: string,
  before: readonly Segment[],
  after: readonly Segment[],
): Promise<void> {
  const { disk } = context;
  const path = (segment: Segment) => `${directory}/${segmentFileName(segment.baseOffset, ".log")}`;
  const named = async (segment: Segment) => {
    await disk.rename(path(segment) + cleanedSuffix, path(segment) + swapSuffix);
    await disk.syncDir(directory);
  };
  for (const segment of after.toReversed()) await named(segment);
  for (const segment of before) await segment.remove();
  await disk.syncDir(directory);
  for (const segment of after) {
    await disk.rename(path(segment) + swapSuffix, path(segment));
    await segment.writeIndexes();
  }
  await disk.syncDir(directory);
}

/** Removes what an unfinished compaction of this folder has left. Only while none is under way. */
export async function removeCleaned(context: LogContext, directory: string): Promise<void> {
  for (const { name } of await context.disk.list(directory))
    if (name.endsWith(cleanedSuffix)) await context.disk.removeFile(`${directory}/${name}`);
}

/**
 * At a start, before anything is opened: finishes a swap that was decided, throws away one that was not. A SegmentCorruptError when a
 * decided one is not sound, which was synced before it was decided; with `setUnsoundAside` it is kept beside instead.
 */
export async function settleSwaps(context: LogContext, directory: string, setUnsoundAside: boolean): Promise<void> {
  const { disk, logger } = context;
  const names = (await disk.list(directory)).map(({ name }) => name);
  const swaps = basesOf(names, swapSuffix);
  if (swaps.length === 0) return;
  const undecidedFrom = Math.min(...basesOf(names, cleanedSuffix));
  const undecided = swaps.filter((base) => base >= undecidedFrom);
  const decided: number[] = [];
  await disk.syncDir(directory); // a name that only a killed process has given must not vanish once the old segments go
  // Before the *.cleaned that tells that they are not decided.
  for (const base of undecided) await disk.removeFile(swapPath(directory, base));
  for (const base of swaps.filter((swap) => swap < undecidedFrom)) {
    const end = await lastOffsetOf(context, swapPath(directory, base), setUnsoundAside);
    if (end === undefined) await disk.rename(swapPath(directory, base), `${swapPath(directory, base)}.corrupt`);
    else if (end < base && names.includes(segmentFileName(base, ".log"))) {
      await disk.removeFile(swapPath(directory, base)); // says nothing about what it replaces; what it was made from is stale, no more
    } else {
      await removeReplaced(context, directory, names, base, end);
      decided.push(base);
    }
  }
  await disk.syncDir(directory);
  for (const base of decided) await disk.rename(swapPath(directory, base), logPath(directory, base));
  await disk.syncDir(directory);
  logger.info({ directory, finished: decided.length, undone: undecided.length }, "a swap of segments was cut short");
}

function basesOf(names: readonly string[], suffix: string): number[] {
  const pattern = new RegExp(`^\\d{20}\\.log\\${suffix}$`);
  return names.filter((name) => pattern.test(name)).map((name) => Number(name.slice(0, 20)));
}

function logPath(directory: string, base: number): string {
  return `${directory}/${segmentFileName(base, ".log")}`;
}

function swapPath(directory: string, base: number): string {
  return logPath(directory, base) + swapSuffix;
}

/** undefined when it is not sound and that is borne. */
async function lastOffsetOf(
  { disk, codecs }: LogContext,
  path: string,
  mayBeUnsound: boolean,
): Promise<number | undefined> {
  const file = await disk.open(path);
  try {
    let last = -1;
    const scanned = await scanBatches(
      file,
      0,
      file.sizeBytes,
      ({ lastOffset }) => {
        last = lastOffset;
        return undefined;
      },
      codecs,
    );
    if (!scanned.bad) return last;
    if (mayBeUnsound) return undefined;
    const where = `${path}: at byte ${scanned.position}: ${scanned.bad}`;
    throw new SegmentCorruptError(`${where}; the segments that it was to replace may be gone`);
  } finally {
    await file.close();
  }
}

/** The files of the segments whose offsets the new one covers. */
async function removeReplaced(
  { disk }: LogContext,
  directory: string,
  names: readonly string[],
  from: number,
  to: number,
): Promise<void> {
  for (const name of names) {
    const base = /^\d{20}\.(log|index|timeindex)$/.test(name) ? Number(name.slice(0, 20)) : -1;
    if (base === from || (base > from && base <= to)) await disk.removeFile(`${directory}/${name}`);
  }
}
