// Files and folders as a disk holds them: what survives a power cut, and the changes since then that may or may not.
// Reads see the newest. A folder's changes reach the medium in their order, a file's sector by sector in any.

import { PagedBytes, sectorBytes } from "./paged-bytes.ts";

/** A change not yet synced; never altered, so that copies of the disk can share it. */
interface Change {
  /** The operation that made it. */
  readonly operation: number;
  /** Its place among the changes of this inode. */
  readonly order: number;
  /** A sync failed and dropped it: reads still see it, no later sync makes it durable. */
  readonly lost: boolean;
}
export interface FileChange extends Change {
  /** undefined: cut or extended to `sizeBytes`. */
  readonly write: { readonly position: number; readonly bytes: Uint8Array } | undefined;
  readonly sizeBytes: number;
}
export interface EntryChange extends Change {
  /** undefined: the name goes. A rename within a folder is one change with two names. */
  readonly names: readonly (readonly [name: string, inode: Inode | undefined])[];
}
export type Inode = FileInode | DirectoryInode;

/** What of the unsynced changes a power cut leaves. */
export interface Survival {
  keepsSector(change: FileChange, sector: number): boolean;
  /** The size that reached the medium with this change, or undefined when it did not reach it. */
  sizeAfter(change: FileChange, beforeBytes: number, afterBytes: number): number | undefined;
  /** How many of a folder's changes survive, counted from the first. */
  entriesKept(changes: readonly EntryChange[]): number;
  /** What stands where a file grew and no data arrived. */
  grownBytes(length: number): Uint8Array;
}

const everything: Survival = {
  keepsSector: () => true,
  sizeAfter: (_change, _before, after) => after,
  entriesKept: (changes) => changes.length,
  grownBytes: (length) => new Uint8Array(length),
};

export class FileInode {
  readonly kind = "file";
  modifiedMs = 0;
  visible = new PagedBytes();
  unsynced: FileChange[] = [];
  #changes = 0;
  #durable = this.visible.copy();
  /** What reads saw before the first unsynced change: other than `#durable` only where a failed sync lost data. */
  #cached = this.#durable;

  /** To be handed to synced or syncFailed: what was written before. */
  get lastChange(): number {
    return this.#changes;
  }

  write(operation: number, position: number, bytes: Uint8Array, lost: boolean): void {
    this.visible.write(position, bytes);
    this.#changed(operation, { position, bytes }, lost);
  }

  resize(operation: number, sizeBytes: number): void {
    this.visible.resize(sizeBytes);
    this.#changed(operation, undefined, false);
  }

  synced(lastChange: number): void {
    const covered = this.unsynced.filter((change) => change.order <= lastChange);
    if (covered.length === 0) return;
    const rest = this.unsynced.slice(covered.length);
    if (rest.length === 0 && this.#cached === this.#durable && !covered.some((change) => change.lost)) {
      this.#durable = this.visible.copy();
      this.#cached = this.#durable;
    } else {
      const anyLost = this.#cached !== this.#durable || covered.some((change) => change.lost);
      this.#durable = this.#survivors(covered, everything);
      this.#cached = anyLost ? afterChanges(this.#cached, covered) : this.#durable;
    }
    this.unsynced = rest;
  }

  syncFailed(lastChange: number): void {
    this.unsynced = this.unsynced.map((change) => (change.order <= lastChange ? { ...change, lost: true } : change));
  }

