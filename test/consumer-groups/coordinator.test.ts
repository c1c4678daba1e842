// The shell of consumer groups over logs in memory: when answers leave, what shares an append, and what a failure leaves behind.

import { expect, test } from "vitest";
import { GroupCoordinator, shardOf } from "../../src/consumer-groups/coordinator.ts";
import type { PollRequest } from "../../src/consumer-groups/group-requests.ts";
import { silentLogger } from "../../src/io/logger.ts";
import { SimulatedClock, settled } from "../simulation/simulated-clock.ts";
import { diskFailed, type HeldAppend, MemoryLogs } from "./memory-logs.ts";
import { firstWallMs, groupState, ShardWorld } from "./shard-world.ts";

const sessionTimeoutMs = 10_000;
const retentionMs = 60_000;
const checkMs = 5000;
/** Groups "a" and "c" share a shard of two, "b" is in the other. */
const shardCount = 2;

class World {
  readonly topics = new ShardWorld();
  readonly logs: MemoryLogs;
  readonly clock = new SimulatedClock({ wallMs: firstWallMs });
  coordinator: GroupCoordinator;

  constructor(logs = new MemoryLogs(shardCount)) {
    this.logs = logs;
    this.topics.setTopic("t", 4);
    this.coordinator = this.#made();
  }

  #made(): GroupCoordinator {
    const { logs, topics, clock } = this;
    const settings = { sessionTimeoutMs, offsetsRetentionMs: retentionMs, offsetsRetentionCheckMs: checkMs };
    return new GroupCoordinator({ logs, topics, settings, clock, logger: silentLogger });
  }

  async restart(): Promise<void> {
    await this.coordinator.close();
    this.coordinator = this.#made();
    await this.coordinator.load();
  }

  join(groupId: string, memberId = "m") {
    return this.coordinator.poll(poll(groupId, memberId, { topics: ["t"] }));
  }

  commit(groupId: string, nextOffset: number) {
    const positions = [{ topic: "t", partition: 0, nextOffset }];
    return this.coordinator.request({ kind: "commit", groupId, positions });
  }

  offset(groupId: string): Promise<number | undefined> {
    return this.coordinator.view(groupId, (group) => group.offsets.get("t", 0)?.offset);
  }

  state(groupId: string): Promise<unknown> {
    return this.coordinator.view(groupId, groupState);
  }

  /** From now on appends to the group's shard wait for the test. */
  hold(groupId: string): HeldAppend[] {
    const held: HeldAppend[] = [];
    this.logs.log(shardOf(groupId, shardCount)).held = held;
    return held;
  }
}

function poll(groupId: string, memberId: string, rest: Partial<PollRequest>): PollRequest {
  return { kind: "poll", groupId, memberId, forRecords: true, positions: [], ...rest };
}

/** Whether and how it has ended by now. */
function watched<T>(promise: Promise<T>): { ended: boolean; code?: string; promise: Promise<T> } {
  const state: { ended: boolean; code?: string; promise: Promise<T> } = { ended: false, promise };
  promise.then(
    () => {
      state.ended = true;
    },
    (error) => {
      state.ended = true;
      state.code = error.code;
    },
  );
  return state;
}

test("groups are spread as Kafka spreads them", () => {
  expect(["a", "b", "c"].map((groupId) => shardOf(groupId, shardCount))).toEqual([1, 0, 1]);
  // The hash of the second is negative, that of the last the least there is: worked out by hand.
  expect(["", "orders", "группа", "polygenelubricants"].map((groupId) => shardOf(groupId, 50))).toEqual([0, 31, 8, 0]);
});

test("an answer leaves only when its records are committed", async () => {
  const world = new World();
  await world.commit("a", 0);
  const held = world.hold("a");
  const joining = watched(world.join("a"));
  await settled();
  expect(held.length).toBe(1);
  expect(joining.ended).toBe(false);
  held[0]!.commit();
  expect((await joining.promise).assignment).toEqual([
    { topic: "t", topicId: expect.any(String), partitions: [0, 1, 2, 3] },
  ]);
});

