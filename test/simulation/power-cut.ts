// Which unsynced changes a power cut leaves, as values that can be listed, printed and repeated.

import { sectorBytes } from "./paged-bytes.ts";
import type { DirectoryInode, EntryChange, FileChange, FileInode, Inode, Survival } from "./simulated-inodes.ts";
import { SimulatedRandom } from "./simulated-random.ts";

/**
 * Operations are named by their number. Since the changes of a folder survive as a prefix, dropping one of them drops
 * the later ones of that folder too, and keeping one alone keeps the earlier ones.
 * torn: all survives, except that of this write only the first `bytes` did; the file is cut there, or has its full
 * size with zeros or garbage for the rest. drawn: each folder a random prefix, each sector and size at random, the rest
 * of what grew too unless it is named.
 */
export type PowerCutChoice =
  | { readonly keep: "nothing" }
  | { readonly keep: "everything" }
  | { readonly keep: "everythingBut"; readonly operation: number }
  | { readonly keep: "only"; readonly operation: number }
  | { readonly keep: "torn"; readonly operation: number; readonly bytes: number; readonly rest: TornRest }
  | { readonly keep: "drawn"; readonly seed: number; readonly rest?: "zeros" | "garbage" };
export type TornRest = "cut" | "zeros" | "garbage";

const zeros = (length: number) => new Uint8Array(length);

export function survivalOf(choice: PowerCutChoice): Survival {
  switch (choice.keep) {
    case "nothing":
      return surviving(() => false);
    case "everything":
      return surviving(() => true);
    case "everythingBut":
      return surviving((operation) => operation !== choice.operation);
    case "only":
      return {
        ...surviving((operation) => operation === choice.operation),
        entriesKept: (changes) => changes.findLastIndex((change) => change.operation === choice.operation) + 1,
      };
    case "torn":
      return torn(choice.operation, choice.bytes, choice.rest);
    case "drawn":
      return drawn(new SimulatedRandom(choice.seed), choice.rest);
  }
}

function surviving(survives: (operation: number) => boolean): Survival {
  return {
    keepsSector: (change) => survives(change.operation),
    sizeAfter: (change, _before, after) => (survives(change.operation) ? after : undefined),
    entriesKept: (changes) => prefixOf(changes, survives),
    grownBytes: zeros,
  };
}

function prefixOf(changes: readonly EntryChange[], survives: (operation: number) => boolean): number {
  const firstLost = changes.findIndex((change) => !survives(change.operation));
  return firstLost === -1 ? changes.length : firstLost;
}

function torn(operation: number, bytes: number, rest: TornRest): Survival {
  const random = new SimulatedRandom(operation);
  const endOf = (change: FileChange) => (change.write?.position ?? 0) + bytes;
  return {
    ...surviving(() => true),
    keepsSector: (change, sector) => change.operation !== operation || (sector + 1) * sectorBytes <= endOf(change),
    sizeAfter: (change, before, after) =>
      change.operation === operation && rest === "cut" ? Math.min(after, Math.max(before, endOf(change))) : after,
    grownBytes: rest === "garbage" ? (length) => random.bytes(length) : zeros,
  };
}

function drawn(random: SimulatedRandom, rest: TornRest | undefined): Survival {
  const survives = random.pick([0, 0.1, 0.5, 0.9, 1]);
  const isGarbage = rest === undefined ? random.chance(0.3) : rest === "garbage";
  return {
    keepsSector: () => random.chance(survives),
    sizeAfter: (_change, before, after) => {
      if (!random.chance(survives)) return undefined;
      return after > before && random.chance(0.3) ? random.between(before, after) : after;
    },
    entriesKept: (changes) => {
      if (random.chance(survives)) return changes.length;
      return random.between(0, changes.length);
    },
    grownBytes: (length) => (isGarbage ? random.bytes(length) : zeros(length)),
  };
}

/** Every inode that a power cut could leave in the tree. */
export function inodesBelow(root: DirectoryInode): Set<Inode> {
  const found = new Set<Inode>([root]);
  for (const inode of found) {
    if (inode.kind === "directory") for (const child of inode.inodes()) found.add(child); // the loop visits these too
  }
  return found;
}

/** The numbers of the operations a power cut may still undo, in order. */
export function unsyncedOperations(root: DirectoryInode): number[] {
  const numbers = new Set<number>();
  for (const inode of inodesBelow(root)) {
    for (const change of inode.unsynced) if (!change.lost) numbers.add(change.operation);
  }
  return [...numbers].sort((a, b) => a - b);
}

/** Nothing, all, all but each one, each one alone, and the last write of each file torn at every sector. */
export function choicesAt(root: DirectoryInode, rests: readonly TornRest[]): PowerCutChoice[] {
  const operations = unsyncedOperations(root);
  const choices: PowerCutChoice[] = [{ keep: "everything" }];
  if (operations.length > 0) choices.push({ keep: "nothing" });
  if (operations.length > 1) {
    for (const operation of operations) choices.push({ keep: "everythingBut", operation }, { keep: "only", operation });
  }
  for (const inode of inodesBelow(root)) if (inode.kind === "file") choices.push(...tearings(inode, rests));
  return choices;
}

function tearings(file: FileInode, rests: readonly TornRest[]): PowerCutChoice[] {
  const last = file.unsynced.findLast((change) => change.write !== undefined);
  if (!last?.write || last.lost) return [];
  const { position, bytes } = last.write;
  const choices: PowerCutChoice[] = [];
  const firstCut = (Math.floor(position / sectorBytes) + 1) * sectorBytes;
  for (let cut = firstCut; cut < position + bytes.length; cut += sectorBytes) {
    for (const rest of rests) {
      choices.push({ keep: "torn", operation: last.operation, bytes: cut - position, rest });
    }
  }
  return choices;
}
