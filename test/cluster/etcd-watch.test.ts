// Watches of the etcd store against a scripted etcd: what is told, in which pieces, and when the stream is opened again.

import fc from "fast-check";
import { expect, test } from "vitest";
import { EtcdStore, type EtcdStoreOptions } from "../../src/cluster/etcd-store.ts";
import type { Watch } from "../../src/cluster/metadata-store.ts";
import { SimulatedClock, settled } from "../simulation/simulated-clock.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { cut, refusal, ScriptedEtcd, type ScriptedStream } from "./scripted-etcd.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const header = (revision: number) => ({ cluster_id: "7", revision: `${revision}` });
const created = { header: header(50), created: true };
const answer = { header: header(50), watch_id: "-1" };

/** A put of `revision` as its own value. */
const put = (key: string, revision: number) => ({
  kv: {
    key: base64(`/millrace/${key}`),
    value: base64(`${revision}`),
    create_revision: "1",
    mod_revision: `${revision}`,
  },
});
const gone = (key: string, revision: number) => ({
  type: "DELETE",
  kv: { key: base64(`/millrace/${key}`), mod_revision: `${revision}` },
});
const events = (...list: object[]) => ({ header: header(99), events: list });
const fragment = (...list: object[]) => ({ ...events(...list), fragment: true });

interface Setup {
  readonly etcd: ScriptedEtcd;
  readonly clock: SimulatedClock;
  readonly store: EtcdStore;
  readonly watch: Watch;
  /** "revision: key, key" for each call of the handler. */
  readonly told: string[];
  readonly warnings: object[];
  stream(index: number): ScriptedStream;
}

async function setup(
  fromRevision: number,
  options: Partial<EtcdStoreOptions> = {},
  onTold?: () => void,
): Promise<Setup> {
  const etcd = new ScriptedEtcd(() => ({ json: { header: header(1), token: "token" } }));
  const clock = new SimulatedClock();
  const warnings: object[] = [];
  const logger = {
    info() {},
    warn: (fields: object) => void warnings.push(fields),
    error: (fields: object) => void warnings.push(fields),
  };
  const endpoints = ["http://one:2379", "http://two:2379"];
  const store = new EtcdStore({ endpoints, http: etcd, clock, random: new SimulatedRandom(1), logger, ...options });
  const told: string[] = [];
  const watch = store.watch("k/", fromRevision, {
    changed: (events, revision) => {
      const keys = events.map((event) =>
        event.kind === "put" ? `${event.value.key}=${event.value.value}` : `-${event.key}`,
      );
      told.push(`${revision}: ${keys.join(", ")}`);
      onTold?.();
    },
    compacted: () => told.push("compacted"),
  });
  expect(etcd.streams).toEqual([]); // nothing before watch returned
  await settled();
  return { etcd, clock, store, watch, told, warnings, stream: (index) => etcd.streams[index]! };
}

test("it asks for all from one revision earlier, in fragments and with progress", async () => {
  const { stream } = await setup(8);
  expect(stream(0).created).toEqual({
    key: base64("/millrace/k/"),
    range_end: base64("/millrace/k0"),
    start_revision: "7",
    progress_notify: true,
    fragment: true,
  });
  expect(stream(0).headers).toMatchObject({ "grpc-metadata-hasleader": "true" });
  expect((await setup(1)).stream(0).created.start_revision).toBe("1");
});

test("each revision is told whole, once and in order, however etcd cuts its messages", async () => {
  const { stream, told } = await setup(8);
  stream(0).send(created, events(put("k/old", 7), put("k/a", 8)));
  expect(told).toEqual(["8: k/a=8"]);
  stream(0).send(fragment(put("k/a", 9), put("k/b", 9)), fragment(gone("k/c", 9)));
  expect(told).toHaveLength(1);
  stream(0).send(fragment(put("k/d", 9), put("k/a", 11)));
  expect(told).toEqual(["8: k/a=8", "9: k/a=9, k/b=9, -k/c, k/d=9"]);
  stream(0).send(events(put("k/b", 11)), events(put("k/a", 11)), events(put("k/a", 12), put("k/a", 13)));
  expect(told.slice(2)).toEqual(["11: k/a=11, k/b=11", "12: k/a=12", "13: k/a=13"]);
});

