// Random histories of a small cluster: brokers are killed, stopped, started, paused, cut off, lose answers, and leaders change their
// in-sync sets. The laws hold at every change (simulated-cluster.ts), and once the faults end the cluster settles.

import fc from "fast-check";
import { expect, test } from "vitest";
import { firstValue, isLedNow } from "../../src/cluster/election.ts";
import { changeInSync } from "../../src/cluster/in-sync-change.ts";
import { brokerKey, type PartitionValue, partitionKey } from "../../src/cluster/metadata-keys.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const ids = [1, 2, 3];
const partitions = [0, 1, 2];
const id = fc.constantFrom(...ids);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("kill" as const, "start" as const), id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("stop" as const, "leave" as const), id }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("pause" as const, "resume" as const), id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("cut" as const, "heal" as const), id }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("ambiguous" as const),
      id,
      how: fc.constantFrom("done" as const, "notDone" as const, "later" as const),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("inSync" as const),
      id,
      partition: fc.constantFrom(...partitions),
      stale: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(10, 500, 3000, 9000, 15_000) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function begin(): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.open();
  for (const each of ids) cluster.start(each);
  await cluster.advance(5000);
  const living = new Map(
    [...cluster.brokers].map(([each, { registration }]) => [
      each,
      { brokerEpoch: registration.brokerEpoch!, fenced: false, shuttingDown: false, unclean: false },
    ]),
  );
  for (const number of partitions) {
    const replicas = [...ids.slice(number), ...ids.slice(0, number)];
    await cluster.put(partitionKey("t", number), firstValue(replicas, living));
  }
  return cluster;
}

/** What the leader's own process believes is what the store said when it was last heard: here, what it says now. */
async function changeSet(cluster: SimulatedCluster, leader: number, partition: number, stale: boolean): Promise<void> {
  const broker = cluster.brokers.get(leader);
  const value = await cluster.partition(partitionKey("t", partition));
  if (!broker || value.leader !== leader || value.leaderBrokerEpoch === undefined) return;
  const other = value.replicas.find((each) => each !== leader)!;
  const isIn = value.inSyncReplicas.includes(other);
  const wanted = isIn ? value.inSyncReplicas.filter((each) => each !== other) : [...value.inSyncReplicas, other];
  const seen = (await cluster.store.get(brokerKey(other)))?.createRevision ?? 1;
  // An answer may never come to a broker that is paused: nobody waits for it here.
  void changeInSync(broker.line, {
    topicId: "t",
    partition,
    brokerId: leader,
    brokerEpoch: value.leaderBrokerEpoch,
    leaderEpoch: value.leaderEpoch,
    proposal: {
      partitionEpoch: value.partitionEpoch,
      inSyncReplicas: wanted.map((brokerId) => ({ brokerId, brokerEpoch: stale ? seen - 1 : seen })),
    },
  }).then((answer) => cluster.answered(partitionKey("t", partition), value, wanted, answer));
}

async function run(cluster: SimulatedCluster, each: Step): Promise<void> {
  if (each.kind === "advance") return cluster.advance(each.ms);
  const broker = cluster.brokers.get(each.id);
  if (each.kind === "start") {
    if (!broker) cluster.start(each.id);
  } else if (!broker) return;
  else if (each.kind === "kill") cluster.kill(each.id);
  else if (each.kind === "stop") await cluster.stop(each.id);
  else if (each.kind === "leave") await broker.leave(cluster.clock);
  else if (each.kind === "pause") broker.pause();
  else if (each.kind === "resume") broker.resume();
  else if (each.kind === "ambiguous") broker.nextTransaction = each.how;
  else if (each.kind === "inSync") await changeSet(cluster, each.id, each.partition, each.stale);
  else broker.isCut = each.kind === "cut";
}

async function expectSettled(cluster: SimulatedCluster): Promise<void> {
  expect(cluster.controllers).toHaveLength(1);
  const living = new Map();
  for (const [each, { registration }] of cluster.brokers) {
    const state = await cluster.state(each);
    expect(state.fenced).toBe(false);
    expect(registration.leaseValid()).toBe(true);
    expect((await cluster.store.get(brokerKey(each)))?.createRevision).toBe(registration.brokerEpoch);
    living.set(each, { ...state, brokerEpoch: registration.brokerEpoch!, unclean: false });
  }
  for (const number of partitions) {
    const value: PartitionValue = await cluster.partition(partitionKey("t", number));
    expect(isLedNow(value, living), JSON.stringify(value)).toBe(true);
  }
}

test("the laws hold through any history, and the cluster settles when the faults end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
      const cluster = await begin();
      for (const each of steps) await run(cluster, each);
      for (const each of ids) {
        const broker = cluster.brokers.get(each);
        if (!broker) cluster.start(each);
        else {
          broker.nextTransaction = undefined;
          broker.isCut = false;
          broker.resume();
          if (broker.isLeaving) {
            await cluster.stop(each);
            cluster.start(each);
          }
        }
      }
      await cluster.advance(60_000);
      await expectSettled(cluster);
    }),
    { numRuns: 60 },
  );
});
