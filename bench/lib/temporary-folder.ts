// A folder for one bench, on the disk of the working directory (/tmp may be memory); gone when the bench is.

import { mkdtemp, rm } from "node:fs/promises";

export async function withFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(`${process.cwd()}/dist.bench/data-`);
  try {
    return await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
