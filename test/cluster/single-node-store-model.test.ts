// The single-node store against a plain Map: random transactions, reads, watches, leases, restarts and crashes.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Compare, Operation, WatchEvent } from "../../src/cluster/metadata-store.ts";
import { SingleNodeStore } from "../../src/cluster/single-node-store.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";

interface ModelEntry {
  readonly value: unknown;
  readonly createRevision: number;
  readonly modRevision: number;
}

class Model {
  revision = 0;
  readonly entries = new Map<string, ModelEntry>();

  transaction(compares: readonly Compare[], operations: readonly Operation[]): { outcome: string; revision: number } {
    const isTrue = (compare: Compare) => {
      const entry = this.entries.get(compare.key);
      return "modRevision" in compare
        ? compare.modRevision === (entry?.modRevision ?? 0)
        : compare.createRevision === (entry?.createRevision ?? 0);
    };
    if (!compares.every(isTrue)) return { outcome: "conflict", revision: this.revision };
    const effective = operations.filter(({ kind, key }) => kind === "put" || this.entries.has(key));
    if (effective.length > 0) this.revision++;
    for (const operation of effective) {
      const createRevision = this.entries.get(operation.key)?.createRevision ?? this.revision;
      if (operation.kind === "delete") this.entries.delete(operation.key);
      else this.entries.set(operation.key, { value: operation.value, createRevision, modRevision: this.revision });
    }
    return { outcome: "committed", revision: this.revision };
  }

  range(prefix: string): unknown {
    const found = [...this.entries]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, entry]) => ({ key, ...entry }));
    return { values: found.sort((a, b) => (a.key < b.key ? -1 : 1)), revision: this.revision };
  }
}

const key = fc.constantFrom("a", "a/1", "a/2", "a/10", "b", "b/", "c/x/y");
const prefix = fc.constantFrom("", "a", "a/", "a/1", "b/", "c/", "z");
const value = fc.jsonValue({ maxDepth: 2 });
/** How a compare picks its revision when it runs: absent, the present one, or a wrong one. */
const compare = fc.record({
  key,
  by: fc.constantFrom("modRevision", "createRevision"),
  want: fc.constantFrom("absent", "present", "wrong"),
});
const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("put" as const), key, value }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), key }) },
);
const transaction = fc.record({
  compares: fc.array(compare, { maxLength: 2 }),
  operations: fc.uniqueArray(operation, { selector: (each) => each.key, maxLength: 4 }),
});
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("transact" as const),
      group: fc.array(transaction, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("range" as const), prefix }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("close" as const, "kill" as const, "powerCut" as const) }) },
);

function compareFor(model: Model, given: { key: string; by: string; want: string }): Compare {
  const entry = model.entries.get(given.key);
  const present = (given.by === "modRevision" ? entry?.modRevision : entry?.createRevision) ?? 0;
  const revision = given.want === "absent" ? 0 : given.want === "present" ? present : present + 1;
  return given.by === "modRevision"
    ? { key: given.key, modRevision: revision }
    : { key: given.key, createRevision: revision };
}

/** An image kept by a watch alone. */
function applyTo(image: Map<string, unknown>, events: readonly WatchEvent[]): void {
  for (const event of events) {
    if (event.kind === "put") image.set(event.value.key, event.value);
    else image.delete(event.key);
  }
}

test("it behaves as a Map with revisions, through restarts and crashes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), prefix, async (steps, watched) => {
      const disk = new SimulatedDisk({ folders: ["/data"] });
      const model = new Model();
      const image = new Map<string, unknown>();
      let nextRevision = 1;
      let store: SingleNodeStore;
      const open = async () => {
        const clock = new SimulatedClock();
        const limits = { logBytesMax: 600, historyEventsMax: 10_000 };
        store = await SingleNodeStore.open({
          disk: disk.startProcess(),
          directory: "/data/m",
          clock,
          codecs: nodeCodecs,
          limits,
        });
        follow();
      };
      const follow = () => {
        store.watch(watched, nextRevision, {
          changed: (events, revision) => {
            expect(revision).toBeGreaterThanOrEqual(nextRevision);
            nextRevision = revision + 1;
            applyTo(image, events);
          },
          compacted: () => {
            image.clear();
            void store.range(watched).then(({ values, revision }) => {
              for (const stored of values) image.set(stored.key, stored);
              nextRevision = revision + 1;
              follow();
            });
          },
        });
      };
      await open();
      for (const each of steps) {
        switch (each.do) {
          case "transact": {
            // The model runs them one after the other; the store is given all at once.
            const given = each.group.map(({ compares, operations }) => {
              const resolved = compares.map((one) => compareFor(model, one));
              return { resolved, operations, expected: model.transaction(resolved, operations) };
            });
            const results = given.map(({ resolved, operations }) => store.transaction(resolved, operations));
            expect(await Promise.all(results)).toEqual(given.map(({ expected }) => expected));
            break;
          }
          case "range":
            expect(await store!.range(each.prefix)).toEqual(model.range(each.prefix));
            break;
          case "close":
            await store!.close();
            disk.kill();
            await open();
            break;
          case "kill":
            disk.kill();
            await open();
            break;
          case "powerCut":
            disk.powerCut({ keep: "nothing" });
            await open();
        }
        await new Promise(setImmediate);
        expect([...image.values()].sort(byKey)).toEqual((await store!.range(watched)).values);
      }
      expect(await store!.range("")).toEqual(model.range(""));
      for (const one of ["a", "a/1", "b", "none"])
        expect(await store!.get(one)).toEqual(
          model.entries.has(one) ? { key: one, ...model.entries.get(one) } : undefined,
        );
    }),
    { numRuns: 150 },
  );
});

function byKey(a: unknown, b: unknown): number {
  return (a as { key: string }).key < (b as { key: string }).key ? -1 : 1;
}
