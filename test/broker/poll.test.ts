// A member's poll over a real group and real logs: what it reads, what it waits for, what ends the wait, and that nothing of it is left.

import { describe, expect, test } from "vitest";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { batchesOf, GroupWorld, handled, refusal } from "./group-world.ts";

const topics = ["t"];

async function worldWith(partitionCount = 1): Promise<GroupWorld> {
  const world = await GroupWorld.start();
  await world.topic("t", partitionCount);
  return world;
}

/** A promise that a test may look at before it is settled. */
function watched<T>(promise: Promise<T>): { isSettled: boolean; readonly promise: Promise<T> } {
  const watch = { isSettled: false, promise };
  const mark = () => {
    watch.isSettled = true;
  };
  promise.then(mark, mark);
  return watch;
}

/** Holds reads of t-0 back until it is opened; then they give what they would have, or `instead`. */
function gateReads(world: GroupWorld): { open: (instead?: () => Uint8Array) => void } {
  const partition = world.partition("t", 0);
  const read = Object.getPrototypeOf(partition).read.bind(partition) as typeof partition.read;
  let open: (instead?: () => Uint8Array) => void = () => {};
  const opened = new Promise<(() => Uint8Array) | undefined>((resolve) => {
    open = resolve;
  });
  partition.read = async (...range) => {
    const instead = await opened;
    partition.read = read;
    return instead ? instead() : await read(...range);
  };
  return { open };
}

describe("a poll with records ready", () => {
  test("joins, reads from the earliest, and costs one turn of the group and no timer", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a", "b"]);
    const first = await world.poll("m", { topics, waitMs: 1000 });
    expect(first).toMatchObject({
      assignment: [{ topic: "t", partitions: [0] }],
      positions: [{ topic: "t", partition: 0, nextOffset: 0 }],
      notCommitted: [],
      reset: [],
    });
    expect(batchesOf(first)).toEqual(["t-0:0..1"]);
    await world.produce("t", 0, ["c"]);
    const before = world.leftovers();
    world.delaysMs.length = 0;
    world.turns.length = 0;
    const second = await world.poll("m", { memberEpoch: first.memberEpoch, positions: handled(first), waitMs: 1000 });
    expect(batchesOf(second)).toEqual(["t-0:2..2"]);
    expect(world.turns).toEqual(["poll"]);
    expect(world.delaysMs).toEqual([]);
    expect(world.leftovers()).toEqual(before);
  });

  test("positions win over the commit, the commit over what is committed; a lost answer is repeated", async () => {
    const world = await worldWith();
    for (const value of ["a", "b", "c", "d"]) await world.produce("t", 0, [value]);
    const { memberEpoch } = await world.poll("m", { topics });
    const at = (nextOffset: number) => [{ topic: "t", partition: 0, nextOffset }];
    const committed = { memberEpoch, commit: at(2) };
    for (let repeat = 0; repeat < 2; repeat++) expect((await world.poll("m", committed)).positions).toEqual(at(2));
    expect((await world.poll("m", { memberEpoch })).positions).toEqual(at(2));
    expect((await world.poll("m", { memberEpoch, commit: at(2), positions: at(3) })).positions).toEqual(at(3));
    expect((await world.poll("m", { memberEpoch })).positions).toEqual(at(2));
  });

  test("maxBytes goes to a partition drawn anew each time, so that none starves", async () => {
    const world = await worldWith(3);
    for (const partition of [0, 1, 2]) await world.produce("t", partition, ["a"]);
    let { memberEpoch } = await world.poll("m", { topics });
    const seen = new Set<string>();
    for (let polls = 0; polls < 50; polls++) {
      const answer = await world.poll("m", { memberEpoch, maxBytes: 1 });
      memberEpoch = answer.memberEpoch;
      for (const batch of batchesOf(answer)) seen.add(batch);
      expect(answer.positions.map(({ partition }) => partition)).toEqual([0, 1, 2]);
    }
    expect([...seen].sort()).toEqual(["t-0:0..0", "t-1:0..0", "t-2:0..0"]);
  });

  test("maxRecords 0 answers at once, without places and records", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a"]);
    const answer = await world.poll("m", { topics, forRecords: false, waitMs: 1000 });
    expect(answer).toMatchObject({ assignment: [{ topic: "t", partitions: [0] }], positions: [], fetched: [] });
    expect(world.listening).toBe(0);
  });
});

