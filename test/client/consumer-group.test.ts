// Consumers in a group against a real broker: sharing, handing over, staying a member, and coming back.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Consumer } from "../../src/client/consumer.ts";
import type { Millrace, MillraceOptions } from "../../src/client/millrace.ts";
import { ClientWorld } from "./client-world.ts";
import { StreamSockets } from "./stream-sockets.ts";

let world: ClientWorld;
let sockets: StreamSockets;
let millrace: Millrace;
/** A client of the transport under test. */
let client: (more?: Partial<MillraceOptions>) => Millrace;

async function begin(transport: "http" | "WebSocket"): Promise<void> {
  world = await ClientWorld.start();
  await world.server.createTopic("orders", 2);
  if (transport === "WebSocket") sockets = new StreamSockets(world);
  client = (more = {}) =>
    world.client(transport === "http" ? { transport: "http", ...more } : { webSocket: sockets.open, ...more });
  millrace = client();
}

afterEach(async () => {
  world.fault = () => undefined;
  await world.run(millrace.close());
  await world.stop();
  expect(world.server.errors).toEqual([]);
});

const sleepMs = (ms: number): Promise<void> =>
  new Promise((resolve) => world.server.clock.setTimer(ms, () => resolve()));
const passMs = (ms: number): Promise<void> => world.run(sleepMs(ms));

async function fill(from: number, to: number): Promise<void> {
  const producer = millrace.producer<string, number>();
  const values = Array.from({ length: to - from }, (_, at) => from + at);
  await world.run(Promise.all(values.map((value) => producer.send({ topic: "orders", value, partition: value % 2 }))));
  await world.run(producer.close());
}

const join = (more: object = {}): Consumer<string, number> =>
  millrace.consumer<string, number>({ group: "billing", topics: ["orders"], ...more });

const committed = async (): Promise<(number | null)[]> =>
  (await world.run(millrace.admin().groupOffsets("billing"))).map(({ nextOffset }) => nextOffset);