test("an answer that makes no record, a refusal and a view wait for what they saw", async () => {
  const world = new World();
  const { memberEpoch } = await world.join("a");
  const held = world.hold("a");
  const positions = [{ topic: "t", partition: 0, nextOffset: 7 }];
  const committing = watched(world.coordinator.poll(poll("a", "m", { memberEpoch, commit: positions })));
  await settled();
  const again = watched(world.coordinator.poll(poll("a", "m", { memberEpoch, commit: positions })));
  const refused = watched(world.coordinator.request({ kind: "deleteGroup", groupId: "a" }));
  const seen = watched(world.offset("a"));
  await settled();
  expect(held.map(({ records }) => records.length)).toEqual([1]);
  expect([committing, again, refused, seen].map(({ ended }) => ended)).toEqual([false, false, false, false]);
  held[0]!.commit();
  expect((await again.promise).committed.map(({ committed }) => committed.offset)).toEqual([7]);
  await expect(refused.promise).rejects.toMatchObject({ code: "NON_EMPTY_GROUP" });
  expect(await seen.promise).toBe(7);
});

test("while an append is under way the shard's requests gather for the next; other shards do not wait", async () => {
  const world = new World();
  await Promise.all([world.commit("a", 0), world.commit("b", 0)]);
  const held = world.hold("a");
  const first = watched(world.commit("a", 1));
  await settled();
  const next = ["a", "c", "c2", "a"].map((groupId, n) => watched(world.commit(groupId, 10 + n)));
  await world.commit("b", 1);
  await settled();
  expect(held.length).toBe(1);
  held[0]!.commit();
  await settled();
  expect(first.ended).toBe(true);
  expect(next.map(({ ended }) => ended)).toEqual([false, false, false, false]);
  expect(held.map(({ records }) => records.length)).toEqual([1, 4]);
  held[1]!.commit();
  await Promise.all(next.map(({ promise }) => promise));
});

test("the requests of one moment share an append", async () => {
  const world = new World();
  await world.commit("a", 0);
  const log = world.logs.log(shardOf("a", shardCount));
  const before = log.appends;
  await Promise.all(Array.from({ length: 100 }, (_, n) => world.commit("a", n + 1)));
  expect(log.appends).toBe(before + 1);
});

test.each([false, true])(
  "a failed append refuses all who wait; the group goes on from the log (kept: %s)",
  async (kept) => {
    const world = new World();
    const { memberEpoch } = await world.join("a");
    await world.commit("c", 1);
    const before = await world.state("a");
    const held = world.hold("a");
    let told = 0;
    world.coordinator.listen("a", "m", () => told++);
    const flying = watched(world.commit("c", 2));
    await settled();
    const staged = watched(world.join("a", "second"));
    const seeing = watched(world.offset("c"));
    await settled();
    held[0]!.fail(diskFailed, kept);
    await settled();
    expect([flying.code, staged.code, seeing.code]).toEqual(new Array(3).fill("COORDINATOR_NOT_AVAILABLE"));
    await expect(flying.promise).rejects.toMatchObject({ maybeAppended: true });

    // The shard is loaded after a pause, asked or not.
    const log = world.logs.log(shardOf("a", shardCount));
    log.held = undefined;
    const replays = log.replays;
    await expect(world.offset("c")).rejects.toMatchObject({ code: "COORDINATOR_NOT_AVAILABLE" });
    expect(log.replays).toBe(replays);
    told = 0;
    await world.clock.advance(1000);
    expect(log.replays).toBe(replays + 1);
    expect(told).toBe(1);
    expect(await world.offset("c")).toBe(kept ? 2 : 1);
    expect(await world.state("a")).toEqual(before);
    expect(await world.coordinator.poll(poll("a", "m", { memberEpoch }))).toMatchObject({ memberEpoch });
    await world.commit("c", 3);
    expect(await world.offset("c")).toBe(3);
  },
);

test("a failure in one shard is not another's", async () => {
  const world = new World();
  await Promise.all([world.commit("a", 1), world.commit("b", 1)]);
  const held = world.hold("a");
  const failing = watched(world.commit("a", 2));
  await settled();
  held[0]!.fail(diskFailed);
  await settled();
  expect(failing.code).toBe("COORDINATOR_NOT_AVAILABLE");
  await world.commit("b", 2);
  expect(await world.offset("b")).toBe(2);
});

