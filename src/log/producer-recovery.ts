// Brings back what a log remembered of its producers: the newest sound snapshot, then the batches behind it.

import type { DiskFile } from "../io/disk.ts";
import { scanBatches } from "./batch-scan.ts";
import { segmentFileName } from "./file-names.ts";
import { readIndexFiles } from "./index-files.ts";
import type { LogContext } from "./log-context.ts";
import { decodeProducerSnapshot, snapshotOffsets } from "./producer-snapshot.ts";
import type { ProducerState } from "./producer-state.ts";

/** Fills `producers` with what is known of all offsets below `to`, of the segments that begin at `bases`. */
export async function recoverProducers(
  context: LogContext,
  directory: string,
  producers: ProducerState,
  bases: readonly number[],
  to: number,
): Promise<void> {
  const from = (await newestSnapshot(context, directory, producers, to)) ?? bases[0]!;
  const first = Math.max(
    0,
    bases.findLastIndex((base) => base <= from),
  );
  for (const base of bases.slice(first)) {
    if (base >= to) return;
    const file = await context.disk.open(`${directory}/${segmentFileName(base, ".log")}`);
    try {
      const indexes = await readIndexFiles(context.disk, directory, base, file.sizeBytes);
      const near = indexes?.offsets.positionBefore(from) ?? 0;
      const leadsAstray = near > 0 && !(await holdsBatchBefore(file, near, from));
      await scanBatches(file, leadsAstray ? 0 : near, file.sizeBytes, (header) => {
        if (header.baseOffset >= from && header.baseOffset < to) producers.replay(header, context.clock.monotonicMs());
        return undefined;
      });
    } finally {
      await file.close();
    }
  }
}

/** The end offset of the newest sound snapshot that does not reach beyond `to`, once its producers are remembered. */
async function newestSnapshot(
  { disk, codecs, clock, logger }: LogContext,
  directory: string,
  producers: ProducerState,
  to: number,
): Promise<number | undefined> {
  for (const offset of await snapshotOffsets(disk, directory)) {
    if (offset > to) continue;
    const bytes = await disk.readFile(`${directory}/${segmentFileName(offset, ".snapshot")}`);
    const entries = decodeProducerSnapshot(bytes, codecs, clock.monotonicMs());
    if (entries) {
      for (const entry of entries) producers.remember(entry);
      return offset;
    }
    logger.warn({ directory, offset }, "a damaged producer snapshot is ignored; an older one is taken");
  }
  return undefined;
}

/** Whether a batch begins at `position` that begins at or below `offset`: an index without a checksum may say anything. */
async function holdsBatchBefore(file: DiskFile, position: number, offset: number): Promise<boolean> {
  let holds = false;
  await scanBatches(file, position, file.sizeBytes, ({ baseOffset }) => {
    holds = baseOffset <= offset;
    return "only the first";
  });
  return holds;
}