/** Handles everything into `seen` until the consumer is closed. */
function collect(consumer: Consumer<string, number>, seen: number[], handleMs = 0, concurrency = 1): Promise<void> {
  const handling = consumer.eachRecord(
    async ({ value }) => {
      if (handleMs > 0) await sleepMs(handleMs);
      seen.push(value!);
    },
    { concurrency },
  );
  handling.catch(() => {});
  return handling;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

describe.each(["http", "WebSocket"] as const)("one member over %s", (transport) => {
  beforeEach(() => begin(transport));

  test("handles all, commits on its own, and the next goes on from there", async () => {
    await fill(0, 50);
    const seen: number[] = [];
    const first = join();
    const assigned: unknown[] = [];
    first.on("assigned", (event) => assigned.push(event));
    const handling = collect(first, seen);
    await passMs(3_000);
    expect(sorted(seen)).toEqual(numbers(50));
    expect(assigned).toEqual([{ partitions: [{ topic: "orders", partitions: [0, 1] }] }]);
    expect(first.assignment).toEqual([{ topic: "orders", partitions: [0, 1] }]);
    expect(await committed()).toEqual([25, 25]);
    await world.run(first.close());
    await world.run(handling);
    expect(await world.run(millrace.admin().describeGroup("billing"))).toMatchObject({ members: [] });
    await fill(50, 60);
    const second = join();
    void collect(second, seen);
    await passMs(3_000);
    expect(sorted(seen)).toEqual(numbers(60));
  });

  test("close() commits what is handled, and only that", async () => {
    await fill(0, 10);
    const consumer = join({ autoCommitIntervalMs: 3_600_000 });
    let handled = 0;
    for await (const record of awaitable(consumer)) {
      if (record.partition === 0 && ++handled === 3) break;
    }
    await world.run(consumer.close());
    expect((await committed())[0]).toBe(2);
  });

  test("keeps its membership however slow the handler is", async () => {
    await fill(0, 2);
    const consumer = join({ sessionTimeoutMs: 10_000 });
    const fenced: unknown[] = [];
    const stalled: unknown[] = [];
    consumer.on("fenced", (event) => fenced.push(event));
    consumer.on("stalled", (event) => stalled.push(event));
    const seen: number[] = [];
    void collect(consumer, seen, 200_000);
    await passMs(500_000);
    expect(fenced).toEqual([]);
    expect(stalled).toHaveLength(2);
    expect(sorted(seen)).toEqual([0, 1]);
    expect(await committed()).toEqual([1, 1]);
  });

  test("keeps it too while its buffer is full and nobody takes", async () => {
    await fill(0, 2_000);
    const consumer = join({ sessionTimeoutMs: 10_000, bufferBytesMax: 10_000, pageRecordsMax: 100 });
    const fenced: unknown[] = [];
    consumer.on("fenced", (event) => fenced.push(event));
    const records = consumer[Symbol.asyncIterator]();
    await world.run(records.next());
    await passMs(300_000);
    expect(fenced).toEqual([]);
    expect((await world.run(millrace.admin().describeGroup("billing"))).members).toHaveLength(1);
  });

  test("keeps it when a poll that waits is never answered", async () => {
    const consumer = join({ sessionTimeoutMs: 10_000 });
    const fenced: unknown[] = [];
    consumer.on("fenced", (event) => fenced.push(event));
    void collect(consumer, []);
    await passMs(2_000);
    const { fetch } = world;
    let swallowed = 0;
    const stuck = world.client({
      fetch: (url, init) => {
        if (!/"waitMs":[1-9]/.test(String(init.body))) return fetch(url, init);
        swallowed++;
        return new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)));
      },
    });
    const second = stuck.consumer<string, number>({ group: "billing", topics: ["orders"], sessionTimeoutMs: 10_000 });
    second.on("fenced", (event) => fenced.push(event));
    void collect(second, []);
    await passMs(300_000);
    expect(swallowed).toBeGreaterThan(2);
    expect(fenced).toEqual([]);
    await world.run(stuck.close());
  });

  test("commits by hand: a record, positions, all", async () => {
    await fill(0, 10);
    const consumer = join({ commit: "manual" });
    const records = consumer[Symbol.asyncIterator]();
    let record = (await world.run(records.next())).value!;
    const { partition } = record;
    record = (await world.run(records.next())).value!;
    await passMs(10_000);
    expect((await committed())[partition]).toBeNull();
    await world.run(consumer.commit(record));
    expect((await committed())[partition]).toBe(2);
    await world.run(consumer.commit([{ topic: "orders", partition, nextOffset: 4 }]));
    expect((await committed())[partition]).toBe(4);
    await world.run(records.next());
    await world.run(records.next());
    await world.run(records.next());
    await world.run(records.next());
    await world.run(consumer.commit());
    expect(Math.max(...(await committed()).map(Number))).toBe(5);
  });

  test("seek goes back in the group too", async () => {
    await fill(0, 10);
    const consumer = join();
    const seen: number[] = [];
    void collect(consumer, seen);
    await passMs(3_000);
    consumer.seek({ topic: "orders", partition: 0, nextOffset: 3 });
    await passMs(3_000);
    expect(seen.slice(10)).toEqual([6, 8]);
    expect(await committed()).toEqual([5, 5]);
  });

  test("a part that is paused waits, the rest flows", async () => {
    const consumer = join();
    const seen: number[] = [];
    void collect(consumer, seen);
    await passMs(1_000);
    consumer.pause([{ topic: "orders", partitions: [0] }]);
    await fill(0, 10);
    await passMs(60_000);
    expect(sorted(seen)).toEqual([1, 3, 5, 7, 9]);
    expect(await committed()).toEqual([0, 5]);
    consumer.resume();
    await passMs(3_000);
    expect(sorted(seen)).toEqual(numbers(10));
    consumer.pause();
    await fill(10, 12);
    await passMs(120_000);
    expect(seen).toHaveLength(10);
    consumer.resume();
    await passMs(1_000);
    expect(sorted(seen)).toEqual(numbers(12));
  });

  test("with offsetReset latest the first place lasts over a restart", async () => {
    await fill(0, 4);
    const first = join({ offsetReset: "latest" });
    void collect(first, []);
    await passMs(5_000);
    await world.run(first.close());
    await fill(4, 6);
    const seen: number[] = [];
    void collect(join({ offsetReset: "latest" }), seen);
    await passMs(5_000);
    expect(sorted(seen)).toEqual([4, 5]);
  });

  test("offsetReset error is an error", async () => {
    const consumer = join({ offsetReset: "error" });
    await expect(world.run(consumer.eachRecord(() => {}))).rejects.toMatchObject({
      code: "OFFSET_OUT_OF_RANGE",
      status: 416,
    });
  });
});