test("a load that fails refuses who waits, and is tried again", async () => {
  const before = new World();
  await before.commit("a", 5);
  await before.coordinator.close();
  const world = new World(before.logs);
  const log = world.logs.log(shardOf("a", shardCount));
  log.replayErrors.push(diskFailed, new Error("a surprise"));
  const asking = [watched(world.offset("a")), watched(world.commit("a", 4))];
  await world.coordinator.load();
  expect(asking.map(({ code }) => code)).toEqual(["COORDINATOR_NOT_AVAILABLE", "COORDINATOR_NOT_AVAILABLE"]);
  await world.clock.advance(1000); // fails again
  await expect(world.commit("a", 6)).rejects.toMatchObject({ code: "COORDINATOR_NOT_AVAILABLE" });
  await world.clock.advance(1000); // the pause doubles with every failure in a row
  await expect(world.commit("a", 6)).rejects.toMatchObject({ code: "COORDINATOR_NOT_AVAILABLE" });
  await world.clock.advance(1000);
  expect(await world.offset("a")).toBe(5);
});

test("who asks while a shard is loaded waits for it, all for the same load", async () => {
  const before = new World();
  await before.commit("a", 5);
  await before.coordinator.close();
  const world = new World(before.logs);
  const log = world.logs.log(shardOf("a", shardCount));
  const replays = log.replays;
  expect(await Promise.all([world.offset("a"), world.offset("a"), world.offset("c")])).toEqual([5, 5, undefined]);
  expect(log.replays).toBe(replays + 1);
});

test("a topic that cannot be made is tried again", async () => {
  const world = new World();
  world.logs.openErrors.push(diskFailed);
  await expect(world.commit("a", 1)).rejects.toMatchObject({ code: "COORDINATOR_NOT_AVAILABLE" });
  await world.clock.advance(1000);
  await world.commit("a", 1);
  expect(await world.offset("a")).toBe(1);
});

test("reads make nothing", async () => {
  const world = new World();
  expect(await world.offset("a")).toBeUndefined();
  expect(await world.coordinator.viewAll((group) => group.groupId)).toEqual([]);
  await world.coordinator.load();
  expect(world.logs.exists).toBe(false);
});

test("a session ends at its time, and wakes who gets the partitions", async () => {
  const world = new World();
  await world.join("a", "m");
  const { memberEpoch } = await world.join("a", "n");
  const woken: string[] = [];
  for (const memberId of ["m", "n"]) world.coordinator.listen("a", memberId, () => woken.push(memberId));
  await world.clock.advance(sessionTimeoutMs - 1);
  const stays = world.coordinator.poll(poll("a", "n", { memberEpoch }));
  await stays;
  woken.length = 0;
  await world.clock.advance(1);
  expect(woken.sort()).toEqual(["m", "n"]);
  const reply = await world.coordinator.poll(poll("a", "n", { memberEpoch }));
  expect(reply.assignment[0]!.partitions).toEqual([0, 1, 2, 3]);
});

test("sessions begin anew with a load, and end though nobody asks for the group", async () => {
  const world = new World();
  await world.join("a");
  await world.clock.advance(sessionTimeoutMs / 2);
  await world.restart();
  await world.clock.advance(sessionTimeoutMs - 1);
  const members = () => world.coordinator.view("a", (group) => group.memberCount);
  expect(await members()).toBe(1);
  await world.clock.advance(1);
  expect(await members()).toBe(0);
});

test("the connection of a waiting poll keeps its member", async () => {
  const world = new World();
  const { memberEpoch } = await world.join("a");
  for (let n = 0; n < 5; n++) {
    await world.clock.advance(sessionTimeoutMs - 1);
    await world.coordinator.request({ kind: "keepAlive", groupId: "a", memberId: "m", memberEpoch });
  }
  expect(await world.coordinator.view("a", (group) => group.memberCount)).toBe(1);
  const fenced = { kind: "keepAlive", groupId: "a", memberId: "m", memberEpoch: memberEpoch + 1 } as const;
  await expect(world.coordinator.request(fenced)).rejects.toMatchObject({ code: "FENCED_MEMBER_EPOCH" });
});

test("news goes to the member alone, until it stops listening", async () => {
  const world = new World();
  await world.join("a", "m");
  const told: string[] = [];
  const stop = world.coordinator.listen("a", "m", () => told.push("a/m"));
  world.coordinator.listen("a", "m", () => told.push("a/m again"));
  world.coordinator.listen("c", "m", () => told.push("c/m"));
  world.coordinator.listen("a", "other", () => told.push("a/other"));
  await world.join("a", "n");
  expect(told).toEqual(["a/m", "a/m again"]);
  stop();
  stop();
  await world.join("a", "o");
  expect(told.slice(2)).toEqual(["a/m again"]);
});

