// The controller and the brokers' registrations: what happens when one of them goes, comes back, leaves or loses its lease.

import { expect, test } from "vitest";
import { firstValue } from "../../src/cluster/election.ts";
import { changeInSync } from "../../src/cluster/in-sync-change.ts";
import { brokerKey, controllerKey, partitionKey, topicKey } from "../../src/cluster/metadata-keys.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const part = partitionKey("t1", 0);

async function threeBrokers(inSyncReplicas: readonly number[] = [1, 2, 3]): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.open();
  for (const id of [1, 2, 3]) cluster.start(id);
  await cluster.advance(5000);
  const brokerEpoch = cluster.brokers.get(1)!.registration.brokerEpoch!;
  const living = new Map(
    inSyncReplicas.map((id) => [id, { brokerEpoch, fenced: false, shuttingDown: false, unclean: false }]),
  );
  await cluster.put(part, firstValue([1, 2, 3], living));
  await cluster.advance(1000);
  return cluster;
}

test("one of the brokers is the controller, all are let in, and a sound partition is left alone", async () => {
  const cluster = await threeBrokers();
  expect(cluster.controllers).toHaveLength(1);
  expect(cluster.controllers[0]!.controller.controllerEpoch).toBe(1);
  for (const id of [1, 2, 3]) {
    const { brokerEpoch } = cluster.brokers.get(id)!.registration;
    expect(await cluster.state(id)).toEqual({
      fenced: false,
      shuttingDown: false,
      lastBrokerEpoch: brokerEpoch,
      cleanEpoch: -1,
    });
  }
  await cluster.advance(60_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 1, leaderEpoch: 0, partitionEpoch: 0 });
});

test("a killed leader is replaced by the next in sync once its lease is out, not before", async () => {
  const cluster = await threeBrokers();
  cluster.kill(1);
  await cluster.advance(6000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 1, leaderEpoch: 0 });
  await cluster.advance(6000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 2, leaderEpoch: 1, inSyncReplicas: [2, 3] });
  expect(cluster.controllers).toHaveLength(1);
});

test("a killed controller is followed by one of a higher epoch", async () => {
  const cluster = await threeBrokers();
  cluster.kill(cluster.controllers[0]!.brokerId);
  await cluster.advance(15_000);
  expect(cluster.controllers).toHaveLength(1);
  expect(cluster.controllers[0]!.controller.controllerEpoch).toBe(2);
});

test("a killed sole member keeps the partition until it is back, and leads then under a new epoch", async () => {
  const cluster = await threeBrokers([1]);
  cluster.kill(1);
  await cluster.advance(30_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: -1, leaderEpoch: 1, inSyncReplicas: [1] });
  cluster.start(1);
  await cluster.advance(10_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 1, leaderEpoch: 2, inSyncReplicas: [1] });
});

test("a topic that would rather lose records gets a leader that was not in sync, and it is counted", async () => {
  const cluster = await threeBrokers([1]);
  cluster.allowUnclean = true;
  const config = { "unclean.leader.election.enable": true };
  await cluster.put(topicKey("t"), { topicId: "t1", partitionCount: 1, replicationFactor: 3, config });
  cluster.kill(1);
  await cluster.advance(30_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 2, inSyncReplicas: [2] });
  expect([...cluster.brokers.values()].flatMap(({ uncleanElections }) => uncleanElections)).toEqual([part]);
});

test("a broker killed and back within its lease is not let in before it is out of the in-sync set", async () => {
  const cluster = await threeBrokers();
  cluster.kill(2);
  cluster.start(2);
  const states: unknown[] = [];
  cluster.store.watch("brokerstate/2", 1, {
    changed: async () => states.push([await cluster.state(2), await cluster.partition(part)]),
    compacted: () => {},
  });
  await cluster.advance(30_000);
  expect((await cluster.state(2)).fenced).toBe(false);
  expect(await cluster.partition(part)).toMatchObject({ leader: 1, leaderEpoch: 0, inSyncReplicas: [1, 3] });
  expect(states.at(-1)).toMatchObject([{ fenced: false }, { inSyncReplicas: [1, 3] }]);
});

test("brokers that stop one after the other leave the partition to the last, whatever comes back first", async () => {
  const cluster = await threeBrokers();
  for (const id of [1, 2, 3]) await cluster.stop(id);
  expect(await cluster.store.get(controllerKey)).toBeUndefined();
  cluster.start(1);
  await cluster.advance(20_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: -1, inSyncReplicas: [3] });
  const { leaderEpoch } = await cluster.partition(part);
  const last = cluster.start(3);
  await cluster.advance(5000);
  const leaderBrokerEpoch = last.registration.brokerEpoch;
  expect(await cluster.partition(part)).toMatchObject({
    leader: 3,
    inSyncReplicas: [3],
    leaderEpoch: leaderEpoch + 1,
    leaderBrokerEpoch,
  });
});

test("a sole member that stopped in good order and is back before anybody looked leads under a new epoch", async () => {
  const cluster = await threeBrokers([1]);
  for (const id of [2, 3]) await cluster.stop(id);
  await cluster.stop(1);
  cluster.start(1);
  await cluster.advance(5000);
  expect((await cluster.state(1)).cleanEpoch).not.toBe(-1);
  expect(await cluster.partition(part)).toMatchObject({ leader: 1, leaderEpoch: 2, inSyncReplicas: [1] });
});

