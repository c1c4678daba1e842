// Calls of the etcd store against a scripted etcd: which answers are in doubt, which are not, and who is asked next.

import { expect, test } from "vitest";
import { EtcdStore, type EtcdStoreOptions } from "../../src/cluster/etcd-store.ts";
import { LeaseGoneError, type Operation } from "../../src/cluster/metadata-store.ts";
import { HttpFailure } from "../../src/io/http-client.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { cut, type Meets, notSent, refusal, type ScriptedCall, ScriptedEtcd } from "./scripted-etcd.ts";

const put: Operation = { kind: "put", key: "a", value: 1 };
const header = { cluster_id: "7", revision: "5" };
const committed: Meets = { json: { header, succeeded: true } };
const base64 = (text: string) => Buffer.from(text).toString("base64");

interface Setup {
  readonly store: EtcdStore;
  readonly etcd: ScriptedEtcd;
  readonly clock: SimulatedClock;
  settled<T>(promise: Promise<T>): Promise<T>;
}

/** `meets` in the order of calls; the last for all that follow. */
function setup(
  meets: readonly Meets[] | ((call: ScriptedCall) => Meets),
  options: Partial<EtcdStoreOptions> = {},
): Setup {
  let calls = 0;
  const meet = typeof meets === "function" ? meets : () => meets[Math.min(calls++, meets.length - 1)]!;
  const etcd = new ScriptedEtcd(meet);
  const clock = new SimulatedClock();
  const endpoints = ["http://one:2379", "http://two:2379", "http://three:2379"];
  const store = new EtcdStore({ endpoints, http: etcd, clock, random: new SimulatedRandom(1), ...options });
  return { store, etcd, clock, settled: (promise) => clock.runUntilSettled(promise) };
}

const doubtful: Record<string, Meets> = {
  "the connection is cut": cut(),
  "no answer in time": "silence",
  "request timed out": refusal(14, "etcdserver: request timed out"),
  "timed out for a lost leader": refusal(14, "etcdserver: request timed out, possibly due to previous leader failure"),
  "leader changed": refusal(14, "etcdserver: leader changed"),
  "server stopped": refusal(14, "etcdserver: server stopped"),
  "as etcd 3.6 writes it": { status: 503, json: { code: 14, message: "etcdserver: request timed out", details: [] } },
  "deadline exceeded": refusal(4, "context deadline exceeded", 504),
  "proposal dropped": refusal(2, "raft proposal dropped", 500),
  cancelled: refusal(1, "context canceled", 408),
  internal: refusal(13, "transport: the stream is done", 500),
  "the quota is reached, with this write": refusal(8, "etcdserver: mvcc: database space exceeded", 429),
  "a proxy's page": { status: 502, text: "<html>Bad gateway</html>" },
  "an answer that is no JSON": { text: "<html>" },
  "half an answer": { text: '{"header":{"revision":"5"}' },
  "an answer that is too long": new HttpFailure("tooLong", "the answer is longer than 10 bytes"),
  "an error in the answer's place": { json: { error: { grpc_code: 14, message: "etcdserver: request timed out" } } },
};

test.each(Object.entries(doubtful))("a transaction is in doubt and not sent again: %s", async (_, meets) => {
  const { store, etcd, settled } = setup([meets, committed]);
  const result = await settled(store.transaction([], [put]));
  expect(result).toMatchObject({ outcome: "unknown", cause: { name: "InDoubtError" } });
  expect(etcd.calls).toHaveLength(1);
  // The next one asks somebody else.
  expect((await settled(store.transaction([], [put]))).outcome).toBe("committed");
  expect(etcd.calls[1]!.origin).not.toBe(etcd.calls[0]!.origin);
});

const surelyNotDone: Record<string, Meets> = {
  "no connection": notSent(),
  "no leader": refusal(14, "etcdserver: no leader"),
  "too many requests": refusal(8, "etcdserver: too many requests", 429),
};

test.each(Object.entries(surelyNotDone))("a transaction is sent to the next member: %s", async (_, meets) => {
  const { store, etcd, settled } = setup([meets, meets, committed]);
  expect(await settled(store.transaction([], [put]))).toEqual({ outcome: "committed", revision: 5 });
  expect(new Set(etcd.calls.map(({ origin }) => origin)).size).toBe(3);
});

