// One member's step towards its target (KIP-848): first it lets go of what it must not keep, at its old epoch; then it moves to
// the target's epoch and gets what no other member holds any more. A partition is with one member at a time,
// whatever replies are lost.

import { type Assignment, filterHeld, type HeldPartitions, mergeHeld, nothingHeld } from "./assignment.ts";
import type { CurrentAssignmentValue } from "./group-records.ts";
import { awayEpoch } from "./member.ts";

export interface ReconciliationInput {
  readonly current: CurrentAssignmentValue;
  readonly target: Assignment;
  readonly assignmentEpoch: number;
  /** Kafka's epoch that the client's call named. */
  readonly sentEpoch: number;
  /** The client has just joined: whatever the id held, this client holds none of it. */
  readonly ownsNothing: boolean;
  /** Which of the partitions pending revocation the client has let go of. */
  letGo(topicId: string, partition: number): boolean;
  heldByAnother(topicId: string, partition: number): boolean;
  /** False once the topic was deleted: nobody can get its partitions, so nobody waits for them. */
  exists(topicId: string): boolean;
}

/** The same object when nothing changes. */
export function reconcile(input: ReconciliationInput): CurrentAssignmentValue {
  const { current, target, assignmentEpoch, ownsNothing } = input;
  // A member that joined before the target of its join was computed is ahead of the target: there is nothing for it yet.
  if (current.memberEpoch > assignmentEpoch) return releaseOnly(input);
  const settled = current.state === "stable" && current.memberEpoch === assignmentEpoch;
  if (settled && !ownsNothing) return current;
  const targets = new Map([...target].map(([topicId, partitions]) => [topicId, new Set(partitions)]));
  const inTarget = (topicId: string, partition: number): boolean => targets.get(topicId)?.has(partition) ?? false;

  const waitedFor = stillHeld(input, current.pendingRevocation);
  const removed = ownsNothing
    ? nothingHeld
    : filterHeld(current.assigned, (topicId, partition) => input.exists(topicId) && !inTarget(topicId, partition));
  const assigned = filterHeld(current.assigned, inTarget);
  const pendingRevocation = mergeHeld(waitedFor, removed);
  if (pendingRevocation.size > 0) {
    return ifChanged(current, { ...current, state: "unrevokedPartitions", assigned, pendingRevocation });
  }
  const { added, withheld } = assignable(input, assigned);
  const moved = current.memberEpoch !== assignmentEpoch;
  return ifChanged(current, {
    state: withheld ? "unreleasedPartitions" : "stable",
    memberEpoch: assignmentEpoch,
    previousMemberEpoch: previousEpoch(input, moved),
    assigned: mergeHeld(assigned, added),
    pendingRevocation: nothingHeld,
  });
}

/** A client whose reply was lost may still be at the epoch of its call, however often the epoch moved since. */
function previousEpoch(
  { current, sentEpoch, ownsNothing, assignmentEpoch }: ReconciliationInput,
  moved: boolean,
): number {
  if (!moved) return current.previousMemberEpoch;
  return ownsNothing ? assignmentEpoch : sentEpoch;
}

function releaseOnly(input: ReconciliationInput): CurrentAssignmentValue {
  const { current } = input;
  const pendingRevocation = stillHeld(input, current.pendingRevocation);
  if (pendingRevocation.size > 0) return ifChanged(current, { ...current, pendingRevocation });
  if (current.state !== "unrevokedPartitions") return current;
  return { ...current, state: "unreleasedPartitions", pendingRevocation };
}

function stillHeld(input: ReconciliationInput, pending: HeldPartitions): HeldPartitions {
  if (input.ownsNothing) return nothingHeld;
  return filterHeld(pending, (topicId, partition) => input.exists(topicId) && !input.letGo(topicId, partition));
}

function assignable(
  { target, assignmentEpoch, heldByAnother }: ReconciliationInput,
  assigned: HeldPartitions,
): { added: HeldPartitions; withheld: boolean } {
  const added = new Map<string, Map<number, number>>();
  let withheld = false;
  for (const [topicId, partitions] of target) {
    const mine = assigned.get(topicId);
    const missing = partitions.filter((partition) => !mine?.has(partition));
    const free = missing.filter((partition) => !heldByAnother(topicId, partition));
    if (free.length < missing.length) withheld = true;
    if (free.length > 0) added.set(topicId, new Map(free.map((partition) => [partition, assignmentEpoch])));
  }
  return { added, withheld };
}

/** What a static member leaves behind for whoever comes back under its instance id: all it holds, and no live epoch. */
export function setAway(current: CurrentAssignmentValue): CurrentAssignmentValue {
  const { memberEpoch, assigned } = current;
  return {
    state: "stable",
    memberEpoch: awayEpoch,
    previousMemberEpoch: memberEpoch,
    assigned,
    pendingRevocation: nothingHeld,
  };
}

function ifChanged(before: CurrentAssignmentValue, after: CurrentAssignmentValue): CurrentAssignmentValue {
  const same =
    before.state === after.state &&
    before.memberEpoch === after.memberEpoch &&
    before.previousMemberEpoch === after.previousMemberEpoch &&
    sizesAlike(before.assigned, after.assigned) &&
    sizesAlike(before.pendingRevocation, after.pendingRevocation);
  return same ? before : after;
}

/** Within one step at one epoch sets only grow or only shrink, so equal counts mean equal sets. */
function sizesAlike(a: HeldPartitions, b: HeldPartitions): boolean {
  if (a.size !== b.size) return false;
  for (const [topicId, partitions] of a) if (b.get(topicId)?.size !== partitions.size) return false;
  return true;
}