describe("places", () => {
  test("a commit beyond the log end refuses the whole call before anything of it happens", async () => {
    const world = await worldWith(2);
    await world.produce("t", 0, ["a"]);
    const { memberEpoch } = await world.poll("m", { topics });
    world.turns.length = 0;
    const commit = [
      { topic: "t", partition: 0, nextOffset: 1 },
      { topic: "t", partition: 1, nextOffset: 7 },
    ];
    const error = await refusal(world.poll("m", { memberEpoch, commit }));
    expect(error.code).toBe("OFFSET_OUT_OF_RANGE");
    expect(error.fields).toEqual({ partitions: [{ topic: "t", partition: 1, nextOffset: 7, logEndOffset: 0 }] });
    expect(world.turns).toEqual([]);
    expect((await world.groups.offsets("g")).positions.every(({ nextOffset }) => nextOffset === null)).toBe(true);
  });

  test("a commit for what does not exist, or is not held, is left out and said", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics });
    const commit = [{ topic: "none", partition: 0, nextOffset: 7 }];
    expect((await world.poll("m", { memberEpoch, commit })).notCommitted).toEqual([
      { topic: "none", partition: 0, code: "UNKNOWN_TOPIC_OR_PARTITION" },
    ]);
  });

  test("a commit that was refused is not read from: its records come again", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a"]);
    const commit = [{ topic: "t", partition: 0, nextOffset: 1 }];
    const joined = await world.poll("m", { topics, commit });
    expect(joined.notCommitted).toMatchObject([{ code: "STALE_MEMBER_EPOCH" }]);
    expect(joined.positions).toMatchObject([{ nextOffset: 0 }]);
  });

  test("latest begins at the end of the moment, and does not move while the poll waits", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a"]);
    const waiting = world.poll("m", { topics, offsetReset: "latest", waitMs: 10_000 });
    await settled();
    await world.produce("t", 0, ["b"]);
    const answer = await world.clock.runUntilSettled(waiting);
    expect(answer.positions).toMatchObject([{ nextOffset: 1 }]);
    expect(batchesOf(answer)).toEqual(["t-0:1..1"]);
    expect(answer.reset).toEqual([]);
  });

  test.each([
    ["earliest" as const, 2],
    ["latest" as const, 3],
  ])("a place below the log start or above the end becomes the %s, and that is said", async (offsetReset, to) => {
    const world = await worldWith();
    for (const value of ["a", "b", "c"]) await world.produce("t", 0, [value]);
    await world.partition("t", 0).log.deleteRecordsBefore(2);
    const { memberEpoch } = await world.poll("m", { topics });
    for (const from of [1, 9]) {
      const positions = [{ topic: "t", partition: 0, nextOffset: from }];
      const answer = await world.poll("m", { memberEpoch, positions, offsetReset });
      expect(answer.reset).toEqual([{ topic: "t", partition: 0, from, to }]);
      expect(answer.positions).toMatchObject([{ nextOffset: to }]);
    }
  });

  test("with offsetReset error both are 416, with the epoch of the member that has joined", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a"]);
    const error = await refusal(world.poll("m", { topics, offsetReset: "error" }));
    expect(error.code).toBe("OFFSET_OUT_OF_RANGE");
    const bounds = { logStartOffset: 0, logEndOffset: 1 };
    expect(error.fields["partitions"]).toEqual([{ topic: "t", partition: 0, nextOffset: null, ...bounds }]);
    const memberEpoch = error.fields["memberEpoch"] as number;
    const commit = [{ topic: "t", partition: 0, nextOffset: 0 }];
    const answer = await world.poll("m", { memberEpoch, commit, offsetReset: "error" });
    expect(batchesOf(answer)).toEqual(["t-0:0..0"]);
    const positions = [{ topic: "t", partition: 0, nextOffset: 5 }];
    const again = await refusal(world.poll("m", { memberEpoch, positions, offsetReset: "error" }));
    expect(again.fields["partitions"]).toMatchObject([{ nextOffset: 5 }]);
  });

  test("records that are deleted while they are read reset the place, from where the client was", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a"]);
    const { log } = world.partition("t", 0);
    const { memberEpoch } = await world.poll("m", { topics });
    let gate = gateReads(world);
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    for (const offset of [0, 1]) {
      await settled();
      await log.deleteRecordsBefore(offset + 1);
      gate.open(() => {
        throw log.outOfRange(offset);
      });
      await world.clock.advance(100);
      expect(waiting.isSettled).toBe(false);
      gate = gateReads(world);
      await world.produce("t", 0, ["b"]);
    }
    gate.open();
    const answer = await waiting.promise;
    expect(answer.reset).toEqual([{ topic: "t", partition: 0, from: 0, to: 2 }]);
    expect(batchesOf(answer)).toEqual(["t-0:2..2"]);
  });
});