test("when no member takes the transaction it was not done, and the call ends in its time", async () => {
  const { store, etcd, clock, settled } = setup([notSent()]);
  await expect(settled(store.transaction([], [put]))).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(6_000);
  expect(clock.monotonicMs()).toBeLessThan(7_100);
  expect(etcd.calls.length).toBeLessThan(40);
});

test("a refusal is told as such and not repeated", async () => {
  const refusals: [Meets, object][] = [
    [refusal(7, "etcdserver: permission denied", 403), { code: "KAFKA_STORAGE_ERROR", message: /permission denied/ }],
    [refusal(3, "etcdserver: request is too large", 400), { code: "INVALID_REQUEST" }],
    [
      { status: 404, text: "404 page not found" },
      { code: "KAFKA_STORAGE_ERROR", message: /404 page not found/ },
    ],
  ];
  for (const [meets, told] of refusals) {
    const { store, etcd, settled } = setup([meets, committed]);
    await expect(settled(store.transaction([], [put]))).rejects.toMatchObject(told);
    expect(etcd.calls).toHaveLength(1);
  }
});

test("a lease that is gone is told with its number", async () => {
  const { store, settled } = setup([refusal(5, "etcdserver: requested lease not found", 404)]);
  const gone = settled(store.transaction([], [put, { kind: "put", key: "b", value: 1, lease: 77 }]));
  await expect(gone).rejects.toThrow(new LeaseGoneError(77));
});

test("a conflict and a commit carry etcd's revision; compares and operations are as etcd wants them", async () => {
  const { store, etcd, settled } = setup([{ json: { header } }, committed], { prefix: "/c/" });
  const compares = [
    { key: "a", modRevision: 4 },
    { key: "b", createRevision: 0 },
  ];
  const operations: Operation[] = [
    put,
    { kind: "put", key: "b", value: "é", lease: 2 ** 53 - 1 },
    { kind: "delete", key: "c" },
  ];
  expect(await settled(store.transaction(compares, operations))).toEqual({ outcome: "conflict", revision: 5 });
  expect(etcd.calls[0]).toMatchObject({
    path: "/v3/kv/txn",
    headers: { "grpc-metadata-hasleader": "true" },
    body: {
      compare: [
        { key: base64("/c/a"), target: "MOD", result: "EQUAL", mod_revision: "4" },
        { key: base64("/c/b"), target: "CREATE", result: "EQUAL", create_revision: "0" },
      ],
      success: [
        { request_put: { key: base64("/c/a"), value: base64("1") } },
        { request_put: { key: base64("/c/b"), value: base64('"é"'), lease: "9007199254740991" } },
        { request_delete_range: { key: base64("/c/c") } },
      ],
    },
  });
});

test("a transaction that only compares asks the cluster, not one member", async () => {
  const { store, etcd, settled } = setup([committed]);
  await settled(store.transaction([{ key: "a", modRevision: 4 }], []));
  const { success, failure } = etcd.calls[0]!.body;
  for (const branch of [success, failure]) {
    expect(branch).toHaveLength(1);
    expect(branch[0].request_range.serializable).toBeUndefined();
  }
});

test("a read goes to the next member when one is silent, cut off or in trouble", async () => {
  const kv = { key: base64("/millrace/a"), value: base64("1"), create_revision: "3", mod_revision: "4" };
  const meets: Meets[] = ["silence", cut(), refusal(14, "etcdserver: leader changed"), { json: { header, kvs: [kv] } }];
  const { store, etcd, clock, settled } = setup(meets);
  expect(await settled(store.get("a"))).toEqual({ key: "a", value: 1, createRevision: 3, modRevision: 4 });
  expect(new Set(etcd.calls.map(({ origin }) => origin)).size).toBe(3);
  expect(clock.monotonicMs()).toBeLessThan(3_000);
});

test("a read that no member answers ends in its time", async () => {
  const { store, clock, settled } = setup(["silence"]);
  await expect(settled(store.get("a"))).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR", message: /no answer in/ });
  expect(clock.monotonicMs()).toBeLessThan(7_100);
});