test("what is told does not depend on how the bytes come", async () => {
  const messages = [
    created,
    fragment(put("k/a", 8)),
    events(put("k/é", 8)),
    answer,
    events(put("k/a", 9), gone("k/b", 10)),
  ];
  const bytes = Buffer.from(messages.map((result) => `${JSON.stringify({ result })}\n`).join(""));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 30 }), async (cuts) => {
      const { stream, told } = await setup(8);
      let from = 0;
      for (const at of [...cuts.sort((a, b) => a - b), bytes.length]) {
        stream(0).bytes(bytes.subarray(from, at));
        from = at;
      }
      expect(told).toEqual(["8: k/a=8, k/Ã©=8", "9: k/a=9", "10: -k/b"]);
    }),
    { numRuns: 50 },
  );
});

test("a stream that ends within a revision is opened again where it was, at the next member", async () => {
  const { stream, told, clock, etcd } = await setup(8);
  stream(0).send(created, events(put("k/a", 8)), fragment(put("k/a", 9)));
  stream(0).end(cut());
  await clock.advance(1);
  expect(stream(1).created.start_revision).toBe("8");
  expect(stream(1).origin).not.toBe(stream(0).origin);
  stream(1).send(created, events(put("k/a", 8)), events(put("k/a", 9), put("k/b", 9)));
  expect(told).toEqual(["8: k/a=8", "9: k/a=9, k/b=9"]);
  stream(1).end();
  await clock.advance(100);
  expect(etcd.streams).toHaveLength(3);
});

test("a silent stream is asked; it stays when it answers and is left when it does not", async () => {
  const { stream, clock, etcd, told } = await setup(8);
  stream(0).send(created);
  for (let round = 1; round <= 3; round++) {
    await clock.advance(round === 1 ? 5_000 : 3_000);
    expect(stream(0).written).toEqual(Array.from({ length: round }, () => ({ progress_request: {} })));
    stream(0).send(answer);
    await clock.advance(2_000);
  }
  expect(etcd.streams).toHaveLength(1);
  await clock.advance(5_100);
  expect(stream(0).isClosed).toBe(true);
  expect(etcd.streams).toHaveLength(2);
  expect(stream(1).origin).not.toBe(stream(0).origin);
  expect(stream(1).created.start_revision).toBe("7"); // an answer about progress can overtake events
  stream(0).send(events(put("k/a", 8))); // too late
  stream(1).send(created, events(put("k/a", 8)));
  expect(told).toEqual(["8: k/a=8"]);
});

test("a stream that tells things is not asked", async () => {
  const { stream, clock } = await setup(8);
  stream(0).send(created);
  for (let revision = 8; revision < 20; revision++) {
    stream(0).send(events(put("k/a", revision)));
    await clock.advance(4_000);
  }
  expect(stream(0).written).toEqual([]);
});

test("a stream that does not begin is left, and every member is tried, not too often", async () => {
  const { clock, etcd } = await setup(8);
  await clock.advance(2_001);
  expect(etcd.streams.map(({ origin }) => origin).sort()).toEqual(["http://one:2379", "http://two:2379"]);
  await clock.advance(60_000);
  expect(etcd.streams.length).toBeGreaterThan(14);
  expect(etcd.streams.length).toBeLessThan(32);
  expect(etcd.streams.slice(0, -1).every(({ isClosed }) => isClosed)).toBe(true);
});

test("a stream that ends at once is opened again with growing pauses", async () => {
  const { clock, etcd } = await setup(8);
  for (let seen = 0; clock.monotonicMs() < 60_000; ) {
    for (; seen < etcd.streams.length; seen++) etcd.streams[seen]!.end(cut());
    await clock.advance(10);
  }
  expect(etcd.streams.length).toBeGreaterThan(30);
  expect(etcd.streams.length).toBeLessThan(80);
});

test("the watch's own progress is remembered: history it has seen the end of may be forgotten", async () => {
  const { stream, clock } = await setup(8);
  stream(0).send(created, { header: header(70) });
  stream(0).end();
  await clock.advance(1);
  expect(stream(1).created.start_revision).toBe("70");
});

