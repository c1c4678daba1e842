// A member of a group that is carried by a socket: the group rows of docs/websocket.md, in both subprotocols.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keepaliveMs, revokeDeadlineMs } from "../../../src/http/websocket/socket-limits.ts";
import { settled } from "../../simulation/simulated-clock.ts";
import type { TestServer } from "../test-server.ts";
import { type Encoding, encodings, type Frame, startServer, TestSocket, type Transport } from "./test-socket.ts";

/** Over streams in memory, or over loopback. */
export function groupContract(transport: Transport): void {
  let server: TestServer;
  const sockets: TestSocket[] = [];
  beforeEach(async () => {
    server = await startServer(transport);
    await server.createTopic("t", 2);
    await produce(0, 0, 1, 2);
    await produce(1, 10, 11);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.close();
    await server.stop();
    expect(server.errors).toEqual([]);
  });

  async function produce(partition: number, ...values: number[]): Promise<void> {
    const records = values.map((value) => ({ value }));
    await server.post(`/v1/topics/t/partitions/${partition}/records`, { records });
  }

  async function open(encoding: Encoding, options: Parameters<typeof TestSocket.open>[2] = {}): Promise<TestSocket> {
    const socket = await TestSocket.open(server, encoding, options);
    sockets.push(socket);
    return socket;
  }

  const join = (memberId: string, more: object = {}) => ({
    type: "subscribe",
    id: memberId,
    group: "g",
    memberId,
    topics: ["t"],
    ...more,
  });
  const at = (partition: number, nextOffset: number) => ({ topic: "t", partition, nextOffset });
  const ack = (id: string, ...positions: object[]) => ({ type: "ack", id, positions });
  const committed = async (): Promise<unknown[]> =>
    (await server.get("/v1/groups/g/offsets")).json().positions.map(({ nextOffset }: Frame) => nextOffset);
  const membersOf = async (): Promise<string[]> =>
    (await server.get("/v1/groups/g")).json().members.map(({ memberId }: Frame) => memberId);

  /** The values of records frames, until so many are there; other frames stay where they are. */
  async function take(socket: TestSocket, count: number): Promise<number[]> {
    const values: number[] = [];
    await until(() => {
      for (let index = 0; index < socket.frames.length; ) {
        const frame = socket.frames[index];
        if (frame.type !== "records") {
          index += 1;
          continue;
        }
        socket.frames.splice(index, 1);
        values.push(
          ...frame.records.map(({ value }: Frame) => Number(Buffer.isBuffer(value) ? value.toString() : value)),
        );
      }
      return values.length >= count;
    });
    return values.sort((a, b) => a - b);
  }

  /** The next frame of a type, whatever else comes. */
  async function frameOf(socket: TestSocket, type: string): Promise<Frame> {
    let found: Frame;
    await until(() => {
      const index = socket.frames.findIndex((frame) => frame.type === type);
      if (index >= 0) [found] = socket.frames.splice(index, 1);
      return index >= 0;
    });
    return found;
  }

  async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
    for (let turn = 0; turn < 5_000; turn++) {
      if (await isSo()) return;
      await settled();
    }
    throw new Error("this never came to be");
  }

  describe.each(encodings)("%s", (encoding) => {
    test("a member is assigned, reads, and commits by its acks", async () => {
      const socket = await open(encoding);
      socket.send(join("m"));
      expect(await socket.next("assigned")).toMatchObject({
        id: "m",
        assignment: [{ topic: "t", partitions: [0, 1] }],
        positions: [at(0, 0), at(1, 0)],
      });
      expect(await take(socket, 5)).toEqual([0, 1, 2, 10, 11]);
      socket.send(ack("m", at(0, 2), at(1, 2)));
      expect(await frameOf(socket, "acked")).toEqual({ type: "acked", id: "m", positions: [at(0, 2), at(1, 2)] });
      expect(await committed()).toEqual([2, 2]);
      await produce(0, 3);
      expect(await take(socket, 1)).toEqual([3]);
    });

    test("un-acked records hold back more, by default 1,000 of them", async () => {
      const socket = await open(encoding);
      socket.send(join("m", { window: { records: 2 } }));
      await socket.next("assigned");
      expect(await take(socket, 2)).toHaveLength(2);
      await socket.settle();
      expect(socket.frames).toEqual([]);
    });

    test("unsubscribe leaves: what was not acked is delivered to the next", async () => {
      const first = await open(encoding);
      first.send(join("a"));
      await first.next("assigned");
      await take(first, 5);
      first.send(ack("a", at(0, 1)));
      first.send({ type: "unsubscribe", id: "a" });
      expect(await frameOf(first, "closed")).toEqual({ type: "closed", id: "a" });
      expect(await membersOf()).toEqual([]);
      const second = await open(encoding);
      second.send(join("b"));
      expect((await second.next("assigned")).positions).toEqual([at(0, 1), at(1, 0)]);
      expect(await take(second, 4)).toEqual([1, 2, 10, 11]);
    });

    test("a partition goes to another member once what was delivered of it is acked", async () => {
      const first = await open(encoding);
      first.send(join("a"));
      await first.next("assigned");
      await take(first, 5);
      const second = await open(encoding);
      second.send(join("b"));
      const revoking = await frameOf(first, "revoking");
      expect(revoking).toMatchObject({ id: "a", deadlineMs: revokeDeadlineMs });
      const [{ partition }] = revoking.partitions;
      const end = partition === 0 ? 3 : 2;
      expect((await frameOf(second, "assigned")).positions).toEqual([]);
      await produce(partition, 99);
      await first.settle();
      expect(first.frames.filter(({ type }) => type === "records")).toEqual([]); // nothing more of it
      first.send(ack("a", at(partition, end)));
      await frameOf(first, "acked");
      expect(await frameOf(second, "assigned")).toMatchObject({ positions: [at(partition, end)] });
      expect(await take(second, 1)).toEqual([99]);
      await first.settle();
      first.frames.splice(0);
      const problem = await first.refused(ack("a", at(partition, end)));
      expect(problem).toMatchObject({ code: "STALE_MEMBER_EPOCH", partition });
    });

    test("it goes at once when what is not acked of it is given back", async () => {
      const first = await open(encoding);
      first.send(join("a"));
      await first.next("assigned");
      await take(first, 5);
      const second = await open(encoding);
      second.send(join("b"));
      const [{ partition }] = (await frameOf(first, "revoking")).partitions;
      await frameOf(second, "assigned");
      first.send(ack("a", at(partition, 1)));
      await frameOf(first, "acked");
      first.send({ type: "seek", id: "a", positions: [at(partition, 1)] });
      await frameOf(first, "ok");
      expect(await frameOf(second, "assigned")).toMatchObject({ positions: [at(partition, 1)] });
      expect(await take(second, 1)).toHaveLength(partition === 0 ? 2 : 1);
    });

    test("at the deadline it goes all the same, and an ack for it is a problem", async () => {
      const first = await open(encoding);
      first.send(join("a"));
      await first.next("assigned");
      await take(first, 5);
      const second = await open(encoding);
      second.send(join("b"));
      const [{ partition }] = (await frameOf(first, "revoking")).partitions;
      await frameOf(second, "assigned");
      for (let passedMs = 0; passedMs < revokeDeadlineMs; passedMs += 5_000) {
        await server.clock.advance(5_000);
        await first.settle();
        await second.settle();
      }
      expect(await frameOf(second, "assigned")).toMatchObject({ positions: [at(partition, 0)] });
      expect(await take(second, 1)).toHaveLength(partition === 0 ? 3 : 2);
      await first.settle();
      first.frames.splice(0);
      expect(await first.refused(ack("a", at(partition, 1)))).toMatchObject({ code: "STALE_MEMBER_EPOCH" });
      expect(await membersOf()).toEqual(["a", "b"]);
    });

    test("an id taken over on another socket is closed here", async () => {
      const first = await open(encoding);
      first.send(join("m"));
      await first.next("assigned");
      await take(first, 5);
      first.send(ack("m", at(0, 3)));
      await frameOf(first, "acked");
      const second = await open(encoding);
      second.send(join("m"));
      expect((await frameOf(second, "assigned")).positions).toEqual([at(0, 3), at(1, 0)]);
      expect(await frameOf(first, "closed")).toEqual({ type: "closed", id: "m", code: "FENCED_MEMBER_EPOCH" });
      expect(await take(second, 2)).toEqual([10, 11]);
    });

    test("a closed socket does not leave: the same id returns and goes on, or the session times out", async () => {
      const first = await open(encoding);
      first.send(join("m"));
      await first.next("assigned");
      await take(first, 5);
      first.close();
      await until(async () => (await server.get("/metrics")).body.includes("millrace_websocket_subscriptions 0\n"));
      expect(await membersOf()).toEqual(["m"]);
      const second = await open(encoding);
      second.send(join("m"));
      await frameOf(second, "assigned");
      expect(await take(second, 5)).toHaveLength(5);
      second.close();
      await until(async () => (await server.get("/metrics")).body.includes("millrace_websocket_subscriptions 0\n"));
      await server.clock.advance(46_000);
      expect(await membersOf()).toEqual([]);
    });

    test("the socket heartbeats for its members while it answers pings", async () => {
      const socket = await open(encoding);
      socket.send(join("m"));
      await socket.next("assigned");
      await take(socket, 5);
      for (let passedMs = 0; passedMs < 120_000; passedMs += 5_000) {
        await server.clock.advance(5_000);
        await socket.settle();
      }
      expect(await membersOf()).toEqual(["m"]);
      const silent = await open(encoding, { autoPong: false });
      silent.send(join("s"));
      await frameOf(silent, "assigned");
      for (let passedMs = 0; passedMs < 120_000; passedMs += 5_000) {
        await server.clock.advance(5_000);
        await socket.settle();
      }
      expect((await silent.ends()).code).toBe(4000);
      expect(await membersOf()).toEqual(["m"]);
      expect(keepaliveMs).toBe(15_000);
    });

    test("seek moves what is read, not what is committed", async () => {
      const socket = await open(encoding);
      socket.send(join("m"));
      await socket.next("assigned");
      await take(socket, 5);
      socket.send({ type: "seek", id: "m", positions: [at(0, 1)] });
      await frameOf(socket, "ok");
      expect(await take(socket, 2)).toEqual([1, 2]);
      expect(await committed()).toEqual([null, null]);
    });

    test("seek out of the log is refused, and moves nothing", async () => {
      const socket = await open(encoding);
      socket.send(join("m"));
      await socket.next("assigned");
      await take(socket, 5);
      const problem = await socket.refused({ type: "seek", id: "m", positions: [at(0, 1), at(1, 9)] });
      expect(problem).toMatchObject({ code: "OFFSET_OUT_OF_RANGE", partition: 1, logEndOffset: 2 });
      await produce(0, 3);
      expect(await take(socket, 1)).toEqual([3]);
    });

    test("retention that overtakes a member is told, and it goes on as offsetReset says", async () => {
      await server.createTopic("one", 1);
      await server.produceNumbers("one", 0);
      const socket = await open(encoding);
      socket.send(join("m", { topics: ["one"], window: { records: 1 } }));
      await socket.next("assigned");
      expect(await take(socket, 1)).toEqual([0]);
      await server.produceNumbers("one", 1, 2, 3);
      await server.ask({ method: "DELETE", url: "/v1/topics/one/partitions/0/records?before=3" });
      socket.send(ack("m", { topic: "one", partition: 0, nextOffset: 1 }));
      expect(await frameOf(socket, "assigned")).toMatchObject({
        id: "m",
        assignment: [{ topic: "one", partitions: [0] }],
        positions: [{ topic: "one", partition: 0, nextOffset: 3 }],
        reset: [{ topic: "one", partition: 0, from: 1, to: 3 }],
      });
      expect(await take(socket, 1)).toEqual([3]);
    });

    test("acks in the wrong order commit the highest", async () => {
      const socket = await open(encoding);
      socket.send(join("m"));
      await socket.next("assigned");
      await take(socket, 5);
      for (const nextOffset of [1, 3, 2]) socket.send(ack("m", at(0, nextOffset)));
      await until(async () => (await committed())[0] !== null);
      await socket.settle();
      expect(await committed()).toEqual([3, null]);
    });

    test("a partition of which nothing is un-acked goes at once, wherever it was sought to", async () => {
      const first = await open(encoding);
      first.send(join("a"));
      await first.next("assigned");
      await take(first, 5);
      first.send({ type: "seek", id: "a", positions: [at(0, 3), at(1, 2)] });
      await frameOf(first, "ok");
      const second = await open(encoding);
      second.send(join("b"));
      const [{ partition }] = (await frameOf(first, "revoking")).partitions;
      expect((await frameOf(second, "assigned")).positions).toEqual([]);
      expect((await frameOf(second, "assigned")).positions).toEqual([at(partition, 0)]);
    });

    test("a topic that is still to come is read once it is there", async () => {
      const socket = await open(encoding);
      socket.send(join("m", { topics: ["later"] }));
      expect(await socket.next("assigned")).toMatchObject({ assignment: [], positions: [] });
      await server.createTopic("later", 1);
      await server.produceNumbers("later", 7);
      for (let turn = 0; turn < 5; turn++) {
        await server.clock.advance(1_000);
        await socket.settle();
      }
      expect(await take(socket, 1)).toEqual([7]);
    });

    test.each([
      [{ group: "a b" }, { path: "group" }],
      [{ group: "" }, { path: "group" }],
      [{ memberId: ".." }, { path: "memberId" }],
      [{ topics: [] }, { path: "topics" }],
      [{ topics: ["t", "t"] }, { path: "topics[1]" }],
      [{ topic: "t" }, { hint: "a group subscribes to topics: an array" }],
      [{ sessionTimeoutMs: 1 }, { path: "sessionTimeoutMs" }],
      [{ offset: 1 }, { unknown: ["offset"] }],
      [{ window: { records: 0 } }, { path: "window.records" }],
    ] as [object, object][])("%j is refused", async (fields, expected) => {
      const socket = await open(encoding);
      expect(await socket.refused(join("m", fields))).toMatchObject({ status: 400, ...expected });
      await socket.settle();
    });

    test("offsetReset error with nothing committed is refused", async () => {
      const socket = await open(encoding);
      expect(await socket.refused(join("m", { offsetReset: "error" }))).toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
    });
  });

  test("members over HTTP and over sockets share a group", async () => {
    const socket = await open("json");
    socket.send(join("ws"));
    await socket.next("assigned");
    await take(socket, 5);
    socket.send(ack("ws", at(0, 3), at(1, 2)));
    await frameOf(socket, "acked");
    const joined = (await server.post("/v1/groups/g/members/http/poll", { topics: ["t"] })).json();
    await frameOf(socket, "revoking");
    const { assignment } = (
      await server.post("/v1/groups/g/members/http/poll", { memberEpoch: joined.memberEpoch, maxRecords: 1 })
    ).json();
    expect(assignment).toEqual([{ topic: "t", partitions: [expect.any(Number)] }]);
  });
}