  powerCut(survival: Survival): void {
    this.replace(this.#survivors(this.unsynced, survival));
  }

  /** Puts other content on the medium, as decay or an operator would: no change, nothing to sync. */
  replace(content: PagedBytes): void {
    this.visible = content;
    this.#durable = content.copy();
    this.#cached = this.#durable;
    this.unsynced = [];
  }

  flipBit(byte: number, bit: number): void {
    const isSplit = this.#cached !== this.#durable;
    for (const content of isSplit ? [this.visible, this.#durable, this.#cached] : [this.visible, this.#durable]) {
      const found = new Uint8Array(1);
      if (content.read(byte, found) === 1) content.write(byte, Uint8Array.of(found[0]! ^ (1 << bit)));
    }
    this.unsynced = this.unsynced.map((change) => {
      const at = byte - (change.write?.position ?? 0);
      if (!change.write || at < 0 || at >= change.write.bytes.length) return change;
      const bytes = change.write.bytes.slice();
      bytes[at] = bytes[at]! ^ (1 << bit);
      return { ...change, write: { position: change.write.position, bytes } };
    });
  }

  copy(): FileInode {
    const copy = new FileInode();
    copy.modifiedMs = this.modifiedMs;
    copy.visible = this.visible.copy();
    copy.unsynced = this.unsynced.slice();
    copy.#changes = this.#changes;
    copy.#durable = this.#durable.copy();
    copy.#cached = this.#cached === this.#durable ? copy.#durable : this.#cached.copy();
    return copy;
  }

  #changed(operation: number, write: FileChange["write"], lost: boolean): void {
    this.unsynced.push({ operation, order: ++this.#changes, lost, write, sizeBytes: this.visible.sizeBytes });
  }

  /** A sector reaches the medium as reads saw it at that time, earlier changes to it included. */
  #survivors(changes: readonly FileChange[], survival: Survival): PagedBytes {
    if (changes.length === 0) return this.#durable.copy();
    const medium = this.#durable.copy();
    const cached = this.#cached.copy();
    const written = new Set<number>();
    let sizeBytes = medium.sizeBytes;
    let grownFrom = sizeBytes;
    for (const change of changes) {
      const beforeBytes = cached.sizeBytes;
      applyChange(cached, change);
      if (change.lost) continue;
      const keptBytes = survival.sizeAfter(change, beforeBytes, cached.sizeBytes);
      sizeBytes = keptBytes ?? sizeBytes;
      if (change.write) {
        for (const sector of sectorsOf(change.write)) {
          if (!survival.keepsSector(change, sector)) continue;
          medium.copySector(sector, cached);
          written.add(sector);
        }
      } else if (keptBytes !== undefined && keptBytes < medium.sizeBytes) {
        medium.resize(keptBytes);
        for (const sector of written) if (sector * sectorBytes >= keptBytes) written.delete(sector);
      }
      grownFrom = Math.min(grownFrom, sizeBytes);
    }
    medium.resize(sizeBytes);
    for (let at = grownFrom; at < sizeBytes; ) {
      const end = Math.min(sizeBytes, (Math.floor(at / sectorBytes) + 1) * sectorBytes);
      if (!written.has(Math.floor(at / sectorBytes))) medium.write(at, survival.grownBytes(end - at));
      at = end;
    }
    return medium;
  }
}

export class DirectoryInode {
  readonly kind = "directory";
  modifiedMs = 0;
  visible = new Map<string, Inode>();
  unsynced: EntryChange[] = [];
  #changes = 0;
  #durable = new Map<string, Inode>();

  get lastChange(): number {
    return this.#changes;
  }

  change(operation: number, names: EntryChange["names"]): void {
    setNames(this.visible, names);
    this.unsynced.push({ operation, order: ++this.#changes, lost: false, names });
  }

  synced(lastChange: number): void {
    const covered = this.unsynced.filter((change) => change.order <= lastChange);
    for (const change of covered) if (!change.lost) setNames(this.#durable, change.names);
    this.unsynced = this.unsynced.slice(covered.length);
  }

  syncFailed(lastChange: number): void {
    this.unsynced = this.unsynced.map((change) => (change.order <= lastChange ? { ...change, lost: true } : change));
  }

  powerCut(survival: Survival): void {
    for (const change of this.unsynced.slice(0, survival.entriesKept(this.unsynced))) {
      if (!change.lost) setNames(this.#durable, change.names);
    }
    this.visible = new Map(this.#durable);
    this.unsynced = [];
  }

  /** Every inode that has, had or may have a name here. */
  inodes(): Set<Inode> {
    const found = new Set([...this.#durable.values(), ...this.visible.values()]);
    for (const change of this.unsynced) for (const [, inode] of change.names) if (inode) found.add(inode);
    return found;
  }

  /** `copyOf` gives the copy of an inode, the same one each time. */
  copyInto(copy: DirectoryInode, copyOf: (inode: Inode) => Inode): void {
    const mapped = (entries: Map<string, Inode>) => new Map([...entries].map(([name, inode]) => [name, copyOf(inode)]));
    copy.modifiedMs = this.modifiedMs;
    copy.visible = mapped(this.visible);
    copy.#durable = mapped(this.#durable);
    copy.#changes = this.#changes;
    copy.unsynced = this.unsynced.map((change) => ({
      ...change,
      names: change.names.map(([name, inode]) => [name, inode && copyOf(inode)] as const),
    }));
  }
}

/** Copies a whole tree; the function given back finds the copy of an inode, also of one without a name. */
export function copyTree(root: DirectoryInode): { root: DirectoryInode; copyOf: <T extends Inode>(inode: T) => T } {
  const copies = new Map<Inode, Inode>();
  const copyOf = (inode: Inode): Inode => {
    const known = copies.get(inode);
    if (known) return known;
    const copy = inode.kind === "file" ? inode.copy() : new DirectoryInode();
    copies.set(inode, copy);
    if (inode.kind === "directory") inode.copyInto(copy as DirectoryInode, copyOf);
    return copy;
  };
  return { root: copyOf(root) as DirectoryInode, copyOf: copyOf as <T extends Inode>(inode: T) => T };
}

function setNames(entries: Map<string, Inode>, names: EntryChange["names"]): void {
  for (const [name, inode] of names) {
    if (inode) entries.set(name, inode);
    else entries.delete(name);
  }
}

function afterChanges(content: PagedBytes, changes: readonly FileChange[]): PagedBytes {
  const after = content.copy();
  for (const change of changes) applyChange(after, change);
  return after;
}

function applyChange(content: PagedBytes, change: FileChange): void {
  if (change.write) content.write(change.write.position, change.write.bytes);
  else content.resize(change.sizeBytes);
}

function* sectorsOf(write: { position: number; bytes: Uint8Array }): Generator<number> {
  const end = write.position + write.bytes.length;
  for (let sector = Math.floor(write.position / sectorBytes); sector * sectorBytes < end; sector++) yield sector;
}
