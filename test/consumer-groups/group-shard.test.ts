// What scenarios do not show: limits, large groups, the pace of targets, timers, and who is refused with what.

import { describe, expect, test, vi } from "vitest";
import { partitionCountOf } from "../../src/consumer-groups/assignment.ts";
import { encodeGroupRecord } from "../../src/consumer-groups/group-records.ts";
import type { GroupRequest, PollReply, PollRequest } from "../../src/consumer-groups/group-requests.ts";
import { epochForClients, joinsMax, kafkaEpochOf } from "../../src/consumer-groups/member.ts";
import { compacted, ShardWorld, stateOf } from "./shard-world.ts";

const groupId = "g";

function pollOf(memberId: string, more: Partial<PollRequest> = {}): PollRequest {
  return { kind: "poll", groupId, memberId, forRecords: true, ...more };
}

function polled(world: ShardWorld, memberId: string, more: Partial<PollRequest> = {}): PollReply {
  const { reply } = world.handle(pollOf(memberId, more));
  if (reply.kind !== "poll") throw new Error(`${memberId}: ${JSON.stringify(reply)}`);
  return reply;
}

function refusal(world: ShardWorld, request: GroupRequest): string {
  const { reply, records } = world.handle(request);
  expect(records).toEqual([]);
  return reply.kind === "refused" ? reply.code : reply.kind;
}

function worldWith(topics: Record<string, number>, settings = {}): ShardWorld {
  const world = new ShardWorld(settings);
  for (const [name, count] of Object.entries(topics)) world.setTopic(name, count);
  return world;
}

/** Polls everybody again and again until the group is stable; says how many rounds that took. */
function settle(world: ShardWorld, epochs: Map<string, number>): number {
  for (let round = 1; round < 20; round++) {
    world.nowMs += 1000;
    world.handle({ kind: "tick" });
    for (const [memberId, memberEpoch] of epochs)
      epochs.set(memberId, polled(world, memberId, { memberEpoch }).memberEpoch);
    if (world.shard.group(groupId)!.state === "stable") return round;
  }
  throw new Error("the group does not settle");
}

