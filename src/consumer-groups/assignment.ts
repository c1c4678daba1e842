// Sets of partitions, by topic id. Target assignments are plain; what a member holds knows for each partition the
// epoch at which it was assigned, against which its commits are fenced (KIP-1251). Values are never changed once made.

/** Partitions rise; no topic without partitions. */
export type Assignment = ReadonlyMap<string, readonly number[]>;

/** The assignment epoch of each partition; no topic without partitions. */
export type HeldPartitions = ReadonlyMap<string, ReadonlyMap<number, number>>;

export const nothingAssigned: Assignment = new Map();
export const nothingHeld: HeldPartitions = new Map();

export function partitionCountOf(held: HeldPartitions | Assignment): number {
  let count = 0;
  for (const partitions of held.values()) count += "size" in partitions ? partitions.size : partitions.length;
  return count;
}

export function epochOf(held: HeldPartitions, topicId: string, partition: number): number | undefined {
  return held.get(topicId)?.get(partition);
}

export function filterHeld(
  held: HeldPartitions,
  keep: (topicId: string, partition: number) => boolean,
): HeldPartitions {
  const kept = new Map<string, Map<number, number>>();
  for (const [topicId, partitions] of held) {
    const rest = new Map([...partitions].filter(([partition]) => keep(topicId, partition)));
    if (rest.size > 0) kept.set(topicId, rest);
  }
  return kept;
}

/** Where both have a partition, that of `more` counts. */
export function mergeHeld(held: HeldPartitions, more: HeldPartitions): HeldPartitions {
  if (more.size === 0) return held;
  const merged = new Map(held);
  for (const [topicId, partitions] of more) {
    merged.set(topicId, new Map([...(merged.get(topicId) ?? []), ...partitions]));
  }
  return merged;
}

export function equalAssignments(a: Assignment, b: Assignment): boolean {
  if (a.size !== b.size) return false;
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId);
    if (others === undefined || others.length !== partitions.length) return false;
    if (!partitions.every((partition, index) => partition === others[index])) return false;
  }
  return true;
}

/** True when it holds exactly the partitions of the target. */
export function holdsExactly(held: HeldPartitions, target: Assignment): boolean {
  if (held.size !== target.size) return false;
  for (const [topicId, partitions] of target) {
    const mine = held.get(topicId);
    if (mine === undefined || mine.size !== partitions.length) return false;
    if (!partitions.every((partition) => mine.has(partition))) return false;
  }
  return true;
}

export function rising(partitions: Iterable<number>): number[] {
  return [...partitions].sort((a, b) => a - b);
}
