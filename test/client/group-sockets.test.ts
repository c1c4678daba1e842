// A member whose membership goes over a WebSocket: what becomes of it when the socket breaks, is silent, or cannot be had.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Consumer } from "../../src/client/consumer.ts";
import type { Millrace } from "../../src/client/millrace.ts";
import { ClientWorld } from "./client-world.ts";
import { StreamSockets } from "./stream-sockets.ts";

let world: ClientWorld;
let sockets: StreamSockets;
let millrace: Millrace;

beforeEach(async () => {
  world = await ClientWorld.start();
  await world.server.createTopic("t", 2);
  sockets = new StreamSockets(world);
  millrace = world.client({ webSocket: sockets.open });
});

afterEach(async () => {
  await world.run(millrace.close());
  await world.stop();
  expect(world.server.errors).toEqual([]);
});

const passMs = (ms: number): Promise<void> =>
  world.run(new Promise((resolve) => world.server.clock.setTimer(ms, () => resolve())));
const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, at) => from + at);
const polls = (): number => world.seen.filter(({ path }) => path.endsWith("/poll")).length;
const committed = async (): Promise<(number | null)[]> =>
  (await world.run(millrace.admin().groupOffsets("g"))).map(({ nextOffset }) => nextOffset);
const membersOf = async (): Promise<number> => (await world.run(millrace.admin().describeGroup("g"))).members.length;

async function produce(partition: number, ...values: number[]): Promise<void> {
  const records = values.map((value) => ({ value }));
  await world.server.post(`/v1/topics/t/partitions/${partition}/records`, { records });
}

const join = (more: object = {}): Consumer<string, number> =>
  millrace.consumer<string, number>({ group: "g", topics: ["t"], ...more });

/** Everything it tells of what it lost, by name. */
function troublesOf(consumer: Consumer<string, number>): unknown[] {
  const troubles: unknown[] = [];
  for (const name of ["fenced", "lost", "notCommitted"] as const) {
    consumer.on(name, (event) => troubles.push([name, event]));
  }
  return troubles;
}

const sleepMs = (ms: number): Promise<void> =>
  new Promise((resolve) => world.server.clock.setTimer(ms, () => resolve()));

