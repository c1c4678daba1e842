// `range`: of every topic each subscriber gets one run of neighbouring partitions, in the order of instance ids or else member
// ids; the first get one more. Topics with the same subscribers and counts are cut alike, so that equal partition numbers meet.

import type { Assignment } from "./assignment.ts";
import type { PartitionCounts, Subscriber } from "./assignor.ts";

export function assignRange(subscribers: readonly Subscriber[], counts: PartitionCounts): Map<string, Assignment> {
  const ordered = [...subscribers].sort((a, b) => compareNames(a.instanceId ?? a.memberId, b.instanceId ?? b.memberId));
  const target = new Map<string, Map<string, number[]>>(subscribers.map(({ memberId }) => [memberId, new Map()]));
  for (const [topicId, count] of counts) {
    const takers = ordered.filter(({ topicIds }) => topicIds.includes(topicId));
    let first = 0;
    takers.forEach(({ memberId }, index) => {
      const size = Math.floor(count / takers.length) + (index < count % takers.length ? 1 : 0);
      if (size > 0)
        target.get(memberId)!.set(
          topicId,
          Array.from({ length: size }, (_, i) => first + i),
        );
      first += size;
    });
  }
  return target;
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
