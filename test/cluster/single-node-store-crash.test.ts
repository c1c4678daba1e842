// The single-node store through every crash: after each operation on the disk, with every choice of what a power cut leaves,
// by kill -9 before a power cut, and with the N-th operation failing. What is read afterwards is the state after some
// transaction, not before the last one acknowledged, and it stays.

import { expect, test } from "vitest";
import type { Operation, TransactionResult } from "../../src/cluster/metadata-store.ts";
import { SingleNodeStore } from "../../src/cluster/single-node-store.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

const put = (key: string, value: unknown): Operation => ({ kind: "put", key, value });
const limits = { logBytesMax: 900, groupBytesMax: 700 };

/** What the workload gave and what it was told; revision r is the state after r transactions. */
interface Progress {
  readonly states: string[];
  acknowledged: number;
}

function open(disk: SimulatedDisk): Promise<SingleNodeStore> {
  const directory = "/data/metadata";
  return SingleNodeStore.open({
    disk: disk.startProcess(),
    directory,
    clock: new SimulatedClock(),
    codecs: nodeCodecs,
    limits,
  });
}

async function stateOf(store: SingleNodeStore): Promise<{ state: string; revision: number }> {
  const { values, revision } = await store.range("");
  return { state: JSON.stringify(values), revision };
}

/** Groups of one, two and three transactions, long values and short, deletes, and compactions in between. */
function rounds(): Operation[][][] {
  return Array.from({ length: 9 }, (_, round) =>
    Array.from({ length: 1 + (round % 3) }, (_, index): Operation[] => {
      const key = `k/${(round * 2 + index) % 4}`;
      const value = { round, index, text: "x".repeat(round % 2 === 0 ? 300 : 5) };
      return round % 4 === 3 && index === 0
        ? [{ kind: "delete", key: "gone" }]
        : [put(key, value), put("gone", round + index)];
    }),
  );
}

async function work(store: SingleNodeStore, progress: Progress): Promise<void> {
  for (const round of rounds()) {
    const results = round.map(async (operations) => {
      const result = await store.transaction([], operations);
      if (result.outcome === "committed") progress.acknowledged = Math.max(progress.acknowledged, result.revision);
      return result;
    });
    await Promise.all(results);
  }
}

/** The workload's states, from a run in which nothing goes wrong. */
async function undisturbed(): Promise<string[]> {
  const store = await open(new SimulatedDisk({ folders: ["/data"] }));
  const states = [(await stateOf(store)).state];
  for (const operations of rounds().flat()) {
    const result = await store.transaction([], operations);
    expect(result).toMatchObject({ outcome: "committed", revision: states.length });
    states.push((await stateOf(store)).state);
  }
  return states;
}

/** Opens what a crash left, judges it, and returns its state. */
async function judged(disk: SimulatedDisk, progress: Progress, crash: string): Promise<string> {
  const store = await open(disk).catch((error: unknown) => expect.unreachable(`${crash}: ${error}`));
  const { state, revision } = await stateOf(store);
  expect(revision, crash).toBeGreaterThanOrEqual(progress.acknowledged);
  expect(state, crash).toBe(progress.states[revision]);
  expect(store.isNew, crash).toBe(revision === 0);
  return state;
}

/** Once recovered, it takes a transaction and keeps it. */
async function livesOn(disk: SimulatedDisk, crash: string): Promise<void> {
  disk.kill();
  const store = await open(disk);
  expect(await store.transaction([], [put("later", crash)]), crash).toMatchObject({ outcome: "committed" });
  disk.powerCut({ keep: "nothing" });
  const after = await open(disk).catch((error: unknown) => expect.unreachable(`${crash}: ${error}`));
  expect((await after.get("later"))?.value).toBe(crash);
}

test("a crash at any operation leaves a prefix with all that was acknowledged, whatever the power cut drops", async () => {
  const progress: Progress = { states: await undisturbed(), acknowledged: 0 };
  const machine = new SimulatedDisk({ folders: ["/data"] });
  const crashes: { disk: SimulatedDisk; acknowledged: number; name: string }[] = [];
  machine.onOperation = (operation) => {
    if (!operation.changes) return;
    const name = `before ${operation.number} ${operation.kind} ${operation.path}`;
    crashes.push({ disk: machine.copy(), acknowledged: progress.acknowledged, name });
    if (operation.kind !== "append") return;
    for (const part of [1, operation.bytes! >> 1, operation.bytes!]) {
      const disk = machine.copy();
      disk.kill(part);
      crashes.push({ disk, acknowledged: progress.acknowledged, name: `${name}, ${part} bytes of it done` });
    }
  };
  await work(await open(machine), progress);
  crashes.push({ disk: machine.copy(), acknowledged: progress.acknowledged, name: "at the end" });
  expect(progress.acknowledged).toBe(progress.states.length - 1);
  expect(machine.operations.filter(({ kind }) => kind === "rename").length).toBeGreaterThan(2);

  const seen = new Set<string>();
  let states = 0;
  for (const { disk, acknowledged, name } of crashes) {
    const at = { ...progress, acknowledged };
    const drawn = [1, 2, 3, 4].map((seed) => ({ keep: "drawn", seed }) as const);
    for (const choice of [...disk.powerCutChoices(["cut", "zeros", "garbage"]), ...drawn]) {
      const cut = disk.copy();
      cut.powerCut(choice);
      const fingerprint = `${acknowledged} ${cut.fingerprint()}`;
      if (seen.has(fingerprint)) continue;
      seen.add(fingerprint);
      states++;
      const crash = `${name}, power cut ${JSON.stringify(choice)}`;
      await judged(cut, at, crash);
      await livesOn(cut, crash);
    }
  }
  expect(states).toBeGreaterThan(100);
});