describe("a member over a socket", () => {
  test("never polls, and leaves over it", async () => {
    await produce(0, ...numbers(20));
    const consumer = join();
    const seen: number[] = [];
    const handling = consumer.eachRecord(({ value }) => void seen.push(value!));
    await passMs(60_000);
    await produce(0, 20);
    await passMs(1);
    expect(seen).toEqual(numbers(21));
    await world.run(consumer.close());
    await world.run(handling);
    expect(world.seen.filter(({ path }) => path.includes("/members/"))).toEqual([]);
    expect(await committed()).toEqual([21, 0]);
    expect(await membersOf()).toBe(0);
  });

  test("a socket that breaks changes nothing: the same member goes on over the next", async () => {
    const consumer = join();
    const troubles = troublesOf(consumer);
    const assigned: unknown[] = [];
    consumer.on("assigned", (event) => assigned.push(event));
    const seen: number[] = [];
    void consumer.eachRecord(async ({ value }) => {
      await sleepMs(30);
      seen.push(value!);
    });
    for (let round = 0; round < 5; round++) {
      await produce(0, ...numbers(20, round * 20));
      await passMs(300);
      sockets.cut();
      await passMs(20_000);
    }
    expect(seen).toEqual(numbers(100));
    expect(assigned).toHaveLength(1);
    expect(troubles).toEqual([]);
    expect((await committed())[0]).toBe(100);
    expect(await membersOf()).toBe(1);
  });

  test("without a socket it polls under the same id, and goes back to a socket later", async () => {
    const consumer = join({ memberId: "slot" });
    const troubles = troublesOf(consumer);
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await produce(0, 0, 1);
    await passMs(2_000);
    expect(polls()).toBe(0);
    sockets.isUp = false;
    sockets.cut();
    await produce(0, 2, 3);
    await passMs(10_000);
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(polls()).toBeGreaterThan(0);
    sockets.isUp = true;
    await passMs(120_000);
    const before = polls();
    await produce(0, 4);
    await passMs(120_000);
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(polls()).toBe(before);
    expect(troubles).toEqual([]);
    expect((await committed())[0]).toBe(5);
    const group = await world.run(millrace.admin().describeGroup("g"));
    expect(group.members.map(({ memberId }) => memberId)).toEqual(["slot"]);
  });

  test("a socket that is silent is left within seconds, and the member with its session", async () => {
    const consumer = join({ sessionTimeoutMs: 30_000 });
    const troubles = troublesOf(consumer);
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await passMs(20_000);
    sockets.isMute = true;
    await produce(0, 0, 1);
    await passMs(20_000);
    expect(seen).toEqual([0, 1]);
    expect(polls()).toBeGreaterThan(0);
    expect(troubles).toEqual([]);
  });

  test("what is in hand at the deadline is told as lost, and its commit is not made", async () => {
    await produce(0, 0);
    await produce(1, 1);
    const first = join();
    const troubles = troublesOf(first);
    const aborted: unknown[] = [];
    void first.eachRecord(
      async ({ value }, { signal }) => {
        signal.addEventListener("abort", () => aborted.push(value));
        await sleepMs(40_000);
      },
      { concurrency: 2 },
    );
    await passMs(1_000);
    const second = join();
    const seen: number[] = [];
    void second.eachRecord(({ value }) => void seen.push(value!));
    await passMs(120_000);
    expect(troubles).toEqual([["lost", { partitions: [{ topic: "t", partitions: [expect.any(Number)] }] }]]);
    expect(aborted).toEqual(seen);
    expect(await committed()).toEqual([1, 1]);
    expect([...first.assignment, ...second.assignment]).toHaveLength(2);
  });

  test("what waits unhandled goes at once when its partition goes", async () => {
    await produce(0, ...numbers(100));
    await produce(1, ...numbers(100, 1_000));
    const first = join();
    const troubles = troublesOf(first);
    const seen: number[] = [];
    const handle = async ({ value }: { readonly value: number | null }): Promise<void> => {
      await sleepMs(100);
      seen.push(value!);
    };
    void first.eachRecord(handle);
    await passMs(1_000);
    const second = join();
    void second.eachRecord(handle);
    await passMs(9_000);
    expect(second.assignment).toHaveLength(1);
    await passMs(20_000);
    expect([...seen].sort((a, b) => a - b)).toEqual([...numbers(100), ...numbers(100, 1_000)]);
    expect(troubles).toEqual([]);
  });

  test("more than a window without a commit: by hand at the end, or behind one that does not end", async () => {
    for (let from = 0; from < 30_000; from += 5_000) await produce(0, ...numbers(5_000, from));
    const byHand = join({ commit: "manual" });
    let count = 0;
    const handling = byHand.eachRecord(({ value }) => {
      expect(value).toBe(count);
      count++;
    });
    await passMs(10_000);
    expect(count).toBe(30_000);
    expect((await committed())[0]).toBeNull();
    await world.run(byHand.commit());
    expect((await committed())[0]).toBe(30_000);
    await world.run(byHand.close());
    await world.run(handling);
    const stuck = millrace.consumer<string, number>({ group: "other", topics: ["t"] });
    const seen = new Set<number>();
    void stuck.eachRecord(
      async ({ value }) => {
        if (value === 0) await sleepMs(60_000);
        seen.add(value!);
      },
      { concurrency: 2 },
    );
    await passMs(30_000);
    expect(seen.size).toBe(29_999);
    await passMs(60_000);
    expect(seen.size).toBe(30_000);
  });

  test("what is handled quickly is committed quickly: a window does not wait for the interval", async () => {
    for (let from = 0; from < 30_000; from += 5_000) await produce(0, ...numbers(5_000, from));
    const consumer = join({ autoCommitIntervalMs: 3_600_000 });
    let count = 0;
    void consumer.eachRecord(() => void count++);
    await passMs(1_000);
    expect(count).toBe(30_000);
  });

  test("a session that ended with the connection is told, and begins again", async () => {
    await produce(0, 0, 1);
    const consumer = join({ sessionTimeoutMs: 10_000 });
    const troubles = troublesOf(consumer);
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await passMs(2_000);
    sockets.isUp = false;
    world.fault = () => "refused";
    sockets.cut();
    await passMs(30_000);
    sockets.isUp = true;
    world.fault = () => undefined;
    await produce(0, 2);
    await passMs(60_000);
    expect(troubles).toMatchObject([["fenced", { code: "UNKNOWN_MEMBER_ID" }]]);
    expect(seen).toEqual([0, 1, 2]);
    expect((await committed())[0]).toBe(3);
  });
});
