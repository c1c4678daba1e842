// Placement: what holds for every cluster, and what a small one looks like.

import fc from "fast-check";
import { expect, test } from "vitest";
import { type PlacementRequest, placeReplicas } from "../../src/cluster/placement.ts";

const brokersOf = (racks: readonly (string | null)[]) => racks.map((rack, index) => ({ brokerId: index + 1, rack }));

const request = fc
  .record({
    racks: fc.array(fc.constantFrom("a", "b", "c", null), { minLength: 1, maxLength: 9 }),
    partitionCount: fc.integer({ min: 1, max: 30 }),
    startIndex: fc.nat(100),
  })
  .chain(({ racks, ...rest }) =>
    fc.record({
      brokers: fc.constant(brokersOf(racks)),
      replicationFactor: fc.integer({ min: 1, max: racks.length }),
      partitionCount: fc.constant(rest.partitionCount),
      startIndex: fc.constant(rest.startIndex),
    }),
  );

function spread(counts: Iterable<number>): number {
  const all = [...counts];
  return Math.max(...all) - Math.min(...all);
}

function counts(asked: PlacementRequest, placements: readonly number[][]) {
  const replicas = new Map(asked.brokers.map(({ brokerId }) => [brokerId, 0]));
  const leaders = new Map(replicas);
  for (const ids of placements) {
    leaders.set(ids[0]!, leaders.get(ids[0]!)! + 1);
    for (const id of ids) replicas.set(id, replicas.get(id)! + 1);
  }
  return { replicas, leaders };
}

test("no broker twice in a partition, and racks as different as can be", () => {
  fc.assert(
    fc.property(request, (asked) => {
      const placements = placeReplicas(asked);
      expect(placements).toHaveLength(asked.partitionCount);
      const rackOf = (id: number) => asked.brokers.find(({ brokerId }) => brokerId === id)!.rack ?? `alone ${id}`;
      const racks = new Set(asked.brokers.map(({ brokerId }) => rackOf(brokerId)));
      for (const ids of placements) {
        expect(new Set(ids).size).toBe(asked.replicationFactor);
        expect(new Set(ids.map(rackOf)).size).toBe(Math.min(racks.size, asked.replicationFactor));
      }
    }),
  );
});

test("the same input gives the same placement, whatever the order of the brokers", () => {
  fc.assert(
    fc.property(request, (asked) => {
      expect(placeReplicas({ ...asked, brokers: [...asked.brokers].reverse() })).toEqual(placeReplicas(asked));
    }),
  );
});

test("with racks of one size, and with none, replicas and leaders of any two brokers differ by one at most", () => {
  for (let racks = 1; racks <= 4; racks++)
    for (let inRack = 1; inRack <= 4; inRack++)
      for (let replicationFactor = 1; replicationFactor <= Math.min(5, racks * inRack); replicationFactor++)
        for (const partitionCount of [1, 2, 3, 5, 8, 12, 17, 30]) {
          const names = Array.from({ length: racks * inRack }, (_, index) => `${index % racks}`);
          const asked = { brokers: brokersOf(names), replicationFactor, partitionCount, startIndex: 7 };
          const { replicas, leaders } = counts(asked, placeReplicas(asked));
          const told = `${racks} racks of ${inRack}, ${replicationFactor} × ${partitionCount}`;
          expect(spread(replicas.values()), `replicas, ${told}`).toBeLessThanOrEqual(1);
          expect(spread(leaders.values()), `leaders, ${told}`).toBeLessThanOrEqual(1);
        }
});

test("three brokers, three partitions; where the line begins is the caller's", () => {
  const asked = { brokers: brokersOf([null, null, null]), partitionCount: 3, replicationFactor: 2, startIndex: 0 };
  expect(placeReplicas(asked)).toEqual([
    [1, 2],
    [3, 1],
    [2, 3],
  ]);
  expect(placeReplicas({ ...asked, partitionCount: 1, startIndex: 4 })).toEqual([[2, 3]]);
});

test("new partitions of a topic go where it has fewest", () => {
  const asked = { brokers: brokersOf(["a", "b", "c"]), partitionCount: 1, replicationFactor: 2, startIndex: 0 };
  expect(placeReplicas({ ...asked, placed: [[1, 2]] })).toEqual([[3, 1]]);
  expect(() => placeReplicas({ ...asked, replicationFactor: 4 })).toThrow("more replicas than brokers");
});
