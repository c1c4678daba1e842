// Random lives of groups: members join, poll, lose answers, fall silent, come back under their id or instance, are taken over;
// topics come, grow and go; the coordinator restarts. After every step: no partition is with two members, and at most one client
// could commit to it; epochs only rise; a restart, with the whole log or only its last records, gives the very state; and in
// the end, once everybody polls, every partition is with exactly one member and shares are even.

import fc from "fast-check";
import { expect, test } from "vitest";
import { partitionCountOf } from "../../src/consumer-groups/assignment.ts";
import type { GroupReply, PollReply, PollRequest } from "../../src/consumer-groups/group-requests.ts";
import { kafkaEpochOf } from "../../src/consumer-groups/member.ts";
import type { Position } from "../../src/consumer-groups/offsets.ts";
import { secondsFor } from "../time-budget.ts";
import { compacted, ShardWorld, stateOf } from "./shard-world.ts";

const groupId = "g";
const ids = ["a", "b", "c", "d"] as const;
const topicNames = ["t", "u"] as const;
const sessionTimeoutMs = 10_000;
const rebalanceTimeoutMs = 30_000;

/** One process that polls. Two may use one member id. */
class Client {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  topics: string[] = ["t"];
  memberEpoch: number | undefined;
  /** What it may be handling records of, as "topic-partition". */
  holding = new Map<string, Position>();

  constructor(memberId: string, instanceId: string | undefined) {
    this.memberId = memberId;
    this.instanceId = instanceId;
  }

  drop(): void {
    this.memberEpoch = undefined;
    this.holding.clear();
  }
}

class Model {
  readonly world: ShardWorld;
  readonly clients = [
    ...ids.map((id) => new Client(id, undefined)),
    new Client("a", undefined), // uses the id of another
    new Client("s1", "instance"),
    new Client("s2", "instance"), // the same instance, back under a new id
  ];
  readonly #epochs = new Map<string, number>();
  #groupEpoch = 0;
  #assignmentEpoch = 0;
  readonly #committed = new Map<string, { offset: number; memberEpoch: number }>();
  #nextOffset = 0;

  /** `pauses`: targets are put off, as in large groups. */
  constructor(pauses: boolean) {
    const pace = pauses ? { membersWithoutPauseMax: 0, assignmentPauseMsPerMember: 900 } : {};
    this.world = new ShardWorld({ sessionTimeoutMs, rebalanceTimeoutMs, offsetsRetentionMs: 1_000_000, ...pace });
    this.world.setTopic("t", 4);
  }

  poll(client: Client, how: { lost: boolean; keep: boolean; heartbeat: boolean; commit: boolean }): void {
    const joining = client.memberEpoch === undefined;
    const kept = how.keep ? [...client.holding.values()] : [];
    if (how.commit) for (const [name, position] of client.holding) client.holding.set(name, this.#further(position));
    const request: PollRequest = {
      kind: "poll",
      groupId,
      memberId: client.memberId,
      forRecords: !how.heartbeat,
      ...(joining ? { topics: client.topics } : { memberEpoch: client.memberEpoch! }),
      ...(joining && client.instanceId !== undefined ? { instanceId: client.instanceId } : {}),
      ...(how.commit && !joining ? { commit: [...client.holding.values()] } : {}),
      positions: kept,
    };
    const { reply } = this.world.handle(request);
    if (reply.kind === "refused") this.#refused(client, reply, how.lost);
    else if (reply.kind === "poll") this.#polled(client, reply, how, joining);
  }

  #further(position: Position): Position {
    return { ...position, nextOffset: ++this.#nextOffset };
  }

  #refused(client: Client, reply: Extract<GroupReply, { kind: "refused" }>, lost: boolean): void {
    expect(["FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID", "UNRELEASED_INSTANCE_ID"]).toContain(reply.code);
    if (!lost) client.drop();
  }

