// Groups and their offsets as an administrator sees and changes them.

import { describe, expect, test } from "vitest";
import { createBroker } from "../../src/broker/broker.ts";
import { placesOf } from "../../src/broker/group-offsets.ts";
import { Group } from "../../src/consumer-groups/group.ts";
import type { OffsetExpression } from "../../src/protocol/offset-expression.ts";
import { parseOffsetExpression } from "../../src/protocol/offset-expression.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { GroupWorld, refusal } from "./group-world.ts";

const at = (topic: string, partition: number, nextOffset: number) => ({ topic, partition, nextOffset });

function expression(text: string): OffsetExpression {
  const parsed = parseOffsetExpression(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
}

async function worldWith(...values: string[]): Promise<GroupWorld> {
  const world = await GroupWorld.start();
  await world.topic("t", 2);
  for (const value of values) await world.produce("t", 0, [value]);
  return world;
}

describe("offsets", () => {
  test("every partition committed or assigned is listed, with its lag and who has it", async () => {
    const world = await worldWith("a", "b", "c");
    await world.topic("a");
    await world.produce("a", 0, ["x"]);
    await world.groups.commit("g", { positions: [at("a", 0, 0), { ...at("t", 0, 1), metadata: "here" }] });
    await world.poll("m", { topics: ["t"] });
    await world.clock.advance(500);
    expect(await world.groups.offsets("g")).toEqual({
      positions: [
        { ...at("a", 0, 0), metadata: "", highWatermark: 1, lag: 1, lagMs: 500, memberId: null },
        { ...at("t", 0, 1), metadata: "here", highWatermark: 3, lag: 2, lagMs: 500, memberId: "m" },
        {
          topic: "t",
          partition: 1,
          nextOffset: null,
          metadata: null,
          highWatermark: 0,
          lag: 0,
          lagMs: 0,
          memberId: "m",
        },
      ],
    });
  });

  test("without a commit the lag counts from the earliest record", async () => {
    const world = await worldWith("a", "b", "c");
    await world.partition("t", 0).log.deleteRecordsBefore(1);
    await world.poll("m", { topics: ["t"], offsetReset: "latest" });
    expect((await world.groups.offsets("g")).positions[0]).toMatchObject({ nextOffset: null, lag: 2 });
  });

  test("what cannot be told of a partition that is offline is null, and does not count in the list", async () => {
    const world = await worldWith("a", "b");
    await world.groups.commit("g", { positions: [at("t", 0, 0), at("t", 1, 0)] });
    const { partitions } = world.parts;
    const find = partitions.find.bind(partitions);
    partitions.find = (topic, partition) => (partition === 1 ? undefined : find(topic, partition));
    const [open, offline] = (await world.groups.offsets("g")).positions;
    expect(open).toMatchObject({ highWatermark: 2, lag: 2 });
    expect(offline).toMatchObject({ nextOffset: 0, highWatermark: null, lag: null, lagMs: null });
    expect((await world.groups.list({ lag: true })).groups).toMatchObject([{ groupId: "g", lag: 2, lagMs: 0 }]);
  });

  test("nor of one that goes offline while the broker runs", async () => {
    const world = await worldWith("a");
    await world.groups.commit("g", { positions: [at("t", 0, 0)] });
    world.disk.failWhen(({ kind, path }) => kind === "append" && path.startsWith("srv/data/t-0/"), { code: "EIO" });
    expect((await refusal(world.produce("t", 0, ["b"]))).code).toBe("KAFKA_STORAGE_ERROR");
    const [offline] = (await world.groups.offsets("g")).positions;
    expect(offline).toMatchObject({ nextOffset: 0, highWatermark: null, lag: null, lagMs: null });
  });

  test("a partition is its member's until the member has let go of it", async () => {
    const world = await worldWith();
    const { memberEpoch, positions } = await world.poll("a", { topics: ["t"] });
    await world.poll("b", { topics: ["t"] });
    const { assignment } = await world.poll("a", { memberEpoch, positions });
    expect(assignment[0]?.partitions).toHaveLength(1);
    const owners = async () => (await world.groups.offsets("g")).positions.map(({ memberId }) => memberId);
    expect(await owners()).toEqual(["a", "a"]);
    await world.poll("a", { memberEpoch, owned: assignment });
    expect((await owners()).filter((memberId) => memberId === "a")).toHaveLength(1);
  });

  test("offsets of another topic of the name, which is about to lose them, are not shown", async () => {
    const world = await worldWith();
    const group = new Group("g");
    const value = { leaderEpoch: -1, metadata: "", commitTimestamp: 0, memberEpoch: -1 };
    for (const [partition, topicId] of [
      world.parts.image.topic("t")!.topicId,
      null,
      "AAAAAAAAAAAAAAAAAAAAAA",
    ].entries())
      group.replay({
        kind: "offsetCommit",
        groupId: "g",
        topic: "t",
        partition,
        value: { ...value, offset: 5, topicId },
      });
    expect(placesOf(group, world.parts).map(({ partition }) => partition)).toEqual([0, 1]);
  });

  test("a topic made anew under the name has no offsets", async () => {
    const world = await worldWith("a");
    await world.groups.commit("g", { positions: [at("t", 0, 1)] });
    await world.groups.commit("g", { positions: [at("t", 1, 0)] });
    await world.topics.delete("t");
    await world.topic("t", 2);
    expect((await world.groups.list({})).groups).toEqual([]);
  });

  test("of an unknown group is GROUP_ID_NOT_FOUND, before and after there are any", async () => {
    const world = await worldWith();
    expect((await refusal(world.groups.offsets("none"))).code).toBe("GROUP_ID_NOT_FOUND");
    await world.poll("m", { topics: ["t"] });
    for (const call of [world.groups.offsets("none"), world.groups.describe("none"), world.groups.delete("none")])
      expect((await refusal(call)).code).toBe("GROUP_ID_NOT_FOUND");
  });
});

describe("commit", () => {
  test("is all or nothing, never beyond the log end", async () => {
    const world = await worldWith("a");
    const beyond = await refusal(world.groups.commit("g", { positions: [at("t", 0, 1), at("t", 1, 1)] }));
    expect(beyond.code).toBe("OFFSET_OUT_OF_RANGE");
    expect(beyond.fields["partitions"]).toEqual([{ ...at("t", 1, 1), logEndOffset: 0 }]);
    const unknown = await refusal(world.groups.commit("g", { positions: [at("t", 0, 1), at("t", 2, 0)] }));
    expect(unknown.code).toBe("UNKNOWN_TOPIC_OR_PARTITION");
    expect((await refusal(world.groups.offsets("g"))).code).toBe("GROUP_ID_NOT_FOUND");
  });

  test("while there are members only one of them commits, what it holds", async () => {
    const world = await worldWith("a");
    const { memberEpoch } = await world.poll("m", { topics: ["t"] });
    const positions = [at("t", 0, 1)];
    expect((await refusal(world.groups.commit("g", { positions }))).code).toBe("UNKNOWN_MEMBER_ID");
    await world.groups.commit("g", { positions, memberId: "m", memberEpoch });
    expect((await world.groups.offsets("g")).positions[0]).toMatchObject({ nextOffset: 1, lag: 0 });
  });
});

describe("reset", () => {
  test.each([
    ["earliest", [2, 0]],
    ["latest", [5, 0]],
    ["3", [3, 0]],
    ["0", [2, 0]],
    ["999", [5, 0]],
    ["-2", [3, 0]],
    ["-999", [2, 0]],
    ["@1700000003000", [3, 0]],
    ["@1600000000000", [2, 0]],
    ["@1900000000000", [5, 0]],
    ["0:4,1:7", [4, 0]],
    ["1:0", [2, 0]],
  ] as const)("to %s is clamped to what there is", async (to, [zero, one]) => {
    const world = await worldWith();
    for (const i of [0, 1, 2, 3, 4]) await world.produce("t", 0, ["x"], 1_700_000_000_000 + i * 1000);
    await world.partition("t", 0).log.deleteRecordsBefore(2);
    const reset = await world.groups.reset("g", { to: expression(to), topics: ["t"], dryRun: false });
    expect(reset.positions).toEqual([
      { ...at("t", 0, zero), previous: null },
      { ...at("t", 1, one), previous: null },
    ]);
    const { positions } = await world.groups.offsets("g");
    expect(positions.map(({ nextOffset }) => nextOffset)).toEqual([zero, one]);
  });

  test("of what is committed, narrowed to partitions; a dry run changes nothing", async () => {
    const world = await worldWith("a", "b");
    await world.groups.commit("g", { positions: [at("t", 0, 1), at("t", 1, 0)] });
    const call = { to: expression("latest"), partitions: [0], dryRun: true };
    const expected = { positions: [{ ...at("t", 0, 2), previous: 1 }] };
    expect(await world.groups.reset("g", call)).toEqual(expected);
    expect(await world.groups.reset("g", { ...call, dryRun: false })).toEqual(expected);
    expect((await world.groups.reset("g", call)).positions).toEqual([{ ...at("t", 0, 2), previous: 2 }]);
    const unknown = await refusal(world.groups.reset("g", { ...call, partitions: [0, 5] }));
    expect(unknown.code).toBe("UNKNOWN_TOPIC_OR_PARTITION");
    expect(unknown.fields["partitions"]).toEqual([5]);
  });

  test("is refused with members, without a group or topic, and with a cursor of another topic", async () => {
    const world = await worldWith("a");
    const to = expression("earliest");
    expect((await refusal(world.groups.reset("g", { to, dryRun: false }))).code).toBe("GROUP_ID_NOT_FOUND");
    const unknown = world.groups.reset("g", { to, topics: ["t", "none"], dryRun: false });
    expect((await refusal(unknown)).code).toBe("UNKNOWN_TOPIC_OR_PARTITION");
    const foreign = world.groups.reset("g", { to: expression("AAAAAAAA/0:1"), topics: ["t"], dryRun: false });
    expect((await refusal(foreign)).code).toBe("INVALID_REQUEST");
    await world.poll("m", { topics: ["t"] });
    const nonEmpty = world.groups.reset("g", { to, topics: ["t"], dryRun: true });
    expect((await refusal(nonEmpty)).code).toBe("NON_EMPTY_GROUP");
  });
});

test("what can only be refused, and a dry run, make no topic for groups", async () => {
  const world = await worldWith("a");
  expect((await refusal(world.groups.leave("g", "m"))).code).toBe("UNKNOWN_MEMBER_ID");
  expect((await refusal(world.groups.delete("g"))).code).toBe("GROUP_ID_NOT_FOUND");
  expect((await refusal(world.poll("m", { memberEpoch: 1 }))).code).toBe("UNKNOWN_MEMBER_ID");
  const dry = await world.groups.reset("g", { to: expression("latest"), topics: ["t"], partitions: [0], dryRun: true });
  expect(dry.positions).toEqual([{ ...at("t", 0, 1), previous: null }]);
  expect(world.topics.list({ internal: true }).topics.map(({ name }) => name)).toEqual(["t"]);
});

describe("groups", () => {
  test("are listed by name, in pages, with their lags if asked", async () => {
    const world = await worldWith("a", "b", "c");
    for (const groupId of ["b2", "a1", "b1", "b3"])
      await world.groups.commit(groupId, { positions: [at("t", 0, groupId === "b1" ? 3 : 1), at("t", 1, 0)] });
    await world.poll("m", { groupId: "b2", topics: ["t"] });
    await world.clock.advance(700);
    const first = await world.groups.list({ prefix: "b", limit: 2, lag: true });
    expect(first).toEqual({
      groups: [
        { groupId: "b1", state: "empty", members: 0, lag: 0, lagMs: 0 },
        { groupId: "b2", state: "stable", members: 1, lag: 2, lagMs: 700 },
      ],
      next: "b2",
    });
    const rest = await world.groups.list({ prefix: "b", after: "b2", limit: 2 });
    expect(rest).toEqual({ groups: [{ groupId: "b3", state: "empty", members: 0 }] });
    expect((await world.groups.list({})).groups.map(({ groupId }) => groupId)).toEqual(["a1", "b1", "b2", "b3"]);
  });

  test("are described with their members; a removed one's partitions are free, and an empty group can be deleted", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics: ["t"], instanceId: "i" });
    expect(await world.groups.describe("g")).toEqual({
      groupId: "g",
      state: "stable",
      groupEpoch: expect.any(Number),
      assignmentEpoch: expect.any(Number),
      coordinator: 1,
      members: [
        {
          memberId: "m",
          instanceId: "i",
          memberEpoch,
          topics: ["t"],
          assignment: [{ topic: "t", partitions: [0, 1] }],
        },
      ],
    });
    expect((await refusal(world.groups.delete("g"))).code).toBe("NON_EMPTY_GROUP");
    await world.groups.leave("g", "m");
    expect((await refusal(world.groups.leave("g", "m"))).code).toBe("UNKNOWN_MEMBER_ID");
    expect((await refusal(world.groups.delete("g"))).code).toBe("NON_EMPTY_GROUP"); // its instance may be back
    await world.groups.leave("g", "m", true);
    await world.groups.delete("g");
    expect((await world.groups.list({})).groups).toEqual([]);
  });
});

