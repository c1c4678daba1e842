// The client over a WebSocket: what it sends there, what breaks and comes back, and HTTP where there is none.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bytes } from "../../src/client/codec.ts";
import type { Millrace } from "../../src/client/millrace.ts";
import { ClientWorld } from "./client-world.ts";
import { SocketWorld } from "./socket-world.ts";

let world: ClientWorld;
let sockets: SocketWorld;
let millrace: Millrace;

beforeEach(async () => {
  world = await ClientWorld.start();
  sockets = new SocketWorld(world);
  await world.server.createTopic("single", 1);
  millrace = world.client({ webSocket: sockets.open, auth: "secret" });
});

afterEach(async () => {
  await world.run(millrace.close());
  await world.stop();
});

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const produces = (): number =>
  world.seen.filter(({ path, method }) => method === "POST" && path.endsWith("/records")).length;
const framesOf = (type: string) =>
  sockets.sockets.flatMap(({ frames }) => frames.filter((frame) => frame.type === type));
const passMs = (ms: number): Promise<void> =>
  world.run(new Promise<void>((resolve) => world.server.clock.setTimer(ms, () => resolve())));

describe("producing", () => {
  test("goes over one socket, authenticated first", async () => {
    const producer = millrace.producer();
    const sent = numbers(50).map((value) => producer.send({ topic: "single", value }));
    expect((await world.run(Promise.all(sent))).map(({ offset }) => offset)).toEqual(numbers(50));
    expect(sockets.sockets).toHaveLength(1);
    expect(sockets.last.url).toBe("ws://localhost/v1/ws");
    expect(sockets.last.protocol).toBe("millrace.v1.msgpack");
    expect(sockets.last.frames[0]).toEqual({ type: "auth", token: "secret" });
    expect(framesOf("produce")).toHaveLength(1);
    expect(produces()).toBe(0);
    expect(await world.server.valuesOf("single")).toEqual(numbers(50));
  });

  test("a socket that breaks leaves doubt: the same bytes go over the next", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    sockets.last.isMute = true;
    const sent = producer.send({ topic: "single", value: 1 });
    await world.idle();
    sockets.last.cut();
    expect(await world.run(sent)).toMatchObject({ offset: 1 });
    expect(sockets.sockets).toHaveLength(2);
    const [, first, second] = framesOf("produce");
    expect(second!["batch"]).toEqual(first!["batch"]);
    expect(await world.server.valuesOf("single")).toEqual([0, 1]);
  });

  test("a broker that is silent is asked, then left", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    sockets.last.isMute = true;
    const start = world.server.clock.monotonicMs();
    expect(await world.run(producer.send({ topic: "single", value: 1 }))).toMatchObject({ offset: 1 });
    expect(world.server.clock.monotonicMs() - start).toBeLessThan(61_000);
    expect(framesOf("ping").length + sockets.sockets.length).toBeGreaterThan(1);
  });

  test("what the broker refuses is the same error", async () => {
    const producer = millrace.producer({ value: bytes() });
    await world.run(producer.send({ topic: "single", value: new Uint8Array(1) }));
    await world.server.http.app.inject({ method: "DELETE", url: "/v1/topics/single" });
    await expect(world.run(producer.send({ topic: "single", value: new Uint8Array(1) }))).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_OR_PARTITION",
      maybeAppended: false,
    });
  });

  test("a frame that is too large goes over HTTP", async () => {
    const producer = millrace.producer({ value: bytes() });
    await world.run(producer.send({ topic: "single", value: new Uint8Array(200_000) }));
    expect(produces()).toBe(1);
  });

  test("where no socket can be had HTTP does it all, and later a socket is tried again", async () => {
    sockets.isUp = false;
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    await world.run(producer.send({ topic: "single", value: 1 }));
    expect([sockets.sockets.length, produces()]).toEqual([1, 2]);
    sockets.isUp = true;
    await passMs(31_000);
    await world.run(producer.send({ topic: "single", value: 2 }));
    expect([sockets.sockets.length, produces()]).toEqual([2, 2]);
    const plain = world.client({ webSocket: sockets.open, transport: "http" }).producer();
    await world.run(plain.send({ topic: "single", value: 3 }));
    expect(sockets.sockets).toHaveLength(2);
  });

  test("a goaway: new calls wait on no one, and come back after the time it names", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    sockets.last.tell({ type: "goaway", reconnectAfterMs: 4_000 });
    await world.idle();
    await world.run(producer.send({ topic: "single", value: 1 }));
    expect([sockets.sockets.length, produces()]).toEqual([1, 1]);
    await passMs(4_000);
    await world.run(producer.send({ topic: "single", value: 2 }));
    expect([sockets.sockets.length, produces()]).toEqual([2, 1]);
  });

  test("a close that says not to come back is believed", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    sockets.last.cut(4500);
    await passMs(3_600_000);
    await world.run(producer.send({ topic: "single", value: 1 }));
    expect([sockets.sockets.length, produces()]).toEqual([1, 1]);
  });

  test("a socket nobody uses is closed, also when all is closed", async () => {
    const producer = millrace.producer();
    await world.run(producer.send({ topic: "single", value: 0 }));
    await passMs(61_000);
    expect(sockets.last.isCut).toBe(true);
    await world.run(producer.send({ topic: "single", value: 1 }));
    expect(sockets.sockets).toHaveLength(2);
    await world.run(producer.close());
    await world.idle();
    expect(sockets.last.isCut).toBe(true);
  });
});