describe("a group", () => {
  test("of 100 members on 1,000 partitions settles in three rounds of polls and less than a second of work", () => {
    const world = worldWith({ t: 500, u: 500 });
    const epochs = new Map<string, number>();
    const beginMs = performance.now();
    for (let index = 0; index < 100; index++) {
      epochs.set(`m${index}`, polled(world, `m${index}`, { topics: ["t", "u"] }).memberEpoch);
    }
    expect(settle(world, epochs)).toBeLessThanOrEqual(3);
    expect(performance.now() - beginMs).toBeLessThan(1000);
    for (const { current } of world.shard.group(groupId)!.members())
      expect(partitionCountOf(current.assigned)).toBe(10);
    expect(stateOf(world.replayed(compacted(world.log)))).toEqual(stateOf(world.shard));
  });

  test("of thousands computes its target once for many joins, and has a last place", () => {
    const world = worldWith({ t: 3000 }, { groupMembersMax: 3000 });
    const epochs = new Map<string, number>();
    for (let index = 0; index < 3000; index++) {
      epochs.set(`m${index}`, polled(world, `m${index}`, { topics: ["t"] }).memberEpoch);
    }
    const group = world.shard.group(groupId)!;
    expect(group.state).toBe("assigning");
    expect(refusal(world, pollOf("one-more", { topics: ["t"] }))).toBe("GROUP_MAX_SIZE_REACHED");
    expect(world.shard.nextDeadlineMs()).toBeLessThanOrEqual(1000);
    world.nowMs = 1000;
    const { wake } = world.handle({ kind: "tick" });
    expect(group.assignmentEpoch).toBe(group.epoch);
    expect(wake.length).toBeGreaterThan(2900);
  });

  test("counts an id's joins anew with a new group epoch before the counter overflows", () => {
    const world = worldWith({ t: 2 });
    polled(world, "m", { topics: ["t"] });
    const { metadata } = world.shard.group(groupId)!.member("m")!;
    const value = { ...metadata, joins: joinsMax };
    const { key, value: bytes } = encodeGroupRecord({ kind: "memberMetadata", groupId, memberId: "m", value });
    world.shard.replay(key, bytes);
    const before = epochForClients(1, joinsMax);
    expect(polled(world, "m", { memberEpoch: before }).memberEpoch).toBe(before);
    const after = polled(world, "m", { topics: ["t"] });
    expect(after.memberEpoch).toBe(epochForClients(3, 1));
    expect(after.memberEpoch).toBeGreaterThan(before);
    expect(after.assignment[0]?.partitions).toEqual([0, 1]);
    expect(refusal(world, pollOf("m", { memberEpoch: before }))).toBe("FENCED_MEMBER_EPOCH");
  });

  test("whose target is put off gives an id that left and comes back a larger epoch all the same", () => {
    const world = worldWith({ t: 2 }, { membersWithoutPauseMax: 0, assignmentPauseMsPerMember: 500 });
    polled(world, "other", { topics: ["t"] });
    const first = polled(world, "m", { topics: ["t"] });
    world.handle({ kind: "leave", groupId, memberId: "m" });
    const second = polled(world, "m", { topics: ["t"] });
    expect(second.memberEpoch).toBeGreaterThan(first.memberEpoch);
    expect(second.incomplete).toBe(true);
    expect(kafkaEpochOf(second.memberEpoch)).toBeGreaterThan(world.shard.group(groupId)!.assignmentEpoch);
    expect(refusal(world, pollOf("m", { memberEpoch: first.memberEpoch }))).toBe("FENCED_MEMBER_EPOCH");
  });

  test("knows a static member that comes back while the target is put off by a larger epoch", () => {
    const world = worldWith({ t: 2 }, { membersWithoutPauseMax: 0, assignmentPauseMsPerMember: 500 });
    polled(world, "other", { topics: ["t"] });
    const first = polled(world, "m", { topics: ["t"], instanceId: "i" });
    world.handle({ kind: "leave", groupId, memberId: "m", keepAssignment: true });
    const second = polled(world, "m", { topics: ["t"], instanceId: "i" });
    expect(second.memberEpoch).toBeGreaterThan(first.memberEpoch);
  });

  test("refuses a commit from before the partition went to another member and came back", () => {
    const world = worldWith({ t: 1 });
    const first = polled(world, "b", { topics: ["t"] });
    let b = first.memberEpoch;
    // b stops reading the topic, a reads it for a while, then b again: all under one join of b.
    b = polled(world, "b", { memberEpoch: b, topics: ["none"] }).memberEpoch;
    const a = polled(world, "a", { topics: ["t"] }).memberEpoch;
    b = polled(world, "b", { memberEpoch: b }).memberEpoch;
    expect(polled(world, "a", { memberEpoch: a }).assignment[0]?.partitions).toEqual([0]);
    world.handle({ kind: "leave", groupId, memberId: "a" });
    const back = polled(world, "b", { memberEpoch: b, topics: ["t"] });
    expect(back.assignment[0]?.partitions).toEqual([0]);
    const commit = (memberEpoch: number): GroupRequest => {
      const positions = [{ topic: "t", partition: 0, nextOffset: 9 }];
      return { kind: "commit", groupId, memberId: "b", memberEpoch, positions };
    };
    expect(refusal(world, commit(first.memberEpoch))).toBe("STALE_MEMBER_EPOCH");
    expect(world.handle(commit(back.memberEpoch)).reply.kind).toBe("done");
  });
});

