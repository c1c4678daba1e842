// Elections: a table of cases, and the rules that hold for every value and every set of living brokers.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Election, elect, firstValue, isLedNow, type LivingBroker } from "../../src/cluster/election.ts";
import type { PartitionValue } from "../../src/cluster/metadata-keys.ts";

type Word = "up" | "fenced" | "leaving" | "unclean";
/** Broker epochs are ten times the id, or what stands after the word. */
type Told = Word | `${Word} ${number}`;

function brokers(told: Readonly<Record<number, Told>>): Map<number, LivingBroker> {
  const entries = Object.entries(told).map(([id, words]): [number, LivingBroker] => {
    const [word, epoch] = words.split(" ");
    const unclean = word === "unclean";
    const brokerEpoch = Number(epoch ?? Number(id) * 10);
    return [
      Number(id),
      { brokerEpoch, fenced: unclean || word === "fenced", shuttingDown: word === "leaving", unclean },
    ];
  });
  return new Map(entries);
}

function partitionLed(leader: number, inSyncReplicas: readonly number[]): PartitionValue {
  const leaderBrokerEpoch = leader === -1 ? -1 : leader * 10;
  return { replicas: [1, 2, 3], inSyncReplicas, leader, leaderEpoch: 5, leaderBrokerEpoch, partitionEpoch: 8 };
}

interface Case {
  readonly says: string;
  readonly leader: number;
  readonly inSync: readonly number[];
  readonly brokers: Readonly<Record<number, Told>>;
  readonly allowUnclean?: true;
  readonly preferFirst?: true;
  /** Leader, in-sync set, leader epoch; undefined: stays as it is. */
  readonly gives: readonly [number, readonly number[], number] | undefined;
  readonly unclean?: true;
}

const cases: readonly Case[] = [
  { says: "all is well", leader: 2, inSync: [1, 2, 3], brokers: { 1: "up", 2: "up", 3: "up" }, gives: undefined },
  { says: "a follower died", leader: 1, inSync: [1, 2, 3], brokers: { 1: "up", 2: "up" }, gives: [1, [1, 2], 5] },
  { says: "the leader died", leader: 1, inSync: [1, 2, 3], brokers: { 2: "up", 3: "up" }, gives: [2, [2, 3], 6] },
  {
    says: "the first in order is not in sync",
    leader: 1,
    inSync: [1, 3],
    brokers: { 2: "up", 3: "up" },
    gives: [3, [3], 6],
  },
  { says: "the sole member died", leader: 1, inSync: [1], brokers: { 2: "up", 3: "up" }, gives: [-1, [1], 6] },
  { says: "and is dead still", leader: -1, inSync: [1], brokers: { 2: "up", 3: "up" }, gives: undefined },
  { says: "and is back", leader: -1, inSync: [1], brokers: { 1: "up 99", 2: "up" }, gives: [1, [1], 6] },
  { says: "and is back, not let in yet", leader: -1, inSync: [1], brokers: { 1: "unclean" }, gives: undefined },
  { says: "everybody died", leader: 1, inSync: [1, 2, 3], brokers: {}, gives: [-1, [1, 2, 3], 6] },
  {
    says: "the leader came back in a new life before anybody saw that it was gone",
    leader: 1,
    inSync: [1],
    brokers: { 1: "up 77" },
    gives: [1, [1], 6],
  },
  {
    says: "a follower came back unclean",
    leader: 1,
    inSync: [1, 2],
    brokers: { 1: "up", 2: "unclean 77" },
    gives: [1, [1], 5],
  },
  {
    says: "an unclean one goes also while nobody can lead",
    leader: -1,
    inSync: [1, 2],
    brokers: { 1: "unclean" },
    gives: [-1, [2], 5],
  },
  {
    says: "all came back unclean: the last leader stays",
    leader: 2,
    inSync: [1, 2],
    brokers: { 1: "unclean 71", 2: "unclean 72" },
    gives: [-1, [2], 6],
  },
  {
    says: "a fenced follower is not in sync",
    leader: 1,
    inSync: [1, 2],
    brokers: { 1: "up", 2: "fenced" },
    gives: [1, [1], 5],
  },
  { says: "the leader leaves", leader: 1, inSync: [1, 2], brokers: { 1: "leaving", 2: "up" }, gives: [2, [2], 6] },
  {
    says: "the leader leaves and is the last: it goes on until it is gone",
    leader: 1,
    inSync: [1],
    brokers: { 1: "leaving", 2: "up" },
    gives: undefined,
  },
  {
    says: "the topic would rather lose",
    leader: 1,
    inSync: [1],
    brokers: { 2: "fenced", 3: "up" },
    allowUnclean: true,
    gives: [3, [3], 6],
    unclean: true,
  },
  {
    says: "it would, but need not",
    leader: 1,
    inSync: [1, 3],
    brokers: { 2: "up", 3: "up" },
    allowUnclean: true,
    gives: [3, [3], 6],
  },
  {
    says: "it would, but who has everything is back already",
    leader: -1,
    inSync: [1],
    brokers: { 1: "fenced", 2: "up" },
    allowUnclean: true,
    gives: undefined,
  },
  {
    says: "the preferred leader takes over",
    leader: 2,
    inSync: [2, 1],
    brokers: { 1: "up", 2: "up" },
    preferFirst: true,
    gives: [1, [2, 1], 6],
  },
  {
    says: "the preferred leader is not in sync",
    leader: 2,
    inSync: [2, 3],
    brokers: { 1: "up", 2: "up", 3: "up" },
    preferFirst: true,
    gives: undefined,
  },
];

