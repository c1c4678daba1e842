// The single-node store: the contract of all stores, and what is its own: limits, groups, restarts, failures, damage.

import { expect, test } from "vitest";
import type { MetadataStore, Operation } from "../../src/cluster/metadata-store.ts";
import { SingleNodeStore, type SingleNodeStoreLimits } from "../../src/cluster/single-node-store.ts";
import { encodeFrame, MetadataCorruptError } from "../../src/cluster/store-frames.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import type { Logger } from "../../src/io/logger.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { metadataStoreContract } from "./metadata-store.contract.ts";

const path = "/data/metadata/metadata.log";
const put = (key: string, value: unknown, lease?: number): Operation =>
  lease === undefined ? { kind: "put", key, value } : { kind: "put", key, value, lease };

class Machine {
  disk = new SimulatedDisk({ folders: ["/data"] });
  readonly clock = new SimulatedClock();
  readonly logged: string[] = [];
  readonly #logger: Logger = {
    info: (_fields, message) => this.logged.push(message),
    warn: (_fields, message) => this.logged.push(message),
    error: (_fields, message) => this.logged.push(message),
  };

  start(limits: Partial<SingleNodeStoreLimits> = {}): Promise<SingleNodeStore> {
    const { clock } = this;
    const disk = this.disk.startProcess();
    return SingleNodeStore.open({
      disk,
      directory: "/data/metadata",
      clock,
      codecs: nodeCodecs,
      logger: this.#logger,
      limits,
    });
  }

  restart(limits: Partial<SingleNodeStoreLimits> = {}): Promise<SingleNodeStore> {
    this.disk.powerCut({ keep: "nothing" });
    return this.start(limits);
  }
}

async function contents(store: MetadataStore): Promise<unknown[]> {
  const { values } = await store.range("");
  return values.map(({ key, value }) => [key, value]);
}

metadataStoreContract("SingleNodeStore", async () => {
  const machine = new Machine();
  const store = await machine.start({ historyEventsMax: 100, logBytesMax: 2000 });
  return {
    store,
    pass: (seconds) => machine.clock.advance(seconds * 1000),
    forgetHistory: async () => {
      for (let write = 0; write < 101; write++) await store.transaction([], [put("filler", write)]);
      await store.transaction([], [{ kind: "delete", key: "filler" }]);
    },
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    remove: () => store.close(),
  };
});

test("an unused store says that it is new, also when its first start was cut short", async () => {
  const machine = new Machine();
  expect((await machine.start()).isNew).toBe(true);
  const store = await machine.restart();
  expect(store.isNew).toBe(true);
  await store.transaction([], [put("a", 1)]);
  await store.transaction([], [{ kind: "delete", key: "a" }]);
  expect((await machine.restart()).isNew).toBe(false);
});

test("values, revisions and history survive a restart; leased keys go with the process that held the lease", async () => {
  const machine = new Machine();
  const store = await machine.start();
  const lease = await store.grantLease(3600);
  await store.transaction([], [put("a", { x: [1] }), put("brokers/1", 1, lease), put("controller", 1, lease)]);
  await store.transaction([], [put("a", 2), put("controller", "kept")]);
  const after = await machine.restart();
  expect((await after.range("")).values).toEqual([
    { key: "a", value: 2, createRevision: 1, modRevision: 2 },
    { key: "controller", value: "kept", createRevision: 1, modRevision: 2 },
  ]);
  expect((await after.range("")).revision).toBe(3);
  const told: unknown[] = [];
  after.watch("", 2, {
    changed: (events, revision) => told.push([revision, events]),
    compacted: () => expect.unreachable(),
  });
  await new Promise(setImmediate);
  expect(told).toMatchObject([
    [
      2,
      [
        { kind: "put", value: { key: "a" } },
        { kind: "put", value: { key: "controller" } },
      ],
    ],
    [3, [{ kind: "delete", key: "brokers/1" }]],
  ]);
  expect(await after.keepAlive(lease)).toBe(false);
});

test("transactions that wait at once share one write and one sync", async () => {
  const machine = new Machine();
  const store = await machine.start();
  const before = machine.disk.operations.length;
  await Promise.all(Array.from({ length: 100 }, (_, index) => store.transaction([], [put(`k/${index}`, index)])));
  expect(machine.disk.operations.slice(before).map(({ kind }) => kind)).toEqual(["append", "sync"]);
  expect((await (await machine.restart()).range("k/")).values).toHaveLength(100);
});

test("a group has a limit in bytes, the queue one in transactions", async () => {
  const machine = new Machine();
  const store = await machine.start({ groupBytesMax: 1000, transactionsWaitingMax: 12 });
  const before = machine.disk.operations.length;
  const writes = Array.from({ length: 12 }, (_, index) => store.transaction([], [put(`k/${index}`, "x".repeat(300))]));
  await expect(store.transaction([], [put("more", 1)])).rejects.toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
  await Promise.all(writes);
  expect(machine.disk.operations.slice(before).filter(({ kind }) => kind === "sync")).toHaveLength(4);
  await store.transaction([], [put("more", 1)]);
});

