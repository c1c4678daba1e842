// The producer against a real broker: what it sends, how it batches, and what its refusals say.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bytes, string } from "../../src/client/codec.ts";
import type { Millrace } from "../../src/client/millrace.ts";
import { partitionForKey } from "../../src/protocol/partitioner.ts";
import { ClientWorld, problemResponse, type Seen } from "./client-world.ts";

let world: ClientWorld;
let millrace: Millrace;

beforeEach(async () => {
  world = await ClientWorld.start();
  await world.server.createTopic("orders", 3);
  await world.server.createTopic("single", 1);
  millrace = world.client();
});

afterEach(() => world.stop());

const isProduce = ({ method, path }: Seen): boolean => method === "POST" && path.endsWith("/records");
const produces = (): Seen[] => world.seen.filter(isProduce);

describe("a record", () => {
  test("is in the log as it was sent, where the answer says", async () => {
    const producer = millrace.producer<string, { total: number }>();
    const sent = await world.run(
      producer.send({
        topic: "orders",
        key: "k",
        value: { total: 5 },
        headers: { a: "1", b: Uint8Array.of(255) },
        timestamp: 77,
      }),
    );
    const partition = partitionForKey(new TextEncoder().encode("k"), 3);
    expect(sent).toEqual({ topic: "orders", partition, offset: 0, timestamp: 77 });
    const page = (await world.server.get(`/v1/topics/orders/partitions/${partition}/records`)).json();
    expect(page.records).toMatchObject([{ offset: 0, timestamp: 77, key: "k", value: { total: 5 } }]);
    expect(page.records[0].headers).toEqual([
      { key: "a", value: "1" },
      { key: "b", value: "/w==", valueFormat: "base64" },
    ]);
  });

  test("without a timestamp has the time of the call; null is a tombstone", async () => {
    const producer = millrace.producer({ value: string() });
    const sent = await world.run(producer.send({ topic: "single", key: "k", value: null }));
    expect(sent.timestamp).toBe(world.server.clock.nowMs());
    expect(await world.server.valuesOf("single")).toEqual([null]);
  });

  test("goes to the partition it names, or nowhere", async () => {
    const producer = millrace.producer();
    expect(await world.run(producer.send({ topic: "orders", key: "k", value: 1, partition: 2 }))).toMatchObject({
      partition: 2,
    });
    await expect(world.run(producer.send({ topic: "orders", value: 1, partition: 3 }))).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_OR_PARTITION",
      maybeAppended: false,
    });
    await expect(producer.send({ topic: "orders", value: 1, partition: -1 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    expect(producer.bufferedBytes).toBe(0);
  });

  test("that cannot be encoded is refused before anything is sent", async () => {
    const producer = millrace.producer({ value: bytes() });
    await expect(producer.send({ topic: "single", value: "text" as unknown as Uint8Array })).rejects.toMatchObject({
      code: "ENCODE_FAILED",
    });
    await expect(producer.send({ topic: "single", value: undefined as unknown as null })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(producer.send({ topic: "single", value: null, timestamp: 1.5 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    expect(world.seen).toEqual([]);
  });

  test("of a topic that does not exist fails with the broker's words", async () => {
    await expect(world.run(millrace.producer().send({ topic: "nowhere", value: 1 }))).rejects.toMatchObject({
      name: "MillraceError",
      code: "UNKNOWN_TOPIC_OR_PARTITION",
      status: 404,
      retriable: false,
      maybeAppended: false,
      problem: { code: "UNKNOWN_TOPIC_OR_PARTITION" },
    });
  });
});

describe("batches", () => {
  test("a single record goes at once and alone; a burst is one request", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    const before = world.server.clock.monotonicMs();
    await world.run(
      Promise.all(Array.from({ length: 500 }, (_, value) => producer.send({ topic: "single", value: value + 1 }))),
    );
    expect(produces()).toHaveLength(2);
    expect(world.server.clock.monotonicMs()).toBe(before);
    expect(await world.server.valuesOf("single")).toEqual(Array.from({ length: 501 }, (_, value) => value));
  });

  test("what comes while a request is in flight is the next batch", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    const first = producer.send({ topic: "single", value: 1 });
    await Promise.resolve();
    await Promise.resolve();
    const more = [2, 3, 4].map((value) => producer.send({ topic: "single", value }));
    await world.run(Promise.all([first, ...more]));
    expect(produces()).toHaveLength(3);
  });

  test("end at batchBytesMax, and at the topic's max.message.bytes", async () => {
    await world.server.createTopic("small", 1, { "max.message.bytes": 2000 });
    const producer = millrace.producer({ value: bytes() });
    const sent = Array.from({ length: 20 }, () => producer.send({ topic: "small", value: new Uint8Array(500) }));
    await world.run(Promise.all(sent));
    expect(produces()).toHaveLength(7);
  });

  test("that have become too large for the topic are sent in parts; a record too large fails alone", async () => {
    const producer = millrace.producer({ value: bytes() });
    await world.run(producer.send({ topic: "single", value: new Uint8Array() }));
    await world.server.http.app.inject({
      method: "PATCH",
      url: "/v1/topics/single",
      payload: { config: { "max.message.bytes": 1500 } },
    });
    const sizes = [500, 500, 3000, 500, 500];
    const outcomes = await world.run(
      Promise.allSettled(sizes.map((size) => producer.send({ topic: "single", value: new Uint8Array(size) }))),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
      "fulfilled",
    ]);
    expect(outcomes[2]).toMatchObject({ reason: { code: "MESSAGE_TOO_LARGE", maybeAppended: false } });
    expect((await world.server.get("/v1/topics/single/partitions/0/records")).json().nextOffset).toBe(5);
  });

  test("lose only the records at fault", async () => {
    await world.server.createTopic("compacted", 1, { "cleanup.policy": "compact" });
    const producer = millrace.producer();
    const keys = ["a", null, "b"];
    const outcomes = await world.run(
      Promise.allSettled(keys.map((key) => producer.send({ topic: "compacted", key, value: 1 }))),
    );
    expect(outcomes).toMatchObject([
      { value: { offset: 0 } },
      { reason: { code: "INVALID_RECORD" } },
      { value: { offset: 1 } },
    ]);
  });

  test("records without a key stay together, then move on", async () => {
    const producer = millrace.producer();
    const partitions = new Set<number>();
    for (let round = 0; round < 30; round++) {
      const sent = await world.run(Promise.all([1, 2, 3].map((value) => producer.send({ topic: "orders", value }))));
      expect(new Set(sent.map(({ partition }) => partition)).size).toBe(1);
      partitions.add(sent[0]!.partition);
    }
    expect(partitions).toEqual(new Set([0, 1, 2]));
  });

  test("a burst without keys that fills many batches goes to all partitions, each batch full", async () => {
    const producer = millrace.producer({ batchBytesMax: 10_000, value: bytes() });
    const value = new Uint8Array(900);
    const sent = await world.run(
      Promise.all(Array.from({ length: 120 }, () => producer.send({ topic: "orders", value }))),
    );
    for (const partition of [0, 1, 2]) expect(sent.filter((each) => each.partition === partition)).toHaveLength(40);
    expect(produces()).toHaveLength(12);
  });
});

describe("the rule that never doubles", () => {
  test("a lost answer: the same bytes again, one record in the log", async () => {
    const producer = millrace.producer();
    let lost = 0;
    world.fault = (seen) => (isProduce(seen) && lost++ === 0 ? "lostAnswer" : undefined);
    expect(await world.run(producer.send({ topic: "single", value: 1 }))).toMatchObject({ offset: 0 });
    const [first, second] = produces();
    expect(second!.body).toEqual(first!.body);
    expect(await world.server.valuesOf("single")).toEqual([1]);
  });

  test("a deadline in doubt: maybeAppended, and what follows is under a higher epoch", async () => {
    const producer = millrace.producer({ deliveryTimeoutMs: 5_000 });
    await world.run(producer.send({ topic: "single", value: 1 }));
    world.fault = (seen) => (isProduce(seen) ? "lostAnswer" : undefined);
    await expect(world.run(producer.send({ topic: "single", value: 2 }))).rejects.toMatchObject({
      code: "TIMED_OUT",
      retriable: true,
      maybeAppended: true,
      cause: { code: "CONNECTION_FAILED" },
    });
    world.fault = () => undefined;
    expect(await world.run(producer.send({ topic: "single", value: 3 }))).toMatchObject({ offset: 2 });
    const { producers } = (await world.server.get("/v1/topics/single/partitions/0/producers")).json();
    expect(producers).toMatchObject([{ producerEpoch: 1, lastSequence: 0 }]);
    expect(await world.server.valuesOf("single")).toEqual([1, 2, 3]);
  });

  test("each record has its own deadline, also while no broker can be reached", async () => {
    const producer = millrace.producer({ deliveryTimeoutMs: 10_000 });
    await world.run(producer.send({ topic: "single", value: 0 }));
    world.fault = () => "refused";
    const passMs = (ms: number): Promise<void> =>
      world.run(new Promise((resolve) => void world.server.clock.setTimer(ms, () => resolve())));
    const first = producer.send({ topic: "single", value: 1 }).catch(({ code }) => code);
    await passMs(10);
    const second = producer.send({ topic: "single", value: 2 }).catch(({ code }) => code);
    await passMs(8_000);
    const third = producer.send({ topic: "single", value: 3 });
    expect(await world.run(Promise.all([first, second]))).toEqual(["TIMED_OUT", "TIMED_OUT"]);
    world.fault = () => undefined;
    expect(await world.run(third)).toMatchObject({ offset: 1 });
  });

  test("a deadline without doubt: surely not in the log, and the sequence is used again", async () => {
    const producer = millrace.producer({ deliveryTimeoutMs: 5_000 });
    await world.run(producer.send({ topic: "single", value: 1 }));
    world.fault = (seen) => (isProduce(seen) ? "refused" : undefined);
    await expect(world.run(producer.send({ topic: "single", value: 2 }))).rejects.toMatchObject({
      maybeAppended: false,
    });
    world.fault = () => undefined;
    await world.run(producer.send({ topic: "single", value: 3 }));
    const { producers } = (await world.server.get("/v1/topics/single/partitions/0/producers")).json();
    expect(producers).toMatchObject([{ producerEpoch: 0, lastSequence: 1 }]);
    expect(await world.server.valuesOf("single")).toEqual([1, 3]);
  });

  test.for([
    ["OUT_OF_ORDER_SEQUENCE_NUMBER", 1],
    ["INVALID_PRODUCER_EPOCH", 2],
  ] as const)("%s without doubt: a new place, the same records", async ([code, ids]) => {
    const producer = millrace.producer();
    let refused = 0;
    world.fault = (seen) =>
      isProduce(seen) && refused++ === 0 ? problemResponse(409, code, { maybeAppended: false }) : undefined;
    await world.run(producer.send({ topic: "single", value: 1 }));
    expect(world.seen.filter(({ path }) => path === "/v1/producers")).toHaveLength(ids);
    expect(await world.server.valuesOf("single")).toEqual([1]);
  });

  test("OUT_OF_ORDER_SEQUENCE_NUMBER in doubt is never sent again", async () => {
    const producer = millrace.producer();
    let asked = 0;
    world.fault = (seen) => {
      if (!isProduce(seen)) return undefined;
      asked++;
      return asked === 1
        ? "lostAnswer"
        : asked === 2
          ? problemResponse(409, "OUT_OF_ORDER_SEQUENCE_NUMBER", { maybeAppended: false })
          : undefined;
    };
    await expect(world.run(producer.send({ topic: "single", value: 1 }))).rejects.toMatchObject({
      maybeAppended: true,
    });
    await world.run(producer.send({ topic: "single", value: 2 }));
    expect(await world.server.valuesOf("single")).toEqual([1, 2]);
  });

  test("without idempotence a record in doubt is not sent again", async () => {
    const producer = millrace.producer({ idempotent: false });
    world.fault = (seen) => (isProduce(seen) ? "lostAnswer" : undefined);
    await expect(world.run(producer.send({ topic: "single", value: 1 }))).rejects.toMatchObject({
      maybeAppended: true,
      retriable: false,
    });
    expect(produces()).toHaveLength(1);
    let asked = 0;
    world.fault = (seen) => (isProduce(seen) && asked++ < 3 ? "unavailable" : undefined);
    await world.run(producer.send({ topic: "single", value: 2 }));
    expect(await world.server.valuesOf("single")).toEqual([1, 2]);
  });
});

describe("memory", () => {
  test("when the buffer is full send() waits, in order", async () => {
    const producer = millrace.producer({ bufferBytesMax: 1000 });
    const sent = Array.from({ length: 100 }, (_, value) => producer.send({ topic: "single", value }));
    expect(producer.bufferedBytes).toBeLessThanOrEqual(1000);
    const offsets = await world.run(Promise.all(sent));
    expect(offsets.map(({ offset }) => offset)).toEqual(Array.from({ length: 100 }, (_, value) => value));
    expect(producer.bufferedBytes).toBe(0);
  });

  test("or rejects", async () => {
    const producer = millrace.producer({ bufferBytesMax: 100, whenFull: "reject" });
    const first = producer.send({ topic: "single", value: 1 });
    await expect(producer.send({ topic: "single", value: 2 })).rejects.toMatchObject({
      code: "BUFFER_FULL",
      retriable: true,
    });
    await world.run(first);
    await world.run(producer.send({ topic: "single", value: 3 }));
  });

  test("a record larger than the buffer passes alone", async () => {
    const producer = millrace.producer({ bufferBytesMax: 100, value: bytes() });
    await world.run(producer.send({ topic: "single", value: new Uint8Array(5000) }));
  });
});

describe("calling off", () => {
  test("a record that is not on its way is taken back", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 1 }));
    const abort = new AbortController();
    const kept = producer.send({ topic: "single", value: 2 });
    const dropped = producer.send({ topic: "single", value: 3 }, { signal: abort.signal });
    abort.abort();
    await expect(dropped).rejects.toMatchObject({ code: "ABORTED", maybeAppended: false });
    await world.run(kept);
    expect(await world.server.valuesOf("single")).toEqual([1, 2]);
    await expect(producer.send({ topic: "single", value: 4 }, { signal: abort.signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
  });

  test("one that is on its way may arrive", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 1 }));
    const abort = new AbortController();
    const sent = producer.send({ topic: "single", value: 2 }, { signal: abort.signal });
    await Promise.resolve();
    await Promise.resolve();
    abort.abort();
    await expect(sent).rejects.toMatchObject({ code: "ABORTED", maybeAppended: true });
    await world.run(producer.flush());
  });

  test("close() flushes and refuses what comes after; an aborted one gives up", async () => {
    const producer = millrace.producer();
    const sent = producer.send({ topic: "single", value: 1 });
    await world.run(producer.close());
    expect(await sent).toMatchObject({ offset: 0 });
    await expect(producer.send({ topic: "single", value: 2 })).rejects.toMatchObject({ code: "CLOSED" });

    const other = millrace.producer();
    world.fault = () => "refused";
    const timers = world.server.clock.timersPending;
    const stuck = other.send({ topic: "single", value: 3 });
    await Promise.all([
      expect(stuck).rejects.toMatchObject({ code: "CLOSED" }),
      other.close({ signal: AbortSignal.abort() }),
    ]);
    expect(world.server.clock.timersPending).toBe(timers);
  });

  test("the client closes what it opened; await using does too", async () => {
    let sent: Promise<unknown>;
    await world.run(
      (async () => {
        await using producer = millrace.producer();
        sent = producer.send({ topic: "single", value: 1 });
      })(),
    );
    await expect(sent!).resolves.toMatchObject({ offset: 0 });
    const last = millrace.producer().send({ topic: "single", value: 2 });
    await world.run(millrace.close());
    await expect(last).resolves.toMatchObject({ offset: 1 });
    expect(() => millrace.producer()).toThrow("closed");
  });
});
