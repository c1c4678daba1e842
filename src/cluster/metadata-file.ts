// The file of the single-node store: a snapshot of all entries, then every group of changes since, one frame each. There is at
// most one unsynced frame, the last. A compaction writes the next file beside it and renames it over this one, so a crash
// leaves the old file or the new, and both say the same: no older log can meet a newer snapshot.

import { assert } from "../assert.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { type Change, type Entry, KeySpace } from "./key-space.ts";
import type { WatchEvent } from "./metadata-store.ts";
import { encodeFrame, type Frame, frameAt, frameHeaderBytes, MetadataCorruptError, nextFrame } from "./store-frames.ts";
import { deepFreeze } from "./stored-json.ts";

const fileName = "metadata.log";
const temporaryName = `${fileName}.tmp`;
const formatVersion = 1;

/** The longest frame; so much can be torn at the end of the file, and no more. */
const frameBytesMax = 16 * 1024 * 1024;
/** A frame of the snapshot is closed when it has this many characters. */
const snapshotFrameLength = 256 * 1024;

/** How entries and changes stand in JSON; the shorter form of an operation is a delete. */
type EntryRow = readonly [key: string, createRevision: number, modRevision: number, value: unknown, lease?: number];
type OperationRow = readonly [key: string, createRevision?: number, value?: unknown, lease?: number];
interface ChangeRow {
  readonly revision: number;
  readonly operations: readonly OperationRow[];
}
interface HeaderRow {
  readonly format: number;
  readonly revision: number;
  readonly entryCount: number;
}

export interface Opened {
  readonly file: MetadataFile;
  readonly keys: KeySpace;
  /** Where the snapshot stood, and what the changes since did: what a watch may still be told. */
  readonly snapshotRevision: number;
  readonly changes: readonly { readonly revision: number; readonly events: readonly WatchEvent[] }[];
  /** Bytes of an unfinished write that were cut off. */
  readonly tornBytes: number;
}

export function encodeChange(change: Change): string {
  const operations: OperationRow[] = [];
  for (const [key, entry] of change.entries) operations.push(entry ? operationRow(entry) : [key]);
  return JSON.stringify({ revision: change.revision, operations } satisfies ChangeRow);
}

export class MetadataFile {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #codecs: Codecs;
  #file: DiskFile;
  #snapshotBytes: number;

  private constructor(disk: Disk, directory: string, codecs: Codecs, file: DiskFile, snapshotBytes: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#codecs = codecs;
    this.#file = file;
    this.#snapshotBytes = snapshotBytes;
  }

  /** What it returns is durable: content, names and the folder itself. A damaged file is a MetadataCorruptError. */
  static async open(disk: Disk, directory: string, codecs: Codecs): Promise<Opened> {
    const slash = directory.lastIndexOf("/");
    if (!(await disk.stat(directory))) await disk.makeDir(directory);
    await disk.syncDir(slash < 0 ? "." : directory.slice(0, slash) || "/");
    if (await disk.stat(`${directory}/${fileName}`)) return MetadataFile.#openExisting(disk, directory, codecs);
    const keys = new KeySpace(0);
    const file = await writeFresh(disk, directory, codecs, keys);
    const opened = new MetadataFile(disk, directory, codecs, file, file.sizeBytes);
    return { file: opened, keys, snapshotRevision: 0, changes: [], tornBytes: 0 };
  }

