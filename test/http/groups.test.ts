// Consumer groups over HTTP, over a broker on a simulated disk and clock: the sentences of the contract, one after another.

import type { LightMyRequestResponse } from "fastify";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FetchedPartition } from "../../src/broker/fetch.ts";
import { encodeMsgpack } from "../../src/http/formats/msgpack-writer.ts";
import { json, msgpack, TestServer, unpack } from "./test-server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start();
  await server.createTopic("t", 2);
  await produce(0, 0, 1, 2);
  await produce(1, 10, 11);
});
afterEach(async () => {
  vi.restoreAllMocks();
  expect(server.errors).toEqual([]);
  await server.stop();
});

interface Poll {
  readonly status?: number;
  readonly code?: string;
  readonly memberEpoch: number;
  readonly assignment: { topic: string; partitions: number[] }[];
  readonly positions: { topic: string; partition: number; nextOffset: number }[];
  readonly records: { topic: string; partition: number; offset: number; value: unknown }[];
  readonly notCommitted?: { topic: string; partition: number; code: string }[];
  readonly reset?: object[];
}

async function produce(partition: number, ...values: number[]): Promise<void> {
  const records = values.map((value) => ({ value }));
  const answer = await server.post(`/v1/topics/t/partitions/${partition}/records`, { records });
  expect(answer.statusCode, answer.body).toBe(200);
}

const urlOf = (member: string, group = "g") => `/v1/groups/${group}/members/${member}/poll`;

async function poll(member: string, body: object): Promise<Poll> {
  return (await server.post(urlOf(member), body)).json<Poll>();
}

const join = (member: string, more: object = {}) => poll(member, { topics: ["t"], ...more });
const values = ({ records }: Poll) => records.map(({ value }) => value);
const remove = (url: string) => server.ask({ method: "DELETE", url });
const at = (partition: number, nextOffset: number) => ({ topic: "t", partition, nextOffset });
const read = async (url: string) => (await server.get(url)).json();
const committed = async () =>
  (await read("/v1/groups/g/offsets")).positions.map(({ nextOffset }: { nextOffset: number | null }) => nextOffset);

/** A poll that waits: `answered` tells whether it still does. */
function waiting(member: string, body: object): { readonly answer: Promise<Poll>; answered: boolean } {
  const state = { answered: false, answer: Promise.resolve({} as Poll) };
  state.answer = poll(member, { waitMs: 30_000, ...body }).finally(() => {
    state.answered = true;
  });
  return state;
}

