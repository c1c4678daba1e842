// The simulated disk as one process sees it: the Disk port. It refuses what a real file system refuses, with its names.

import { assert } from "../../src/assert.ts";
import type { Disk, DiskEntry, DiskFile, DiskSpace, DiskStat, FolderLock } from "../../src/io/disk.ts";
import { DiskError, FolderLockedError } from "../../src/io/disk.ts";
import type { DiskOperation } from "./disk-operations.ts";
import type { OperationSteps, SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedFile } from "./simulated-file.ts";
import { DirectoryInode, FileInode } from "./simulated-inodes.ts";
import type { Place } from "./simulated-tree.ts";
import { fileAt, folderAt, partsOf, placeOf } from "./simulated-tree.ts";

const lockFolderName = ".lock";

export class ProcessDisk implements Disk {
  readonly #disk: SimulatedDisk;
  readonly #number: number;
  readonly #locked = new Set<DirectoryInode>();

  constructor(disk: SimulatedDisk, number: number) {
    this.#disk = disk;
    this.#number = number;
  }

  open(path: string): Promise<DiskFile> {
    return this.#run("open", path, () => this.#opened(path, fileAt(this.#root, path, "open")));
  }

  create(path: string): Promise<DiskFile> {
    return this.#run("create", path, (operation) => {
      const place = this.#freePlace(path, "create");
      const file = new FileInode();
      file.modifiedMs = this.#disk.nowMs;
      place.folder.change(operation.number, [[place.name, file]]);
      return this.#opened(path, file);
    });
  }

  readFile(path: string): Promise<Uint8Array> {
    return this.#run("readFile", path, () => fileAt(this.#root, path, "readFile").visible.toUint8Array());
  }

  list(directory: string): Promise<readonly DiskEntry[]> {
    return this.#run("list", directory, () =>
      [...folderAt(this.#root, directory, "list").visible].map(([name, inode]) => ({ name, kind: inode.kind })),
    );
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return this.#run("stat", path, () => {
      const inode = this.#found(path);
      if (inode === undefined) return undefined;
      const sizeBytes = inode.kind === "file" ? inode.visible.sizeBytes : 0;
      return { kind: inode.kind, sizeBytes, modifiedMs: inode.modifiedMs };
    });
  }

  makeDir(path: string): Promise<void> {
    return this.#run("makeDir", path, (operation) => {
      const place = this.#freePlace(path, "makeDir");
      const folder = new DirectoryInode();
      folder.modifiedMs = this.#disk.nowMs;
      place.folder.change(operation.number, [[place.name, folder]]);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#disk.run(
      this,
      "rename",
      { path: from, to },
      {
        finish: (operation) => {
          const source = placeOf(this.#root, from, "rename");
          const target = placeOf(this.#root, to, "rename");
          refuseRename(source, target, from, to);
          if (source.inode === target.inode) return;
          const gone = [source.name, undefined] as const;
          const here = [target.name, source.inode] as const;
          if (source.folder === target.folder) source.folder.change(operation.number, [gone, here]);
          else {
            target.folder.change(operation.number, [here]);
            source.folder.change(operation.number, [gone]);
          }
        },
      },
    );
  }

  removeFile(path: string): Promise<void> {
    return this.#run("removeFile", path, (operation) => {
      fileAt(this.#root, path, "removeFile");
      const place = placeOf(this.#root, path, "removeFile");
      place.folder.change(operation.number, [[place.name, undefined]]);
    });
  }

  removeDir(path: string): Promise<void> {
    const remove = (operation: DiskOperation, isWhole: boolean) => {
      const inode = this.#found(path);
      if (inode === undefined) return;
      if (inode.kind !== "directory") throw new DiskError("ENOTDIR", "removeDir", path);
      empty(inode, operation.number, isWhole);
      if (!isWhole) return;
      const place = placeOf(this.#root, path, "removeDir");
      place.folder.change(operation.number, [[place.name, undefined]]);
    };
    return this.#run("removeDir", path, (operation) => remove(operation, true), {
      half: (operation) => remove(operation, false),
      failed: (operation) => remove(operation, false),
    });
  }

  syncDir(directory: string): Promise<void> {
    let folder: DirectoryInode | undefined;
    let before = 0;
    return this.#run(
      "syncDir",
      directory,
      () => (folder ?? folderAt(this.#root, directory, "syncDir")).synced(before),
      {
        begin: () => {
          const inode = this.#found(directory);
          if (inode?.kind !== "directory") return;
          folder = inode;
          before = inode.lastChange;
        },
        failed: () => folder?.syncFailed(before),
      },
    );
  }

  space(path: string): Promise<DiskSpace> {
    return this.#run("space", path, () => {
      if (this.#found(path) === undefined) throw new DiskError("ENOENT", "space", path);
      return { freeBytes: this.#disk.freeBytes, totalBytes: this.#disk.capacityBytes };
    });
  }

  lock(directory: string): Promise<FolderLock> {
    return this.#run("lock", directory, (operation) => {
      const folder = folderAt(this.#root, directory, "lock");
      if (this.#locked.has(folder)) throw new FolderLockedError(directory, `process ${this.#number}`);
      if (!folder.visible.has(lockFolderName)) {
        folder.change(operation.number, [[lockFolderName, new DirectoryInode()]]);
      }
      this.#locked.add(folder);
      return { unlock: () => this.#run("unlock", directory, () => void this.#locked.delete(folder)) };
    });
  }

  get #root(): DirectoryInode {
    return this.#disk.root;
  }

  #run<T>(
    kind: DiskOperation["kind"],
    path: string,
    finish: (operation: DiskOperation) => T,
    others: Omit<OperationSteps<T>, "finish" | "write"> = {},
  ): Promise<T> {
    return this.#disk.run(this, kind, { path }, { ...others, finish });
  }

  #opened(path: string, inode: FileInode): DiskFile {
    return new SimulatedFile(
      path,
      inode,
      (kind, bytes, steps) => this.#disk.run(this, kind, { path, bytes }, steps),
      this.#disk,
    );
  }

  #freePlace(path: string, operation: string): Place {
    const place = placeOf(this.#root, path, operation);
    if (place.inode !== undefined) throw new DiskError("EEXIST", operation, path);
    if (this.#disk.freeBytes === 0) throw new DiskError("ENOSPC", operation, path);
    return place;
  }

  #found(path: string): FileInode | DirectoryInode | undefined {
    let inode: FileInode | DirectoryInode | undefined = this.#root;
    for (const part of partsOf(path)) inode = inode?.kind === "directory" ? inode.visible.get(part) : undefined;
    return inode;
  }
}

function refuseRename(source: Place, target: Place, from: string, to: string): void {
  const refuse = (code: string) => new DiskError(code, "rename", from);
  if (source.inode === undefined) throw refuse("ENOENT");
  if (source.inode.kind === "directory") {
    assert(!partsOf(from).includes(".."), "paths of the simulated disk go down only");
    if (`${partsOf(to).join("/")}/`.startsWith(`${partsOf(from).join("/")}/`) && from !== to) throw refuse("EINVAL");
    if (target.inode?.kind === "file") throw refuse("ENOTDIR");
    if (target.inode && target.inode.visible.size > 0 && target.inode !== source.inode) throw refuse("ENOTEMPTY");
  } else if (target.inode?.kind === "directory") throw refuse("EISDIR");
}

/** Removes all below; when not whole, the first half of the names. */
function empty(folder: DirectoryInode, operation: number, isWhole: boolean): void {
  const names = [...folder.visible.keys()];
  for (const name of isWhole ? names : names.slice(0, names.length >> 1)) {
    const inode = folder.visible.get(name);
    if (inode?.kind === "directory") empty(inode, operation, true);
    folder.change(operation, [[name, undefined]]);
  }
}