test("forgotten history is told once, and is the end", async () => {
  for (const cancelled of [{ canceled: true, compact_revision: "40" }, { compact_revision: "40" }]) {
    const { stream, clock, etcd, told } = await setup(8);
    stream(0).send(created, { header: header(50), ...cancelled }, events(put("k/a", 41)));
    stream(0).send(events(put("k/a", 42)));
    await clock.advance(60_000);
    expect(told).toEqual(["compacted"]);
    expect(etcd.streams).toHaveLength(1);
    expect(stream(0).isClosed).toBe(true);
    expect(clock.timersPending).toBe(0);
  }
});

const troubles: Record<string, (stream: ScriptedStream) => void> = {
  "it is cancelled": (stream) =>
    stream.send({ header: header(50), created: true, canceled: true, cancel_reason: "permission denied" }),
  "an error comes in the stream": (stream) =>
    stream.bytes(Buffer.from('{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}\n')),
  "it is refused": (stream) => {
    stream.bytes(Buffer.from('{"error":"etcdserver: invalid auth token","code":16}'), 401);
    stream.end();
  },
  "it says what is no JSON": (stream) => stream.bytes(Buffer.from("<html>\n")),
  "a message is too long": (stream) => stream.bytes(Buffer.alloc(2_001, "x")),
  "it is of another cluster": (stream) => stream.send({ header: { cluster_id: "8", revision: "1" }, created: true }),
};

test.each(Object.entries(troubles))("the stream is opened again when %s", async (_, trouble) => {
  const options = { limits: { watchMessageBytesMax: 2_000 }, user: { name: "broker", password: "secret" } };
  const { stream, clock, etcd, told, warnings } = await setup(8, options);
  stream(0).send(created, events(put("k/a", 8)));
  stream(0).end();
  await clock.advance(1);
  trouble(stream(1));
  await clock.advance(200);
  expect(stream(1).isClosed).toBe(true);
  expect(stream(2).created.start_revision).toBe("8");
  expect(stream(2).headers).toMatchObject({ authorization: "token" });
  expect(etcd.callsOf("/v3/auth/authenticate").length).toBeGreaterThan(1);
  expect(warnings.length).toBeGreaterThan(1);
  stream(2).send(created, events(put("k/a", 9)));
  expect(told).toEqual(["8: k/a=8", "9: k/a=9"]);
});

test("no token, no stream; it is tried again", async () => {
  const { clock, etcd: scripted } = await setup(8, { user: { name: "broker", password: "secret" } });
  scripted.meet = () => refusal(14, "etcdserver: no leader");
  scripted.streams[0]!.end();
  await clock.advance(500);
  expect(scripted.streams).toHaveLength(1);
  scripted.meet = () => ({ json: { token: "another" } });
  await clock.runUntil(() => scripted.streams.length === 2);
  expect(scripted.streams[1]!.headers).toMatchObject({ authorization: "another" });
});

test("what somebody else wrote is left out and told to the operator", async () => {
  const { stream, told, warnings } = await setup(8);
  const foreign = { kv: { key: base64("/millrace/k/x"), value: base64("{"), create_revision: "1", mod_revision: "8" } };
  stream(0).send(
    created,
    events(foreign, put("k/a", 8)),
    events({ kv: { ...foreign.kv, mod_revision: "9" } }),
    events(put("k/a", 10)),
  );
  expect(told).toEqual(["8: k/a=8", "10: k/a=10"]);
  expect(warnings).toHaveLength(2);
});

test("after cancel nothing is told, not even the rest of a message; nor after close", async () => {
  const holder: { watch?: Watch } = {};
  const first = await setup(8, {}, () => holder.watch!.cancel());
  holder.watch = first.watch;
  first.stream(0).send(created, events(put("k/a", 8), put("k/a", 9)));
  expect(first.told).toEqual(["8: k/a=8"]);
  expect(first.stream(0).isClosed).toBe(true);
  expect(first.clock.timersPending).toBe(0);

  const second = await setup(8);
  await second.store.close();
  second.stream(0).send(created, events(put("k/a", 8)));
  await second.clock.advance(60_000);
  expect(second.told).toEqual([]);
  expect(second.etcd.streams).toHaveLength(1);
});