describe("a member's life", () => {
  test("it joins, handles, commits with the next poll, and leaves", async () => {
    const first = await join("m");
    expect(first).toMatchObject({ heartbeatIntervalMs: 5000, assignment: [{ topic: "t", partitions: [0, 1] }] });
    expect(first.records).toHaveLength(5);
    expect(first.records).toContainEqual({
      topic: "t",
      partition: 1,
      offset: 1,
      timestamp: server.clock.nowMs(),
      key: null,
      value: 11,
    });
    expect(first.positions).toEqual([at(0, 3), at(1, 2)]);
    expect(first).not.toHaveProperty("notCommitted");
    expect(first).not.toHaveProperty("reset");

    await produce(0, 3);
    const { memberEpoch } = first;
    const second = await poll("m", { memberEpoch, commit: first.positions });
    expect(values(second)).toEqual([3]);
    expect(await committed()).toEqual([3, 2]);

    expect((await remove("/v1/groups/g/members/m")).statusCode).toBe(204);
    expect((await remove("/v1/groups/g/members/m")).json()).toMatchObject({ status: 404, code: "UNKNOWN_MEMBER_ID" });
    const gone = await poll("m", { memberEpoch });
    expect(gone).toMatchObject({ status: 409, code: "UNKNOWN_MEMBER_ID" });
    expect(values(await join("other"))).toEqual([3]); // read, but never committed
  });

  test("the same call twice brings the same records", async () => {
    const { memberEpoch } = await join("m");
    const body = { memberEpoch, positions: [at(0, 1)], commit: [at(1, 1)] };
    const first = await poll("m", body);
    expect(await poll("m", body)).toEqual(first);
    expect(values(first).sort()).toEqual([1, 11, 2]);
  });

  test("positions win over the commit, the commit over what is committed, that over offsetReset", async () => {
    const { memberEpoch } = await join("m");
    const ahead = await poll("m", { memberEpoch, commit: [at(0, 1), at(1, 1)], positions: [at(0, 2)] });
    expect(ahead.positions).toEqual([at(0, 3), at(1, 2)]);
    expect(values(ahead).sort()).toEqual([11, 2]);
    const behind = await poll("m", { memberEpoch, offsetReset: "latest" });
    expect(values(behind).sort()).toEqual([1, 11, 2]);
    expect(await committed()).toEqual([1, 1]);
  });

  test("answers of other calls are taken as they are", async () => {
    const { memberEpoch, positions } = await join("m");
    expect(await poll("m", { memberEpoch, commit: positions, positions })).toMatchObject({ records: [], positions });
    const report = await read("/v1/groups/g/offsets");
    expect(await poll("m", { memberEpoch, commit: report.positions, positions: report.positions })).not.toHaveProperty(
      "code",
    );
    expect((await server.post("/v1/groups/copy/offsets", report)).statusCode).toBe(204);
    expect((await read("/v1/groups/copy/offsets")).positions).toMatchObject([{ nextOffset: 3 }, { nextOffset: 2 }]);
    const moved = (await server.post("/v1/groups/copy/offsets/reset", { to: "0:1,1:1" })).json();
    expect((await server.post("/v1/groups/third/offsets", moved)).statusCode).toBe(204);
    expect((await read("/v1/groups/third/offsets")).positions).toMatchObject([{ nextOffset: 1 }, { nextOffset: 1 }]);
  });

  test("a lost answer is asked for again under the epoch before", async () => {
    const a = await join("a");
    await join("b");
    const lost = await poll("a", { memberEpoch: a.memberEpoch, commit: a.positions });
    const again = await poll("a", { memberEpoch: a.memberEpoch, commit: a.positions });
    expect(again.assignment).toEqual(lost.assignment);
    expect(again.code).toBeUndefined();
  });

  test("without memberEpoch it takes its id over, without a rebalance; the former holder is fenced", async () => {
    const former = await join("m");
    const { groupEpoch } = await read("/v1/groups/g");
    const now = await join("m");
    expect(now.memberEpoch).toBeGreaterThan(former.memberEpoch);
    expect(now.assignment).toEqual(former.assignment);
    expect((await read("/v1/groups/g")).groupEpoch).toBe(groupEpoch);
    const fenced = await poll("m", { memberEpoch: former.memberEpoch, commit: former.positions });
    expect(fenced).toMatchObject({ status: 409, code: "FENCED_MEMBER_EPOCH", retriable: false });
    expect(await committed()).toEqual([null, null]);
    expect(await poll("m", { memberEpoch: now.memberEpoch })).toMatchObject({ assignment: former.assignment });
  });

  test("a static member that comes back under another id finds its assignment, though there are others", async () => {
    const url = "/v1/groups/g/members/a";
    await join("a", { instanceId: "slot-1" });
    const second = await server.post(urlOf("b"), { topics: ["t"], instanceId: "slot-1" });
    expect(second.json()).toMatchObject({ status: 409, code: "UNRELEASED_INSTANCE_ID", memberId: "a" });
    const other = await join("other");
    const a = await poll("a", { memberEpoch: (await join("a", { instanceId: "slot-1" })).memberEpoch });
    expect(a.assignment).toEqual([{ topic: "t", partitions: [0] }]);
    const { groupEpoch } = await read("/v1/groups/g");
    expect((await remove(url)).statusCode).toBe(204);
    expect((await remove(url)).statusCode).toBe(404);
    const others = await poll("other", { memberEpoch: other.memberEpoch });
    expect(others.assignment).toEqual([{ topic: "t", partitions: [1] }]);
    expect((await join("b", { instanceId: "slot-1" })).assignment).toEqual(a.assignment);
    expect((await read("/v1/groups/g")).groupEpoch).toBe(groupEpoch);
  });

  test("a static member that leaves for good gives up its assignment, also when it had left before", async () => {
    const url = "/v1/groups/g/members/a";
    await join("a", { instanceId: "slot-1" });
    expect((await remove(url)).statusCode).toBe(204);
    const other = await join("other");
    expect(other.assignment).toEqual([]);
    expect((await remove(`${url}?forGood=true`)).statusCode).toBe(204);
    const all = await poll("other", { memberEpoch: other.memberEpoch });
    expect(all.assignment).toEqual([{ topic: "t", partitions: [0, 1] }]);
    expect((await remove(`${url}?forGood=true`)).statusCode).toBe(404);
  });
});