test("a value that is no JSON is named, not guessed at", async () => {
  const kv = { key: base64("/millrace/a"), value: base64("{"), create_revision: "3", mod_revision: "4" };
  const { store, settled } = setup([{ json: { header, kvs: [kv] } }]);
  await expect(settled(store.get("a"))).rejects.toMatchObject({
    code: "KAFKA_STORAGE_ERROR",
    message: /\/millrace\/a/,
  });
});

test("a member of another cluster, and one that went back in time, are not believed", async () => {
  const other = { json: { header: { cluster_id: "8", revision: "90" } } };
  const back = { json: { header: { cluster_id: "7", revision: "4" }, succeeded: true } };
  for (const odd of [other, back]) {
    const { store, etcd, settled } = setup([{ json: { header } }, odd, { json: { header } }, odd]);
    await settled(store.get("a"));
    expect(await settled(store.get("a"))).toBeUndefined();
    expect(etcd.calls).toHaveLength(3);
    expect(etcd.calls[2]!.origin).not.toBe(etcd.calls[1]!.origin);
    expect((await settled(store.transaction([], [put]))).outcome).toBe("unknown");
  }
});

test("keepAlive is repeated when its answer is lost; a lease without time is gone", async () => {
  const kept = { json: { result: { header, ID: "9", TTL: "10" } } };
  const { store, etcd, settled } = setup([
    cut(),
    { json: { error: { grpc_code: 14, message: "etcdserver: no leader" } } },
    kept,
    { json: { result: { header, ID: "9" } } },
  ]);
  expect(await settled(store.keepAlive(9))).toBe(true);
  expect(etcd.calls.map(({ body }) => body)).toEqual([{ ID: "9" }, { ID: "9" }, { ID: "9" }]);
  expect(await settled(store.keepAlive(9))).toBe(false);
});

test("a lease is granted under another number when the first is taken, as after a lost answer", async () => {
  const taken = refusal(9, "etcdserver: lease already exists", 412);
  const { store, etcd, settled } = setup([cut(), taken, { json: { header, ID: "1", TTL: "10" } }]);
  const lease = await settled(store.grantLease(10));
  const [first, second, third] = etcd.calls.map(({ body }) => body.ID as string);
  expect(first).toBe(second);
  expect(third).not.toBe(first);
  expect(`${lease}`).toBe(third);
  expect(Number.isSafeInteger(lease) && lease > 0).toBe(true);
});

test("to revoke a lease that is gone is no trouble", async () => {
  const { store, settled } = setup([cut(), refusal(5, "etcdserver: requested lease not found", 404)]);
  await settled(store.revokeLease(9));
});

/** A prefix of `count` keys, served as etcd does, at the revision that is asked for. */
function served(call: ScriptedCall, count: number, revision: number): object {
  const { key, limit } = call.body as { key: string; limit: string };
  const from = Buffer.from(key, "base64").toString("latin1");
  const all = Array.from({ length: count }, (_, index) => `/millrace/k/${100 + index}`).filter((name) => name >= from);
  const kvs = all
    .slice(0, Number(limit))
    .map((name) => ({ key: base64(name), value: base64(`${revision}`), mod_revision: "1" }));
  const more = all.length > kvs.length;
  return { header: { cluster_id: "7", revision: "900" }, kvs, ...(more && { more }) };
}

test("the pages of a range are of one revision; when it is forgotten on the way, all begins again", async () => {
  let pages = 0;
  const { store, etcd, settled } = setup(
    (call) =>
      ++pages === 3
        ? refusal(11, "etcdserver: mvcc: required revision has been compacted", 400)
        : { json: served(call, 10, 0) },
    { limits: { rangePageKeys: 4 } },
  );
  const { values, revision } = await settled(store.range("k/"));
  expect([values.length, revision]).toEqual([10, 900]);
  expect(values.map(({ key }) => key)).toEqual([...new Set(values.map(({ key }) => key))].sort());
  expect(etcd.calls.map(({ body }) => body.revision)).toEqual([undefined, "900", "900", undefined, "900", "900"]);
});