test("a broker's groups survive its restart", async () => {
  const disk = new SimulatedDisk({ folders: ["srv"] });
  const start = () =>
    createBroker({
      dataDir: "srv/data",
      settings: { groupPartitionCount: 2 },
      codecs,
      clock: new SimulatedClock(),
      random: new SimulatedRandom(1),
      disk: disk.startProcess(),
    });
  const broker = await start();
  await broker.createTopic({ name: "t" });
  const call = { groupId: "g", memberId: "m", offsetReset: "earliest", maxBytes: 1000, waitMs: 0 } as const;
  const { memberEpoch } = await broker.pollGroup({ ...call, topics: ["t"], forRecords: true });
  await broker.commitOffsets("g", { positions: [at("t", 0, 0)], memberId: "m", memberEpoch });
  disk.kill();
  const again = await start();
  const answer = await again.pollGroup({ ...call, memberEpoch, forRecords: true });
  expect(answer).toMatchObject({ memberEpoch, positions: [at("t", 0, 0)] });
  expect(await again.describeGroup("g")).toMatchObject({ state: "stable", members: [{ memberId: "m" }] });
  await again.leaveGroup("g", "m");
  const to = { kind: "latest" } as const;
  expect((await again.resetOffsets("g", { to, dryRun: false })).positions).toEqual([{ ...at("t", 0, 0), previous: 0 }]);
  expect((await again.groupOffsets("g")).positions).toHaveLength(1);
  await again.deleteGroup("g");
  expect(await again.listGroups()).toEqual({ groups: [] });
  await again.close();
});