test("a broker that says it will stop loses its leaders at once, also if it is the controller", async () => {
  const cluster = await threeBrokers();
  const leaving = cluster.brokers.get(1)!;
  await leaving.registration.markShuttingDown();
  await cluster.advance(100);
  expect(await cluster.partition(part)).toMatchObject({ leader: 2, leaderEpoch: 1, inSyncReplicas: [2, 3] });
  await leaving.registration.markShuttingDown();
  await cluster.stop(1);
  await cluster.advance(1000);
  expect(cluster.controllers).toHaveLength(1);
  expect((await cluster.state(1)).shuttingDown).toBe(true);
});

test("preferred leaders get their partitions back in time", async () => {
  const cluster = await threeBrokers();
  const value = await cluster.partition(part);
  const other = cluster.brokers.get(2)!.registration.brokerEpoch!;
  await cluster.put(part, { ...value, leader: 2, leaderBrokerEpoch: other, leaderEpoch: 1, partitionEpoch: 1 });
  await cluster.advance(60_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 2 });
  await cluster.advance(300_000);
  expect(await cluster.partition(part)).toMatchObject({ leader: 1, leaderEpoch: 2, inSyncReplicas: [1, 2, 3] });
});

test("a paused broker that wakes after its lease knows that it may not act, and comes back in a new life", async () => {
  const cluster = await threeBrokers();
  const paused = cluster.brokers.get(1)!;
  const [epoch] = paused.epochs;
  paused.pause();
  expect(paused.registration.leaseValid()).toBe(true);
  while (paused.registration.leaseValid()) await cluster.advance(100);
  expect(paused.controller.isController).toBe(false);
  expect(await cluster.store.get(brokerKey(1))).toBeDefined(); // the broker gives itself up before the store does
  await cluster.advance(20_000);
  paused.resume();
  await cluster.advance(10_000);
  expect(paused.lost).toEqual([epoch]);
  expect(paused.registration.brokerEpoch).toBeGreaterThan(epoch!);
  expect(paused.registration.leaseValid()).toBe(true);
  expect((await cluster.state(1)).cleanEpoch).toBe(epoch); // it has lost nothing
  expect(await cluster.partition(part)).toMatchObject({ leader: 2, inSyncReplicas: [2, 3] });
});

test("a wall clock that ran away from the monotonic one ends the belief in the lease until it is proven anew", async () => {
  const cluster = await threeBrokers();
  const { registration } = cluster.brokers.get(1)!;
  cluster.clock.jumpWallClock(2000);
  expect(registration.leaseValid()).toBe(false);
  await cluster.advance(4000);
  expect(registration.leaseValid()).toBe(true);
  expect(cluster.brokers.get(1)!.lost).toEqual([]);
});

test("a second process under the same id waits until the first is gone", async () => {
  const cluster = await threeBrokers();
  const first = cluster.brokers.get(1)!;
  const second = cluster.start(1);
  await cluster.advance(30_000);
  expect(second.registration.brokerEpoch).toBeUndefined();
  expect(first.registration.leaseValid()).toBe(true);
  first.kill();
  await cluster.advance(20_000);
  expect(second.registration.brokerEpoch).toBeDefined();
});

test("an entry that somebody deleted is put again, and an attempt whose answer was lost is not counted on", async () => {
  const cluster = await threeBrokers();
  const broker = cluster.brokers.get(3)!;
  for (const ambiguity of ["done", "notDone", "later"] as const) {
    const [before, lives] = [broker.registration.brokerEpoch!, broker.epochs.length];
    await cluster.store.transaction([], [{ kind: "delete", key: brokerKey(3) }]);
    broker.nextTransaction = ambiguity;
    await cluster.advance(20_000);
    expect(broker.epochs).toHaveLength(lives + 1);
    expect(broker.registration.brokerEpoch).toBeGreaterThan(before);
    expect((await cluster.store.get(brokerKey(3)))!.createRevision).toBe(broker.registration.brokerEpoch);
  }
});

test("when all were killed, who comes back alone is out of the in-sync set before it is let in", async () => {
  const cluster = await threeBrokers();
  for (const id of [1, 2, 3]) cluster.kill(id);
  await cluster.advance(15_000);
  cluster.start(1);
  await cluster.advance(10_000);
  expect((await cluster.state(1)).fenced).toBe(false);
  expect(await cluster.partition(part)).toMatchObject({ leader: -1, inSyncReplicas: [2, 3] });
});

test("an in-sync set takes a broker only in the life that it was seen in; a lost answer is read again", async () => {
  const cluster = await threeBrokers([1]);
  const leader = cluster.brokers.get(1)!;
  const { leaderBrokerEpoch, leaderEpoch, partitionEpoch } = await cluster.partition(part);
  const ask = (addedEpoch: number) =>
    cluster.clock.runUntilSettled(
      changeInSync(leader.line, {
        topicId: "t1",
        partition: 0,
        brokerId: 1,
        brokerEpoch: leaderBrokerEpoch!,
        leaderEpoch,
        proposal: {
          partitionEpoch,
          inSyncReplicas: [
            { brokerId: 1, brokerEpoch: leaderBrokerEpoch! },
            { brokerId: 2, brokerEpoch: addedEpoch },
          ],
        },
      }),
    );
  const epoch = cluster.brokers.get(2)!.registration.brokerEpoch!;
  expect(await ask(epoch - 1)).toEqual({ outcome: "ineligible" });
  leader.nextTransaction = "done";
  expect(await ask(epoch)).toEqual({ outcome: "changed", partitionEpoch: partitionEpoch + 1 });
  expect(await cluster.partition(part)).toMatchObject({ inSyncReplicas: [1, 2] });
  cluster.kill(2);
  await cluster.advance(15_000);
  expect(await ask(epoch)).toEqual({ outcome: "superseded" });
});
