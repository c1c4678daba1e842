// The client on the broker's real WebSocket, over a pair of streams: what the fake of socket-world.ts says, said by the broker.

import { type Duplex, duplexPair } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { bytes } from "../../src/client/codec.ts";
import type { Millrace } from "../../src/client/millrace.ts";
import type { OpenWebSocket, WebSocketLike } from "../../src/client/web-socket.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { ClientWorld } from "./client-world.ts";

let world: ClientWorld;
let millrace: Millrace;
const streams: Duplex[] = [];

const open: OpenWebSocket = (_url, protocol) => {
  const [near, far] = duplexPair();
  near.on("close", () => far.destroy());
  far.on("close", () => near.destroy()).on("error", () => {});
  streams.push(near);
  world.server.http.app.server.emit("connection", far);
  const options = { createConnection: () => near, perMessageDeflate: false };
  const socket = new WebSocket("ws://localhost/v1/ws", protocol, options as ConstructorParameters<typeof WebSocket>[2]);
  return socket as unknown as WebSocketLike;
};

beforeEach(async () => {
  world = await ClientWorld.start();
  await world.server.createTopic("single", 1);
  await world.server.createTopic("wide", 3);
  millrace = world.client({ webSocket: open, auth: "token" });
});

afterEach(async () => {
  await soon(millrace.close());
  for (const stream of streams.splice(0)) stream.destroy();
  await world.stop();
  expect(world.server.errors).toEqual([]);
});

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const overHttp = (): number => world.seen.filter(({ path }) => path.includes("/records")).length;

/** Without letting time pass: nothing here may need it. */
async function soon<T>(promise: Promise<T>): Promise<T> {
  let isDone = false;
  const mark = (): void => {
    isDone = true;
  };
  promise.then(mark, mark);
  for (let turns = 0; !isDone && turns < 20_000; turns++) await settled();
  if (!isDone) throw new Error("it waits for time to pass");
  return promise;
}

async function until(done: () => boolean): Promise<void> {
  for (let turns = 0; !done() && turns < 20_000; turns++) await settled();
  expect(done()).toBe(true);
}

describe("over the broker's socket", () => {
  test("records are produced, and a refusal is the broker's", async () => {
    const producer = millrace.producer();
    const sent = await soon(
      Promise.all(numbers(100).map((value) => producer.send({ topic: "wide", value, partition: value % 3 }))),
    );
    expect(sent.map(({ offset }) => offset)).toEqual(numbers(100).map((value) => Math.floor(value / 3)));
    expect(overHttp()).toBe(0);
    await world.server.http.app.inject({ method: "DELETE", url: "/v1/topics/wide" });
    await expect(soon(producer.send({ topic: "wide", value: 1 }))).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_OR_PARTITION",
      maybeAppended: false,
    });
  });

  test("large batches too, as far as a frame goes", async () => {
    const producer = millrace.producer({ value: bytes() });
    const sent = numbers(8).map((partition) =>
      producer.send({ topic: "wide", value: new Uint8Array(900_000), partition: partition % 3 }),
    );
    await soon(Promise.all(sent));
    expect(overHttp()).toBe(0);
  });

  test("a topic is tailed: a record comes as soon as it is in the log", async () => {
    await world.server.produceNumbers("single", ...numbers(5));
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const seen: number[] = [];
    const handling = consumer.eachRecord(({ value }) => void seen.push(value!));
    await until(() => seen.length === 5);
    await world.server.produceNumbers("single", 5, 6, 7);
    await until(() => seen.length === 8);
    expect(seen).toEqual(numbers(8));
    expect(overHttp()).toBe(0);
    await soon(consumer.close());
    await soon(handling);
  });

  test("a long one whole, in order, within its window", async () => {
    for (let from = 0; from < 15_000; from += 5_000) {
      await world.server.produceNumbers("single", ...numbers(5_000).map((at) => from + at));
    }
    const consumer = millrace.consumer<string, number>({ topic: "single", until: "latest", bufferBytesMax: 300_000 });
    let count = 0;
    await soon(
      consumer.eachRecord(({ value }) => {
        if (value !== count) throw new Error(`${value} instead of ${count}`);
        count++;
      }),
    );
    expect(count).toBe(15_000);
  });

  test("when the connection breaks both go on, and nothing is doubled or left out", async () => {
    const producer = millrace.producer<string, number>();
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    const sent: Promise<unknown>[] = [];
    for (let round = 0; round < 10; round++) {
      sent.push(...numbers(20).map((at) => producer.send({ topic: "single", value: round * 20 + at })));
      for (let turns = 0; turns < round * 3; turns++) await settled();
      streams.at(-1)?.destroy();
      await world.run(Promise.all(sent));
    }
    await world.run(world.server.clock.advance(60_000));
    await until(() => seen.length >= 200);
    expect(seen).toEqual(numbers(200));
    expect(await world.server.valuesOf("single")).toEqual(numbers(200));
    expect(streams.length).toBeGreaterThan(3);
  });

  test("seek, pause and resume", async () => {
    await world.server.produceNumbers("single", ...numbers(10));
    const consumer = millrace.consumer<string, number>({ topic: "single" });
    const seen: number[] = [];
    void consumer.eachRecord(({ value }) => void seen.push(value!));
    await until(() => seen.length === 10);
    consumer.seek({ topic: "single", partition: 0, nextOffset: 7 });
    await until(() => seen.length === 13);
    expect(seen.slice(10)).toEqual([7, 8, 9]);
    consumer.pause();
    await world.server.produceNumbers("single", 10);
    for (let turns = 0; turns < 200; turns++) await settled();
    expect(seen).toHaveLength(13);
    consumer.resume();
    await until(() => seen.length === 14);
  });

  test("a place that is gone is an error, or where offsetReset says", async () => {
    await world.server.produceNumbers("single", 0, 1, 2);
    await soon(millrace.admin().deleteRecords("single", 0, 2));
    const strict = millrace.consumer({ topic: "single", offset: 0 });
    await expect(soon(strict.eachRecord(() => {}))).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", status: 416 });
    const lax = millrace.consumer({ topic: "single", offset: 0, offsetReset: "earliest" });
    const resets: unknown[] = [];
    lax.on("reset", (event) => resets.push(event));
    const first = await soon(lax[Symbol.asyncIterator]().next());
    expect(first.value).toMatchObject({ offset: 2 });
    expect(resets).toMatchObject([{ from: "0:0", to: "0:2" }]);
  });
});