test("what a restart after kill -9 serves survives a power cut at any later moment", async () => {
  const progress: Progress = { states: await undisturbed(), acknowledged: 0 };
  const machine = new SimulatedDisk({ folders: ["/data"] });
  const kills: { disk: SimulatedDisk; acknowledged: number; name: string }[] = [];
  machine.onOperation = (operation) => {
    if (!operation.changes) return;
    const parts = operation.kind === "append" ? [0, 1, operation.bytes! >> 1, operation.bytes!] : [0];
    for (const part of parts) {
      const disk = machine.copy();
      disk.kill(part);
      kills.push({
        disk,
        acknowledged: progress.acknowledged,
        name: `killed before ${operation.number} ${operation.kind}`,
      });
    }
  };
  await work(await open(machine), progress);

  for (const { disk, acknowledged, name } of kills) {
    // Killed, opened, and the power goes at each operation of that recovery; then once it serves.
    const recovering: SimulatedDisk[] = [];
    disk.onOperation = (operation) => {
      if (operation.changes) recovering.push(disk.copy());
    };
    const served = await judged(disk, { ...progress, acknowledged }, name);
    for (const moment of recovering) {
      for (const choice of moment.powerCutChoices(["cut", "garbage"])) {
        const cut = moment.copy();
        cut.powerCut(choice);
        await judged(
          cut,
          { ...progress, acknowledged },
          `${name}, power cut while recovering ${JSON.stringify(choice)}`,
        );
      }
    }
    for (const choice of disk.powerCutChoices()) {
      const cut = disk.copy();
      cut.powerCut(choice);
      expect(await judged(cut, { ...progress, acknowledged }, `${name}, power cut while serving`)).toBe(served);
    }
  }
});

test("whichever operation fails, acknowledged transactions stay and rejected ones never were", async () => {
  const states = await undisturbed();
  let failures = 0;
  for (let number = 0; ; number++) {
    const machine = new SimulatedDisk({ folders: ["/data"] });
    machine.failAt(number, { code: "EIO" });
    const progress: Progress = { states, acknowledged: 0 };
    const results: TransactionResult[] = [];
    const store = await open(machine).catch(() => undefined);
    if (store) {
      for (const operations of rounds().flat()) {
        const result = await store.transaction([], operations).catch(() => undefined);
        if (!result) break;
        results.push(result);
        if (result.outcome === "committed") progress.acknowledged = result.revision;
      }
    }
    if (machine.operationCount <= number) break;
    failures++;
    const isFailed = store === undefined || store.failed;
    // Where the failed operation is only a close or a look, the store may go on.
    if (!isFailed) expect(results).toHaveLength(states.length - 1);
    const given = results.length; // each of them committed, or the last unknown
    machine.heal();
    const random = new SimulatedRandom(number);
    for (const crash of ["kill", "power cut"] as const) {
      const copy = machine.copy();
      if (crash === "kill") copy.kill();
      else copy.powerCut(random);
      const after = await judged(copy, progress, `operation ${number} failed, then ${crash}`);
      expect(states.indexOf(after)).toBeLessThanOrEqual(given);
      copy.powerCut({ keep: "nothing" });
      expect(await judged(copy, progress, `operation ${number} failed, then ${crash}, then a power cut`)).toBe(after);
    }
  }
  expect(failures).toBeGreaterThan(50);
});

test("a full disk fails the store; with space again a restart serves all that was acknowledged", async () => {
  const states = await undisturbed();
  for (const capacityBytes of [200, 700, 1500, 2100]) {
    const machine = new SimulatedDisk({ folders: ["/data"], capacityBytes });
    const progress: Progress = { states, acknowledged: 0 };
    const store = await open(machine);
    await work(store, progress).catch(() => {});
    expect(store.failed).toBe(true);
    machine.capacityBytes = 2 ** 30;
    machine.kill();
    await judged(machine, progress, `a disk of ${capacityBytes} bytes`);
  }
});
