// The disk, as the log is allowed to see it. Each method says what survives what:
// a killed process keeps every finished write, a power cut keeps only what was synced.
// Paths are plain strings joined with "/"; relative ones are relative to the process.

export interface Disk {
  /** Opens an existing file for reading and writing. A missing one is a DiskError ENOENT. */
  open(path: string): Promise<DiskFile>;
  /** Makes an empty file and opens it. An existing one is a DiskError EEXIST. Its name is not durable before syncDir. */
  create(path: string): Promise<DiskFile>;
  /** The whole content; for small files only. */
  readFile(path: string): Promise<Uint8Array>;
  /** The entries of a folder in no order. */
  list(directory: string): Promise<readonly DiskEntry[]>;
  /** undefined when nothing is there. */
  stat(path: string): Promise<DiskStat | undefined>;
  /** Makes the folder; its parents must exist and it must not. Not durable before syncDir of its parent. */
  makeDir(path: string): Promise<void>;
  /** Replaces `to` atomically if it is a file. Neither end is durable before syncDir of the folders involved. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. Those who have it open may go on reading it. */
  removeFile(path: string): Promise<void>;
  /** Removes a folder and all in it; one that is not there is no error. */
  removeDir(path: string): Promise<void>;
  /** Returns once all names made, renamed and removed in this folder before the call survive a power cut. */
  syncDir(directory: string): Promise<void>;
  /** Space on the filesystem that holds `path`. */
  space(path: string): Promise<DiskSpace>;
  /**
   * Makes this process the only one that uses the folder, until the process ends or unlock.
   * A living holder is a FolderLockedError. The folder keeps an entry `.lock`.
   */
  lock(directory: string): Promise<FolderLock>;
}

export interface DiskFile {
  readonly path: string;
  /** The size as this handle knows it: opened size, moved by append, write and truncate of this handle. */
  readonly sizeBytes: number;
  /**
   * Adds the chunks at the end, in order; all of them or a rejection, which may leave a first part past sizeBytes.
   * Not durable before sync(); a crash may keep any part.
   */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Writes inside the file or right at its end. Not durable before sync(). */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** Fills `target` from `position`; fewer bytes only at the end of the file. */
  read(position: number, target: Uint8Array): Promise<number>;
  /** Returns once every byte written before the call, and the size to read them, survives a power cut. Never call it again after it failed. */
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface DiskEntry {
  readonly name: string;
  readonly kind: "file" | "directory" | "other";
}

export interface DiskStat {
  readonly kind: "file" | "directory" | "other";
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface FolderLock {
  unlock(): Promise<void>;
}

/** What a disk operation failed with; `code` is the errno name (ENOENT, EIO, ENOSPC, …). */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: string;
  readonly path: string;
  constructor(code: string, operation: string, path: string, options?: ErrorOptions) {
    super(`${operation} ${path}: ${code}`, options);
    this.code = code;
    this.path = path;
  }
}

export class FolderLockedError extends Error {
  override readonly name = "FolderLockedError";
  constructor(directory: string, holder: string) {
    super(`${directory} is in use by ${holder}; stop that broker first, or give this one another --data-dir`);
  }
}
