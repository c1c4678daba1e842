// Keeps what is about to be cut off a damaged file: an operator may want to look at it.

import type { Disk, DiskFile } from "../io/disk.ts";

const copyChunkBytes = 1024 * 1024;

/** Copies the bytes from `position` on to a file beside, named after both. Synced, but for the name: sync the directory. */
export async function copyAside(disk: Disk, file: DiskFile, position: number): Promise<void> {
  const path = `${file.path}.${position}.corrupt`;
  if (await disk.stat(path)) await disk.removeFile(path); // of a truncation that was not finished
  const aside = await disk.create(path);
  const chunk = new Uint8Array(copyChunkBytes);
  for (let at = position; at < file.sizeBytes; ) {
    const filled = await file.read(at, chunk);
    await aside.append([chunk.subarray(0, filled)]);
    at += filled;
  }
  await aside.sync();
  await aside.close();
}
