// What a member's poll makes of news of its group: none is missed, whenever it comes, and hearing of it lets go of nothing.

import { expect, test } from "vitest";
import type { PollAnswer } from "../../src/broker/group-calls.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { GroupWorld, handled } from "./group-world.ts";

const topics = ["t"];

async function worldWith(partitionCount: number): Promise<GroupWorld> {
  const world = await GroupWorld.start();
  await world.topic("t", partitionCount);
  return world;
}

function holderOf(world: GroupWorld, partition: number): Promise<string | undefined> {
  const { topicId } = world.parts.image.topic("t")!;
  return world.coordinator.view("g", (group) => group.ownerOf(topicId, partition));
}

test("news that comes while the poll's own records are on their way to the log ends its wait", async () => {
  const world = await worldWith(2);
  const first = await world.poll("m", { topics });
  let answer: PollAnswer | undefined;
  const commit = [{ topic: "t", partition: 0, nextOffset: 0 }];
  void world.poll("m", { memberEpoch: first.memberEpoch, commit, waitMs: 1_000_000 }).then((given) => {
    answer = given;
  });
  void world.poll("n", { topics, waitMs: 1_000_000 });
  await settled(); // no time passes
  expect(answer?.assignment).toEqual([{ topic: "t", partitions: [0] }]);
});

test("a waiting poll that hears it must let go of a partition holds it until the member's next poll", async () => {
  const world = await worldWith(2);
  const first = await world.poll("m", { topics });
  const waiting = world.poll("m", { memberEpoch: first.memberEpoch, positions: handled(first), waitMs: 1_000_000 });
  await settled();
  const joined = await world.poll("n", { topics });
  const answer = await waiting;
  expect(answer.assignment).toEqual([{ topic: "t", partitions: [0] }]);
  expect(joined.assignment).toEqual([]);
  await world.poll("m", { memberEpoch: answer.memberEpoch, forRecords: false }); // a heartbeat is no such poll
  expect([await holderOf(world, 0), await holderOf(world, 1)]).toEqual(["m", "m"]);
  await world.poll("m", { memberEpoch: answer.memberEpoch, positions: handled(answer) });
  expect(await holderOf(world, 1)).toBeUndefined();
  const given = await world.poll("n", { memberEpoch: joined.memberEpoch });
  expect(given.assignment).toEqual([{ topic: "t", partitions: [1] }]);
});