describe("a poll that waits", () => {
  test("is woken by an append, and leaves nothing behind", async () => {
    const world = await worldWith(2);
    const { memberEpoch } = await world.poll("m", { topics });
    const controller = new AbortController();
    const before = world.leftovers(controller.signal);
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 20_000, signal: controller.signal }));
    await world.clock.advance(2000);
    expect(waiting.isSettled).toBe(false);
    expect(world.leftovers(controller.signal)).toMatchObject({ listening: 1, waiters: 2, listeners: 1 });
    await world.produce("t", 1, ["a"]);
    expect(batchesOf(await waiting.promise)).toEqual(["t-1:0..0"]);
    expect(world.leftovers(controller.signal)).toEqual(before);
  });

  test("answers without records when its time is over", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics });
    const before = world.leftovers();
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 3000 }));
    await world.clock.advance(2999);
    expect(waiting.isSettled).toBe(false);
    await world.clock.advance(1);
    expect(batchesOf(await waiting.promise)).toEqual([]);
    expect(world.leftovers()).toEqual(before);
  });

  test("keeps its session alive while it is parked, and ends when that is refused", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics, sessionTimeoutMs: 6000 });
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 30_000 }));
    world.turns.length = 0;
    await world.clock.advance(20_000);
    expect(waiting.isSettled).toBe(false);
    expect(world.turns).toEqual(Array(10).fill("keepAlive"));
    world.coordinator.listen = () => () => {};
    await world.groups.leave("g", "m");
    await world.clock.advance(2000);
    expect((await refusal(waiting.promise)).code).toBe("UNKNOWN_MEMBER_ID");
    expect(world.listening).toBe(0);
  });

  test("a keep-alive that is refused ends it although no news came", async () => {
    const world = await worldWith();
    world.coordinator.listen = () => () => {};
    const { memberEpoch, heartbeatIntervalMs } = await world.poll("m", { topics });
    const before = world.leftovers();
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 30_000 }));
    await settled();
    await world.groups.leave("g", "m");
    await settled();
    expect(waiting.isSettled).toBe(false);
    await world.clock.advance(heartbeatIntervalMs);
    expect((await refusal(waiting.promise)).code).toBe("UNKNOWN_MEMBER_ID");
    expect(world.leftovers()).toEqual({ ...before, timers: world.leftovers()["timers"] });
  });

  test("stops when the client is gone: no more keep-alives, and its session ends", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics, sessionTimeoutMs: 6000 });
    const controller = new AbortController();
    const before = world.leftovers(controller.signal);
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000, signal: controller.signal }));
    await world.clock.advance(7000);
    controller.abort();
    await settled();
    expect(waiting.isSettled).toBe(true);
    expect(world.leftovers(controller.signal)).toEqual(before);
    world.turns.length = 0;
    await world.clock.advance(7000);
    expect(world.turns).toEqual([]);
    expect((await world.groups.describe("g")).members).toEqual([]);
  });

  test("answers at once when the broker drains, and one that comes later does not wait", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics });
    const before = world.leftovers();
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    world.draining.begin();
    await settled();
    expect(waiting.isSettled).toBe(true);
    expect(world.leftovers()).toEqual(before);
    expect(batchesOf(await world.poll("m", { memberEpoch, waitMs: 60_000 }))).toEqual([]);
  });
});