describe("a case:", () => {
  test.for(cases)("$says", (each) => {
    const rules = { allowUnclean: each.allowUnclean ?? false, preferFirst: each.preferFirst ?? false };
    const election = elect(partitionLed(each.leader, each.inSync), brokers(each.brokers), rules);
    if (each.gives === undefined) expect(election).toBeUndefined();
    else {
      const [leader, inSyncReplicas, leaderEpoch] = each.gives;
      expect(election?.value).toMatchObject({ leader, inSyncReplicas, leaderEpoch, partitionEpoch: 9 });
      expect(election?.unclean).toBe(each.unclean ?? false);
    }
  });
});

const broker = fc.oneof(
  fc.constant(undefined),
  fc.record({
    brokerEpoch: fc.integer({ min: 1, max: 3 }),
    fenced: fc.boolean(),
    shuttingDown: fc.boolean(),
    unclean: fc.boolean(),
  }),
);
const situation = fc
  .record({
    replicas: fc.shuffledSubarray([1, 2, 3, 4], { minLength: 1 }),
    living: fc.array(broker, { minLength: 5, maxLength: 5 }),
    leaderIndex: fc.integer({ min: -1, max: 3 }),
    leaderBrokerEpoch: fc.integer({ min: 1, max: 3 }),
    allowUnclean: fc.boolean(),
    preferFirst: fc.boolean(),
  })
  .chain((drawn) =>
    fc.record({
      drawn: fc.constant(drawn),
      inSyncReplicas: fc.shuffledSubarray(drawn.replicas, { minLength: 1 }),
    }),
  )
  .map(({ drawn, inSyncReplicas }) => {
    const living = new Map<number, LivingBroker>();
    for (const [id, each] of drawn.living.entries())
      if (each) living.set(id, { ...each, fenced: each.fenced || each.unclean }); // unclean ones are always fenced
    const leader = inSyncReplicas[drawn.leaderIndex] ?? -1;
    const value: PartitionValue = {
      replicas: drawn.replicas,
      inSyncReplicas,
      leader,
      leaderEpoch: 3,
      leaderBrokerEpoch: leader === -1 ? -1 : drawn.leaderBrokerEpoch,
      partitionEpoch: 4,
    };
    return { value, living, rules: { allowUnclean: drawn.allowUnclean, preferFirst: drawn.preferFirst } };
  });

function lawsOf(before: PartitionValue, election: Election, living: ReadonlyMap<number, LivingBroker>): void {
  const { value, unclean } = election;
  expect(value.inSyncReplicas.length).toBeGreaterThan(0);
  expect(value.partitionEpoch).toBe(before.partitionEpoch + 1);
  const isSameReign = value.leader === before.leader && value.leaderBrokerEpoch === before.leaderBrokerEpoch;
  expect(value.leaderEpoch).toBe(before.leaderEpoch + (isSameReign ? 0 : 1));
  const leader = living.get(value.leader);
  if (value.leader !== -1) {
    expect(value.inSyncReplicas).toContain(value.leader);
    expect(leader?.brokerEpoch).toBe(value.leaderBrokerEpoch);
    expect(leader?.fenced).toBe(false);
    if (!isSameReign) expect(leader?.shuttingDown).toBe(false);
  }
  if (!unclean) for (const id of value.inSyncReplicas) expect(before.inSyncReplicas).toContain(id);
  const serving = before.inSyncReplicas.filter((id) => {
    const each = living.get(id);
    return each && !each.fenced && !each.shuttingDown;
  });
  if (serving.length > 0) expect(value).toMatchObject({ inSyncReplicas: serving });
  if (serving.length > 0) expect(serving).toContain(value.leader);
  if (value.inSyncReplicas.length > 1)
    for (const id of value.inSyncReplicas) expect(living.get(id)?.unclean).not.toBe(true);
}

test("every change keeps the rules, and after it nothing is left to change", () => {
  fc.assert(
    fc.property(situation, ({ value, living, rules }) => {
      const election = elect(value, living, rules);
      if (election) lawsOf(value, election, living);
      if (election?.unclean) expect(rules.allowUnclean).toBe(true);
      const settled = election?.value ?? value;
      expect(elect(settled, living, rules)).toBeUndefined();
      if (settled.leader !== -1) expect(isLedNow(settled, living)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test("a new partition is led by the first replica that can serve, and needs no election", () => {
  const living = brokers({ 1: "fenced", 2: "up", 3: "up" });
  const value = firstValue([1, 2, 3], living);
  expect(value).toMatchObject({ leader: 2, leaderBrokerEpoch: 20, inSyncReplicas: [2, 3], leaderEpoch: 0 });
  expect(elect(value, living, { allowUnclean: false, preferFirst: true })).toBeUndefined();
  expect(() => firstValue([1], living)).toThrow("placed on brokers that live");
});
