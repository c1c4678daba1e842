// The assignors: every partition of a subscribed topic goes to exactly one subscriber, shares are even, little moves, and a
// large group takes milliseconds.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Assignment, partitionCountOf } from "../../src/consumer-groups/assignment.ts";
import type { Subscriber } from "../../src/consumer-groups/assignor.ts";
import { assignors } from "../../src/consumer-groups/assignors.ts";

const memberId = (index: number) => `member-${String(index).padStart(4, "0")}`;

function members(count: number, topicIds: readonly string[], previous?: Map<string, Assignment>): Subscriber[] {
  return Array.from({ length: count }, (_, index) => ({
    memberId: memberId(index),
    instanceId: null,
    topicIds,
    previous: previous?.get(memberId(index)) ?? new Map(),
  }));
}

function checkComplete(
  target: Map<string, Assignment>,
  subscribers: readonly Subscriber[],
  counts: Map<string, number>,
) {
  const owners = new Map<string, string>();
  for (const { memberId, topicIds } of subscribers) {
    for (const [topicId, partitions] of target.get(memberId)!) {
      expect(topicIds).toContain(topicId);
      expect(partitions.length).toBeGreaterThan(0);
      expect([...partitions].sort((a, b) => a - b)).toEqual(partitions);
      for (const partition of partitions) {
        expect(partition).toBeLessThan(counts.get(topicId)!);
        expect(owners.has(`${topicId}-${partition}`)).toBe(false);
        owners.set(`${topicId}-${partition}`, memberId);
      }
    }
  }
  for (const [topicId, count] of counts) {
    if (subscribers.some(({ topicIds }) => topicIds.includes(topicId))) {
      for (let p = 0; p < count; p++) expect(owners.has(`${topicId}-${p}`)).toBe(true);
    }
  }
}

/** Partitions that were with one member and are now with another. */
function movedBetween(before: Map<string, Assignment>, after: Map<string, Assignment>): number {
  let moved = 0;
  for (const [memberId, assignment] of before) {
    if (!after.has(memberId)) continue;
    for (const [topicId, partitions] of assignment) {
      const now = new Set(after.get(memberId)!.get(topicId) ?? []);
      moved += partitions.filter((partition) => !now.has(partition)).length;
    }
  }
  return moved;
}

const topics = fc
  .array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 })
  .map((sizes) => new Map(sizes.map((size, index) => [`topic-${index}`, size])));

describe("uniform", () => {
  test("gives equal subscribers equal shares within one, and moves no more than that needs", () => {
    const life = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(topics, life, (counts, sizes) => {
        const total = [...counts.values()].reduce((sum, count) => sum + count);
        let target = new Map<string, Assignment>();
        for (const size of sizes) {
          const before = target;
          const subscribers = members(size, [...counts.keys()], before);
          target = assignors.uniform(subscribers, counts);
          checkComplete(target, subscribers, counts);
          const loads = subscribers.map(({ memberId }) => partitionCountOf(target.get(memberId)!));
          expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
          const had = subscribers.map(({ previous }) => partitionCountOf(previous)).sort((a, b) => b - a);
          const quotas = had.map((_, index) => Math.floor(total / size) + (index < total % size ? 1 : 0));
          const mustMove = had.reduce((sum, count, index) => sum + Math.max(0, count - quotas[index]!), 0);
          expect(movedBetween(before, target)).toBe(mustMove);
        }
      }),
    );
  });

  test("with different subscriptions no single move would even the shares out", () => {
    const subscriptions = fc.array(fc.subarray([0, 1, 2, 3, 4], { minLength: 1 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(topics, subscriptions, (counts, wishes) => {
        const subscribers = wishes.map((indexes, index) => ({
          memberId: memberId(index),
          instanceId: null,
          topicIds: indexes.map((i) => `topic-${i}`).filter((id) => counts.has(id)),
          previous: new Map<string, readonly number[]>(),
        }));
        const subscribed = new Map([...counts].filter(([id]) => subscribers.some((s) => s.topicIds.includes(id))));
        const target = assignors.uniform(subscribers, subscribed);
        checkComplete(target, subscribers, subscribed);
        const load = (s: Subscriber) => partitionCountOf(target.get(s.memberId)!);
        for (const from of subscribers) {
          for (const topicId of target.get(from.memberId)!.keys()) {
            for (const to of subscribers)
              if (to.topicIds.includes(topicId)) expect(load(from) - load(to)).toBeLessThan(2);
          }
        }
        const again = subscribers.map((s) => ({ ...s, previous: target.get(s.memberId)! }));
        expect(movedBetween(target, assignors.uniform(again, subscribed))).toBe(0);
      }),
    );
  });

  test("forgets what a member had of topics and partitions that are gone", () => {
    const previous = new Map([
      [
        memberId(0),
        new Map([
          ["gone", [0]],
          ["t", [0, 7]],
        ]),
      ],
    ]);
    expect(assignors.uniform(members(1, ["t"], previous), new Map([["t", 2]])).get(memberId(0))).toEqual(
      new Map([["t", [0, 1]]]),
    );
  });

  test("assigns 100 members 1,000 partitions in a few milliseconds, first and when one comes", () => {
    const counts = new Map(Array.from({ length: 10 }, (_, index) => [`topic-${index}`, 100]));
    const first = assignors.uniform(members(99, [...counts.keys()]), counts);
    const best = Math.min(
      ...Array.from({ length: 10 }, () => {
        const beginMs = performance.now();
        assignors.uniform(members(100, [...counts.keys()], first), counts);
        return performance.now() - beginMs;
      }),
    );
    expect(best).toBeLessThan(20);
  });
});

describe("range", () => {
  test("gives every topic's subscribers runs of neighbours, alike for topics that are alike", () => {
    fc.assert(
      fc.property(topics, fc.integer({ min: 1, max: 9 }), (counts, size) => {
        const subscribers = members(size, [...counts.keys()]);
        const target = assignors.range(subscribers, counts);
        checkComplete(target, subscribers, counts);
        for (const { memberId } of subscribers) {
          for (const partitions of target.get(memberId)!.values()) {
            expect(partitions.at(-1)! - partitions[0]!).toBe(partitions.length - 1);
          }
          const [one, other] = [...counts].filter(([, count]) => count === counts.get("topic-0")).map(([id]) => id);
          if (other !== undefined) {
            expect(target.get(memberId)!.get(other)).toEqual(target.get(memberId)!.get(one!));
          }
        }
      }),
    );
  });

  test("orders by instance id where there is one", () => {
    const subscribers = [
      { memberId: "a", instanceId: "2", topicIds: ["t"], previous: new Map() },
      { memberId: "b", instanceId: "1", topicIds: ["t"], previous: new Map() },
    ];
    const target = assignors.range(subscribers, new Map([["t", 3]]));
    expect(target).toEqual(
      new Map([
        ["b", new Map([["t", [0, 1]]])],
        ["a", new Map([["t", [2]]])],
      ]),
    );
  });
});
