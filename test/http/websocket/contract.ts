// The rows of docs/websocket.md, in both subprotocols.

import asyncapiSchema from "@asyncapi/specs/schemas/3.0.0-without-$id.json" with { type: "json" };
import { Ajv } from "ajv";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keepaliveMs, maxSubscriptions, socketLimits } from "../../../src/http/websocket/socket-limits.ts";
import { settled } from "../../simulation/simulated-clock.ts";
import type { TestServer } from "../test-server.ts";
import { type Encoding, encodings, type Frame, pack, startServer, TestSocket, type Transport } from "./test-socket.ts";

/** Over streams in memory, or over loopback. */
export function contract(transport: Transport): void {
  let server: TestServer;
  const sockets: TestSocket[] = [];

  beforeEach(async () => {
    server = await startServer(transport, { autoCreateTopics: true });
    await server.createTopic("t", 2);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.close();
    await server.stop();
    expect(server.errors).toEqual([]);
    expect((await server.http.app.inject("/livez").catch(() => ({ statusCode: 0 }))).statusCode).toBeDefined();
  });

  async function open(encoding: Encoding, options: Parameters<typeof TestSocket.open>[2] = {}): Promise<TestSocket> {
    const socket = await TestSocket.open(server, encoding, options);
    sockets.push(socket);
    return socket;
  }

  const numbers = (frame: Frame): number[] =>
    frame.records.map(({ value }: { value: unknown }) => Number(Buffer.isBuffer(value) ? value.toString() : value));

  /** Takes records frames until so many records are there. */
  async function take(socket: TestSocket, count: number): Promise<number[]> {
    const taken: number[] = [];
    while (taken.length < count) taken.push(...numbers(await socket.next("records")));
    return taken;
  }

  describe.each(encodings)("%s", (encoding) => {
    /** A value as this subprotocol carries it. */
    const value = (text: string) => (encoding === "json" ? JSON.parse(text) : Buffer.from(text));

    test("ready says who the broker is and what its limits are", async () => {
      const [stream] = [await open(encoding)];
      expect(stream.closed).toBeUndefined();
      const cluster = (await server.get("/v1/cluster")).json();
      expect(cluster.limits).toMatchObject({ ...socketLimits, maxFrameBytes: 16 * 1024 * 1024 });
      expect(cluster.features).toContain("websocket");
    });

    test("an auth frame is looked at by nobody while authentication is off", async () => {
      const socket = await open(encoding);
      socket.send({ type: "auth", token: "x" });
      await socket.settle();
      expect(socket.frames).toEqual([]);
    });

    describe("produce", () => {
      test("to a topic: offsets, as over HTTP", async () => {
        const socket = await open(encoding);
        socket.send({
          type: "produce",
          id: "a",
          topic: "t",
          records: [
            { value: value("1"), partition: 1 },
            { value: value("2"), partition: 0 },
          ],
        });
        expect(await socket.next("produced")).toEqual({
          type: "produced",
          id: "a",
          offsets: [
            { partition: 1, offset: 0 },
            { partition: 0, offset: 0 },
          ],
        });
      });

      test("to a partition: the answer of its route; a repeat is a duplicate", async () => {
        const socket = await open(encoding);
        const frame = {
          type: "produce",
          topic: "t",
          partition: 1,
          records: [{ value: value("1") }, { value: value("2") }],
          producerId: 7,
          producerEpoch: 0,
          baseSequence: 0,
        };
        socket.send({ ...frame, id: 1 });
        expect(await socket.next("produced")).toMatchObject({
          id: 1,
          partition: 1,
          baseOffset: 0,
          lastOffset: 1,
          duplicate: false,
        });
        socket.send({ ...frame, id: 1 }); // answered: free again
        expect(await socket.next("produced")).toMatchObject({ id: 1, baseOffset: 0, duplicate: true });
        expect(await socket.refused({ ...frame, id: 2, baseSequence: 9 })).toMatchObject({
          code: "OUT_OF_ORDER_SEQUENCE_NUMBER",
          expectedSequence: 2,
          maybeAppended: false,
        });
      });

      test("is appended in the order sent, however many are in flight", async () => {
        const socket = await open(encoding);
        for (let id = 0; id < 200; id++) {
          socket.send({ type: "produce", id, topic: "t", partition: 0, records: [{ value: value(String(id)) }] });
        }
        for (let id = 0; id < 200; id++) {
          expect(await socket.next("produced")).toMatchObject({ id, baseOffset: id });
        }
        expect(await server.valuesOf("t")).toEqual(Array.from({ length: 200 }, (_, at) => at));
      });

      test("to a topic that is made by it: in the order sent too", async () => {
        const socket = await open(encoding);
        for (let id = 0; id < 5; id++) {
          socket.send({ type: "produce", id, topic: "made", partition: 0, records: [{ value: value(String(id)) }] });
        }
        for (let id = 0; id < 5; id++) expect(await socket.next("produced")).toMatchObject({ id, baseOffset: id });
        expect(await server.valuesOf("made")).toEqual([0, 1, 2, 3, 4]);
      });

      test("with an idempotencyKey appends once", async () => {
        const socket = await open(encoding);
        const frame = { type: "produce", topic: "t", idempotencyKey: "k", records: [{ value: value("1") }] };
        socket.send({ ...frame, id: 1 });
        const [first] = (await socket.next("produced")).offsets;
        socket.send({ ...frame, id: 2 });
        expect((await socket.next("produced")).offsets).toEqual([{ ...first, duplicate: true }]);
      });

      test("with acks 0 is answered without waiting", async () => {
        const socket = await open(encoding);
        socket.send({ type: "produce", id: 1, topic: "t", partition: 0, acks: 0, records: [{ value: value("1") }] });
        expect(await socket.next("produced")).toEqual({ type: "produced", id: 1 });
      });

      test("expectedOffset is a condition", async () => {
        const socket = await open(encoding);
        const problem = await socket.refused({
          type: "produce",
          id: 1,
          topic: "t",
          partition: 0,
          expectedOffset: 5,
          records: [{ value: value("1") }],
        });
        expect(problem).toMatchObject({
          code: "EXPECTED_OFFSET_MISMATCH",
          status: 412,
          logEndOffset: 0,
          maybeAppended: false,
        });
      });

      test.each([
        [{ topic: "t", records: [] }, "records"],
        [{ topic: "t" }, "records"],
        [{ records: [{ value: null }] }, "topic"],
        [{ topic: 5, records: [{ value: null }] }, "topic"],
        [{ topic: "t", partition: "0", records: [{ value: null }] }, "partition"],
        [{ topic: "t", partition: -1, records: [{ value: null }] }, "partition"],
        [{ topic: "t", partition: 0, records: [{ value: null, partition: 1 }] }, "records[0].partition"],
        [{ topic: "t", producerId: 1, producerEpoch: 0, baseSequence: 0, records: [{ value: null }] }, "partition"],
        [{ topic: "t", idempotencyKey: "", records: [{ value: null }] }, "idempotencyKey"],
        [{ topic: "t", acks: 2, records: [{ value: null }] }, "acks"],
        [{ topic: "t", recods: [{ value: null }] }, "recods"],
      ])("%j is refused, naming %s", async (fields, path) => {
        const socket = await open(encoding);
        const problem = await socket.refused({ type: "produce", id: "x", ...fields });
        expect(problem).toMatchObject({ status: 400, path, maybeAppended: false });
        expect(await server.logEnds()).toBe("t-0:0 t-1:0");
      });

      test("to a partition or topic that is not there is 404", async () => {
        const socket = await open(encoding);
        expect(
          await socket.refused({ type: "produce", id: 1, topic: "t", partition: 9, records: [{ value: null }] }),
        ).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" });
        expect(
          await socket.refused({ type: "produce", id: 1, topic: "__consumer_offsets", records: [{ value: null }] }),
        ).toMatchObject({ maybeAppended: false });
      });
    });

    describe("subscribe", () => {
      test("delivers what is there and what comes, and says when it is caught up", async () => {
        await server.produceNumbers("t", 1, 2);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: "s", topic: "t", partitions: [0] });
        expect(await socket.next("subscribed")).toEqual({
          type: "subscribed",
          id: "s",
          positions: [{ topic: "t", partition: 0, nextOffset: 0 }],
        });
        const first = await socket.next("records");
        expect(first).toMatchObject({
          id: "s",
          topic: "t",
          partition: 0,
          nextOffset: 2,
          highWatermark: 2,
          leaderEpoch: 0,
          caughtUp: true,
        });
        expect(numbers(first)).toEqual([1, 2]);
        expect(Object.keys(first.records[0])).toEqual(["offset", "timestamp", "key", "value"]);
        await server.produceNumbers("t", 3);
        expect(numbers(await socket.next("records"))).toEqual([3]);
      });

      test.each([
        [{}, [0, 1, 2, 3, 4]],
        [{ offset: "latest" }, []],
        [{ offset: 3 }, [3, 4]],
        [{ offset: -2 }, [3, 4]],
        [{ offset: "-1" }, [4]],
        [{ positions: [{ topic: "t", partition: 0, nextOffset: 4, leaderEpoch: 0 }] }, [4]],
        [{ offset: "latest", positions: [{ topic: "t", partition: 0, nextOffset: 2 }] }, [2, 3, 4]],
      ])("from %j", async (from, expected) => {
        await server.produceNumbers("t", 0, 1, 2, 3, 4);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], ...from });
        await socket.next("subscribed");
        await server.produceNumbers("t", 99);
        expect(await take(socket, expected.length + 1)).toEqual([...expected, 99]);
      });

      test("until an end, where it closes", async () => {
        await server.produceNumbers("t", 0, 1, 2, 3, 4);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], until: 3 });
        await socket.next("subscribed");
        expect(numbers(await socket.next("records"))).toEqual([0, 1, 2]);
        expect(await socket.next("closed")).toEqual({ type: "closed", id: 1 });
        socket.send({ type: "subscribe", id: 1, topic: "t", until: "latest", offset: "latest" }); // the id is free, and nothing is left
        await socket.next("subscribed");
        expect(await socket.next("closed")).toEqual({ type: "closed", id: 1 });
      });

      test("all partitions, each in order", async () => {
        await server.produceNumbers("t", 0, 1);
        await server.post("/v1/topics/t/partitions/1/records", { records: [{ value: 10 }, { value: 11 }] });
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", until: "latest" });
        expect((await socket.next("subscribed")).positions).toHaveLength(2);
        const got: Record<number, number[]> = { 0: [], 1: [] };
        for (let frame = await socket.any(); frame.type === "records"; frame = await socket.any()) {
          got[frame.partition as number]!.push(...numbers(frame));
        }
        expect(got).toEqual({ 0: [0, 1], 1: [10, 11] });
      });

      test("an offset that is gone is refused, or moved as offsetReset says", async () => {
        await server.produceNumbers("t", 0, 1, 2);
        await server.ask({ method: "DELETE", url: "/v1/topics/t/partitions/0/records?before=2" });
        const socket = await open(encoding);
        const frame = { type: "subscribe", id: 1, topic: "t", partitions: [0], offset: 0 };
        expect(await socket.refused(frame)).toMatchObject({
          code: "OFFSET_OUT_OF_RANGE",
          status: 416,
          logStartOffset: 2,
          logEndOffset: 3,
          partition: 0,
        });
        socket.send({ ...frame, offsetReset: "earliest" });
        expect(await socket.next("subscribed")).toMatchObject({
          positions: [{ topic: "t", partition: 0, nextOffset: 2 }],
          reset: [{ topic: "t", partition: 0, from: 0, to: 2 }],
        });
        expect(await take(socket, 1)).toEqual([2]);
      });

      test("retention that overtakes it later is told, and it goes on as offsetReset says", async () => {
        await server.produceNumbers("t", 0);
        const socket = await open(encoding);
        const window = { records: 1 };
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], offsetReset: "earliest", window });
        await socket.next("subscribed");
        expect(await take(socket, 1)).toEqual([0]);
        await server.produceNumbers("t", 1, 2, 3);
        await server.ask({ method: "DELETE", url: "/v1/topics/t/partitions/0/records?before=3" });
        socket.send({ type: "ack", id: 1, positions: [{ topic: "t", partition: 0, nextOffset: 1 }] });
        expect(await socket.next("subscribed")).toEqual({
          type: "subscribed",
          id: 1,
          positions: [{ topic: "t", partition: 0, nextOffset: 3 }],
          reset: [{ topic: "t", partition: 0, from: 1, to: 3 }],
        });
        expect(await take(socket, 1)).toEqual([3]);
      });

      test("a seek back from the end of one partition reads it again while others go on", async () => {
        await server.produceNumbers("t", 0, 1);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0, 1], until: "0:2,1:1" });
        await socket.next("subscribed");
        expect(await take(socket, 2)).toEqual([0, 1]);
        socket.send({ type: "seek", id: 1, positions: [{ topic: "t", partition: 0, nextOffset: 1 }] });
        await socket.next("ok");
        expect(await take(socket, 1)).toEqual([1]);
        await server.post("/v1/topics/t/partitions/1/records", { records: [{ value: 10 }] });
        expect(await take(socket, 1)).toEqual([10]);
        expect(await socket.next("closed")).toEqual({ type: "closed", id: 1 });
      });

      test("a topic that is deleted closes it with the code", async () => {
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t" });
        await socket.next("subscribed");
        await server.ask({ method: "DELETE", url: "/v1/topics/t" });
        expect((await socket.next("problem")).problem).toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
        expect(await socket.next("closed")).toEqual({ type: "closed", id: 1, code: "UNKNOWN_TOPIC_OR_PARTITION" });
      });

      test("many on one socket, each with its own records", async () => {
        const socket = await open(encoding);
        for (let id = 0; id < 50; id++) socket.send({ type: "subscribe", id, topic: "t", partitions: [0] });
        for (let id = 0; id < 50; id++) await socket.next("subscribed");
        await server.produceNumbers("t", 7);
        const ids = new Set<number>();
        for (let id = 0; id < 50; id++) {
          const frame = await socket.next("records");
          expect(numbers(frame)).toEqual([7]);
          ids.add(frame.id);
        }
        expect(ids.size).toBe(50);
      });

      test("100,000 of them meet a limit", async () => {
        const socket = await open(encoding);
        for (let id = 0; id < maxSubscriptions; id++)
          socket.send({ type: "subscribe", id, topic: "t", partitions: [0], offset: "latest" });
        for (let id = 0; id < maxSubscriptions; id++) await socket.next("subscribed");
        expect(await socket.refused({ type: "subscribe", id: "x", topic: "t" })).toMatchObject({
          status: 429,
          limit: { name: "maxSubscriptions", value: maxSubscriptions },
        });
      });

      test("unsubscribe ends it and frees the id", async () => {
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t" });
        await socket.next("subscribed");
        socket.send({ type: "unsubscribe", id: 1 });
        expect(await socket.next("closed")).toEqual({ type: "closed", id: 1 });
        await server.produceNumbers("t", 1);
        expect(await socket.refused({ type: "unsubscribe", id: 1 })).toMatchObject({ code: "INVALID_REQUEST" });
      });
    });

    describe("window, ack and seek", () => {
      test("no more than the window is on its way; acks are cumulative and let more come", async () => {
        await server.produceNumbers("t", 0, 1, 2, 3, 4, 5, 6);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], window: { records: 3 } });
        await socket.next("subscribed");
        expect(await take(socket, 3)).toEqual([0, 1, 2]);
        await socket.settle();
        expect(socket.frames).toEqual([]);
        socket.send({ type: "ack", id: 1, positions: [{ topic: "t", partition: 0, nextOffset: 2 }] });
        expect(await take(socket, 2)).toEqual([3, 4]);
        socket.send({ type: "ack", id: 1, positions: [{ topic: "t", partition: 0, nextOffset: 1 }] }); // was before
        await socket.settle();
        expect(socket.frames).toEqual([]);
        socket.send({ type: "ack", id: 1, positions: [{ topic: "t", partition: 0, nextOffset: 5 }] });
        expect(await take(socket, 2)).toEqual([5, 6]);
      });

      test("the window of bytes counts keys, values and headers; a single larger record comes alone", async () => {
        const records = [
          { key: "kk", value: "12345", headers: [{ key: "h", value: "v" }] },
          { value: "1" },
          { value: "x".repeat(100) },
          { value: "2" },
        ];
        await server.post("/v1/topics/t/partitions/0/records", { valueFormat: "string", records });
        const socket = await open(encoding);
        const ack = (nextOffset: number) =>
          socket.send({ type: "ack", id: 1, positions: [{ topic: "t", partition: 0, nextOffset }] });
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], window: { bytes: 10 } });
        await socket.next("subscribed");
        expect(await socket.next("records")).toMatchObject({ nextOffset: 2 }); // 9 bytes and 1
        ack(2);
        expect(await socket.next("records")).toMatchObject({ nextOffset: 3 });
        ack(3);
        expect(await socket.next("records")).toMatchObject({ nextOffset: 4, caughtUp: true });
      });

      test("an ack beyond what was delivered, or of what it does not read, is a problem and changes nothing", async () => {
        await server.produceNumbers("t", 0, 1);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], window: { records: 1 } });
        await socket.next("subscribed");
        await socket.next("records");
        const ack = (position: object) => socket.refused({ type: "ack", id: 1, positions: [position] });
        expect(await ack({ topic: "t", partition: 0, nextOffset: 2 })).toMatchObject({
          code: "OFFSET_OUT_OF_RANGE",
          delivered: 1,
        });
        expect(await ack({ topic: "t", partition: 1, nextOffset: 0 })).toMatchObject({
          code: "INVALID_REQUEST",
          path: "positions[0]",
        });
        expect(await ack({ topic: "t", partition: 0, offset: 1 })).toMatchObject({ unknown: ["offset"] });
        await socket.settle();
        expect(socket.frames).toEqual([]);
      });

      test("seek goes on from elsewhere, forward and back", async () => {
        await server.produceNumbers("t", 0, 1, 2, 3);
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], window: { records: 2 } });
        await socket.next("subscribed");
        expect(await take(socket, 2)).toEqual([0, 1]);
        const seek = (nextOffset: number) => ({
          type: "seek",
          id: 1,
          positions: [{ topic: "t", partition: 0, nextOffset }],
        });
        socket.send(seek(3));
        expect(await socket.next("ok")).toEqual({ type: "ok", id: 1 });
        expect(await take(socket, 1)).toEqual([3]);
        socket.send(seek(1));
        await socket.next("ok");
        expect(await take(socket, 2)).toEqual([1, 2]);
        expect(await socket.refused(seek(9))).toMatchObject({ code: "OFFSET_OUT_OF_RANGE", logEndOffset: 4 });
      });

      test.each([{ records: -1 }, { records: 0 }, { records: 2 ** 60 }, { bytes: 2 ** 40 }, {}, { record: 1 }, 5])(
        "a window of %j is refused",
        async (window) => {
          const socket = await open(encoding);
          expect(await socket.refused({ type: "subscribe", id: 1, topic: "t", window })).toMatchObject({ status: 400 });
        },
      );
    });

    test("ping is answered", async () => {
      const socket = await open(encoding);
      socket.send({ type: "ping", id: "p" });
      expect(await socket.next("pong")).toEqual({ type: "pong", id: "p" });
    });

    describe("what is wrong is told, and the socket stays", () => {
      test.each<[unknown, Record<string, unknown>]>([
        [
          { type: "subscirbe", id: 1, topic: "t" },
          { id: 1, hint: "did you mean subscribe?" },
        ],
        [
          { type: "nack", id: 1 },
          { id: 1, path: "type" },
        ],
        [{ id: 1 }, { id: 1, path: "type" }],
        [{ type: "ping" }, { path: "id" }],
        [{ type: "ping", id: -1 }, { path: "id" }],
        [{ type: "ping", id: true }, { path: "id" }],
        [{ type: "ping", id: "x".repeat(200) }, { path: "id" }],
        [
          { type: "ping", id: 1, topc: "t" },
          { id: 1, unknown: ["topc"] },
        ],
        [
          { type: "subscribe", id: 1, topic: "t", ofset: 1 },
          { id: 1, hint: "did you mean offset?" },
        ],
        [
          { type: "subscribe", id: 1, topic: "t", partitions: [0, 0] },
          { id: 1, path: "partitions" },
        ],
        [
          { type: "subscribe", id: 1, topic: "t", partitions: [7] },
          { id: 1, status: 404 },
        ],
        [
          { type: "subscribe", id: 1, topic: "t", offset: 3 },
          { id: 1, path: "offset" },
        ],
        [
          { type: "subscribe", id: 1, topic: "t", offset: "soon" },
          { id: 1, path: "offset" },
        ],
        [
          { type: "subscribe", id: 1, topic: "nosuch" },
          { id: 1, status: 404 },
        ],
        [
          { type: "subscribe", id: 1, topic: "t", offsetReset: "none" },
          { id: 1, path: "offsetReset" },
        ],
        [
          { type: "ack", id: 9, positions: [] },
          { id: 9, path: "id" },
        ],
        [[1], {}],
        [5, {}],
      ])("%j", async (frame, expected) => {
        const { id, ...problem } = expected;
        const socket = await open(encoding);
        socket.send(frame);
        const answer = await socket.next("problem");
        expect(answer.problem).toMatchObject({ status: 400, ...problem });
        if (id !== undefined) expect(answer.id).toBe(id);
        await socket.settle();
        expect(socket.closed).toBeUndefined();
      });

      test("a frame of the other kind", async () => {
        const socket = await open(encoding);
        socket.sendRaw(encoding === "json" ? pack({ type: "ping", id: 1 }) : '{"type":"ping","id":1}');
        expect((await socket.next("problem")).problem.detail).toContain(encoding === "json" ? "text" : "binary");
        await socket.settle();
      });

      test("what is no JSON or msgpack at all", async () => {
        const socket = await open(encoding);
        socket.sendRaw(encoding === "json" ? '{"type":"ping",' : Buffer.from([0x82, 0xa4]));
        expect((await socket.next("problem")).problem.code).toBe("MALFORMED_BODY");
        socket.sendRaw(encoding === "json" ? "" : Buffer.alloc(0));
        expect((await socket.next("problem")).problem.code).toBe("MALFORMED_BODY");
        await socket.settle();
      });

      test("an id in use: told without an id, and the first is not disturbed", async () => {
        const socket = await open(encoding);
        socket.send({ type: "subscribe", id: "a", topic: "t", partitions: [0] });
        socket.send({ type: "subscribe", id: "a", topic: "t" });
        socket.send({ type: "produce", id: "a", topic: "t", records: [{ value: value("1") }] });
        const frames = [await socket.any(), await socket.any(), await socket.any()];
        const problems = frames.filter(({ type }) => type === "problem");
        expect(problems).toHaveLength(2);
        for (const { id, problem } of problems) {
          expect(id).toBeUndefined();
          expect(problem).toMatchObject({ code: "INVALID_REQUEST", duplicateId: "a" });
        }
        await server.produceNumbers("t", 5);
        expect(await take(socket, 1)).toEqual([5]);
      });
    });

    test("a frame that is too large closes with 1009", async () => {
      const socket = await open(encoding);
      socket.sendRaw(encoding === "json" ? "x".repeat(17 * 1024 * 1024) : Buffer.alloc(17 * 1024 * 1024));
      expect((await socket.ends()).code).toBe(1009);
    });

    test("pings every 15 s; two without a pong close with 4000", async () => {
      const socket = await open(encoding, { autoPong: false });
      for (let ping = 1; ping <= 2; ping++) {
        await server.clock.advance(keepaliveMs);
        await until(() => socket.pings.length === ping);
      }
      await server.clock.advance(keepaliveMs);
      expect((await socket.ends()).code).toBe(4000);
      const answering = await open(encoding);
      for (let ping = 1; ping <= 6; ping++) {
        await server.clock.advance(keepaliveMs);
        await until(() => answering.pings.length === ping);
        await answering.settle();
      }
      expect(answering.closed).toBeUndefined();
    });

    test("a shutdown answers what is in flight, says goaway, and closes with 1012", async () => {
      const socket = await open(encoding);
      socket.send({ type: "subscribe", id: 1, topic: "t" });
      await socket.next("subscribed");
      let answer: (() => void) | undefined;
      const { broker } = server;
      const produce = broker.produce.bind(broker);
      broker.produce = async (request) => {
        const outcomes = await produce(request);
        await new Promise<void>((resolve) => {
          answer = resolve;
        });
        return outcomes;
      };
      socket.send({ type: "produce", id: 2, topic: "t", partition: 0, records: [{ value: value("1") }] });
      await until(() => answer !== undefined);
      await socket.next("records");
      const stopped = server.http.stop(1000);
      expect(await socket.next("goaway")).toMatchObject({ reconnectAfterMs: expect.any(Number) });
      answer?.();
      expect(await socket.next("produced")).toMatchObject({ id: 2 });
      expect(await socket.ends()).toEqual({ code: 1012, reason: "the broker is shutting down" });
      await stopped;
    });
  });

  /** Lets streams do their work until something is so. */
  async function until(isSo: () => boolean): Promise<void> {
    for (let turn = 0; turn < 10_000; turn++) {
      if (isSo()) return;
      await settled();
    }
    throw new Error("this never came to be");
  }

  describe("json only", () => {
    test("values keep the very text; formats as over HTTP", async () => {
      const socket = await open("json");
      socket.sendRaw(
        '{"type":"produce","id":1,"topic":"t","partition":0,"records":[{"value": {"a" : 1.0e2} },{"key":"aGk=","value":null}],"keyFormat":"base64"}',
      );
      await socket.next("produced");
      const texts: string[] = [];
      socket.socket.on("message", (data) => texts.push(String(data)));
      socket.send({ type: "subscribe", id: 2, topic: "t", partitions: [0], keyFormat: "string", valueFormat: "json" });
      await socket.next("subscribed");
      expect((await socket.next("records")).records[1]).toMatchObject({ key: "hi", value: null });
      expect(texts.join()).toContain('"value":{"a" : 1.0e2}');
    });

    test("text that is not UTF-8 closes with 1007", async () => {
      const socket = await open("json");
      (socket.socket as unknown as { send(data: Buffer, options: object): void }).send(
        Buffer.from([0x22, 0xff, 0x22]),
        {
          binary: false,
        },
      );
      expect((await socket.ends()).code).toBe(1007);
    });

    test("format and batch are of msgpack", async () => {
      const socket = await open("json");
      expect(await socket.refused({ type: "subscribe", id: 1, topic: "t", format: "batch" })).toMatchObject({
        unknown: ["format"],
      });
      expect(await socket.refused({ type: "produce", id: 1, topic: "t", partition: 0, batch: "x" })).toMatchObject({
        unknown: ["batch"],
      });
    });
  });

  describe("msgpack only", () => {
    test("batches go through as they are", async () => {
      await server.produceNumbers("t", 1, 2, 3);
      const socket = await open("msgpack");
      socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], format: "batch", offset: 1 });
      await socket.next("subscribed");
      const frame = await socket.next("batches");
      expect(frame).toMatchObject({ id: 1, partition: 0, nextOffset: 3, highWatermark: 3, caughtUp: true });
      socket.send({ type: "produce", id: 2, topic: "t", partition: 1, batch: frame.batches });
      expect(await socket.next("produced")).toMatchObject({ id: 2, partition: 1, baseOffset: 0, lastOffset: 2 });
      expect(await server.valuesOf("t", 1)).toEqual([1, 2, 3]);
      const problem = await socket.refused({
        type: "produce",
        id: 3,
        topic: "t",
        partition: 1,
        batch: Buffer.from("x"),
      });
      expect(problem).toMatchObject({ maybeAppended: false });
    });

    test("a window over batches counts whole ones", async () => {
      for (let batch = 0; batch < 3; batch++) await server.produceNumbers("t", 1, 2);
      const socket = await open("msgpack");
      socket.send({ type: "subscribe", id: 1, topic: "t", partitions: [0], format: "batch", window: { records: 3 } });
      await socket.next("subscribed");
      expect(await socket.next("batches")).toMatchObject({ nextOffset: 2 });
      await socket.settle();
      expect(socket.frames).toEqual([]);
      socket.send({ type: "ack", id: 1, positions: [{ topic: "t", partition: 0, nextOffset: 2 }] });
      expect(await socket.next("batches")).toMatchObject({ nextOffset: 4 });
    });

    test("formats mean nothing", async () => {
      const socket = await open("msgpack");
      expect(await socket.refused({ type: "subscribe", id: 1, topic: "t", valueFormat: "json" })).toMatchObject({
        unknown: ["valueFormat"],
      });
    });
  });

  describe("/asyncapi.json", () => {
    test("is legal AsyncAPI 3 and names every frame", async () => {
      const document = (await server.get("/asyncapi.json")).json();
      const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
      const validate = ajv.compile(asyncapiSchema);
      expect(validate(document), JSON.stringify(validate.errors?.slice(0, 3))).toBe(true);
      const names = Object.values<{ name: string }>(document.components.messages).map(({ name }) => name);
      for (const name of ["produce", "subscribe", "ack", "records", "assigned", "revoking", "goaway"])
        expect(names).toContain(name);
      const references = new Set(
        [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path!),
      );
      for (const path of references) {
        let at = document;
        for (const part of path.split("/")) at = at?.[part];
        expect(at, path).toBeDefined();
      }
    });
  });
}