describe("two calls of one member", () => {
  test("a second poll for records ends the wait of the first; a heartbeat does not", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics });
    const before = world.leftovers();
    const first = watched(world.poll("m", { memberEpoch, waitMs: 20_000 }));
    await settled();
    await world.poll("m", { memberEpoch, forRecords: false });
    await settled();
    expect(first.isSettled).toBe(false);
    const second = watched(world.poll("m", { memberEpoch, waitMs: 20_000 }));
    await settled();
    expect([first.isSettled, second.isSettled]).toEqual([true, false]);
    expect(await first.promise).toMatchObject({ fetched: [], positions: [{ nextOffset: 0 }] });
    await world.produce("t", 0, ["a"]);
    expect(batchesOf(await second.promise)).toEqual(["t-0:0..0"]);
    expect(world.leftovers()).toEqual(before);
  });

  test("a poll that is refused ends nobody's wait", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics });
    const first = watched(world.poll("m", { memberEpoch, waitMs: 20_000 }));
    await settled();
    const error = await refusal(world.poll("m", { memberEpoch: memberEpoch + 1, waitMs: 20_000 }));
    expect(error.code).toBe("FENCED_MEMBER_EPOCH");
    await settled();
    expect(first.isSettled).toBe(false);
    await world.produce("t", 0, ["a"]);
    await first.promise;
  });

  test.each([true, false])(
    "who takes the id over fences the waiting one at once (for records: %s)",
    async (forRecords) => {
      const world = await worldWith();
      const { memberEpoch } = await world.poll("m", { topics });
      const former = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
      await settled();
      const owner = await world.poll("m", { topics, forRecords });
      expect(owner.memberEpoch).toBeGreaterThan(memberEpoch);
      await settled();
      expect(former.isSettled).toBe(true);
      expect((await refusal(former.promise)).code).toBe("FENCED_MEMBER_EPOCH");
      expect((await refusal(world.poll("m", { memberEpoch }))).code).toBe("FENCED_MEMBER_EPOCH");
      await world.poll("m", { memberEpoch: owner.memberEpoch });
    },
  );

  test("a heartbeat that changes the subscription ends the wait of its poll with the new assignment", async () => {
    const world = await worldWith();
    await world.topic("u");
    const { memberEpoch } = await world.poll("a", { topics });
    const waiting = watched(world.poll("a", { memberEpoch, waitMs: 60_000 }));
    await settled();
    const wider = await world.poll("a", { memberEpoch, topics: ["t", "u"], forRecords: false });
    await settled();
    expect(waiting.isSettled).toBe(true);
    const answer = await waiting.promise;
    expect(answer).toMatchObject({ memberEpoch: wider.memberEpoch, assignment: wider.assignment });
    expect(answer.positions.map(({ topic }) => topic)).toEqual(["t", "u"]);
    for (const epoch of [memberEpoch, answer.memberEpoch]) await world.poll("a", { memberEpoch: epoch });
  });

  test("heartbeats beside a poll move the epoch again and again, and the poll is not fenced", async () => {
    const world = await worldWith();
    let { memberEpoch } = await world.poll("a", { topics });
    const first = memberEpoch;
    const waiting = watched(world.poll("a", { memberEpoch, waitMs: 60_000 }));
    for (const other of ["b", "c", "d"]) {
      await world.poll(other, { topics: ["other"] });
      const before = memberEpoch;
      ({ memberEpoch } = await world.poll("a", { memberEpoch, forRecords: false }));
      expect(memberEpoch).toBeGreaterThan(before);
    }
    await world.clock.advance(12_000); // keep-alives too
    expect(waiting.isSettled).toBe(false);
    await world.produce("t", 0, ["x"]);
    expect(await waiting.promise).toMatchObject({ memberEpoch });
    expect((await refusal(world.poll("a", { memberEpoch: first }))).code).toBe("FENCED_MEMBER_EPOCH");
  });

  test("a heartbeat of the one who took the id over does not lend its epoch to the poll it fenced", async () => {
    const world = await worldWith();
    await world.produce("t", 0, ["a"]);
    const { memberEpoch } = await world.poll("m", { topics });
    const gate = gateReads(world);
    const former = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    const owner = await world.poll("m", { topics, forRecords: false });
    await world.poll("m", { memberEpoch: owner.memberEpoch, forRecords: false });
    gate.open(() => new Uint8Array(0)); // nothing to read after all, as when compaction has left nothing
    await settled();
    expect(former.isSettled).toBe(true);
    expect((await refusal(former.promise)).code).toBe("FENCED_MEMBER_EPOCH");
  });
});