describe("several members", () => {
  test("share the partitions: one is given up first, then taken", async () => {
    const a = await join("a");
    const b = await join("b");
    expect(b.assignment).toEqual([]);
    const less = await poll("a", { memberEpoch: a.memberEpoch, commit: a.positions });
    expect(less.assignment.flatMap(({ partitions }) => partitions)).toHaveLength(1);
    expect(less.positions).toHaveLength(1);
    await poll("a", { memberEpoch: less.memberEpoch, commit: less.positions });
    const more = await poll("b", { memberEpoch: b.memberEpoch });
    expect(more.assignment.flatMap(({ partitions }) => partitions)).toHaveLength(1);
    expect(more.assignment).not.toEqual(less.assignment);
    expect(await read("/v1/groups/g")).toMatchObject({ members: [{ memberId: "a" }, { memberId: "b" }] });
  });

  test("owned keeps a partition that left the assignment; then its commit still counts, later not", async () => {
    const a = await join("a");
    const b = await join("b");
    const less = await poll("a", { memberEpoch: a.memberEpoch, owned: a.assignment });
    const kept = less.assignment[0]!.partitions[0]!;
    const left = 1 - kept;
    const owned = [{ topic: "t", partitions: [left] }];
    const during = await poll("a", { memberEpoch: less.memberEpoch, commit: [at(left, 1)], owned });
    expect(during.notCommitted).toBeUndefined();
    expect((await poll("b", { memberEpoch: b.memberEpoch })).assignment).toEqual([]);
    const after = await poll("a", { memberEpoch: during.memberEpoch });
    const taken = await poll("b", { memberEpoch: b.memberEpoch });
    expect(taken.assignment).toEqual([{ topic: "t", partitions: [left] }]);
    const late = await poll("a", { memberEpoch: after.memberEpoch, commit: [at(left, 2), at(kept, 1)] });
    expect(late.notCommitted).toEqual([{ topic: "t", partition: left, code: "STALE_MEMBER_EPOCH" }]);
    const offsets = await committed();
    expect([offsets[left], offsets[kept]]).toEqual([1, 1]); // the rest of the call happened
  });

  test("a waiting poll ends when its assignment changes", async () => {
    const a = await join("a");
    const wait = waiting("a", { memberEpoch: a.memberEpoch, commit: a.positions });
    await server.clock.advance(100);
    expect(wait.answered).toBe(false);
    const b = waiting("b", { topics: ["t"] });
    const less = await wait.answer;
    expect(less.assignment[0]?.partitions).toHaveLength(1);
    // The first poll of b waits for its share inside its own waitMs.
    const next = waiting("a", { memberEpoch: less.memberEpoch, commit: less.positions });
    const joined = await b.answer;
    expect(joined.assignment[0]?.partitions).toHaveLength(1);
    await remove("/v1/groups/g/members/b");
    expect((await next.answer).assignment).toEqual(a.assignment);
  });

  test("one that falls silent is removed when its session ends, and the others go on with its commits", async () => {
    const a = await join("a", { sessionTimeoutMs: 6000 });
    await poll("a", { memberEpoch: a.memberEpoch, commit: [at(0, 2)] });
    const b = waiting("b", { topics: ["t"] });
    await server.clock.advance(5000);
    expect(b.answered).toBe(false);
    await server.clock.advance(2000);
    const joined = await b.answer;
    expect(joined.assignment).toEqual([{ topic: "t", partitions: [0, 1] }]);
    expect(values(joined).sort()).toEqual([10, 11, 2]);
    expect(await poll("a", { memberEpoch: a.memberEpoch })).toMatchObject({ status: 409, code: "UNKNOWN_MEMBER_ID" });
  });

  test("two clients that use one id fence each other and hold up nobody else", async () => {
    const a = await join("a");
    await join("b");
    await poll("a", { memberEpoch: a.memberEpoch, commit: a.positions });
    for (let turn = 0; turn < 5; turn++) {
      const [one, two] = await Promise.all([join("b"), join("b")]);
      const epochs = [one.memberEpoch, two.memberEpoch].sort((x, y) => x - y);
      expect(await poll("b", { memberEpoch: epochs[0] })).toMatchObject({ code: "FENCED_MEMBER_EPOCH" });
      expect((await poll("b", { memberEpoch: epochs[1], maxRecords: 0 })).code).toBeUndefined();
      expect((await poll("a", { memberEpoch: a.memberEpoch, maxRecords: 0 })).code).toBeUndefined();
    }
  });
});

