// The two index files of a segment, read and written as a pair.

import type { Disk } from "../io/disk.ts";
import { readFileIfThere } from "./checkpoint-file.ts";
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

/** Synced when it returns, but for the files' names: sync the directory. */
export async function writeIndexFiles(
  disk: Disk,
  directory: string,
  baseOffset: number,
  { offsets, times }: Indexes,
): Promise<void> {
  await writeSynced(disk, `${directory}/${segmentFileName(baseOffset, ".index")}`, offsets.encode());
  await writeSynced(disk, `${directory}/${segmentFileName(baseOffset, ".timeindex")}`, times.encode());
}

/** Writes a file anew. A crash may leave a part of it: what it holds must be checkable or replaceable. */
export async function writeSynced(disk: Disk, path: string, content: Uint8Array): Promise<void> {
  if (await disk.stat(path)) await disk.removeFile(path);
  const file = await disk.create(path);
  try {
    await file.append([content]);
    await file.sync();
  } finally {
    await file.close();
  }
}