describe("news of the assignment", () => {
  test("a first poll waits for a topic that is made later, and reads it soon", async () => {
    const world = await GroupWorld.start();
    const waiting = watched(world.poll("m", { topics, waitMs: 60_000 }));
    await world.clock.advance(1000);
    expect(waiting.isSettled).toBe(false);
    await world.topic("t");
    await settled();
    expect(waiting.isSettled).toBe(true);
    const { assignment, memberEpoch } = await waiting.promise;
    expect(assignment).toEqual([{ topic: "t", partitions: [0] }]);
    const next = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    await world.produce("t", 0, ["a"]);
    await world.clock.advance(100);
    expect(batchesOf(await next.promise)).toEqual(["t-0:0..0"]);
    expect(world.leftovers()).toMatchObject({ listening: 0, waiters: 0 });
  });

  test("a partition is let go of by the next poll, and its new owner is told while it waits", async () => {
    const world = await worldWith(2);
    const a = await world.poll("a", { topics });
    const waitingA = watched(world.poll("a", { memberEpoch: a.memberEpoch, positions: a.positions, waitMs: 60_000 }));
    await settled();
    const waitingB = watched(world.poll("b", { topics, waitMs: 60_000 }));
    await settled();
    expect([waitingA.isSettled, waitingB.isSettled]).toEqual([true, false]);
    const reduced = await waitingA.promise;
    expect(reduced.assignment[0]?.partitions).toHaveLength(1);
    const { memberEpoch, positions } = reduced;
    const going = watched(world.poll("a", { memberEpoch, positions, waitMs: 60_000 }));
    await settled();
    const given = await waitingB.promise;
    expect(given.assignment[0]?.partitions).toHaveLength(1);
    expect(given.assignment).not.toEqual(reduced.assignment);
    expect(going.isSettled).toBe(false);
    for (const partition of [0, 1]) await world.produce("t", partition, ["x"]);
    expect(batchesOf(await going.promise)).toHaveLength(1);
    expect(world.leftovers()).toMatchObject({ listening: 0, waiters: 0 });
  });

  test("a member that must let go of something does not wait", async () => {
    const world = await worldWith(2);
    const a = await world.poll("a", { topics });
    await world.poll("b", { topics });
    const owned = [{ topic: "t", partitions: [0, 1] }];
    const call = { memberEpoch: a.memberEpoch, owned, waitMs: 60_000 };
    const answers = [await world.poll("a", call), await world.poll("a", call)];
    for (const answer of answers) expect(answer.assignment[0]?.partitions).toHaveLength(1);
  });

  test("an epoch that moved twice while a poll waited does not fence the client whose answer was lost", async () => {
    const world = await worldWith(2);
    await world.poll("owner", { topics });
    const { memberEpoch, assignment } = await world.poll("a", { topics });
    expect(assignment).toEqual([]); // its share is still with the owner
    const lost = watched(world.poll("a", { memberEpoch, waitMs: 60_000 }));
    await settled();
    for (const other of ["b", "c"]) {
      await world.poll(other, { topics: ["other"] });
      await settled();
    }
    expect(lost.isSettled).toBe(false);
    const again = await world.poll("a", { memberEpoch });
    expect(again.memberEpoch).toBeGreaterThan(memberEpoch + 65_536);
    await lost.promise;
  });

  test("a removed member's wait ends with 409", async () => {
    const world = await worldWith();
    const { memberEpoch } = await world.poll("m", { topics });
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    await world.groups.leave("g", "m");
    await settled();
    expect((await refusal(waiting.promise)).code).toBe("UNKNOWN_MEMBER_ID");
    expect(world.leftovers()).toMatchObject({ listening: 0, waiters: 0 });
  });
});