  static async #openExisting(disk: Disk, directory: string, codecs: Codecs): Promise<Opened> {
    const file = await disk.open(`${directory}/${fileName}`);
    try {
      const bytes = new Uint8Array(file.sizeBytes);
      await file.read(0, bytes);
      const content = readContent(file.path, bytes, codecs);
      const unfinished = `${directory}/${temporaryName}`; // of a compaction
      if (await disk.stat(unfinished)) await disk.removeFile(unfinished);
      if (content.end < bytes.length) await file.truncate(content.end);
      // Its sync may have failed in the last process: the pages then look clean, and only a new write makes them dirty again.
      if (content.lastFrame !== undefined)
        await file.write(content.lastFrame, bytes.subarray(content.lastFrame, content.end));
      await file.sync();
      await disk.syncDir(directory);
      const opened = new MetadataFile(disk, directory, codecs, file, content.snapshotBytes);
      return { ...content, file: opened, tornBytes: bytes.length - content.end };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** What was appended since the snapshot. */
  get logBytes(): number {
    return this.#file.sizeBytes - this.#snapshotBytes;
  }

  get snapshotBytes(): number {
    return this.#snapshotBytes;
  }

  /** Durable when it returns. After a rejection the file must not be used again. */
  async append(encodedChanges: readonly string[]): Promise<void> {
    const frame = encodeFrame(`{"changes":[${encodedChanges.join(",")}]}`, this.#codecs);
    assert(frame.length <= frameBytesMax, `a metadata frame of ${frame.length} bytes`);
    await this.#file.append([frame]);
    await this.#file.sync();
  }

  /** Replaces snapshot and log by a snapshot of `keys`. After a rejection the file must not be used again. */
  async compact(keys: KeySpace): Promise<void> {
    const old = this.#file;
    this.#file = await writeFresh(this.#disk, this.#directory, this.#codecs, keys);
    this.#snapshotBytes = this.#file.sizeBytes;
    await old.close();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A file with a snapshot and no log, durable in content and name before anything is appended. */
async function writeFresh(disk: Disk, directory: string, codecs: Codecs, keys: KeySpace): Promise<DiskFile> {
  const temporary = `${directory}/${temporaryName}`;
  if (await disk.stat(temporary)) await disk.removeFile(temporary);
  const file = await disk.create(temporary);
  try {
    await file.append(snapshotFrames(keys, codecs));
    await file.sync();
    await disk.rename(temporary, `${directory}/${fileName}`);
    await disk.syncDir(directory);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function snapshotFrames(keys: KeySpace, codecs: Codecs): Uint8Array[] {
  const header: HeaderRow = { format: formatVersion, revision: keys.revision, entryCount: keys.size };
  const frames = [encodeFrame(JSON.stringify(header), codecs)];
  let rows: string[] = [];
  let length = 0;
  const close = () => {
    if (rows.length > 0) frames.push(encodeFrame(`{"entries":[${rows.join(",")}]}`, codecs));
    rows = [];
    length = 0;
  };
  for (const entry of keys) {
    const row = JSON.stringify(entryRow(entry));
    rows.push(row);
    length += row.length;
    if (length >= snapshotFrameLength) close();
  }
  close();
  return frames;
}

interface Content {
  readonly keys: KeySpace;
  readonly snapshotRevision: number;
  readonly changes: Opened["changes"];
  readonly snapshotBytes: number;
  /** Where the last frame of the log begins. */
  readonly lastFrame: number | undefined;
  /** The end of what is whole. */
  readonly end: number;
}

function readContent(path: string, bytes: Uint8Array, codecs: Codecs): Content {
  const { keys, end: snapshotBytes } = readSnapshot(path, bytes, codecs);
  const snapshotRevision = keys.revision;
  const changes: { revision: number; events: readonly WatchEvent[] }[] = [];
  let lastFrame: number | undefined;
  let end = snapshotBytes;
  while (end < bytes.length) {
    const frame = frameAt(bytes, end, codecs);
    if (!frame) {
      checkTorn(path, bytes, end, codecs);
      break;
    }
    for (const row of rowsOf<ChangeRow>(path, end, frame, "changes")) {
      const events = orCorrupt(path, end, () => keys.apply(changeOf(row)));
      changes.push({ revision: row.revision, events });
    }
    lastFrame = end;
    end = frame.end;
  }
  return { keys, snapshotRevision, changes, snapshotBytes, lastFrame, end };
}

/** Only the last write can be unfinished: anything else that is bad was damaged later. */
function checkTorn(path: string, bytes: Uint8Array, position: number, codecs: Codecs): void {
  const next = nextFrame(bytes, position + 1, codecs);
  if (next !== undefined)
    throw new MetadataCorruptError(path, position, `damaged, while what follows at byte ${next} is whole`);
  const left = bytes.length - position;
  if (left > frameBytesMax)
    throw new MetadataCorruptError(path, position, `${left} bytes that cannot be read, more than one write can leave`);
}

function readSnapshot(path: string, bytes: Uint8Array, codecs: Codecs): { keys: KeySpace; end: number } {
  const header = frameAt(bytes, 0, codecs);
  if (!header) throw new MetadataCorruptError(path, 0, "the header is damaged");
  const { format, revision, entryCount } = parsed<HeaderRow>(path, 0, header);
  if (format !== formatVersion)
    throw new MetadataCorruptError(
      path,
      frameHeaderBytes,
      `written in format ${format}, this broker reads format ${formatVersion}`,
      "Start the version of Millrace that wrote it, or a later one.",
    );
  const entries: Entry[] = [];
  let end = header.end;
  while (entries.length < entryCount) {
    const frame = frameAt(bytes, end, codecs);
    if (!frame)
      throw new MetadataCorruptError(
        path,
        end,
        `the snapshot is damaged: ${entries.length} of ${entryCount} entries read`,
      );
    const at = end;
    for (const row of rowsOf<EntryRow>(path, at, frame, "entries"))
      entries.push(orCorrupt(path, at, () => entryOf(...row)));
    end = frame.end;
  }
  if (entries.length > entryCount)
    throw new MetadataCorruptError(path, end, "the snapshot has more entries than it says");
  return { keys: orCorrupt(path, 0, () => new KeySpace(revision, entries)), end };
}

function parsed<T>(path: string, position: number, frame: Frame): T {
  return orCorrupt(path, position, () => JSON.parse(frame.payload) as T);
}

function rowsOf<T>(path: string, position: number, frame: Frame, name: "entries" | "changes"): readonly T[] {
  const rows = parsed<Readonly<Record<string, readonly T[]>>>(path, position, frame)[name];
  if (!rows) throw new MetadataCorruptError(path, position, `unexpected content: ${name} belong here`);
  return rows;
}

/** A frame whose sum is right and whose content is not came from another program or a bug. */
function orCorrupt<T>(path: string, position: number, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new MetadataCorruptError(
      path,
      position,
      `unexpected content: ${cause instanceof Error ? cause.message : cause}`,
    );
  }
}

function entryRow({ stored, lease }: Entry): EntryRow {
  const { key, createRevision, modRevision, value } = stored;
  return lease === undefined
    ? [key, createRevision, modRevision, value]
    : [key, createRevision, modRevision, value, lease];
}

function operationRow({ stored, lease }: Entry): OperationRow {
  const { key, createRevision, value } = stored;
  return lease === undefined ? [key, createRevision, value] : [key, createRevision, value, lease];
}

function entryOf(key: string, createRevision: number, modRevision: number, value: unknown, lease?: number): Entry {
  return { stored: Object.freeze({ key, value: deepFreeze(value), createRevision, modRevision }), lease };
}

function changeOf({ revision, operations }: ChangeRow): Change {
  const entries = new Map<string, Entry | undefined>();
  for (const [key, createRevision, value, lease] of operations)
    entries.set(key, createRevision === undefined ? undefined : entryOf(key, createRevision, revision, value, lease));
  return { revision, entries };
}
