// What bounds a socket: windows are never exceeded, whatever is acked when; a reader that stops costs one buffer and delays nobody; one
// read of the log serves all who are at the same place; frames of any kind leave nothing behind.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  maxInFlight,
  rangeBytesMax,
  socketAnswerBytesMax,
  socketBufferedBytesMax,
} from "../../../src/http/websocket/socket-limits.ts";
import { settled } from "../../simulation/simulated-clock.ts";
import { TestServer } from "../test-server.ts";
import { type Encoding, encodings, type Frame, TestSocket } from "./test-socket.ts";

let server: TestServer;
const sockets: TestSocket[] = [];
beforeEach(async () => {
  server = await TestServer.start();
  await server.createTopic("t", 2);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await server.stop();
  expect(server.errors).toEqual([]);
});

async function open(encoding: Encoding): Promise<TestSocket> {
  const socket = await TestSocket.open(server, encoding);
  sockets.push(socket);
  return socket;
}

async function metric(name: string): Promise<number> {
  const { body } = await server.http.app.inject("/metrics");
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(body)?.[1]);
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 20_000; turn++) {
    if (await isSo()) return;
    await settled();
  }
  throw new Error("this never came to be");
}

const size = ({ key, value, headers = [] }: Frame): number =>
  [key, value, ...headers.flatMap((header: Frame) => [header.key, header.value])].reduce(
    (sum: number, part) => sum + (part === null ? 0 : Buffer.byteLength(part)),
    0,
  );