test("topics that grow and go reach the groups; offsets go with their topic, by its id", async () => {
  const world = new World();
  const { memberEpoch } = await world.join("a");
  await world.commit("c", 5);
  let told = 0;
  world.coordinator.listen("a", "m", () => told++);
  world.topics.setTopic("t", 6);
  world.coordinator.topicsChanged();
  expect(told).toBe(1);
  const grown = await world.coordinator.poll(poll("a", "m", { memberEpoch }));
  expect(grown.assignment[0]!.partitions.length).toBe(6);

  world.coordinator.topicDeleted("t", "AAAAAAAAAAAAAAAAAAAAAA"); // of another topic under the name
  expect(await world.offset("c")).toBe(5);
  const topicId = world.topics.deleteTopic("t");
  world.coordinator.topicDeleted("t", topicId);
  world.coordinator.topicsChanged();
  expect(await world.offset("c")).toBeUndefined();
  expect(await world.coordinator.view("c", () => "there")).toBeUndefined();
  await world.restart();
  expect(await world.coordinator.view("c", () => "there")).toBeUndefined();
});

test("a topic that went while no coordinator was there takes its offsets along at the load", async () => {
  const world = new World();
  await world.commit("a", 5);
  await world.coordinator.close();
  world.topics.deleteTopic("t");
  world.topics.setTopic("t", 4);
  await world.restart();
  expect(await world.offset("a")).toBeUndefined();
  await world.commit("a", 1);
  expect(await world.offset("a")).toBe(1);
});

test("offsets expire when a group is long empty, more of them than go in one turn", async () => {
  const world = new World();
  world.topics.setTopic("t", 2500);
  const positions = Array.from({ length: 2500 }, (_, partition) => ({ topic: "t", partition, nextOffset: 1 }));
  await world.coordinator.request({ kind: "commit", groupId: "a", positions });
  const log = world.logs.log(shardOf("a", shardCount));
  await world.clock.advance(retentionMs - 1);
  expect(log.records.length).toBe(2500);
  await world.clock.advance(checkMs);
  expect(log.records.slice(2500).map(({ value }) => value)).toEqual(new Array(2500).fill(null));
  expect(await world.coordinator.view("a", () => "there")).toBeUndefined();
});

test("an expiry that fails is tried again", async () => {
  const world = new World();
  await world.commit("a", 1);
  const held = world.hold("a");
  await world.clock.advance(retentionMs);
  expect(held.length).toBe(1);
  held[0]!.fail(diskFailed);
  world.logs.log(shardOf("a", shardCount)).held = undefined;
  await world.clock.advance(1000);
  expect(await world.offset("a")).toBe(1);
  await world.clock.advance(checkMs);
  expect(await world.offset("a")).toBeUndefined();
});

test("closing lets what is under way end, and refuses what comes after", async () => {
  const world = new World();
  await world.commit("a", 1);
  const held = world.hold("a");
  const flying = watched(world.commit("a", 2));
  await settled();
  const staged = watched(world.commit("a", 3));
  await settled();
  const closing = watched(world.coordinator.close());
  await expect(world.commit("a", 4)).rejects.toMatchObject({ code: "BROKER_SHUTTING_DOWN" });
  await expect(world.join("b")).rejects.toMatchObject({ code: "BROKER_SHUTTING_DOWN" });
  held[0]!.commit();
  await settled();
  expect([flying.ended, staged.ended, closing.ended]).toEqual([true, false, false]);
  held[1]!.commit();
  await Promise.all([staged.promise, closing.promise]);
  expect(world.clock.timersPending).toBe(0);
});

test("closing while a shard is loaded, and while it waits to be", async () => {
  const loading = new World();
  const asking = watched(loading.commit("a", 1));
  await loading.coordinator.close();
  await settled();
  expect(asking.code).toBe("BROKER_SHUTTING_DOWN");

  const waiting = new World();
  waiting.logs.openErrors.push(diskFailed);
  await waiting.commit("a", 1).catch(() => {});
  await waiting.coordinator.close();
  expect(waiting.clock.timersPending).toBe(0);
});
