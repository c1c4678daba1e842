// What every MetadataStore must do: run against the single-node store, and against etcd when there is one.
// Revisions are compared with each other only: a shared store may have had others before.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  LeaseGoneError,
  type MetadataStore,
  type Operation,
  type TransactionResult,
  transactionBytesMax,
  transactionOperationsMax,
  type WatchEvent,
} from "../../src/cluster/metadata-store.ts";

export interface StoreUnderTest {
  readonly store: MetadataStore;
  /** Lets the store's clock run. */
  pass(seconds: number): Promise<void>;
  /** Makes the store forget its history up to now. */
  forgetHistory(): Promise<void>;
  /** Comes back when all watches were told what is known. */
  settle(): Promise<void>;
  remove(): Promise<void>;
}

const put = (key: string, value: unknown, lease?: number): Operation =>
  lease === undefined ? { kind: "put", key, value } : { kind: "put", key, value, lease };
const remove = (key: string): Operation => ({ kind: "delete", key });

/** What a watch was told, one line a revision. */
interface Told {
  readonly revision: number;
  readonly events: readonly string[];
}

export function metadataStoreContract(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`${name} keeps the MetadataStore contract`, () => {
    let under: StoreUnderTest;
    let store: MetadataStore;

    beforeEach(async () => {
      under = await make();
      store = under.store;
    });
    afterEach(() => under.remove());

    async function committed(...operations: Operation[]): Promise<number> {
      return revisionOf(await store.transaction([], operations));
    }

    function watched(prefix: string, fromRevision: number): { told: Told[]; compacted: () => number; cancel(): void } {
      const told: Told[] = [];
      let compacted = 0;
      const watch = store.watch(prefix, fromRevision, {
        changed: (events, revision) => told.push({ revision, events: events.map(line) }),
        compacted: () => compacted++,
      });
      return { told, compacted: () => compacted, cancel: () => watch.cancel() };
    }

    test("what was put is read back, with the revisions that made and changed it", async () => {
      const made = await committed(put("topics/orders", { partitions: 3, config: { "retention.ms": 1000 } }));
      expect(await store.get("topics/orders")).toEqual({
        key: "topics/orders",
        value: { partitions: 3, config: { "retention.ms": 1000 } },
        createRevision: made,
        modRevision: made,
      });
      const changed = await committed(put("topics/orders", "other"));
      expect(changed).toBe(made + 1);
      expect(await store.get("topics/orders")).toMatchObject({
        value: "other",
        createRevision: made,
        modRevision: changed,
      });
      await committed(remove("topics/orders"));
      expect(await store.get("topics/orders")).toBeUndefined();
      const again = await committed(put("topics/orders", null));
      expect(await store.get("topics/orders")).toMatchObject({
        value: null,
        createRevision: again,
        modRevision: again,
      });
    });

    test("any JSON value comes back as it was", async () => {
      const values = [
        null,
        true,
        0,
        -1.5,
        2 ** 53 - 1,
        "",
        "é\u0000\ud83d\ude00",
        [],
        {},
        [[{ a: [null] }]],
        { "": 1 },
      ];
      const odd = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}') as unknown;
      for (const value of [...values, odd]) {
        await committed(put("value", value));
        expect(JSON.stringify((await store.get("value"))?.value)).toBe(JSON.stringify(value));
      }
    });

    test("what is stored cannot be changed through what was given or what is returned", async () => {
      const given = { list: [1, 2], inner: { a: 1 } };
      const pending = store.transaction([], [put("k", given)]);
      given.list.push(3);
      given.inner.a = 2;
      await pending;
      const stored = (await store.get("k"))?.value as typeof given;
      expect(stored).toEqual({ list: [1, 2], inner: { a: 1 } });
      expect(() => stored.list.push(3)).toThrow(TypeError);
      expect(() => {
        stored.inner.a = 2;
      }).toThrow(TypeError);
      expect((await store.range("k")).values[0]?.value).toEqual({ list: [1, 2], inner: { a: 1 } });
    });

    test("a range is all keys with the prefix, sorted, as of its revision", async () => {
      for (const key of ["parts/b/1", "parts/a/10", "parts/a/2", "parts", "parts/a", "partsx", "other", "parts/~"])
        await committed(put(key, key));
      const range = async (prefix: string) => (await store.range(prefix)).values.map(({ key }) => key);
      expect(await range("parts/")).toEqual(["parts/a", "parts/a/10", "parts/a/2", "parts/b/1", "parts/~"]);
      expect(await range("parts/a/")).toEqual(["parts/a/10", "parts/a/2"]);
      expect(await range("none/")).toEqual([]);
      const last = await committed(remove("parts/a/10"));
      expect(await store.range("parts/a")).toMatchObject({
        revision: last,
        values: [{ key: "parts/a" }, { key: "parts/a/2" }],
      });
    });

    test("all operations happen when all compares are true, none otherwise", async () => {
      const made = await committed(put("a", 1), put("b", 2));
      const changed = await committed(put("a", 3));
      const refused = [
        [{ key: "a", modRevision: made }],
        [{ key: "a", modRevision: 0 }],
        [{ key: "c", modRevision: made }],
        [{ key: "a", createRevision: changed }],
        [
          { key: "a", modRevision: changed },
          { key: "b", createRevision: 0 },
        ],
      ];
      for (const compares of refused) {
        const result = await store.transaction(compares, [put("a", "no"), put("c", "no"), remove("b")]);
        expect(result).toEqual({ outcome: "conflict", revision: changed });
      }
      expect((await store.range("")).values.map(({ key, value }) => [key, value])).toEqual([
        ["a", 3],
        ["b", 2],
      ]);
      const compares = [
        { key: "a", modRevision: changed },
        { key: "a", createRevision: made },
        { key: "b", modRevision: made },
        { key: "c", modRevision: 0 },
        { key: "c", createRevision: 0 },
      ];
      const result = await store.transaction(compares, [put("a", "yes"), put("c", "yes"), remove("b")]);
      expect(result).toEqual({ outcome: "committed", revision: changed + 1 });
      expect((await store.range("")).values.map(({ key, value }) => [key, value])).toEqual([
        ["a", "yes"],
        ["c", "yes"],
      ]);
    });

    test("of many who create one key at once, one succeeds", async () => {
      const claims = Array.from({ length: 20 }, (_, index) =>
        store.transaction([{ key: "topics/t", modRevision: 0 }], [put("topics/t", index), put(`ids/${index}`, "t")]),
      );
      const outcomes = (await Promise.all(claims)).map(({ outcome }) => outcome);
      expect(outcomes.filter((outcome) => outcome === "committed")).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome === "conflict")).toHaveLength(19);
      const winner = outcomes.indexOf("committed");
      expect((await store.range("")).values.map(({ key, value }) => [key, value])).toEqual([
        [`ids/${winner}`, "t"],
        ["topics/t", winner],
      ]);
    });

    test("a counter raised by compare and set loses no step under concurrency", async () => {
      await committed(put("pids/next", 0));
      const raise = async (): Promise<void> => {
        for (;;) {
          const held = (await store.get("pids/next"))!;
          const compares = [{ key: held.key, modRevision: held.modRevision }];
          const result = await store.transaction(compares, [put(held.key, (held.value as number) + 1)]);
          if (result.outcome === "committed") return;
        }
      };
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          for (let step = 0; step < 5; step++) await raise();
        }),
      );
      expect((await store.get("pids/next"))?.value).toBe(40);
    });

    test("a transaction that changes nothing leaves the revision and wakes no watch", async () => {
      const revision = await committed(put("a", 1));
      const watch = watched("", revision + 1);
      expect(await store.transaction([], [])).toEqual({ outcome: "committed", revision });
      expect(await store.transaction([], [remove("none")])).toEqual({ outcome: "committed", revision });
      expect(await store.transaction([{ key: "a", modRevision: revision }], [])).toEqual({
        outcome: "committed",
        revision,
      });
      expect(await store.transaction([{ key: "a", modRevision: 0 }], [])).toEqual({ outcome: "conflict", revision });
      expect(await committed(put("a", 1))).toBe(revision + 1);
      await under.settle();
      expect(watch.told).toEqual([{ revision: revision + 1, events: ["put a=1"] }]);
    });

    test("too many operations, a key twice, and what is not JSON are a caller's bug", async () => {
      const many = Array.from({ length: transactionOperationsMax + 1 }, (_, index) => put(`k/${index}`, 0));
      const compares = many.map(({ key }) => ({ key, modRevision: 0 }));
      const bugs: Promise<unknown>[] = [
        store.transaction([], many),
        store.transaction(compares, []),
        store.transaction([], [put("a", 1), remove("a")]),
        ...[undefined, Number.NaN, () => 1, 1n, new Date(0), { a: new Map() }, [undefined]].map((value) =>
          store.transaction([], [put("a", value)]),
        ),
        ...["", "with space", "é", "k".repeat(513)].map((key) => store.transaction([], [put(key, 1)])),
      ];
      for (const bug of bugs) await expect(bug).rejects.toMatchObject({ name: "AssertionError" });
      expect((await store.range("")).values).toEqual([]);
      expect((await store.transaction(compares.slice(1), many.slice(1))).outcome).toBe("committed");
    });

    test("a transaction that is too large is refused", async () => {
      const large = store.transaction([], [put("a", "x".repeat(transactionBytesMax))]);
      await expect(large).rejects.toMatchObject({ name: "BrokerError", code: "INVALID_REQUEST" });
      expect(await store.get("a")).toBeUndefined();
      await committed(put("a", "x".repeat(transactionBytesMax - 10)));
    });

    test("a watch tells the history from its revision, then what comes, each revision whole and in order", async () => {
      const first = await committed(put("t/a", 1), put("t/b", 2), put("u/x", 0));
      await committed(put("u/x", 1));
      await committed(put("t/a", 3), remove("t/b"));
      const fromStart = watched("t/", first);
      const fromNow = watched("t/", first + 3);
      const all = watched("", first + 1);
      expect(fromStart.told).toEqual([]); // not before watch returned
      await committed(put("t/c", 4));
      await committed(remove("t/a"), put("u/y", 1));
      await under.settle();
      const later = [
        { revision: first + 3, events: ["put t/c=4"] },
        { revision: first + 4, events: ["delete t/a"] },
      ];
      expect(fromStart.told).toEqual([
        { revision: first, events: ["put t/a=1", "put t/b=2"] },
        { revision: first + 2, events: ["put t/a=3", "delete t/b"] },
        ...later,
      ]);
      expect(fromNow.told).toEqual(later);
      expect(all.told.map(({ revision, events }) => [revision - first, [...events].sort()])).toEqual([
        [1, ["put u/x=1"]],
        [2, ["delete t/b", "put t/a=3"]],
        [3, ["put t/c=4"]],
        [4, ["delete t/a", "put u/y=1"]],
      ]);
      expect([fromStart, fromNow, all].map(({ compacted }) => compacted())).toEqual([0, 0, 0]);
    });

    test("range and watch from the next revision miss nothing while others write", async () => {
      const writes = Array.from({ length: 30 }, (_, index) => store.transaction([], [put(`k/${index % 7}`, index)]));
      const { values, revision } = await store.range("k/");
      const image = new Map(values.map(({ key, value }) => [key, value]));
      store.watch("k/", revision + 1, {
        changed: (events) => {
          for (const event of events) if (event.kind === "put") image.set(event.value.key, event.value.value);
        },
        compacted: () => expect.unreachable(),
      });
      await Promise.all(writes);
      await under.settle();
      const now = (await store.range("k/")).values;
      expect([...image].sort()).toEqual(now.map(({ key, value }) => [key, value]).sort());
      expect(now).toHaveLength(7);
    });

    test("a cancelled watch is told nothing more, also when it cancels itself", async () => {
      const first = await committed(put("a", 1));
      await committed(put("a", 2));
      const never = watched("", first);
      never.cancel();
      let calls = 0;
      const itself = store.watch("", first, {
        changed: () => {
          calls++;
          itself.cancel();
        },
        compacted: () => expect.unreachable(),
      });
      await committed(put("a", 3));
      await under.settle();
      expect(calls).toBe(1);
      expect(never.told).toEqual([]);
    });

    test("a handler that throws harms neither the store nor the other watches", async () => {
      const next = (await committed(put("a", 1))) + 1;
      let calls = 0;
      store.watch("", next, {
        changed: () => {
          calls++;
          throw new Error("a bug of the handler");
        },
        compacted: () => expect.unreachable(),
      });
      const other = watched("", next);
      await committed(put("a", 2));
      await committed(put("a", 3));
      await under.settle();
      expect(other.told).toHaveLength(2);
      expect(calls).toBe(2);
    });

    test("a watch from before the history is told so, once, and ends", async () => {
      const first = await committed(put("a", 1));
      const last = await committed(put("a", 2));
      await under.forgetHistory();
      const old = watched("", first);
      await under.settle();
      await committed(put("b", 3));
      await under.settle();
      expect(old.compacted()).toBe(1);
      expect(old.told).toEqual([]);
      const { revision } = await store.range("");
      expect(revision).toBeGreaterThan(last);
      const fresh = watched("", revision + 1);
      await committed(put("a", 4));
      await under.settle();
      expect(fresh.told).toEqual([{ revision: revision + 1, events: ["put a=4"] }]);
    });

    test("a lease takes its keys with it when it is not kept alive", async () => {
      const lease = await store.grantLease(10);
      const made = await committed(put("brokers/1", { id: 1 }, lease), put("controller", 1, lease), put("stays", 1));
      const watch = watched("", made + 1);
      for (let round = 0; round < 4; round++) {
        await under.pass(6);
        expect(await store.keepAlive(lease)).toBe(true);
      }
      expect(await store.get("brokers/1")).toBeDefined();
      await under.pass(13);
      await under.settle();
      expect(watch.told).toEqual([{ revision: made + 1, events: ["delete brokers/1", "delete controller"] }]);
      expect((await store.range("")).values.map(({ key }) => key)).toEqual(["stays"]);
      expect(await store.keepAlive(lease)).toBe(false);
      await expect(store.transaction([], [put("late", 1, lease)])).rejects.toThrow(LeaseGoneError);
      expect(await store.get("late")).toBeUndefined();
    });

    test("a revoked lease is gone at once; a key put again without it stays", async () => {
      const lease = await store.grantLease(3600);
      const other = await store.grantLease(3600);
      await committed(put("a", 1, lease), put("b", 1, lease), put("c", 1, lease), put("d", 1, lease));
      await committed(put("b", 2), put("c", 2, other), remove("d"));
      await store.revokeLease(lease);
      expect((await store.range("")).values.map(({ key }) => key)).toEqual(["b", "c"]);
      expect(await store.keepAlive(lease)).toBe(false);
      expect(await store.keepAlive(other)).toBe(true);
      await store.revokeLease(other);
      expect((await store.range("")).values.map(({ key }) => key)).toEqual(["b"]);
    });

    test("a lease that never was is gone", async () => {
      expect(await store.keepAlive(123_456)).toBe(false);
      await expect(store.transaction([], [put("a", 1, 123_456)])).rejects.toThrow(LeaseGoneError);
    });

    test("close waits for what was given and ends the watches", async () => {
      const { revision } = await store.range("");
      const watch = watched("", revision + 1);
      const last = store.transaction([], [put("a", 1)]);
      await store.close();
      expect((await last).outcome).toBe("committed");
      const toldAtClose = watch.told.length;
      for (const call of [() => store.get("a"), () => store.range(""), () => store.transaction([], [put("a", 2)])])
        await expect(call()).rejects.toMatchObject({ code: "BROKER_SHUTTING_DOWN" });
      expect(watch.told).toHaveLength(toldAtClose);
      await store.close();
    });
  });
}

function revisionOf(result: TransactionResult): number {
  if (result.outcome !== "committed") throw new Error(`not committed: ${JSON.stringify(result)}`);
  return result.revision;
}

function line(event: WatchEvent): string {
  return event.kind === "put" ? `put ${event.value.key}=${JSON.stringify(event.value.value)}` : `delete ${event.key}`;
}