describe("a poll", () => {
  test("is refused when it says what cannot be", () => {
    const world = worldWith({ t: 1 });
    expect(refusal(world, pollOf("m"))).toBe("INVALID_REQUEST");
    expect(refusal(world, pollOf("m", { memberEpoch: 65_537 }))).toBe("UNKNOWN_MEMBER_ID");
    expect(world.shard.group(groupId)).toBeUndefined();
    const { memberEpoch } = polled(world, "m", { topics: ["t"] });
    expect(refusal(world, pollOf("m", { memberEpoch, instanceId: "new" }))).toBe("INVALID_REQUEST");
    expect(refusal(world, pollOf("m", { memberEpoch: memberEpoch + 1 }))).toBe("FENCED_MEMBER_EPOCH");
    expect(refusal(world, pollOf("m", { memberEpoch: memberEpoch + 65_536 }))).toBe("FENCED_MEMBER_EPOCH");
  });

  test("that joins commits nothing: under its new epoch it has read nothing", () => {
    const world = worldWith({ t: 1 });
    const commit = [{ topic: "t", partition: 0, nextOffset: 4 }];
    expect(polled(world, "m", { topics: ["t"], commit }).notCommitted).toEqual([
      { topic: "t", partition: 0, code: "STALE_MEMBER_EPOCH" },
    ]);
  });

  test("takes metadata of 4,096 bytes and no more, in UTF-8", () => {
    const world = worldWith({ t: 1 });
    const { memberEpoch } = polled(world, "m", { topics: ["t"] });
    const commit = (metadata: string) => [{ topic: "t", partition: 0, nextOffset: 4, metadata }];
    const code = "OFFSET_METADATA_TOO_LARGE";
    for (const metadata of ["x".repeat(4097), "ü".repeat(2049), "x".repeat(1_000_000)]) {
      expect(refusal(world, pollOf("m", { memberEpoch, commit: commit(metadata) }))).toBe(code);
      const positions = commit(metadata);
      expect(refusal(world, { kind: "commit", groupId, memberId: "m", memberEpoch, positions })).toBe(code);
    }
    polled(world, "m", { memberEpoch, commit: commit("ü".repeat(2048)) });
    expect(world.shard.committed(groupId, "t", 0)?.metadata.length).toBe(2048);
  });

  test("that changes nothing writes nothing", () => {
    const world = worldWith({ t: 1 });
    const { memberEpoch } = polled(world, "m", { topics: ["t"] });
    const commit = [{ topic: "t", partition: 0, nextOffset: 4, leaderEpoch: 2 }];
    expect(world.handle(pollOf("m", { memberEpoch, commit })).records.length).toBe(1);
    expect(world.handle(pollOf("m", { memberEpoch, commit })).records).toEqual([]);
    expect(world.handle(pollOf("m", { memberEpoch, topics: ["t"], assignor: "uniform" })).records.length).toBe(4);
    const changed = [{ ...commit[0]!, metadata: "new" }];
    expect(world.handle(pollOf("m", { memberEpoch, commit: changed })).records.length).toBe(1);
  });

  test("of a shorter session asks for heartbeats that fit it", () => {
    const world = worldWith({ t: 1 });
    expect(polled(world, "m", { topics: ["t"] }).heartbeatIntervalMs).toBe(5000);
    const { memberEpoch, heartbeatIntervalMs } = polled(world, "n", { topics: ["t"], sessionTimeoutMs: 6000 });
    expect(heartbeatIntervalMs).toBe(2000);
    world.nowMs = 5999;
    world.handle({ kind: "tick" });
    expect(refusal(world, { kind: "keepAlive", groupId, memberId: "n", memberEpoch })).toBe("done");
    world.nowMs = 11_998;
    world.handle({ kind: "tick" });
    expect(world.shard.group(groupId)!.memberCount).toBe(2);
    world.nowMs = 11_999;
    world.handle({ kind: "tick" });
    expect(world.shard.group(groupId)!.memberCount).toBe(1);
    expect(refusal(world, { kind: "keepAlive", groupId, memberId: "n", memberEpoch })).toBe("UNKNOWN_MEMBER_ID");
  });
});

