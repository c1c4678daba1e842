// The faults and ends of a broker in a test, as its WebSockets meet them.

import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { startBroker, type TestBroker } from "../../src/testing.ts";
import { createTopic, produce } from "./calls.ts";

interface Frame {
  readonly type: string;
  readonly [field: string]: unknown;
}

let broker: TestBroker;
beforeAll(async () => {
  broker = await startBroker();
  await createTopic(broker.url, "t");
});
afterAll(() => broker.close());

/** A socket of a user's own, frame by frame. */
class Client {
  readonly socket = new WebSocket(`${broker.url.replace("http", "ws")}/v1/ws`, "millrace.v1.json");
  readonly closed: Promise<number>;
  readonly #frames: Frame[] = [];
  #arrived: () => void = () => {};

  constructor() {
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.socket.on("error", () => {});
    this.socket.on("message", (data) => {
      this.#frames.push(JSON.parse(String(data)) as Frame);
      this.#arrived();
    });
  }

  send(frame: Frame): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** The next frame of this type; others are passed over. */
  async next(type: string): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame?.type === type) return frame;
      if (frame === undefined) {
        await new Promise<void>((resolve) => {
          this.#arrived = resolve;
        });
      }
    }
  }
}

async function subscribed(): Promise<Client> {
  const client = new Client();
  await client.next("ready");
  client.send({ type: "subscribe", id: 1, topic: "t", offset: "latest" });
  await client.next("subscribed");
  return client;
}

test("a handshake is refused with the problem", async () => {
  using fault = broker.refuse({ code: "BROKER_SHUTTING_DOWN", path: "/v1/ws" });
  const { socket } = new Client();
  const [, answer] = await once(socket, "unexpected-response");
  expect(answer.statusCode).toBe(503);
  const body = Buffer.concat(await answer.toArray()).toString();
  expect(JSON.parse(body)).toMatchObject({ code: "BROKER_SHUTTING_DOWN", retriable: true });
  expect(fault.met).toBe(1);
});

test.each(["before", "after"] as const)("a handshake is dropped %s it is handled, the next is not", async (when) => {
  using fault = broker.drop({ when, path: "/v1/ws", times: 1 });
  expect(await new Client().closed).toBe(1006);
  expect(fault.met).toBe(1);
  const { socket } = await subscribed();
  socket.terminate();
});

test("a handshake is delayed", async () => {
  const ms = 80;
  using _fault = broker.delay({ ms, path: "/v1/ws", times: 1 });
  const begun = performance.now();
  const client = new Client();
  await client.next("ready");
  expect(performance.now() - begun).toBeGreaterThanOrEqual(ms - 1);
  client.socket.terminate();
});

test("cutConnections breaks a socket without a word", async () => {
  const client = await subscribed();
  await produce(broker.url, "t", "seen");
  expect(await client.next("records")).toMatchObject({ records: [{ value: "seen" }] });
  broker.cutConnections();
  expect(await client.closed).toBe(1006);
});

test("kill breaks it too; stop says goodbye first", async () => {
  const killed = await subscribed();
  await broker.kill();
  expect(await killed.closed).toBe(1006);
  await broker.restart();
  const stopped = await subscribed();
  const stop = broker.stop();
  expect(await stopped.next("goaway")).toMatchObject({ reconnectAfterMs: expect.any(Number) });
  expect(await stopped.closed).toBe(1012);
  await stop;
  await broker.restart();
});