test("a page that is too long is asked for in smaller ones", async () => {
  const { store, settled } = setup((call) => ({ json: served(call, 10, 0) }), { limits: { answerBytesMax: 300 } });
  expect((await settled(store.range("k/"))).values).toHaveLength(10);
});

const user = { name: "broker", password: "secret" };

/** Knows one token, the last it gave, until it forgets it. */
class Users {
  #tokens = 0;
  #isForgotten = false;

  forget(): void {
    this.#isForgotten = true;
  }

  meet({ path, headers, body }: ScriptedCall): Meets {
    if (path === "/v3/auth/authenticate") {
      this.#isForgotten = false;
      return body.password === "secret"
        ? { json: { header, token: `token-${++this.#tokens}` } }
        : refusal(3, "etcdserver: authentication failed, invalid user ID or password", 400);
    }
    const isKnown = headers["authorization"] === `token-${this.#tokens}` && !this.#isForgotten;
    return isKnown ? committed : refusal(16, "etcdserver: invalid auth token", 401);
  }
}

test("a token is fetched once for many calls, and again when it is refused, which is no doubt", async () => {
  const users = new Users();
  const { store, etcd, settled } = setup((call) => users.meet(call), { user });
  const tokensAsked = () => etcd.callsOf("/v3/auth/authenticate").length;
  await settled(Promise.all([store.get("a"), store.get("b"), store.get("c")]));
  expect(tokensAsked()).toBe(1);
  users.forget();
  const both = [store.transaction([], [put]), store.transaction([], [put])];
  expect(await settled(Promise.all(both))).toMatchObject([{ outcome: "committed" }, { outcome: "committed" }]);
  expect(tokensAsked()).toBe(2);
});

test("a wrong password is refused at once", async () => {
  const { store, etcd, settled } = setup((call) => new Users().meet(call), {
    user: { name: "broker", password: "wrong" },
  });
  await expect(settled(store.get("a"))).rejects.toMatchObject({ message: /authentication failed/ });
  expect(etcd.calls).toHaveLength(1);
});

test("a token that does not come leaves nothing in doubt", async () => {
  const users = new Users();
  let asked = 0;
  const meet = (call: ScriptedCall) =>
    call.path === "/v3/auth/authenticate" && ++asked === 1 ? cut() : users.meet(call);
  const { store, etcd, settled } = setup(meet, { user });
  expect((await settled(store.transaction([], [put]))).outcome).toBe("committed");
  expect(etcd.callsOf("/v3/kv/txn")).toHaveLength(1);
});

test("an etcd without users takes calls without a token", async () => {
  const meet = ({ path, headers }: ScriptedCall): Meets => {
    if (path === "/v3/auth/authenticate") return refusal(9, "etcdserver: authentication is not enabled", 412);
    return headers["authorization"] === undefined ? committed : cut();
  };
  const { store, settled } = setup(meet, { user });
  expect((await settled(store.transaction([], [put]))).outcome).toBe("committed");
});

test("more calls than may be under way are refused; they were not done", async () => {
  const { store, etcd, settled } = setup(["silence"], { limits: { callsInFlightMax: 2 } });
  const under = [store.get("a"), store.get("b")].map((read) => read.catch(() => "failed"));
  await expect(store.transaction([], [put])).rejects.toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
  expect(etcd.calls).toHaveLength(2);
  expect(await settled(Promise.all(under))).toEqual(["failed", "failed"]);
});

test("close waits for the transactions and cuts the rest", async () => {
  const { store, etcd, clock, settled } = setup(({ path }) => (path === "/v3/kv/txn" ? "silence" : notSent()));
  const writing = store.transaction([], [put]);
  const reading = store.get("a").catch((error: Error) => error);
  await clock.advance(10);
  const closing = store.close();
  expect(etcd.isClosed).toBe(false);
  expect((await settled(writing)).outcome).toBe("unknown");
  await settled(closing);
  expect(etcd.isClosed).toBe(true);
  expect(await settled(reading)).toMatchObject({ name: "BrokerError" });
  expect(() => store.watch("", 1, { changed() {}, compacted() {} })).toThrow("closed");
  expect(clock.timersPending).toBe(0);
});