describe("a partition that cannot be read", () => {
  test("offline storage does not hold up the others, and nobody spins for it", async () => {
    const world = await worldWith(2);
    await world.produce("t", 0, ["a"]);
    const { memberEpoch } = await world.poll("m", { topics });
    world.disk.failWhen(({ kind, path }) => kind === "append" && path.startsWith("srv/data/t-0/"), { code: "EIO" });
    expect((await refusal(world.produce("t", 0, ["b"]))).code).toBe("KAFKA_STORAGE_ERROR");
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    const turns = world.turns.length;
    world.delaysMs.length = 0;
    await world.clock.advance(4000);
    expect(world.delaysMs).not.toContain(100);
    expect(waiting.isSettled).toBe(false);
    expect(world.turns.length).toBe(turns);
    await world.produce("t", 1, ["c"]);
    const answer = await waiting.promise;
    expect(batchesOf(answer)).toEqual(["t-1:0..0"]);
    expect(answer.fetched.map(({ partition }) => partition)).toEqual([1]);
    expect(answer.positions.map(({ partition }) => partition)).toEqual([0, 1]);
  });

  test.each([undefined, 0])(
    "one that is assigned before it is open is read once it is (place: %s)",
    async (nextOffset) => {
      const world = await worldWith();
      await world.produce("t", 0, ["a"]);
      const { memberEpoch } = await world.poll("m", { topics });
      const { partitions } = world.parts;
      const { find, get } = partitions;
      partitions.find = () => undefined;
      partitions.get = () => {
        throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", "not yet");
      };
      const positions = nextOffset === undefined ? [] : [{ topic: "t", partition: 0, nextOffset }];
      const waiting = watched(world.poll("m", { memberEpoch, positions, waitMs: 60_000 }));
      await world.clock.advance(250);
      expect(waiting.isSettled).toBe(false);
      partitions.find = find;
      partitions.get = get;
      await world.clock.advance(50);
      expect(batchesOf(await waiting.promise)).toEqual(["t-0:0..0"]);
    },
  );

  test("a damaged batch is told once there is nothing else to read, with the place behind it", async () => {
    const world = await worldWith(2);
    await world.produce("t", 0, ["a", "b"]);
    await world.produce("t", 1, ["c"]);
    world.disk.flipBit("srv/data/t-0/00000000000000000000.log", 70, 3);
    const first = await world.poll("m", { topics, waitMs: 1000 });
    expect(batchesOf(first)).toEqual(["t-1:0..0"]);
    const { memberEpoch } = first;
    const again = refusal(world.poll("m", { memberEpoch, positions: handled(first), waitMs: 1000 }));
    const error = await world.clock.runUntilSettled(again);
    expect(error.code).toBe("KAFKA_STORAGE_ERROR");
    expect(error.fields).toMatchObject({ topic: "t", partition: 0, nextOffset: 2, memberEpoch });
    const positions = [{ topic: "t", partition: 0, nextOffset: 2 }];
    expect(batchesOf(await world.poll("m", { memberEpoch, positions }))).toEqual(["t-1:0..0"]);
  });

  test("one that goes offline under a waiting poll does not end the wait", async () => {
    const world = await worldWith(2);
    const { memberEpoch } = await world.poll("m", { topics });
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    world.disk.failWhen(({ kind, path }) => kind === "append" && path.startsWith("srv/data/t-0/"), { code: "EIO" });
    await refusal(world.produce("t", 0, ["b"]));
    await world.clock.advance(2000);
    expect(waiting.isSettled).toBe(false);
    await world.produce("t", 1, ["c"]);
    expect(batchesOf(await waiting.promise)).toEqual(["t-1:0..0"]);
  });

  test("a topic that is deleted leaves the assignment, and the poll goes on with the others", async () => {
    const world = await worldWith();
    await world.topic("u");
    const { memberEpoch } = await world.poll("m", { topics: ["t", "u"] });
    const waiting = watched(world.poll("m", { memberEpoch, waitMs: 60_000 }));
    await settled();
    await world.topics.delete("u");
    const answer = await world.clock.runUntilSettled(waiting.promise);
    expect(answer.assignment).toEqual([{ topic: "t", partitions: [0] }]);
    expect(answer.positions).toMatchObject([{ topic: "t" }]);
    await world.produce("t", 0, ["a"]);
    expect(batchesOf(await world.poll("m", { memberEpoch: answer.memberEpoch }))).toEqual(["t-0:0..0"]);
  });
});
