// Small files that are replaced as a whole: a crash leaves the old content or the new, never a mix.
// The text forms are Apache Kafka's (CheckpointFile, OffsetCheckpointFile): version 0, a count, a line an entry.

import { type Disk, DiskError } from "../io/disk.ts";

export class CheckpointCorruptError extends Error {
  override readonly name = "CheckpointCorruptError";
  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`);
  }
}

/** Durable when it returns. */
export async function replaceFile(disk: Disk, directory: string, name: string, content: Uint8Array): Promise<void> {
  await replaceSynced(disk, directory, name, content);
  await disk.syncDir(directory);
}

/** Synced, but for the name: until the directory is synced a power cut may bring the old file back. */
export async function replaceSynced(disk: Disk, directory: string, name: string, content: Uint8Array): Promise<void> {
  const temporary = `${directory}/${name}.tmp`;
  if (await disk.stat(temporary)) await disk.removeFile(temporary);
  const file = await disk.create(temporary);
  try {
    await file.append([content]);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, `${directory}/${name}`);
}

/** undefined when there is no such file. */
export async function readFileIfThere(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  try {
    return await disk.readFile(path);
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeCheckpoint(lines: readonly string[]): Uint8Array {
  return encoder.encode(`0\n${lines.length}\n${lines.map((line) => `${line}\n`).join("")}`);
}

/** The entry lines, each split at its blanks into `fields` parts. */
export function decodeCheckpoint(path: string, content: Uint8Array, fields: number): readonly (readonly string[])[] {
  const lines = decoder.decode(content).split("\n");
  if (lines[0] !== "0") throw new CheckpointCorruptError(path, `version ${JSON.stringify(lines[0])} is not known`);
  const count = Number(lines[1]);
  const entries = lines.slice(2, -1).map((line) => line.split(" "));
  if (lines.at(-1) !== "" || lines[1] === "" || count !== entries.length)
    throw new CheckpointCorruptError(path, `${lines[1]} entries announced, ${entries.length} found`);
  const bad = entries.find((entry) => entry.length !== fields);
  if (bad) throw new CheckpointCorruptError(path, `not an entry: ${JSON.stringify(bad.join(" "))}`);
  return entries;
}

/** A whole number from a checkpoint's text. */
export function checkpointNumber(path: string, text: string | undefined): number {
  const value = Number(text);
  if (text === undefined || !/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value))
    throw new CheckpointCorruptError(path, `not a whole number: ${JSON.stringify(text)}`);
  return value;
}

/** Offsets by partition folder name ("orders-0"), one file per data folder and kind. */
export type PartitionOffsets = ReadonlyMap<string, number>;

/** The offset checkpoints of a data folder. */
export const offsetCheckpointNames = {
  recoveryPoint: "recovery-point-offset-checkpoint",
  highWatermark: "replication-offset-checkpoint",
  logStart: "log-start-offset-checkpoint",
  cleaner: "cleaner-offset-checkpoint",
} as const;

export async function writeOffsets(
  disk: Disk,
  directory: string,
  name: string,
  offsets: PartitionOffsets,
): Promise<void> {
  const lines: string[] = [];
  for (const [folder, offset] of offsets) {
    const dash = folder.lastIndexOf("-");
    lines.push(`${folder.slice(0, dash)} ${folder.slice(dash + 1)} ${offset}`);
  }
  await replaceFile(disk, directory, name, encodeCheckpoint(lines));
}

/** undefined when the file is missing; a CheckpointCorruptError when it cannot be trusted. */
export async function readOffsets(disk: Disk, directory: string, name: string): Promise<PartitionOffsets | undefined> {
  const path = `${directory}/${name}`;
  const content = await readFileIfThere(disk, path);
  if (!content) return undefined;
  return new Map(
    decodeCheckpoint(path, content, 3).map(([topic, partition, offset]) => [
      `${topic}-${partition}`,
      checkpointNumber(path, offset),
    ]),
  );
}
