// A real etcd in trouble: members that die, stand still or are cut off, history that is forgotten under a watch, a long outage.

import { expect, test, vi } from "vitest";
import type { EtcdStore } from "../../src/cluster/etcd-store.ts";
import type { MetadataStore, Operation } from "../../src/cluster/metadata-store.ts";
import { needs } from "../required-tools.ts";
import { Etcd, type EtcdMember, etcdGateway, storeOn } from "./etcd-process.ts";

const put = (key: string, value: unknown): Operation => ({ kind: "put", key, value });
const waiting = { timeout: 20_000, interval: 10 };

/** Counts up by compare and set, re-reading after whatever went wrong; notes each number it knows to be committed. */
class Counter {
  readonly committed: number[] = [];
  readonly failures: string[] = [];
  readonly #store: MetadataStore;
  readonly #key: string;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(store: MetadataStore, key: string) {
    this.#store = store;
    this.#key = key;
    this.#running = this.#run();
  }

  /** Waits for so many more. */
  async more(count: number): Promise<void> {
    const goal = this.committed.length + count;
    await vi.waitFor(() => expect(this.committed.length).toBeGreaterThanOrEqual(goal), waiting);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      try {
        const held = await this.#store.get(this.#key);
        const next = ((held?.value as number | undefined) ?? 0) + 1;
        const result = await this.#store.transaction(
          [{ key: this.#key, modRevision: held?.modRevision ?? 0 }],
          [put(this.#key, next)],
        );
        if (result.outcome === "committed") this.committed.push(next);
        else this.failures.push(result.outcome);
      } catch (error) {
        this.failures.push((error as Error).message);
      }
    }
  }
}

/** The values of one key, as a watch tells them. */
function valuesOf(store: EtcdStore, key: string, fromRevision: number): { values: unknown[]; revisions: number[] } {
  const values: unknown[] = [];
  const revisions: number[] = [];
  store.watch(key, fromRevision, {
    changed: (events, revision) => {
      revisions.push(revision);
      for (const event of events) if (event.kind === "put") values.push(event.value.value);
    },
    compacted: () => values.push("compacted"),
  });
  return { values, revisions };
}

async function leaderOf(etcd: Etcd): Promise<EtcdMember> {
  for (const member of etcd.members) {
    const status = await etcdGateway(member.url, "/v3/maintenance/status", {});
    const { member_id } = status["header"] as { member_id: string };
    if (status["leader"] === member_id) return member;
  }
  throw new Error("etcd has no leader");
}

needs("etcd").describe("three members of etcd", () => {
  test("one is killed, one stands still: writes go on, and no watch misses a change or tells it twice", async () => {
    await using etcd = await Etcd.start({ members: 3 });
    const limits = { attemptMsMax: 500, callMsMax: 4_000, watchSilenceMsMax: 500, watchAnswerMsMax: 500 };
    const stores = etcd.urls.map((_, index) =>
      storeOn([...etcd.urls.slice(index), ...etcd.urls.slice(0, index)], "/f/", limits),
    );
    const [first] = stores as [EtcdStore];
    const { revision } = await first.range("");
    const watches = stores.map((store) => valuesOf(store, "counter", revision + 1));
    const counter = new Counter(first, "counter");
    await counter.more(20);

    const leader = await leaderOf(etcd);
    await leader.kill();
    await counter.more(20);
    leader.start();
    await counter.more(20);

    const paused = await leaderOf(etcd);
    paused.pause();
    await counter.more(20);
    paused.resume();
    await counter.more(20);

    const follower = etcd.members.find((member) => member !== paused)!;
    follower.pause();
    await counter.more(20);
    follower.resume();
    await counter.end();

    const { value } = (await first.get("counter"))!;
    const all = Array.from({ length: value as number }, (_, index) => index + 1);
    for (const { values, revisions } of watches) {
      await vi.waitFor(() => expect(values.at(-1)).toBe(value), waiting);
      expect(values).toEqual(all);
      expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    }
    expect(counter.committed).toEqual([...new Set(counter.committed)]);
    expect(all).toEqual(expect.arrayContaining(counter.committed));
    await Promise.all(stores.map((store) => store.close()));
  });

  test("without a majority a call ends in its time, told as not done or in doubt; with it all goes on", async () => {
    await using etcd = await Etcd.start({ members: 3 });
    const store = storeOn(etcd.urls, "/f/", { attemptMsMax: 400, callMsMax: 1_500 });
    await store.transaction([], [put("a", 1)]);
    const [one, two] = etcd.members as [EtcdMember, EtcdMember, EtcdMember];
    await Promise.all([one.kill(), two.kill()]);

    const begun = performance.now();
    await expect(store.get("a")).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    const told = await store.transaction([], [put("a", 2)]).catch((error: Error) => error);
    expect(told).toMatchObject(told instanceof Error ? { code: "KAFKA_STORAGE_ERROR" } : { outcome: "unknown" });
    await expect(store.grantLease(10)).rejects.toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    expect(performance.now() - begun).toBeLessThan(3 * 1_500 + 2_000);

    one.start();
    await vi.waitFor(
      async () => expect((await store.transaction([], [put("b", 3)])).outcome).toBe("committed"),
      waiting,
    );
    if (told instanceof Error) expect((await store.get("a"))?.value).toBe(1);
    await store.close();
  });

  test.each(["leader", "follower"])("a %s cut off from the others is left, by calls and by watches", async (role) => {
    await using etcd = await Etcd.start({ members: 3, proxied: true });
    const leader = await leaderOf(etcd);
    const alone = role === "leader" ? leader : etcd.members.find((member) => member !== leader)!;
    const others = etcd.urls.filter((url) => url !== alone.url);
    const limits = { attemptMsMax: 500, callMsMax: 4_000 };
    const warnings: string[] = [];
    const logger = { info() {}, warn: (fields: object) => void warnings.push(JSON.stringify(fields)), error() {} };
    const store = storeOn([alone.url, ...others], "/f/", limits, 0, { logger });
    const rest = storeOn(others, "/f/", limits);
    const { revision } = await store.range("");
    const { values } = valuesOf(store, "a", revision + 1);
    await store.transaction([], [put("a", 1)]);
    await vi.waitFor(() => expect(values).toEqual([1]), waiting);

    await etcd.cutOff(alone);
    const commit = (each: EtcdStore, value: number) => async () =>
      expect((await each.transaction([], [put("a", value)])).outcome).toBe("committed");
    await vi.waitFor(commit(rest, 2), waiting);
    // Nothing is asked of the store meanwhile: its watch finds out by itself.
    await vi.waitFor(() => expect(values.at(-1)).toBe(2), waiting);
    expect(warnings.join()).toContain(alone.url);
    expect((await store.get("a"))?.value).toBe(2);
    expect((await store.transaction([], [put("a", 3)])).outcome).toBe("committed");

    // One that still asks the lonely member is told nothing stale.
    const stuck = storeOn([alone.url], "/f/", { attemptMsMax: 500, callMsMax: 1_000 });
    // (A member may reach the others by a connection that the cut has missed: then it knows what they know.)
    const told = await stuck.get("a").catch((error: { code: string }) => error.code);
    expect(["KAFKA_STORAGE_ERROR", 3]).toContain(typeof told === "string" ? told : told?.value);
    etcd.heal();
    await vi.waitFor(async () => expect((await stuck.get("a"))?.value).toBe(3), waiting);
    await Promise.all([store, rest, stuck].map((each) => each.close()));
  });
});

needs("etcd").describe("one member of etcd", () => {
  test("a watch that was away while its history was forgotten is told so, and only then", async () => {
    await using etcd = await Etcd.start();
    const [url] = etcd.urls as [string];
    const [member] = etcd.members as [EtcdMember];
    const store = storeOn(etcd.urls, "/c/", { watchSilenceMsMax: 60_000 });
    const other = storeOn(etcd.urls, "/c/");
    const { revision } = await store.range("");
    const early = valuesOf(store, "a", revision + 1);
    await other.transaction([], [put("a", 1)]);
    await vi.waitFor(() => expect(early.values).toEqual([1]), waiting);

    // It keeps up, so the compaction is none of its business.
    const last = (await other.range("")).revision;
    await etcdGateway(url, "/v3/kv/compaction", { revision: `${last}`, physical: true });
    await other.transaction([], [put("a", 2)]);
    await vi.waitFor(() => expect(early.values).toEqual([1, 2]), waiting);

    // The stream ends. Its last revision is the last of all, so a compaction there takes nothing away either.
    const kept = (await other.range("")).revision;
    await etcdGateway(url, "/v3/kv/compaction", { revision: `${kept}`, physical: true });
    await member.kill();
    member.start();
    await vi.waitFor(
      async () => expect((await other.transaction([], [put("a", 3)])).outcome).toBe("committed"),
      waiting,
    );
    await vi.waitFor(() => expect(early.values).toEqual([1, 2, 3]), waiting);

    // A delete in the very revision of the compaction is gone from the history: a watch from there has missed it.
    await other.transaction([], [{ kind: "delete", key: "a" }]);
    await vi.waitFor(() => expect(early.revisions).toHaveLength(4), waiting);
    const deletedAt = (await other.range("")).revision;
    await etcdGateway(url, "/v3/kv/compaction", { revision: `${deletedAt}`, physical: true });
    const late = valuesOf(store, "a", deletedAt);
    await vi.waitFor(() => expect(late.values).toEqual(["compacted"]), waiting);
    const fresh = valuesOf(store, "a", deletedAt + 1);
    await other.transaction([], [put("a", 5)]);
    await vi.waitFor(() => expect(fresh.values).toEqual([5]), waiting);
    await Promise.all([store.close(), other.close()]);
  });

  test("large changes come whole and in order, though etcd cuts its messages", async () => {
    await using etcd = await Etcd.start();
    // Uncut the history would be 14 MB in one message.
    const store = storeOn(etcd.urls, "/l/", { watchMessageBytesMax: 4 * 1024 * 1024 });
    const { revision } = await store.range("");
    const text = "x".repeat(9_000);
    for (let round = 0; round < 12; round++)
      await store.transaction(
        [],
        Array.from({ length: 100 }, (_, index) => put(`k/${100 + index}`, `${round}${text}`)),
      );
    const told: { revision: number; keys: number }[] = [];
    store.watch("k/", revision + 1, {
      changed: (events, revision) => told.push({ revision, keys: events.length }),
      compacted: () => expect.unreachable(),
    });
    await vi.waitFor(() => expect(told).toHaveLength(12), waiting);
    expect(told).toEqual(told.map((_, index) => ({ revision: revision + 1 + index, keys: 100 })));
    expect((await store.range("k/")).values).toHaveLength(100);
    await store.close();
  });

  test("a silent watch stays where it is as long as it answers", async () => {
    await using etcd = await Etcd.start();
    const [url] = etcd.urls as [string];
    const warnings: string[] = [];
    const logger = { info() {}, warn: (_: object, text: string) => void warnings.push(text), error() {} };
    const store = storeOn(etcd.urls, "/s/", { watchSilenceMsMax: 100, watchAnswerMsMax: 1_000 }, undefined, { logger });
    const { revision } = await store.range("");
    const { values } = valuesOf(store, "a", revision + 1);
    const started = performance.now();
    // Ten questions' time, measured by what passes at etcd and not by sleeping.
    while (performance.now() - started < 1_500) await etcdGateway(url, "/v3/maintenance/status", {});
    await store.transaction([], [put("a", 1)]);
    await vi.waitFor(() => expect(values).toEqual([1]), waiting);
    expect(warnings).toEqual([]);
    await store.close();
  });
});
