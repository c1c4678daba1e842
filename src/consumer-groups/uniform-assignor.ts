// `uniform`: sticky and even. Members with equal subscriptions get equal shares (within one), and no more partitions move than
// that needs. With different subscriptions shares are as even as the subscriptions allow, moving one partition at a time
// from the most to the least loaded of a topic's subscribers until no such move evens anything out.

import { type Assignment, rising } from "./assignment.ts";
import type { PartitionCounts, Subscriber } from "./assignor.ts";

interface Share {
  readonly memberId: string;
  readonly topicIds: ReadonlySet<string>;
  readonly partitions: Map<string, Set<number>>;
  size: number;
}

export function assignUniform(subscribers: readonly Subscriber[], counts: PartitionCounts): Map<string, Assignment> {
  const shares = subscribers
    .map((subscriber) => emptyShare(subscriber))
    .sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const free = new Map([...counts].map(([topicId, count]) => [topicId, new Set(range(count))]));
  const previous = new Map(subscribers.map(({ memberId, previous }) => [memberId, previous]));
  for (const share of shares) keepPrevious(share, previous.get(share.memberId)!, free);
  if (subscribeAlike(shares)) evenOutAlike(shares, free, counts);
  else evenOutMixed(shares, free, counts);
  return new Map(shares.map((share) => [share.memberId, assignmentOf(share)]));
}

function emptyShare({ memberId, topicIds }: Subscriber): Share {
  return { memberId, topicIds: new Set(topicIds), partitions: new Map(), size: 0 };
}

function keepPrevious(share: Share, previous: Assignment, free: Map<string, Set<number>>): void {
  for (const [topicId, partitions] of previous) {
    if (!share.topicIds.has(topicId)) continue;
    for (const partition of partitions) if (free.get(topicId)?.delete(partition)) give(share, topicId, partition);
  }
}

function subscribeAlike(shares: readonly Share[]): boolean {
  const first = shares[0]?.topicIds;
  return (
    first === undefined ||
    shares.every(({ topicIds }) => topicIds.size === first.size && [...topicIds].every((id) => first.has(id)))
  );
}

/** Those who had the most keep the shares that are one larger, so that as little as possible moves. */
function evenOutAlike(shares: readonly Share[], free: Map<string, Set<number>>, counts: PartitionCounts): void {
  if (shares.length === 0) return;
  let total = 0;
  for (const topicId of shares[0]!.topicIds) total += counts.get(topicId) ?? 0;
  const least = Math.floor(total / shares.length);
  const byLoad = [...shares].sort((a, b) => b.size - a.size);
  const quotas = byLoad.map((share, index) => ({ share, quota: least + (index < total % shares.length ? 1 : 0) }));
  for (const { share, quota } of quotas) {
    while (share.size > quota) {
      const [topicId, partition] = takeFromLargest(share);
      free.get(topicId)!.add(partition);
    }
  }
  // Dealt like cards, topic after topic, so that every member gets some of each.
  let needy = quotas.filter(({ share, quota }) => share.size < quota);
  let turn = 0;
  for (const topicId of shares[0]!.topicIds) {
    for (const partition of rising(free.get(topicId) ?? [])) {
      if (turn >= needy.length) {
        needy = needy.filter(({ share, quota }) => share.size < quota);
        turn = 0;
      }
      give(needy[turn++]!.share, topicId, partition);
    }
  }
}

function evenOutMixed(shares: readonly Share[], free: Map<string, Set<number>>, counts: PartitionCounts): void {
  const takersOf = new Map<string, Share[]>();
  for (const topicId of counts.keys()) {
    takersOf.set(
      topicId,
      shares.filter((share) => share.topicIds.has(topicId)),
    );
  }
  const byChoice = [...counts.keys()].sort((a, b) => takersOf.get(a)!.length - takersOf.get(b)!.length);
  for (const topicId of byChoice) {
    const takers = takersOf.get(topicId)!;
    for (const partition of rising(free.get(topicId)!))
      if (takers.length > 0) give(leastOf(takers), topicId, partition);
  }
  // Each move makes the sum of squared loads smaller, so this ends.
  for (let moved = true; moved; ) {
    moved = false;
    for (const topicId of byChoice) while (moveOne(topicId, takersOf.get(topicId)!)) moved = true;
  }
}

function moveOne(topicId: string, takers: readonly Share[]): boolean {
  const owners = takers.filter((share) => share.partitions.has(topicId));
  if (owners.length === 0) return false;
  const [from, to] = [mostOf(owners), leastOf(takers)];
  if (from.size - to.size < 2) return false;
  give(to, topicId, takeLast(from, topicId));
  return true;
}

function leastOf(shares: readonly Share[]): Share {
  return shares.reduce((least, share) => (share.size < least.size ? share : least));
}

function mostOf(shares: readonly Share[]): Share {
  return shares.reduce((most, share) => (share.size > most.size ? share : most));
}

function give(share: Share, topicId: string, partition: number): void {
  const partitions = share.partitions.get(topicId);
  if (partitions) partitions.add(partition);
  else share.partitions.set(topicId, new Set([partition]));
  share.size++;
}

/** From the topic it has most of, so that what is left stays mixed. */
function takeFromLargest(share: Share): [topicId: string, partition: number] {
  let largest = "";
  let most = 0;
  for (const [topicId, { size }] of share.partitions) if (size > most) [largest, most] = [topicId, size];
  return [largest, takeLast(share, largest)];
}

function takeLast(share: Share, topicId: string): number {
  const partitions = share.partitions.get(topicId)!;
  let last = -1;
  for (const partition of partitions) last = partition; // in the order in which they were given
  partitions.delete(last);
  if (partitions.size === 0) share.partitions.delete(topicId);
  share.size--;
  return last;
}

function assignmentOf(share: Share): Assignment {
  const entries = [...share.partitions].map(([topicId, partitions]): [string, number[]] => [
    topicId,
    rising(partitions),
  ]);
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