test("the file stays small however many changes it takes", async () => {
  const machine = new Machine();
  const store = await machine.start({ logBytesMax: 3000 });
  for (let write = 0; write < 300; write++) await store.transaction([], [put(`k/${write % 5}`, write)]);
  expect(machine.disk.contentOf(path).length).toBeLessThan(5000);
  const after = await machine.restart();
  expect(await contents(after)).toEqual([295, 296, 297, 298, 299].map((value, index) => [`k/${index}`, value]));
  expect((await after.range("")).revision).toBe(300);
  expect(machine.logged).toEqual([]);
});

test("ten thousand keys are ranged by prefix, compacted and read again", async () => {
  const machine = new Machine();
  const store = await machine.start({ logBytesMax: 100_000 });
  const keys = Array.from({ length: 10_000 }, (_, index) => `parts/${(index * 7919) % 100}/${index}`);
  for (let from = 0; from < keys.length; from += 100)
    await store.transaction(
      [],
      keys.slice(from, from + 100).map((key) => put(key, { leader: 1, leaderEpoch: 0 })),
    );
  const after = await machine.restart();
  const { values } = await after.range("parts/42/");
  expect(values.map(({ key }) => key)).toEqual(keys.filter((key) => key.startsWith("parts/42/")).sort());
  expect((await after.range("")).values.map(({ key }) => key)).toEqual([...keys].sort());
});

test("after a failed sync that write is unknown, the rest was not done, and no call is answered any more", async () => {
  const machine = new Machine();
  const store = await machine.start();
  const lease = await store.grantLease(10);
  await store.transaction([], [put("a", 1), put("leased", 1, lease)]);
  machine.disk.failWhen(({ kind }) => kind === "sync", { code: "EIO" });
  const [first, second, conflict] = await Promise.allSettled([
    store.transaction([], [put("a", 2)]),
    store.transaction([], [put("b", 2)]),
    store.transaction([{ key: "a", modRevision: 0 }], [put("c", 2)]),
  ]);
  const storageError = { code: "KAFKA_STORAGE_ERROR" };
  expect(first).toMatchObject({ value: { outcome: "unknown", cause: { ...storageError, cause: { code: "EIO" } } } });
  expect(second).toMatchObject({ value: { outcome: "unknown" } });
  expect(conflict).toMatchObject({ status: "rejected", reason: storageError });
  expect(store.failed).toBe(true);
  const operations = machine.disk.operations.length;
  const calls = [
    () => store.transaction([], [put("a", 3)]),
    () => store.get("a"),
    () => store.range(""),
    () => store.grantLease(1),
    () => store.keepAlive(lease),
    () => store.revokeLease(lease),
  ];
  for (const call of calls) await expect(call()).rejects.toMatchObject(storageError);
  expect(() => store.watch("", 1, { changed() {}, compacted() {} })).toThrow("restarted");
  await machine.clock.advance(60_000); // no lease expires into a file that cannot be written
  expect(machine.disk.operations).toHaveLength(operations);
  expect(machine.logged).toHaveLength(1);
  await store.close();
});

test("what a failed sync left in the page cache is written again before it is served", async () => {
  const machine = new Machine();
  const store = await machine.start();
  await store.transaction([], [put("a", 1)]);
  machine.disk.failWhen(({ kind }) => kind === "sync", { code: "EIO" });
  expect(await store.transaction([], [put("a", 2)])).toMatchObject({ outcome: "unknown" });
  machine.disk.kill();
  const seen = await contents(await machine.start());
  expect(seen).toEqual([["a", 2]]);
  expect(await contents(await machine.restart())).toEqual(seen);
});

test("a failed compaction stops the store and loses nothing", async () => {
  for (const kind of ["create", "append", "sync", "rename", "syncDir"] as const) {
    const machine = new Machine();
    await machine.start();
    const store = await machine.restart({ logBytesMax: 500 });
    machine.disk.failWhen((operation) => operation.kind === kind && operation.path.endsWith("metadata.log.tmp"), {
      code: "ENOSPC",
    });
    if (kind === "syncDir") machine.disk.failWhen((operation) => operation.kind === kind, { code: "ENOSPC" });
    let acknowledged = -1;
    for (let write = 0; !store.failed && write < 50; write++) {
      const result = await store.transaction([], [put("a", write)]).catch(() => undefined);
      if (result?.outcome === "committed") acknowledged = write;
      await new Promise(setImmediate);
    }
    expect([kind, store.failed]).toEqual([kind, true]);
    expect(await contents(await machine.restart())).toEqual([["a", acknowledged]]);
  }
});