describe("offsets", () => {
  test("go down only with a larger member epoch, or without members", () => {
    const world = worldWith({ t: 1 });
    const at = (nextOffset: number) => [{ topic: "t", partition: 0, nextOffset }];
    const committed = () => world.shard.committed(groupId, "t", 0)?.offset;
    const first = polled(world, "m", { topics: ["t"] });
    polled(world, "m", { memberEpoch: first.memberEpoch, commit: at(10) });
    polled(world, "m", { memberEpoch: first.memberEpoch, commit: at(9) });
    world.handle({ kind: "commit", groupId, memberId: "m", memberEpoch: first.memberEpoch, positions: at(8) });
    expect(committed()).toBe(10);
    world.restart();
    polled(world, "m", { memberEpoch: first.memberEpoch, commit: at(7) });
    expect(committed()).toBe(10);
    const second = polled(world, "m", { topics: ["t"] });
    polled(world, "m", { memberEpoch: second.memberEpoch, commit: at(6) });
    expect(committed()).toBe(6);
    world.handle({ kind: "leave", groupId, memberId: "m" });
    world.handle({ kind: "commit", groupId, positions: at(5) });
    expect(committed()).toBe(5);
  });

  test("of topics that the members do not read expire a week after the commit, a few in each turn", () => {
    const world = worldWith({ t: 1, old: 5 });
    const positions = [0, 1, 2, 3, 4].map((partition) => ({ topic: "old", partition, nextOffset: 1 }));
    world.handle({ kind: "commit", groupId, positions });
    polled(world, "m", { topics: ["t"], sessionTimeoutMs: 2 ** 31 - 1 });
    const { memberEpoch } = polled(world, "m", { topics: ["t"], sessionTimeoutMs: 2 ** 31 - 1 });
    polled(world, "m", { memberEpoch, commit: [{ topic: "t", partition: 0, nextOffset: 1 }] });
    world.nowMs += 7 * 86_400_000;
    const turns = [3, 3].map((recordsMax) => world.handle({ kind: "expireOffsets", recordsMax }));
    expect(turns.map(({ reply, records }) => [reply, records.length])).toEqual([
      [{ kind: "expired", more: true }, 3],
      [{ kind: "expired", more: false }, 2],
    ]);
    expect([...world.shard.group(groupId)!.offsets.all()].map(({ topic }) => topic)).toEqual(["t"]);
  });

  test("are not inherited by a topic made anew, and commits for it do not end with the old one", () => {
    const world = worldWith({ t: 1 });
    const positions = [{ topic: "t", partition: 0, nextOffset: 8 }];
    world.handle({ kind: "commit", groupId, positions });
    const topicId = world.deleteTopic("t");
    world.setTopic("t", 1);
    expect(world.shard.committed(groupId, "t", 0)).toBeUndefined();
    world.handle({ kind: "commit", groupId, positions });
    expect(world.shard.committed(groupId, "t", 0)?.offset).toBe(8);
    world.handle({ kind: "topicDeleted", topic: "t", topicId });
    expect(world.shard.committed(groupId, "t", 0)?.offset).toBe(8);
  });

  test("can be reset in an empty group, and in a new one if that is meant", () => {
    const world = worldWith({ t: 2 });
    const reset = { kind: "reset", groupId, positions: [{ topic: "t", partition: 1, nextOffset: 3 }] } as const;
    expect(refusal(world, { ...reset, createGroup: false, dryRun: false })).toBe("GROUP_ID_NOT_FOUND");
    expect(refusal(world, { ...reset, createGroup: true, dryRun: true })).toBe("reset");
    expect(world.shard.group(groupId)).toBeUndefined();
    world.handle({ ...reset, createGroup: true, dryRun: false });
    expect(world.shard.committed(groupId, "t", 1)?.offset).toBe(3);
    expect(refusal(world, { kind: "deleteGroup", groupId: "other" })).toBe("GROUP_ID_NOT_FOUND");
  });
});

test("timers: thousands of members need one look each, and those whose session is over go together", () => {
  const world = worldWith({ t: 10 });
  for (let index = 0; index < 1000; index++) polled(world, `m${index}`, { topics: ["t"] });
  expect(world.shard.nextDeadlineMs()).toBe(33); // the target of all who came after the first 32
  world.nowMs = 1000;
  world.handle({ kind: "tick" });
  expect(world.shard.nextDeadlineMs()).toBe(45_000);
  const { epoch } = world.shard.group(groupId)!;
  world.nowMs = 45_000;
  world.handle({ kind: "tick" });
  expect(world.shard.group(groupId)!.state).toBe("empty");
  expect(world.shard.group(groupId)!.epoch).toBe(epoch + 1);
  expect(world.shard.nextDeadlineMs()).toBe(Number.POSITIVE_INFINITY);
});

test("many members that fall silent at once are removed without a walk through the group for each", () => {
  const world = worldWith({ t: 100 });
  const epochs = new Map<string, number>();
  for (let n = 0; n < 100; n++) epochs.set(`m${n}`, polled(world, `m${n}`, { topics: ["t"] }).memberEpoch);
  settle(world, epochs);
  const group = world.shard.group(groupId)!;
  const walks = vi.spyOn(group, "members");
  world.nowMs += 60_000;
  world.handle({ kind: "tick" });
  expect(group.memberCount).toBe(0);
  expect(walks.mock.calls.length).toBeLessThan(5);
});
