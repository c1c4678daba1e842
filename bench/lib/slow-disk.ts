// A Disk whose syncs take at least a given time, as they do where a cache is flushed to a medium. Everything else is as fast
// as the disk beneath.

import type { Disk, DiskFile } from "../../src/io/disk.ts";

export function slowDisk(disk: Disk, syncMs: number): Disk {
  return new Proxy(disk, {
    get(target, name) {
      if (name === "open" || name === "create")
        return async (path: string) => new SlowFile(await target[name](path), syncMs);
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

class SlowFile implements DiskFile {
  readonly #file: DiskFile;
  readonly #syncMs: number;

  constructor(file: DiskFile, syncMs: number) {
    this.#file = file;
    this.#syncMs = syncMs;
  }

  get path(): string {
    return this.#file.path;
  }
  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }
  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#file.append(chunks);
  }
  write(position: number, bytes: Uint8Array): Promise<void> {
    return this.#file.write(position, bytes);
  }
  read(position: number, target: Uint8Array): Promise<number> {
    return this.#file.read(position, target);
  }
  async sync(): Promise<void> {
    await Promise.all([this.#file.sync(), new Promise((resolve) => setTimeout(resolve, this.#syncMs))]);
  }
  truncate(sizeBytes: number): Promise<void> {
    return this.#file.truncate(sizeBytes);
  }
  close(): Promise<void> {
    return this.#file.close();
  }
}