describe("consuming a topic", () => {
  test("is a subscription: what is new comes without being asked for", async () => {
    await world.server.produceNumbers("single", ...numbers(5));
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await passMs(1_000);
    await world.server.produceNumbers("single", 5, 6);
    await sockets.pump();
    await world.idle();
    expect(seen).toEqual(numbers(7));
    expect(framesOf("subscribe")).toHaveLength(1);
    expect(world.seen.filter(({ path }) => path.includes("/records"))).toEqual([]);
  });

  test("keeps within its window, and acks as it takes", async () => {
    await world.server.produceNumbers("single", ...numbers(14_000));
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest" });
    let count = 0;
    await world.run(
      consumer.eachRecord(({ value }) => {
        if (value !== count) throw new Error(`${value} instead of ${count}`);
        count++;
      }),
    );
    expect(count).toBe(14_000);
    expect(sockets.last.unackedMax).toBeLessThanOrEqual(10_000);
    expect(framesOf("ack").length).toBeGreaterThan(1);
    expect(framesOf("ack").length).toBeLessThan(15);
  });

  test("acks soon what was taken, however little: a large record may wait for the whole window", async () => {
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    void consumer.eachRecord(() => {});
    await world.idle();
    await world.server.produceNumbers("single", 0, 1);
    await sockets.pump();
    await passMs(1_000);
    expect(framesOf("ack").at(-1)).toMatchObject({ positions: [{ partition: 0, nextOffset: 2 }] });
    await passMs(1_000);
    expect(framesOf("ack")).toHaveLength(1);
  });

  test("acks only what was taken", async () => {
    await world.server.produceNumbers("single", ...numbers(14_000));
    const records = millrace.consumer<string, number>({ topic: "single" })[Symbol.asyncIterator]();
    for (let value = 0; value < 3_000; value++)
      expect((await world.run(records.next())).value).toMatchObject({ value });
    const acked = framesOf("ack").map(({ positions }) => (positions as { nextOffset: number }[])[0]!.nextOffset);
    expect(acked.length).toBeGreaterThan(0);
    expect(Math.max(...acked)).toBeLessThanOrEqual(3_000);
  });

  test("goes on where it was when the socket breaks, without one too, and back", async () => {
    await world.server.produceNumbers("single", ...numbers(10));
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await passMs(1_000);
    sockets.last.cut();
    await world.server.produceNumbers("single", 10, 11);
    await world.idle();
    await sockets.pump();
    await passMs(10_000);
    expect(seen).toEqual(numbers(12));
    expect(sockets.sockets).toHaveLength(2);
    sockets.isUp = false;
    sockets.last.cut();
    await world.server.produceNumbers("single", 12);
    await passMs(10_000);
    sockets.isUp = true;
    await world.server.produceNumbers("single", 13);
    await passMs(60_000);
    expect(seen).toEqual(numbers(14));
    await world.server.produceNumbers("single", 14);
    await sockets.pump();
    await world.idle();
    expect(seen).toEqual(numbers(15));
  });

  test("seek and pause end the subscription and begin another", async () => {
    await world.server.produceNumbers("single", ...numbers(10));
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await passMs(1_000);
    consumer.seek({ topic: "single", partition: 0, nextOffset: 7 });
    await passMs(1_000);
    expect(seen.slice(10)).toEqual([7, 8, 9]);
    consumer.pause();
    await world.server.produceNumbers("single", 10);
    await passMs(60_000);
    expect(seen).toHaveLength(13);
    consumer.resume();
    await passMs(1_000);
    expect(seen.slice(13)).toEqual([10]);
    expect(framesOf("unsubscribe").length).toBeGreaterThanOrEqual(2);
  });

  test("a place that is gone is the broker's error", async () => {
    const consumer = millrace.consumer({ topic: "single", offset: 99 });
    await expect(world.run(consumer.eachRecord(() => {}))).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  });
});

test("bytes that are no frame end the socket, not the client", async () => {
  const producer = millrace.producer();
  await world.run(producer.send({ topic: "single", value: 0 }));
  sockets.last.onmessage!({ data: "text" });
  await world.idle();
  expect(sockets.last.isCut).toBe(true);
  await world.run(producer.send({ topic: "single", value: 1 }));
  expect(await world.server.valuesOf("single")).toEqual([0, 1]);
});