describe("waiting", () => {
  test("a poll waits for records and comes as soon as there are", async () => {
    const { memberEpoch, positions } = await join("m");
    const wait = waiting("m", { memberEpoch, positions });
    await server.clock.advance(1000);
    expect(wait.answered).toBe(false);
    await produce(1, 12);
    expect(values(await wait.answer)).toEqual([12]);
  });

  test("without any it comes empty after waitMs, which is lowered to the limit, and keeps the session alive", async () => {
    const { memberEpoch, positions } = await join("m", { sessionTimeoutMs: 10_000 });
    const wait = waiting("m", { memberEpoch, positions, waitMs: 99_999_999 });
    await server.clock.advance(54_000);
    expect(wait.answered).toBe(false);
    await server.clock.advance(2000);
    expect(await wait.answer).toMatchObject({ records: [], positions, memberEpoch });
  });

  test("maxRecords 0 answers at once, beside a poll that waits", async () => {
    const { memberEpoch, positions } = await join("m");
    const wait = waiting("m", { memberEpoch, positions });
    await server.clock.advance(100);
    const heartbeat = await poll("m", { memberEpoch, maxRecords: 0, waitMs: 30_000, commit: [at(0, 1)] });
    expect(heartbeat).toMatchObject({ memberEpoch, records: [], positions: [] });
    expect(heartbeat.assignment).toEqual([{ topic: "t", partitions: [0, 1] }]);
    expect(wait.answered).toBe(false);
    expect(await committed()).toEqual([1, null]);
    await produce(0, 3);
    expect(values(await wait.answer)).toEqual([3]);
  });

  test("a second poll for records ends the wait of the first", async () => {
    const { memberEpoch, positions } = await join("m");
    const first = waiting("m", { memberEpoch, positions });
    await server.clock.advance(100);
    const second = waiting("m", { memberEpoch, positions });
    expect(await first.answer).toMatchObject({ records: [] });
    expect(second.answered).toBe(false);
    await produce(0, 3);
    expect(values(await second.answer)).toEqual([3]);
  });

  test("a taken-over member that waits is told", async () => {
    const { memberEpoch, positions } = await join("m");
    const wait = waiting("m", { memberEpoch, positions });
    await server.clock.advance(100);
    await join("m");
    expect(await wait.answer).toMatchObject({ status: 409, code: "FENCED_MEMBER_EPOCH" });
  });

  test("a poll whose client is gone ends, keeps nobody alive, and holds up nobody", async () => {
    const { memberEpoch, positions } = await join("gone", { sessionTimeoutMs: 6000 });
    const client = new AbortController();
    const body = JSON.stringify({ memberEpoch, positions, waitMs: 50_000 });
    const poll = vi.spyOn(server.broker, "pollGroup");
    const request = {
      method: "POST",
      url: urlOf("gone"),
      headers: json,
      payload: body,
      signal: client.signal,
    } as const;
    const abandoned = server.http.app.inject(request).catch(() => undefined);
    await server.clock.advance(100);
    client.abort();
    await abandoned;
    await server.clock.advance(100);
    await poll.mock.results[0]?.value; // it does not wait until its time is up
    poll.mockRestore();
    const other = waiting("other", { topics: ["t"] });
    await server.clock.advance(7000);
    expect((await other.answer).assignment).toEqual([{ topic: "t", partitions: [0, 1] }]);
  });

  test("a broker that drains answers waiting polls at once, and the connection ends with it", async () => {
    const { memberEpoch, positions } = await join("m");
    const payload = JSON.stringify({ memberEpoch, positions, waitMs: 30_000 });
    const wait = server.ask({ method: "POST", url: urlOf("m"), headers: json, payload });
    await server.clock.advance(100);
    const stopped = server.http.stop(10_000);
    const answer: LightMyRequestResponse = await wait;
    expect(answer.statusCode, answer.body).toBe(200);
    expect(answer.json()).toMatchObject({ records: [], positions });
    expect(answer.headers.connection).toBe("close");
    await stopped;
  });
});