describe("the window", () => {
  test.each(encodings)("is never exceeded, and everything comes once and in order (%s)", async (encoding) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(40), { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12 }),
        fc.record({ records: fc.integer({ min: 1, max: 12 }), bytes: fc.integer({ min: 1, max: 120 }) }),
        fc.array(fc.nat(5), { minLength: 4, maxLength: 40 }),
        async (batches, window, acks) => {
          const topic = `w${Math.random().toString(36).slice(2)}`;
          await server.createTopic(topic, 2);
          let total = 0;
          for (const [at, lengths] of batches.entries()) {
            const records = lengths.map((length) => ({ key: "k", value: "v".repeat(length) }));
            await server.post(`/v1/topics/${topic}/partitions/${at % 2}/records`, { valueFormat: "string", records });
            total += lengths.length;
          }
          const socket = await open(encoding);
          socket.send({
            type: "subscribe",
            id: 1,
            topic,
            window,
            ...(encoding === "json" ? { valueFormat: "string" } : {}),
          });
          await socket.next("subscribed");
          const unacked: { partition: number; offset: number; size: number }[] = [];
          const next = [0, 0];
          let seen = 0;
          let draw = 0;
          while (seen < total) {
            await socket.settle();
            for (const frame of socket.frames.splice(0)) {
              for (const record of frame.records as Frame[]) {
                expect(record.offset).toBe(next[frame.partition as number]);
                next[frame.partition as number] = record.offset + 1;
                unacked.push({ partition: frame.partition, offset: record.offset, size: size(record) });
                seen += 1;
              }
              const bytes = unacked.reduce((sum, one) => sum + one.size, 0);
              expect(unacked.length).toBeLessThanOrEqual(window.records);
              if (unacked.length > 1) expect(bytes).toBeLessThanOrEqual(window.bytes);
            }
            if (unacked.length === 0) continue;
            // Acks what a draw says of one partition; nothing at all would stand still.
            const { partition } = unacked[acks[draw++ % acks.length]! % unacked.length]!;
            const mine = unacked.filter((one) => one.partition === partition);
            const { offset } = mine[acks[draw++ % acks.length]! % mine.length]!;
            socket.send({ type: "ack", id: 1, positions: [{ topic, partition, nextOffset: offset + 1 }] });
            for (let at = unacked.length - 1; at >= 0; at--) {
              if (unacked[at]!.partition === partition && unacked[at]!.offset <= offset) unacked.splice(at, 1);
            }
          }
          socket.close();
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe("a reader that stalls", () => {
  test.each(encodings)("is held at its limit; the others get everything (%s)", async (encoding) => {
    const stalled = await open(encoding);
    stalled.send({ type: "subscribe", id: 1, topic: "t", partitions: [0] });
    await stalled.next("subscribed");
    const reading = await open(encoding);
    reading.send({ type: "subscribe", id: 1, topic: "t", partitions: [0] });
    await reading.next("subscribed");
    stalled.stream.pause();
    let worst = 0;
    const value = "x".repeat(20_000);
    for (let at = 0; at < 60; at++) {
      await server.post("/v1/topics/t/partitions/0/records", { valueFormat: "string", records: [{ value }] });
      worst = Math.max(worst, await metric("millrace_websocket_buffered_bytes"));
    }
    let got = 0;
    while (got < 60) got += (await reading.next("records")).records.length;
    // One delivery may go above it, and the other socket has its own.
    expect(worst).toBeGreaterThan(socketBufferedBytesMax / 2);
    expect(worst).toBeLessThan(2 * (socketBufferedBytesMax + 2 * rangeBytesMax));
    stalled.stream.resume();
    let late = 0;
    while (late < 60) late += (await stalled.next("records")).records.length;
    expect(await metric("millrace_websocket_buffered_bytes")).toBe(0);
  });

  test("and only asks is closed once its answers pile up", async () => {
    const socket = await open("json");
    socket.stream.pause();
    let sent = 0;
    await until(async () => {
      for (let at = 0; at < 2_000; at++, sent++) socket.sendRaw("{}");
      return (await metric('millrace_websocket_closes_total\\{reason="unread"\\}')) === 1;
    });
    expect(await metric("millrace_websocket_buffered_bytes")).toBe(0);
    expect(sent * 600).toBeGreaterThan(socketAnswerBytesMax);
  });
});

describe("shared reads", () => {
  test("1,000 tails of one partition cost one fetch for each batch", async () => {
    const socket = await open("msgpack");
    const other = await open("json");
    for (let id = 0; id < 500; id++) {
      socket.send({ type: "subscribe", id, topic: "t", partitions: [0] });
      other.send({ type: "subscribe", id, topic: "t", partitions: [0] });
    }
    for (let id = 0; id < 500; id++) {
      await socket.next("subscribed");
      await other.next("subscribed");
    }
    let fetches = 0;
    const { broker } = server;
    const fetch = broker.fetch.bind(broker);
    broker.fetch = (request) => {
      fetches += 1;
      return fetch(request);
    };
    for (let at = 0; at < 5; at++) {
      await server.produceNumbers("t", at);
      for (let id = 0; id < 500; id++) {
        expect((await socket.next("records")).nextOffset).toBe(at + 1);
        expect((await other.next("records")).nextOffset).toBe(at + 1);
      }
    }
    expect(fetches).toBeLessThanOrEqual(6);
  });
});

describe("produces in flight", () => {
  test("beyond the limit are refused, surely not appended; the others happen", async () => {
    const socket = await open("json");
    const frame = (id: number) => ({ type: "produce", id, topic: "t", partition: 0, records: [{ value: id }] });
    for (let id = 0; id < maxInFlight + 200; id++) socket.send(frame(id));
    let produced = 0;
    let refused = 0;
    for (let id = 0; id < maxInFlight + 200; id++) {
      const answer = await socket.any();
      if (answer.type === "produced") produced += 1;
      else {
        expect(answer.problem).toMatchObject({ status: 429, maybeAppended: false, limit: { name: "maxInFlight" } });
        expect(answer.problem.retryAfterMs).toBeGreaterThan(0);
        refused += 1;
      }
    }
    expect(produced).toBeGreaterThanOrEqual(maxInFlight);
    expect(refused).toBe(maxInFlight + 200 - produced);
    expect(await server.valuesOf("t")).toHaveLength(produced);
    expect(await metric("millrace_request_bytes_in_flight")).toBe(0);
  });
});

test("frames that do not end count as requests in flight; what there is no memory for is closed with 4002", async () => {
  await server.stop();
  const MiB = 1024 * 1024;
  server = await TestServer.start({
    maxBodyBytes: MiB,
    maxLineBytes: MiB,
    maxFrameBytes: MiB,
    requestBytesInFlightMax: 2 * MiB,
  });
  /** The first part of a message of two: what a client would send that never finishes. */
  const begin = async () => {
    const socket = await open("msgpack");
    (socket.socket as unknown as { send(data: Buffer, options: object): void }).send(Buffer.alloc(0.9 * MiB), {
      fin: false,
    });
    return socket;
  };
  await begin();
  await begin();
  await until(async () => (await metric("millrace_request_bytes_in_flight")) > 1.7 * MiB);
  const last = await begin();
  await until(async () => {
    await server.clock.advance(1_000);
    return last.closed !== undefined;
  });
  expect(last.closed?.code).toBe(4002);
  for (const socket of sockets) socket.close();
  await until(async () => (await metric("millrace_request_bytes_in_flight")) === 0);
});

test("a frame in very many fragments closes with 1008", async () => {
  const socket = await TestSocket.open(server, "json");
  for (let i = 0; i < 5_000; i++) socket.socket.send(" ", { fin: false });
  expect((await socket.ends()).code).toBe(1008);
});

describe("frames of any kind", () => {
  const id = fc.oneof(fc.nat(3), fc.string({ maxLength: 3 }), fc.constant(null), fc.constant(-1));
  const topic = fc.constantFrom("t", "nosuch", "", "__consumer_offsets", 5);
  const positions = fc.array(
    fc.record(
      { topic, partition: fc.integer({ min: -1, max: 3 }), nextOffset: fc.integer({ min: -1, max: 9 }), x: fc.nat() },
      { requiredKeys: ["topic", "partition"] },
    ),
    { maxLength: 3 },
  );
  const frame = fc.oneof(
    fc.record(
      {
        type: fc.constantFrom("produce", "subscribe", "ack", "seek", "unsubscribe", "ping", "auth", "x"),
        id,
        topic,
        partition: fc.integer({ min: -1, max: 3 }),
        partitions: fc.array(fc.integer({ min: -1, max: 3 }), { maxLength: 3 }),
        records: fc.array(fc.record({ value: fc.oneof(fc.string(), fc.constant(null)) }), { maxLength: 3 }),
        positions,
        offset: fc.oneof(fc.integer({ min: -5, max: 5 }), fc.constantFrom("earliest", "latest", "?")),
        until: fc.oneof(fc.nat(5), fc.constant("latest")),
        window: fc.record({ records: fc.integer({ min: -1, max: 5 }), bytes: fc.nat(100) }, { requiredKeys: [] }),
        token: fc.string(),
      },
      { requiredKeys: ["type"] },
    ),
    fc.jsonValue(),
  );

  test.each(encodings)("never kill, never leak, never stop the others (%s)", async (encoding) => {
    await server.produceNumbers("t", 0, 1, 2);
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { maxLength: 30 }),
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
        async (frames, raw) => {
          const socket = await open(encoding);
          for (const one of frames) socket.send(one);
          for (const bytes of raw)
            if (socket.closed === undefined)
              socket.sendRaw(encoding === "json" ? Buffer.from(bytes).toString() : Buffer.from(bytes));
          await socket.settle();
          socket.close();
          await until(
            async () => (await metric(`millrace_websocket_sockets\\{subprotocol="millrace.v1.${encoding}"\\}`)) === 0,
          );
          expect(await metric("millrace_websocket_subscriptions")).toBe(0);
          await until(async () => (await metric("millrace_request_bytes_in_flight")) === 0);
        },
      ),
      { numRuns: 40 },
    );
    await server.produceNumbers("t", 7);
  });
});