  #polled(client: Client, reply: PollReply, how: { lost: boolean; keep: boolean }, joining: boolean): void {
    const former = this.#epochs.get(client.memberId) ?? 0;
    if (joining) expect(reply.memberEpoch, "a join has a larger epoch than all before").toBeGreaterThan(former);
    else expect(reply.memberEpoch).toBeGreaterThanOrEqual(former);
    this.#epochs.set(client.memberId, reply.memberEpoch);
    if (how.lost) return; // it goes on with what it knew
    client.memberEpoch = reply.memberEpoch;
    if (!how.keep) client.holding.clear();
    const assigned = new Set<string>();
    for (const { topic, partitions } of reply.assignment) {
      for (const partition of partitions) {
        const name = `${topic}-${partition}`;
        assigned.add(name);
        if (!client.holding.has(name)) client.holding.set(name, { topic, partition, nextOffset: this.#nextOffset });
      }
    }
    if (!how.keep) for (const name of client.holding.keys()) if (!assigned.has(name)) client.holding.delete(name);
  }

  commitEverywhere(client: Client): void {
    if (client.memberEpoch === undefined) return;
    const positions = [{ topic: "t", partition: 0, nextOffset: ++this.#nextOffset }];
    const { memberId, memberEpoch } = client;
    const { reply, records } = this.world.handle({ kind: "commit", groupId, memberId, memberEpoch, positions });
    expect(records.length).toBe(reply.kind === "done" ? 1 : 0);
  }

  check(): void {
    this.#checkEpochs();
    this.#checkOwners();
    this.#checkCommitters();
    this.#checkOffsets();
    const state = stateOf(this.world.shard);
    expect(stateOf(this.world.replayed())).toEqual(state);
    expect(stateOf(this.world.replayed(compacted(this.world.log)))).toEqual(state);
  }

  #checkEpochs(): void {
    const group = this.world.shard.group(groupId);
    if (!group) return;
    expect(group.epoch).toBeGreaterThanOrEqual(this.#groupEpoch);
    expect(group.assignmentEpoch).toBeGreaterThanOrEqual(this.#assignmentEpoch);
    expect(group.assignmentEpoch).toBeLessThanOrEqual(group.epoch);
    [this.#groupEpoch, this.#assignmentEpoch] = [group.epoch, group.assignmentEpoch];
    for (const { current } of group.members()) {
      expect(current.memberEpoch).toBeLessThanOrEqual(group.epoch);
      expect(current.previousMemberEpoch).toBeLessThanOrEqual(Math.max(current.memberEpoch, group.epoch));
      for (const held of [current.assigned, current.pendingRevocation]) {
        for (const epochs of held.values()) {
          for (const epoch of epochs.values()) expect(epoch).toBeLessThanOrEqual(group.assignmentEpoch);
        }
      }
      expect(current.pendingRevocation.size > 0).toBe(current.state === "unrevokedPartitions");
    }
  }

  #checkOwners(): void {
    const owners = new Map<string, string>();
    for (const { memberId, current } of this.world.shard.group(groupId)?.members() ?? []) {
      for (const held of [current.assigned, current.pendingRevocation]) {
        for (const [topicId, partitions] of held) {
          for (const partition of partitions.keys()) {
            const name = `${topicId}-${partition}`;
            expect(owners.get(name), `${name} is with two members`).toBeUndefined();
            owners.set(name, memberId);
            expect(this.world.shard.group(groupId)!.ownerOf(topicId, partition)).toBe(memberId);
          }
        }
      }
    }
  }

  /** Tried on a shard of its own, which is then thrown away. */
  #checkCommitters(): void {
    for (const partition of [0, 1]) {
      const positions = [{ topic: "t", partition, nextOffset: 10 ** 9 }];
      if (!this.world.topic("t")) return;
      const accepted = this.clients.filter(({ memberId, memberEpoch }) => {
        if (memberEpoch === undefined) return false;
        const request = { kind: "commit", groupId, memberId, memberEpoch, positions } as const;
        return this.world.replayed().handle(request, this.world.now).reply.kind === "done";
      });
      expect(accepted.length, "clients that can commit to one partition").toBeLessThanOrEqual(1);
    }
  }

  /** Never lower within a member epoch. */
  #checkOffsets(): void {
    const group = this.world.shard.group(groupId);
    for (const { topic, partition, committed } of group?.offsets.all() ?? []) {
      const name = `${committed.topicId}-${topic}-${partition}`;
      const before = this.#committed.get(name);
      if (before !== undefined && committed.memberEpoch <= before.memberEpoch) {
        expect(committed.offset).toBeGreaterThanOrEqual(before.offset);
      }
      this.#committed.set(name, committed);
    }
  }

  /** One process of each id and instance polls; the others fall silent, until their sessions are over. */
  settle(): void {
    for (let round = 0; round < 12; round++) {
      this.world.nowMs += 2000;
      this.world.handle({ kind: "tick" });
      for (const client of this.clients.filter((_, index) => index !== 4 && index !== 6)) {
        this.poll(client, { lost: false, keep: false, heartbeat: false, commit: false });
      }
    }
  }

  checkSettled(): void {
    const group = this.world.shard.group(groupId)!;
    expect(group.state).toBe("stable");
    const members = [...group.members()];
    for (const { current, target, memberId } of members) {
      expect(current.memberEpoch).toBe(group.assignmentEpoch);
      expect(partitionCountOf(current.assigned)).toBe(partitionCountOf(target));
      for (const [topicId, partitions] of target) {
        for (const partition of partitions) expect(group.ownerOf(topicId, partition)).toBe(memberId);
      }
    }
    for (const name of this.world.topicNames()) {
      const { topicId, partitionCount } = this.world.topic(name)!;
      if (!group.isSubscribed(name)) continue;
      for (let p = 0; p < partitionCount; p++) expect(group.ownerOf(topicId, p), `${name}-${p}`).toBeDefined();
    }
    if (members.every(({ metadata }) => metadata.topics.join() === members[0]!.metadata.topics.join())) {
      const counts = members.map(({ current }) => partitionCountOf(current.assigned));
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  }
}

type Step = (model: Model) => void;

const client = fc.nat(6);
const pollStep = fc
  .record({ client, lost: fc.nat(4), keep: fc.boolean(), heartbeat: fc.nat(4), commit: fc.boolean() })
  .map(({ client, lost, keep, heartbeat, commit }): Step => {
    return (model) =>
      model.poll(model.clients[client]!, { lost: lost === 0, keep, heartbeat: heartbeat === 0, commit });
  });
const otherStep = fc.oneof(
  fc.constant<Step>((model) => model.world.restart()),
  fc.integer({ min: 1, max: 20_000 }).map(
    (ms): Step =>
      (model) => {
        model.world.nowMs += ms;
        if (model.world.shard.nextDeadlineMs() <= model.world.nowMs) model.world.handle({ kind: "tick" });
      },
  ),
  fc.tuple(client, fc.boolean()).map(
    ([index, keepAssignment]): Step =>
      (model) => {
        const { memberId } = model.clients[index]!;
        model.world.handle({ kind: "leave", groupId, memberId, keepAssignment });
      },
  ),
  client.map(
    (index): Step =>
      (model) =>
        model.clients[index]!.drop(),
  ), // the process dies and starts again
  client.map(
    (index): Step =>
      (model) =>
        model.commitEverywhere(model.clients[index]!),
  ),
  fc.tuple(client, fc.subarray([...topicNames], { minLength: 1 })).map(
    ([index, topics]): Step =>
      (model) => {
        model.clients[index]!.topics = topics;
      },
  ),
  fc.tuple(fc.constantFrom(...topicNames), fc.integer({ min: 1, max: 7 })).map(
    ([name, count]): Step =>
      (model) => {
        model.world.setTopic(name, Math.max(count, model.world.topic(name)?.partitionCount ?? 0));
        model.world.handle({ kind: "topicsChanged" });
      },
  ),
  fc.constantFrom(...topicNames).map(
    (topic): Step =>
      (model) => {
        if (!model.world.topic(topic)) return;
        const topicId = model.world.deleteTopic(topic);
        model.world.handle({ kind: "topicDeleted", topic, topicId });
        expect([...(model.world.shard.group(groupId)?.offsets.of(topic) ?? [])]).toEqual([]);
      },
  ),
  fc.constant<Step>((model) => model.world.handle({ kind: "expireOffsets", recordsMax: 100 })),
);
const steps = fc.array(fc.oneof({ weight: 4, arbitrary: pollStep }, { weight: 1, arbitrary: otherStep }), {
  minLength: 1,
  maxLength: 60,
});

test("whatever happens, the rules of groups hold after every step, and every change converges", () => {
  fc.assert(
    fc.property(steps, fc.boolean(), (steps, pauses) => {
      const model = new Model(pauses);
      for (const step of steps) {
        step(model);
        model.check();
      }
      model.settle();
      model.check();
      model.checkSettled();
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: 1000 * secondsFor("group-model", 3) },
  );
}, 3_600_000);

test("the epoch of clients holds Kafka's", () => {
  expect(kafkaEpochOf(7 * 65_536 + 3)).toBe(7);
});
