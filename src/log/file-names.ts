// How the files of a log are named: the base offset in 20 digits, and what it is (a snapshot: the end offset it covers).

export type LogFileSuffix = ".log" | ".index" | ".timeindex" | ".snapshot";

export function segmentFileName(offset: number, suffix: LogFileSuffix): string {
  return `${String(offset).padStart(20, "0")}${suffix}`;
}

/** What a segment is called that compaction writes, and then one that is whole and about to take its place. */
export const cleanedSuffix = ".cleaned";
export const swapSuffix = ".swap";

/** The offset in a name that segmentFileName made for this suffix. */
export function offsetOfFile(name: string, suffix: LogFileSuffix): number | undefined {
  if (!name.endsWith(suffix) || !/^\d{20}$/.test(name.slice(0, -suffix.length))) return undefined;
  return Number(name.slice(0, 20));
}
