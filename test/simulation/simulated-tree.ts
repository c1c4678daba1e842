// Paths in the simulated disk's tree: finding, and refusing as a real file system does.

import { assert } from "../../src/assert.ts";
import { DiskError } from "../../src/io/disk.ts";
import type { FileInode, Inode } from "./simulated-inodes.ts";
import { DirectoryInode } from "./simulated-inodes.ts";

export interface Place {
  readonly folder: DirectoryInode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

export function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** Where a name is or would be: its folder must exist. */
export function placeOf(root: DirectoryInode, path: string, operation: string): Place {
  const parts = partsOf(path);
  const name = parts.pop();
  assert(name !== undefined, "the root has no name");
  const folder = parts.reduce((at, part) => folderOf(at.visible.get(part), operation, path), root);
  return { folder, name, inode: folder.visible.get(name) };
}

export function folderAt(root: DirectoryInode, path: string, operation: string): DirectoryInode {
  return partsOf(path).length === 0 ? root : folderOf(placeOf(root, path, operation).inode, operation, path);
}

function folderOf(inode: Inode | undefined, operation: string, path: string): DirectoryInode {
  if (inode === undefined) throw new DiskError("ENOENT", operation, path);
  if (inode.kind !== "directory") throw new DiskError("ENOTDIR", operation, path);
  return inode;
}

export function fileAt(root: DirectoryInode, path: string, operation = "find"): FileInode {
  const { inode } = placeOf(root, path, operation);
  if (inode === undefined) throw new DiskError("ENOENT", operation, path);
  if (inode.kind === "directory") throw new DiskError("EISDIR", operation, path);
  return inode;
}

export function makeFolders(root: DirectoryInode, paths: readonly string[]): void {
  for (const path of paths) {
    let folder = root;
    for (const part of partsOf(path)) {
      let next = folder.visible.get(part);
      if (next === undefined) {
        next = new DirectoryInode();
        folder.change(-1, [[part, next]]);
      }
      folder = folderOf(next, "makeDir", path);
    }
  }
}

export function usedBytes(folder: DirectoryInode): number {
  let bytes = 0;
  for (const inode of folder.visible.values()) {
    bytes += inode.kind === "directory" ? usedBytes(inode) : inode.visible.sizeBytes;
  }
  return bytes;
}