describe.each(["http", "WebSocket"] as const)("several members over %s", (transport) => {
  beforeEach(() => begin(transport));

  test("share, and hand over without handling anything twice", async () => {
    await fill(0, 40);
    const seen: number[] = [];
    const first = join();
    const revoked: unknown[] = [];
    first.on("revoked", (event) => revoked.push(event));
    void collect(first, seen, 50);
    await passMs(300);
    const second = join();
    void collect(second, seen, 50);
    await passMs(20_000);
    expect(sorted(seen)).toEqual(numbers(40));
    expect(revoked).toHaveLength(1);
    expect([...first.assignment, ...second.assignment]).toHaveLength(2);
    await world.run(first.close());
    await fill(40, 60);
    await passMs(20_000);
    expect(second.assignment).toEqual([{ topic: "orders", partitions: [0, 1] }]);
    expect(sorted(seen)).toEqual(numbers(60));
  });

  test("a record in a handler when its partition goes is finished first", async () => {
    await fill(0, 2);
    const first = join();
    const seen: number[] = [];
    void collect(first, seen, 30_000, 2);
    await passMs(1_000);
    const second = join();
    const others: number[] = [];
    void collect(second, others);
    await passMs(20_000);
    expect([...seen, ...others]).toEqual([]);
    await passMs(60_000);
    expect(sorted(seen)).toEqual([0, 1]);
    expect(others).toEqual([]);
    expect(second.assignment).toHaveLength(1);
  });

  test("one that was removed is told, stops its handlers, and comes back", async () => {
    await fill(0, 4);
    const consumer = join({ memberId: "slot-1" });
    const fenced: unknown[] = [];
    consumer.on("fenced", (event) => fenced.push(event));
    const aborted: number[] = [];
    const seen: number[] = [];
    const handling = consumer.eachRecord(async ({ value }, { signal }) => {
      if (seen.length < 4 && aborted.length === 0) {
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        aborted.push(value!);
        throw signal.reason;
      }
      seen.push(value!);
    });
    handling.catch(() => {});
    await passMs(1_000);
    await world.run(millrace.admin().removeMember("billing", "slot-1"));
    await passMs(30_000);
    expect(fenced).toMatchObject([{ code: "UNKNOWN_MEMBER_ID", partitions: [{ partitions: [0, 1] }] }]);
    expect(aborted).toHaveLength(1);
    expect(sorted(seen)).toEqual([0, 1, 2, 3]);
    expect(await committed()).toEqual([2, 2]);
  });

  test("the same name twice: the later takes over, the former is told", async () => {
    const first = join({ memberId: "slot" });
    const fenced: string[] = [];
    first.on("fenced", ({ code }) => fenced.push(code));
    void collect(first, []);
    await passMs(1_000);
    const second = join({ memberId: "slot" });
    void collect(second, []);
    await passMs(2_000);
    expect(fenced.length).toBeGreaterThan(0);
    await world.run(first.close());
  });
});

/** A loop that lets time pass while it waits. */
async function* awaitable<T>(consumer: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = consumer[Symbol.asyncIterator]();
  try {
    for (let next = await world.run(iterator.next()); !next.done; next = await world.run(iterator.next()))
      yield next.value;
  } finally {
    await iterator.return?.();
  }
}
