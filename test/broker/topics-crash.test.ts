// Topics are made and deleted in several steps over two folders and the store. Whatever step a crash hits, and whatever of the unsynced
// it leaves: a topic is there as a whole or not at all, what was answered holds, and no partition is offline.

import { describe, expect, test } from "vitest";
import { type Broker, createBroker } from "../../src/broker/broker.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

interface Step {
  readonly name: string;
  /** Runs on a broker that has topic "old" with two partitions. */
  readonly run: (broker: Broker) => Promise<unknown>;
  /** The partitions of "old" and "new" before and after; undefined: no such topic. */
  readonly before: State;
  readonly after: State;
}
type State = Readonly<Record<"old" | "new", number | undefined>>;

const steps: readonly Step[] = [
  {
    name: "create",
    run: (broker) => broker.createTopic({ name: "new", partitionCount: 2 }),
    before: { old: 2, new: undefined },
    after: { old: 2, new: 2 },
  },
  {
    name: "delete",
    run: (broker) => broker.deleteTopic("old"),
    before: { old: 2, new: undefined },
    after: { old: undefined, new: undefined },
  },
  {
    name: "add a partition",
    run: (broker) => broker.alterTopic("old", { partitionCount: 3 }),
    before: { old: 2, new: undefined },
    after: { old: 3, new: undefined },
  },
];

function start(machine: SimulatedDisk): Promise<Broker> {
  const random = new SimulatedRandom(3);
  const clock = new SimulatedClock({});
  return createBroker({ dataDir: "data", codecs, clock, random, disk: machine.startProcess() });
}

async function stateOf(broker: Broker): Promise<State> {
  expect(broker.health().partitionsOffline).toBe(0);
  const counts = new Map(broker.listTopics().topics.map(({ name, partitionCount }) => [name, partitionCount]));
  for (const [name, count] of counts) {
    const { partitions } = await broker.describeTopic(name);
    expect(partitions.map(({ leader }) => leader)).toEqual(new Array(count).fill(1));
  }
  return { old: counts.get("old"), new: counts.get("new") };
}

describe.for(steps)("$name", ({ run, before, after }) => {
  test("every crash point, every power cut", { timeout: 60_000 }, async () => {
    const machine = new SimulatedDisk({ folders: [] });
    const broker = await start(machine);
    await broker.createTopic({ name: "old", partitionCount: 2 });
    const points: { disk: SimulatedDisk; answered: boolean }[] = [];
    machine.onOperation = (operation) => {
      if (operation.changes) points.push({ disk: machine.copy(), answered: false });
    };
    await run(broker);
    points.push({ disk: machine.copy(), answered: true });
    const seen = new Set<string>();
    const outcomes = new Set<string>();
    for (const { disk, answered } of points)
      for (const choice of ["kill" as const, ...disk.powerCutChoices()]) {
        const crashed = disk.copy();
        if (choice === "kill") crashed.kill();
        else crashed.powerCut(choice);
        const fingerprint = `${answered} ${choice === "kill"} ${crashed.fingerprint()}`;
        if (seen.has(fingerprint)) continue;
        seen.add(fingerprint);
        const state = await stateOf(await start(crashed));
        expect([before, after]).toContainEqual(state);
        if (answered) expect(state).toEqual(after);
        outcomes.add(JSON.stringify(state));
        crashed.powerCut({ keep: "nothing" });
        expect(await stateOf(await start(crashed))).toEqual(state);
      }
    expect(outcomes.size).toBe(2); // both ends were seen, or the crash points are not where they should be
  });
});

test("a topic made strict keeps what it had acknowledged while it was relaxed, at every crash point", async () => {
  const machine = new SimulatedDisk({ folders: [] });
  const broker = await start(machine);
  await broker.createTopic({ name: "t", config: { "flush.messages": 1000 } });
  const value = new Uint8Array(900_000);
  for (let i = 0; i < 2; i++) {
    const records = [{ key: null, value: value.fill(i), headers: [], timestamp: 1_700_000_000_000 }];
    const batches = [{ partition: 0, batch: encodeRecordBatch(records, { codecs }) }];
    await broker.produce({ topic: "t", acks: "all", timeoutMs: 1000, batches });
  }
  const points: SimulatedDisk[] = [];
  machine.onOperation = (operation) => {
    if (operation.changes) points.push(machine.copy());
  };
  await broker.alterTopic("t", { config: { "flush.messages": 1 } });
  points.push(machine.copy());
  for (const point of points)
    for (const choice of [{ keep: "nothing" as const }, { keep: "everything" as const }]) {
      const crashed = point.copy();
      crashed.powerCut(choice);
      const again = await start(crashed);
      expect(again.health().partitionsOffline).toBe(0);
      const { partitions, config } = await again.describeTopic("t");
      if (config["flush.messages"] === 1) expect(partitions[0]!.logEndOffset).toBe(2);
    }
});

test("a topic that could not be made leaves nothing that stands in the way of the next try", async () => {
  for (let n = 0; ; n++) {
    const machine = new SimulatedDisk({ folders: [] });
    const broker = await start(machine);
    machine.failAt(machine.operationCount + n, { code: "EIO" });
    const before = machine.operationCount;
    const made = await broker.createTopic({ name: "new", partitionCount: 2 }).then(
      () => true,
      () => false,
    );
    const reached = machine.operationCount - before > n;
    if (!reached) {
      expect(made).toBe(true);
      return;
    }
    // In the same process: made now, or the store has failed and says so. Partitions may be offline, as after any failed write.
    const retried = await broker.createTopic({ name: "new", partitionCount: 2 }).catch((error) => error.code);
    if (made || retried !== "KAFKA_STORAGE_ERROR") expect(retried).toMatchObject({ topic: { partitionCount: 2 } });
    machine.kill();
    const again = await start(machine);
    expect(await again.createTopic({ name: "new", partitionCount: 2 })).toMatchObject({ topic: { partitionCount: 2 } });
    expect((await stateOf(again)).new).toBe(2);
  }
});
