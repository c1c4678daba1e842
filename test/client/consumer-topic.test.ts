// A consumer of a topic, without a group: places, loops, handlers, pausing, seeking, and the network failing.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { json, string } from "../../src/client/codec.ts";
import type { ConsumedRecord } from "../../src/client/consumed-record.ts";
import type { Millrace } from "../../src/client/millrace.ts";
import { ClientWorld } from "./client-world.ts";

let world: ClientWorld;
let millrace: Millrace;

beforeEach(async () => {
  world = await ClientWorld.start();
  await world.server.createTopic("single", 1);
  await world.server.createTopic("wide", 3);
  millrace = world.client();
});

afterEach(async () => {
  await world.run(millrace.close());
  await world.stop();
});

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);
const produce = (...values: number[]): Promise<void> => world.server.produceNumbers("single", ...values);

/** `count` values, by a loop. */
async function read(consumer: AsyncIterable<ConsumedRecord<string, unknown>>, count: number): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const record of consumer) {
    values.push(record.value);
    if (values.length === count) break;
  }
  return values;
}

describe("a loop", () => {
  test("gives records as they are in the log, and waits for more", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", key: "k", value: { a: 1 }, headers: { h: "x" }, timestamp: 7 }));
    const consumer = millrace.consumer<string, { a: number }>({ topic: "single" });
    const records = consumer[Symbol.asyncIterator]();
    const first = (await world.run(records.next())).value!;
    expect(first).toMatchObject({ topic: "single", partition: 0, offset: 0, timestamp: 7, key: "k", value: { a: 1 } });
    expect(first.header("h")).toBe("x");
    expect(first.header("none")).toBeUndefined();
    expect(new TextDecoder().decode(first.valueBytes!)).toBe('{"a":1}');
    const second = records.next();
    await world.idle();
    await world.run(producer.send({ topic: "single", key: null, value: null }));
    expect((await world.run(second)).value).toMatchObject({ offset: 1, key: null, value: null });
  });

  test.for([
    ["earliest", [0, 1, 2]],
    ["latest", [5, 6]],
    ["-2", [3, 4, 5]],
    [3, [3, 4]],
    [[{ topic: "single", partition: 0, nextOffset: 4 }], [4]],
  ] as const)("from %j", async ([offset, expected]) => {
    await produce(...numbers(0, 5));
    const reading = read(millrace.consumer({ topic: "single", offset }), expected.length);
    await world.idle();
    await produce(5, 6);
    expect(await world.run(reading)).toEqual(expected);
  });

  test("ends at `until`, of several partitions too", async () => {
    const producer = millrace.producer();
    for (const value of numbers(0, 9)) await world.run(producer.send({ topic: "wide", value, partition: value % 3 }));
    const reading = read(millrace.consumer({ topic: "wide", until: "latest" }), 100);
    await world.idle();
    expect((await world.run(reading)).sort()).toEqual(numbers(0, 9));
    expect(await world.run(read(millrace.consumer({ topic: "wide", partitions: [1], until: 2 }), 100))).toEqual([1, 4]);
    expect(await world.run(read(millrace.consumer({ topic: "single", until: "latest" }), 100))).toEqual([]);
  });

  test("that is left puts its last record back", async () => {
    await produce(...numbers(0, 4));
    const consumer = millrace.consumer({ topic: "single" });
    expect(await world.run(read(consumer, 2))).toEqual([0, 1]);
    expect(consumer.positions).toEqual([{ topic: "single", partition: 0, nextOffset: 1 }]);
    expect(await world.run(read(consumer, 3))).toEqual([1, 2, 3]);
  });

  test("ends when the consumer is closed", async () => {
    const consumer = millrace.consumer({ topic: "single" });
    const reading = read(consumer, 1);
    await world.idle();
    await world.run(consumer.close());
    expect(await world.run(reading)).toEqual([]);
    await expect(consumer.eachRecord(() => {})).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("sees partitions that are added later", async () => {
    const consumer = millrace.consumer({ topic: "single" });
    const reading = read(consumer, 1);
    await world.idle();
    await world.run(millrace.admin().alterTopic("single", { partitionCount: 2 }));
    await world.run(world.server.clock.advance(180_000));
    await world.server.post("/v1/topics/single/partitions/1/records", { records: [{ value: "new" }] });
    expect(await world.run(reading)).toEqual(["new"]);
  });
});

describe("what cannot be", () => {
  test.for([
    [{ topic: "nowhere" }, "UNKNOWN_TOPIC_OR_PARTITION"],
    [{ topic: "single", partitions: [1] }, "UNKNOWN_TOPIC_OR_PARTITION"],
    [{ topic: "wide", offset: 3 }, "INVALID_ARGUMENT"],
    [{ topic: "single", offset: 99 }, "OFFSET_OUT_OF_RANGE"],
    [{ topic: "single", offset: "never" }, "INVALID_REQUEST"],
  ] as const)("%j is %s", async ([options, code]) => {
    await expect(world.run(read(millrace.consumer(options), 1))).rejects.toMatchObject({ code });
  });

  test("a place that is gone, with offsetReset: it goes on and tells", async () => {
    await produce(...numbers(0, 3));
    await world.run(millrace.admin().deleteRecords("single", 0, 2));
    const consumer = millrace.consumer({ topic: "single", offset: 0, offsetReset: "earliest" });
    const resets: unknown[] = [];
    consumer.on("reset", (event) => resets.push(event));
    expect(await world.run(read(consumer, 1))).toEqual([2]);
    expect(resets).toHaveLength(1);
  });

  test("two ways at once", async () => {
    const consumer = millrace.consumer({ topic: "single" });
    const reading = read(consumer, 1);
    await world.idle();
    await expect(consumer.eachRecord(() => {})).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(consumer.eachBatch(() => {}, { concurrency: 0 })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(consumer.commit([{ topic: "single", partition: 0, nextOffset: 1 }])).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await produce(1);
    await world.run(reading);
  });

  test("bytes the codec cannot read fail in the handler; the bytes are there", async () => {
    await world.server.ask({
      method: "POST",
      url: "/v1/topics/single/records",
      headers: { "content-type": "application/octet-stream" },
      payload: Buffer.from([0xff]),
    });
    const consumer = millrace.consumer({ topic: "single", value: string() });
    const record = (await world.run(consumer[Symbol.asyncIterator]().next())).value!;
    expect(() => record.value).toThrow("single-0@0");
    expect(record.valueBytes).toEqual(Uint8Array.of(0xff));
  });
});

describe("eachRecord", () => {
  const keys = ["a", "b", "c", null];
  const fill = async (count: number): Promise<void> => {
    const producer = millrace.producer();
    await world.run(
      Promise.all(numbers(0, count).map((value) => producer.send({ topic: "single", key: keys[value % 4]!, value }))),
    );
  };

  test("one after the other", async () => {
    await fill(20);
    const seen: unknown[] = [];
    let running = 0;
    const consumer = millrace.consumer({ topic: "single", until: "latest" });
    await world.run(
      consumer.eachRecord(async ({ value }) => {
        expect(++running).toBe(1);
        await new Promise((resolve) => world.server.clock.setTimer(10, () => resolve(0)));
        running--;
        seen.push(value);
      }),
    );
    expect(seen).toEqual(numbers(0, 20));
  });

  test("several keys at once, each in order, and positions never pass what is not done", async () => {
    await fill(80);
    const perKey = new Map<string | null, number[]>();
    const running = new Set<string | null>();
    let most = 0;
    const done = new Set<number>();
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest" });
    await world.run(
      consumer.eachRecord(
        async ({ key, value, offset }) => {
          if (key !== null) expect(running).not.toContain(key);
          running.add(key);
          most = Math.max(most, running.size);
          await new Promise((resolve) => world.server.clock.setTimer((offset * 7919) % 100, () => resolve(0)));
          running.delete(key);
          perKey.set(key, [...(perKey.get(key) ?? []), value!]);
          done.add(offset);
          const position = consumer.positions[0]?.nextOffset ?? 0;
          for (let below = 0; below < position; below++) expect(done).toContain(below);
        },
        { concurrency: 3 },
      ),
    );
    expect(most).toBe(3);
    for (const key of ["a", "b", "c"]) expect(perKey.get(key)).toEqual([...perKey.get(key)!].sort((a, b) => a - b));
    expect(done.size).toBe(80);
    expect(consumer.positions).toEqual([{ topic: "single", partition: 0, nextOffset: 80 }]);
  });

  test("a handler that throws ends it; the record comes again", async () => {
    await fill(6);
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest" });
    const boom = new Error("boom");
    const failing = consumer.eachRecord(({ value }) => {
      if (value === 3) throw boom;
    });
    await expect(world.run(failing)).rejects.toBe(boom);
    expect(consumer.positions).toMatchObject([{ nextOffset: 3 }]);
    const seen: unknown[] = [];
    await world.run(consumer.eachRecord(({ value }) => seen.push(value)));
    expect(seen).toEqual([3, 4, 5]);
  });

  test("a handler that throws stops its key at once, and what was not handled comes again in order", async () => {
    const producer = millrace.producer();
    const keys = ["a", "a", "b", "c", "b"];
    await world.run(Promise.all(keys.map((key, value) => producer.send({ topic: "single", key, value }))));
    const consumer = millrace.consumer({ topic: "single" });
    const begun: unknown[] = [];
    const failing = consumer.eachRecord(
      async ({ value }) => {
        begun.push(value);
        await Promise.resolve();
        throw new Error("no");
      },
      { concurrency: 3 },
    );
    await expect(world.run(failing)).rejects.toThrow("no");
    expect(begun).toEqual([0, 2, 3]);
    expect(await world.run(read(consumer, 5))).toEqual(numbers(0, 5));
  });

  test("a signal ends it; nothing that was not begun is lost", async () => {
    await fill(40);
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest" });
    const abort = new AbortController();
    const seen: number[] = [];
    const handle = async ({ value }: ConsumedRecord<string, number>): Promise<void> => {
      await new Promise((resolve) => world.server.clock.setTimer(5, () => resolve(0)));
      seen.push(value!);
      if (seen.length === 10) abort.abort();
    };
    await world.run(consumer.eachRecord(handle, { concurrency: 4, signal: abort.signal }));
    expect(seen.length).toBeLessThan(16);
    await world.run(consumer.eachRecord(handle, { concurrency: 4 }));
    expect([...seen].sort((a, b) => a - b)).toEqual(numbers(0, 40));
  });

  test("dead letters: some attempts, then the topic beside, with what went wrong", async () => {
    await world.server.createTopic("single.dlq", 1);
    await fill(4);
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest" });
    let attempts = 0;
    const letters: number[] = [];
    await world.run(
      consumer.eachRecord(
        ({ value }) => {
          if (value !== 1) return;
          attempts++;
          throw new TypeError("not one");
        },
        { deadLetter: { attempts: 3, onDeadLetter: ({ offset }) => letters.push(offset) } },
      ),
    );
    expect(attempts).toBe(3);
    expect(letters).toEqual([1]);
    const page = (await world.server.get("/v1/topics/single.dlq/partitions/0/records")).json();
    expect(page.records).toMatchObject([{ key: "b", value: 1 }]);
    const headers = Object.fromEntries(
      page.records[0].headers.map(({ key, value }: { key: string; value: string }) => [key, value]),
    );
    expect(headers).toEqual({
      "dead-letter-topic": "single",
      "dead-letter-partition": "0",
      "dead-letter-offset": "1",
      "dead-letter-error": "TypeError: not one",
    });
  });

  test("a handler that does not come back is told once", async () => {
    await fill(1);
    const consumer = millrace.consumer({ topic: "single", until: "latest", stallAfterMs: 1_000 });
    const stalled: unknown[] = [];
    consumer.on("stalled", (event) => stalled.push(event));
    await world.run(
      consumer.eachRecord(() => new Promise((resolve) => world.server.clock.setTimer(9_000, () => resolve(0)))),
    );
    expect(stalled).toEqual([{ topic: "single", partition: 0, offset: 0, runningMs: 1_000 }]);
  });
});

describe("eachBatch", () => {
  test("gives what is there of one partition, partitions beside each other", async () => {
    const producer = millrace.producer({ value: json<number>() });
    for (const value of numbers(0, 30)) await world.run(producer.send({ topic: "wide", value, partition: value % 3 }));
    const consumer = millrace.consumer<string, number>({ topic: "wide", until: "latest" });
    const seen = new Map<number, number[]>();
    let running = 0;
    let most = 0;
    await world.run(
      consumer.eachBatch(
        async ({ partition, records }) => {
          most = Math.max(most, ++running);
          expect(records.length).toBeLessThanOrEqual(4);
          await new Promise((resolve) => world.server.clock.setTimer(10, () => resolve(0)));
          seen.set(partition, [...(seen.get(partition) ?? []), ...records.map(({ value }) => value!)]);
          running--;
        },
        { concurrency: 2, batchRecordsMax: 4 },
      ),
    );
    expect(most).toBe(2);
    for (const partition of [0, 1, 2])
      expect(seen.get(partition)).toEqual(numbers(0, 10).map((at) => at * 3 + partition));
  });

  test("a batch that fails comes again", async () => {
    await produce(...numbers(0, 5));
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest" });
    await expect(world.run(consumer.eachBatch(() => Promise.reject(new Error("boom"))))).rejects.toThrow("boom");
    const seen: number[] = [];
    await world.run(consumer.eachBatch(({ records }) => void seen.push(...records.map(({ value }) => value!))));
    expect(seen).toEqual(numbers(0, 5));
  });
});

describe("steering", () => {
  test("pause and resume, per partition", async () => {
    const producer = millrace.producer();
    const consumer = millrace.consumer<string, number>({ topic: "wide" });
    const records = consumer[Symbol.asyncIterator]();
    await world.run(producer.send({ topic: "wide", value: 1, partition: 0 }));
    expect((await world.run(records.next())).value).toMatchObject({ value: 1 });
    consumer.pause([{ topic: "wide", partitions: [0] }]);
    await world.run(producer.send({ topic: "wide", value: 2, partition: 0 }));
    const next = records.next();
    await world.run(world.server.clock.advance(60_000));
    await world.run(producer.send({ topic: "wide", value: 3, partition: 1 }));
    expect((await world.run(next)).value).toMatchObject({ value: 3 });
    consumer.pause();
    await world.run(producer.send({ topic: "wide", value: 4, partition: 1 }));
    const last = records.next();
    await world.idle();
    consumer.resume([{ topic: "wide", partitions: [0] }]);
    expect((await world.run(last)).value).toMatchObject({ value: 2 });
    consumer.resume();
    expect((await world.run(records.next())).value).toMatchObject({ value: 4 });
  });

  test("seek, back and forward", async () => {
    await produce(...numbers(0, 10));
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const records = consumer[Symbol.asyncIterator]();
    await world.run(records.next());
    consumer.seek({ topic: "single", partition: 0, nextOffset: 7 });
    expect((await world.run(records.next())).value).toMatchObject({ value: 7 });
    expect(consumer.positions).toMatchObject([{ nextOffset: 7 }]);
    consumer.seek({ topic: "single", partition: 0, nextOffset: 2 });
    expect((await world.run(records.next())).value).toMatchObject({ value: 2 });
    expect((await world.run(records.next())).value).toMatchObject({ value: 3 });
    expect(consumer.positions).toMatchObject([{ nextOffset: 3 }]);
    expect(() => consumer.seek({ topic: "single", partition: 4, nextOffset: 0 })).toThrow("does not have");
  });

  test("no more is fetched than the buffer holds", async () => {
    await produce(...numbers(0, 2_000));
    const consumer = millrace.consumer<string, number>({ topic: "single", bufferBytesMax: 10_000, pageRecordsMax: 50 });
    const records = consumer[Symbol.asyncIterator]();
    await world.run(records.next());
    await world.run(world.server.clock.advance(60_000));
    const pages = world.seen.filter(({ path }) => path.includes("/records")).length;
    expect(pages).toBeLessThanOrEqual(2);
    for (let value = 1; value < 2_000; value++)
      expect((await world.run(records.next())).value).toMatchObject({ value });
  });
});

test("nothing is lost or doubled when answers are", async () => {
  await produce(...numbers(0, 300));
  let asked = 0;
  const faults = ["lostAnswer", "refused", "unavailable", "badGateway", undefined] as const;
  world.fault = () => faults[asked++ % 5];
  const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest", pageRecordsMax: 20 });
  let retries = 0;
  consumer.on("retrying", () => retries++);
  const seen: unknown[] = [];
  await world.run(consumer.eachRecord(({ value }) => seen.push(value)));
  expect(seen).toEqual(numbers(0, 300));
  expect(retries).toBeGreaterThan(10);
});