async function machineWith(changes: number, limits: Partial<SingleNodeStoreLimits> = {}): Promise<Machine> {
  const machine = new Machine();
  const store = await machine.start(limits);
  for (let write = 0; write < changes; write++) await store.transaction([], [put(`k/${write}`, `value ${write}`)]);
  await store.close();
  machine.disk.powerCut({ keep: "nothing" });
  return machine;
}

/** A snapshot with entries, and a log of several frames. */
async function machineWithBoth(): Promise<Machine> {
  const machine = await machineWith(4, { logBytesMax: 150 });
  const store = await machine.start();
  for (const value of ["one", "two", "three"]) await store.transaction([], [put("log", value)]);
  await store.close();
  machine.disk.powerCut({ keep: "nothing" });
  return machine;
}

/** Where each frame begins, and the end. */
function framesOf(bytes: Uint8Array): number[] {
  const starts = [0];
  for (let at = 0; at < bytes.length; starts.push(at))
    at += 12 + new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(8);
  return starts;
}

test("a torn end is cut at any byte, reported, and what was before it serves", async () => {
  const machine = await machineWith(3);
  const whole = machine.disk.contentOf(path);
  const frames = framesOf(whole);
  const lastFrame = frames.at(-2)!;
  for (let end = lastFrame; end < whole.length; end += 7) {
    for (const tail of ["cut", "zeros", "garbage"]) {
      const torn =
        tail === "cut"
          ? whole.slice(0, end)
          : Uint8Array.from(whole, (byte, at) => (at < end ? byte : tail === "zeros" ? 0 : ~byte));
      machine.disk.replaceContent(path, torn);
      machine.logged.length = 0;
      const store = await machine.start();
      expect(await contents(store)).toEqual([
        ["k/0", "value 0"],
        ["k/1", "value 1"],
      ]);
      expect(machine.logged).toEqual(torn.length === lastFrame ? [] : ["cut an unfinished metadata write"]);
      await store.transaction([], [put("k/9", "new")]);
      expect(await contents(await machine.restart())).toHaveLength(3);
      machine.disk.powerCut({ keep: "nothing" });
    }
  }
});

test("a bit that flips anywhere before the last frame is found, and the file is left as it is", async () => {
  const machine = await machineWithBoth();
  const whole = machine.disk.contentOf(path);
  const frames = framesOf(whole);
  expect(frames.length).toBeGreaterThanOrEqual(7);
  const lastFrame = frames.at(-2)!;
  for (let at = 0; at < lastFrame; at++) {
    const damaged = whole.slice();
    damaged[at] = damaged[at]! ^ (1 << (at % 8));
    machine.disk.replaceContent(path, damaged);
    const error = await machine.start().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MetadataCorruptError);
    const frame = frames.findLast((start) => start <= at);
    expect(error).toMatchObject({ path, position: frame });
    expect((error as Error).message).toMatch(/metadata\.log: byte \d+: .+ Nothing was changed\. Keep a copy/);
    expect(machine.disk.contentOf(path)).toEqual(damaged);
    machine.disk.kill();
  }
});

test("a file of another format, an empty one, one cut in its snapshot and one with a frame missing are refused", async () => {
  const machine = await machineWithBoth();
  const whole = machine.disk.contentOf(path);
  const frames = framesOf(whole);
  const other = encodeFrame('{"format":2,"revision":0,"entryCount":0}', nodeCodecs);
  const withoutOne = new Uint8Array([...whole.slice(0, frames.at(-3)), ...whole.slice(frames.at(-2))]);
  const tooLong = new Uint8Array(17 * 1024 * 1024);
  tooLong.set(whole);
  const damaged: [Uint8Array, RegExp][] = [
    [other, /written in format 2, this broker reads format 1\. Nothing was changed\. Start the version/],
    [new Uint8Array(0), /the header is damaged/],
    [new Uint8Array(5000), /the header is damaged/],
    [whole.slice(0, frames[1]), /the snapshot is damaged/],
    [withoutOne, /unexpected content: revision 7 after 5/],
    [tooLong, /more than one write can leave/],
  ];
  for (const [bytes, reason] of damaged) {
    machine.disk.replaceContent(path, bytes);
    await expect(machine.start()).rejects.toThrow(reason);
    expect(machine.disk.contentOf(path).length).toBe(bytes.length);
    machine.disk.kill();
  }
});

test("a value cannot pass for a frame", async () => {
  const machine = new Machine();
  const store = await machine.start();
  const frame = machine.disk.contentOf(path);
  const text = String.fromCharCode(...frame);
  await store.transaction([], [put("a", text)]);
  const whole = machine.disk.contentOf(path);
  machine.disk.replaceContent(path, whole.slice(0, -1)); // torn right behind the text
  machine.disk.kill();
  expect(await contents(await machine.start())).toEqual([]);
});