describe("where to begin", () => {
  test("latest", async () => {
    expect(await join("m", { offsetReset: "latest" })).toMatchObject({ records: [], positions: [at(0, 3), at(1, 2)] });
  });

  test("error: a problem that names the partitions", async () => {
    const refused = await join("m", { offsetReset: "error" });
    expect(refused).toMatchObject({ status: 416, code: "OFFSET_OUT_OF_RANGE" });
    expect(JSON.stringify(refused)).toContain('"partition":0');
    expect(JSON.stringify(refused)).toContain('"partition":1');
  });

  test("a place that is gone is reset, and the answer says so", async () => {
    const { memberEpoch } = await join("m");
    await poll("m", { memberEpoch, commit: [at(0, 1), at(1, 2)] });
    await remove("/v1/topics/t/partitions/0/records?before=2");
    const after = await poll("m", { memberEpoch });
    expect(after.reset).toEqual([{ topic: "t", partition: 0, from: 1, to: 2 }]);
    expect(values(after)).toEqual([2]);
    const refused = await poll("m", { memberEpoch, offsetReset: "error" });
    expect(refused).toMatchObject({ status: 416, code: "OFFSET_OUT_OF_RANGE" });
  });

  test("a topic that is still to come is joined, and read once it is there", async () => {
    const early = waiting("m", { topics: ["later"] });
    await server.clock.advance(100);
    await server.createTopic("later");
    await server.produceNumbers("later", 5);
    let answer = await early.answer;
    for (let polls = 0; polls < 5 && answer.records.length === 0; polls++) {
      const next = waiting("m", { memberEpoch: answer.memberEpoch });
      await server.clock.advance(1000);
      answer = await next.answer;
    }
    expect(values(answer)).toEqual([5]);
  });
});

