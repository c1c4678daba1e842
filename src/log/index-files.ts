// The two index files of a segment, read and written as a pair.

import type { Disk } from "../io/disk.ts";
import { readFileIfThere, replaceSynced } from "./checkpoint-file.ts";
import { segmentFileName } from "./file-names.ts";
import { OffsetIndex } from "./offset-index.ts";
import { TimeIndex } from "./time-index.ts";

export interface Indexes {
  readonly offsets: OffsetIndex;
  readonly times: TimeIndex;
}

/** undefined when one is missing or cannot be right for a segment of `segmentBytes`: make them again then. */
export async function readIndexFiles(
  disk: Disk,
  directory: string,
  baseOffset: number,
  segmentBytes: number,
): Promise<Indexes | undefined> {
  const offsetBytes = await readFileIfThere(disk, `${directory}/${segmentFileName(baseOffset, ".index")}`);
  const timeBytes = await readFileIfThere(disk, `${directory}/${segmentFileName(baseOffset, ".timeindex")}`);
  const offsets = offsetBytes && OffsetIndex.decode(baseOffset, offsetBytes, segmentBytes);
  const times = timeBytes && TimeIndex.decode(baseOffset, timeBytes);
  return offsets && times ? { offsets, times } : undefined;
}

/** Synced when it returns, but for the files' names: sync the directory. Never a part of a file: a short one could pass for sound. */
export async function writeIndexFiles(
  disk: Disk,
  directory: string,
  baseOffset: number,
  { offsets, times }: Indexes,
): Promise<void> {
  await replaceSynced(disk, directory, segmentFileName(baseOffset, ".index"), offsets.encode());
  await replaceSynced(disk, directory, segmentFileName(baseOffset, ".timeindex"), times.encode());
}