describe("how much", () => {
  test("maxRecords is shared between the partitions, and positions go on from there", async () => {
    await produce(0, ...Array.from({ length: 20 }, (_, n) => 100 + n));
    await produce(1, ...Array.from({ length: 20 }, (_, n) => 200 + n));
    const first = await join("m", { maxRecords: 10 });
    const from = (partition: number) => first.records.filter((record) => record.partition === partition).length;
    expect([from(0), from(1)]).toEqual([5, 5]);
    expect(first.positions).toEqual([at(0, 5), at(1, 5)]);
    const seen = values(first);
    let { positions } = first;
    for (let polls = 0; polls < 20 && seen.length < 45; polls++) {
      const page = await poll("m", { memberEpoch: first.memberEpoch, positions, maxRecords: 7 });
      expect(page.records.length).toBeLessThanOrEqual(7);
      seen.push(...values(page));
      positions = page.positions;
    }
    expect(new Set(seen).size).toBe(45);
    expect(seen).toHaveLength(45);
  });

  test("maxBytes bounds the records; the first comes even if it is larger", async () => {
    const one = await join("m", { maxBytes: 1 });
    expect(one.records).toHaveLength(1);
    const { memberEpoch } = one;
    const some = await server.post(urlOf("m"), { memberEpoch, maxBytes: 150 });
    expect(some.json<Poll>().records.length).toBeGreaterThan(1);
    expect(some.json<Poll>().records.length).toBeLessThan(5);
  });

  test("gzip on request", async () => {
    await produce(0, ...Array.from({ length: 100 }, (_, n) => n));
    const headers = { ...json, "accept-encoding": "gzip" };
    const answer = await server.http.app.inject({
      method: "POST",
      url: urlOf("m"),
      headers,
      payload: '{"topics":["t"]}',
    });
    expect(answer.headers["content-encoding"]).toBe("gzip");
    expect(answer.rawPayload.subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });
});

describe("representations", () => {
  test("keys and values as JSON is asked to show them", async () => {
    const headers = { "content-type": "application/octet-stream" };
    await server.createTopic("raw");
    await server.post("/v1/topics/raw/records?key=k", Buffer.from([0xff]), headers);
    const body = { topics: ["raw"], keyFormat: "base64", valueFormat: "base64" };
    expect((await poll("m", body)).records).toMatchObject([{ key: "aw==", value: "/w==" }]);
  });

  test("msgpack, both ways", async () => {
    const headers = { ...msgpack, accept: "application/msgpack" };
    const ask = async (body: object) => {
      const answer = await server.post(urlOf("m"), encodeMsgpack(body), headers);
      expect(answer.headers["content-type"]).toBe("application/msgpack");
      return unpack(answer.rawPayload);
    };
    const first = await ask({ topics: ["t"] });
    expect(first).toMatchObject({ assignment: [{ topic: "t", partitions: [0, 1] }], positions: [at(0, 3), at(1, 2)] });
    expect(first.records[0]).toMatchObject({ topic: "t", key: null });
    expect(Buffer.isBuffer(first.records[0].value)).toBe(true);
    const second = await ask({ memberEpoch: first.memberEpoch, commit: first.positions });
    expect(second.records).toEqual([]);
    expect(await committed()).toEqual([3, 2]);
    const refused = await server.post(urlOf("m"), encodeMsgpack({ memberEpoch: 1 }), headers);
    expect(refused.headers["content-type"]).toBe("application/problem+json");
  });

  test("msgpack of what says how groups are", async () => {
    await join("m");
    const accept = { accept: "application/msgpack" };
    for (const url of ["/v1/groups?lag=true", "/v1/groups/g", "/v1/groups/g/offsets"]) {
      expect(unpack((await server.get(url, accept)).rawPayload)).toEqual(await read(url));
    }
  });
});

describe("a stored batch that cannot be read", () => {
  /** Of one partition; its header is left alone. */
  function damage(partition: number): void {
    const whole = server.broker.pollGroup.bind(server.broker);
    const damaged = (one: FetchedPartition): FetchedPartition => {
      if (one.partition !== partition || one.batches.byteLength === 0) return one;
      const batches = Uint8Array.from(one.batches).fill(0xff, 61, 70);
      return { ...one, batches };
    };
    vi.spyOn(server.broker, "pollGroup").mockImplementation(async (call) => {
      const answer = await whole(call);
      return { ...answer, fetched: answer.fetched.map(damaged) };
    });
  }

  test("holds up no other partition, and is a problem once there is nothing else", async () => {
    damage(0);
    const first = await join("m");
    expect(values(first)).toEqual([10, 11]);
    expect(first.positions).toEqual([at(0, 0), at(1, 2)]);
    const { memberEpoch, positions } = first;
    const refused = await server.post(urlOf("m"), { memberEpoch, commit: positions, waitMs: 30_000 });
    expect(refused.json()).toMatchObject({
      status: 503,
      code: "KAFKA_STORAGE_ERROR",
      topic: "t",
      partition: 0,
      baseOffset: 0,
      lastOffset: 2,
      nextOffset: 3,
      memberEpoch,
    });
    expect(await committed()).toEqual([0, 2]);
    await produce(0, 3);
    vi.restoreAllMocks();
    const behind = await poll("m", { memberEpoch, positions: [at(0, refused.json().nextOffset), at(1, 2)] });
    expect(values(behind)).toEqual([3]);
  });
});

describe("groups", () => {
  test("are listed by name, with their lags on request", async () => {
    for (const group of ["b", "a", "c"]) await server.post(urlOf("m", group), { topics: ["t"] });
    await server.post("/v1/groups/only-offsets/offsets", { positions: [at(0, 2)] });
    const list = await read("/v1/groups");
    expect(list.groups.map(({ groupId }: { groupId: string }) => groupId)).toEqual(["a", "b", "c", "only-offsets"]);
    expect(list.groups[0]).toEqual({ groupId: "a", state: "stable", members: 1 });
    expect(list.groups[3]).toEqual({ groupId: "only-offsets", state: "empty", members: 0 });
    expect(await read("/v1/groups?prefix=on&lag=true")).toMatchObject({
      groups: [{ groupId: "only-offsets", lag: 1 }],
    });
    const page = await read("/v1/groups?limit=2");
    expect(page.groups).toHaveLength(2);
    expect(await read(`/v1/groups?after=${page.next}`)).toMatchObject({
      groups: [{ groupId: "c" }, { groupId: "only-offsets" }],
    });
  });

  test("are described with their members", async () => {
    const { memberEpoch } = await join("m", { instanceId: "slot" });
    expect(await read("/v1/groups/g")).toEqual({
      groupId: "g",
      state: "stable",
      groupEpoch: expect.any(Number),
      assignmentEpoch: expect.any(Number),
      coordinator: 1,
      members: [
        {
          memberId: "m",
          instanceId: "slot",
          memberEpoch,
          topics: ["t"],
          assignment: [{ topic: "t", partitions: [0, 1] }],
        },
      ],
    });
  });

  test("are deleted when they are empty, with their offsets", async () => {
    const { memberEpoch, positions } = await join("m");
    await poll("m", { memberEpoch, commit: positions });
    const refused = await remove("/v1/groups/g");
    expect(refused.json()).toMatchObject({ status: 409, code: "NON_EMPTY_GROUP" });
    expect(refused.json().detail).toContain("remove them");
    await remove("/v1/groups/g/members/m");
    expect((await remove("/v1/groups/g")).statusCode).toBe(204);
    expect((await read("/v1/groups/g")).code).toBe("GROUP_ID_NOT_FOUND");
    expect(values(await join("m"))).toHaveLength(5);
  });

  test("no group, no topic of them", async () => {
    expect(await read("/v1/groups")).toEqual({ groups: [] });
    expect((await read("/v1/groups/g")).code).toBe("GROUP_ID_NOT_FOUND");
    expect((await read("/v1/topics?internal=true")).topics).toHaveLength(1);
  });
});

describe("offsets", () => {
  test("every partition that is committed or assigned, how far behind, and who has it", async () => {
    const { memberEpoch } = await join("m");
    await server.clock.advance(1000);
    const commit = [{ ...at(0, 1), metadata: "ä" }];
    await poll("m", { memberEpoch, commit });
    expect((await read("/v1/groups/g/offsets")).positions).toEqual([
      { ...at(0, 1), metadata: "ä", highWatermark: 3, lag: 2, lagMs: 1000, memberId: "m" },
      { ...at(1, 0), nextOffset: null, metadata: null, highWatermark: 2, lag: 2, lagMs: 1000, memberId: "m" },
    ]);
  });

  test("a commit from outside is all or nothing, may go back, and makes its group", async () => {
    const url = "/v1/groups/outside/offsets";
    const commit = (...positions: object[]) => server.post(url, { positions });
    expect((await commit(at(0, 3), at(1, 1))).statusCode).toBe(204);
    expect((await commit(at(0, 1), at(9, 1))).statusCode).toBe(404);
    expect((await read(url)).positions).toMatchObject([{ nextOffset: 3 }, { nextOffset: 1, memberId: null }]);
    expect((await commit(at(0, 1))).statusCode).toBe(204);
    expect((await read(url)).positions[0]).toMatchObject({ nextOffset: 1, lag: 2 });
  });

  test("a member may commit beside its polls, with its epoch", async () => {
    const { memberEpoch } = await join("m");
    const body = { positions: [at(0, 2)], memberId: "m", memberEpoch };
    expect((await server.post("/v1/groups/g/offsets", body)).statusCode).toBe(204);
    expect(await committed()).toEqual([2, null]);
  });

  test("a member's commit never goes back under its epoch", async () => {
    const { memberEpoch } = await join("m");
    for (const nextOffset of [3, 1]) await poll("m", { memberEpoch, commit: [at(0, nextOffset)] });
    expect(await committed()).toEqual([3, null]);
  });

  test("survive a restart", async () => {
    await server.post("/v1/groups/g/offsets", { positions: [at(0, 2)] });
    await server.stop();
    server.disk.kill();
    server = await TestServer.start({}, { disk: server.disk });
    expect((await read("/v1/groups/g/offsets")).positions).toMatchObject([at(0, 2)]);
  });
});

describe("a reset", () => {
  const url = "/v1/groups/g/offsets/reset";
  const to = async (body: object) => (await server.post(url, body)).json();
  beforeEach(() => server.post("/v1/groups/g/offsets", { positions: [at(0, 2), at(1, 1)] }));

  test.each([
    ["earliest", [0, 0]],
    ["latest", [3, 2]],
    ["-1", [2, 1]],
    ["1", [1, 1]],
    ["999", [3, 2]],
    ["@2026-01-01T00:00:00Z", [0, 0]],
    ["0:1,1:2", [1, 2]],
  ])("to %s", async (place, expected) => {
    const [first, second] = expected;
    const positions = [
      { ...at(0, first!), previous: 2 },
      { ...at(1, second!), previous: 1 },
    ];
    expect(await to({ to: place, dryRun: true })).toEqual({ positions });
    expect(await committed()).toEqual([2, 1]);
    expect(await to({ to: place })).toEqual({ positions });
    expect(await committed()).toEqual(expected);
  });

  test("of some partitions", async () => {
    expect(await to({ to: "earliest", partitions: [1] })).toEqual({ positions: [{ ...at(1, 0), previous: 1 }] });
    expect(await committed()).toEqual([2, 0]);
  });

  test("with topics it makes the group; a dry run does not", async () => {
    const made = "/v1/groups/made/offsets/reset";
    const body = { to: "latest", topics: ["t"] };
    const positions = [
      { ...at(0, 3), previous: null },
      { ...at(1, 2), previous: null },
    ];
    expect((await server.post(made, { ...body, dryRun: true })).json()).toEqual({ positions });
    expect((await read("/v1/groups/made")).code).toBe("GROUP_ID_NOT_FOUND");
    expect((await server.post(made, body)).json()).toEqual({ positions });
    expect(await read("/v1/groups/made")).toMatchObject({ state: "empty", members: [] });
  });

  test("not while the group has members", async () => {
    const { memberEpoch } = await join("m");
    expect(await to({ to: "earliest" })).toMatchObject({ status: 409, code: "NON_EMPTY_GROUP" });
    await remove("/v1/groups/g/members/m");
    expect(await to({ to: "earliest" })).not.toHaveProperty("code");
    expect(await poll("m", { memberEpoch })).toMatchObject({ code: "UNKNOWN_MEMBER_ID" });
  });
});

test("the cluster says that it knows groups, and within which limits", async () => {
  const cluster = await read("/v1/cluster");
  expect(cluster.features).toContain("groups");
  expect(cluster.limits).toMatchObject({
    maxPositionsPerCall: 10_000,
    maxTopicsPerMember: 1000,
    sessionTimeoutMsMin: 1000,
    sessionTimeoutMsMax: 1_800_000,
    rebalanceTimeoutMsMin: 1000,
    rebalanceTimeoutMsMax: 3_600_000,
  });
});
