// The simulated Peers keep the contract of the real ones, and their faults happen as often as said, the same under the same seed.

import { describe, expect, test } from "vitest";
import type { PeerHandler } from "../../src/io/peers/peers.ts";
import { peersContract } from "../io/peers/peers.contract.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { calmNetwork, type NetworkFaults, SimulatedNetwork } from "./simulated-peers.ts";
import { SimulatedRandom } from "./simulated-random.ts";

const identity = (brokerId: number) => ({ clusterId: "c", brokerId, incarnation: `i${brokerId}` });

function network(handler: PeerHandler, faults: NetworkFaults = calmNetwork, seed = 1) {
  const clock = new SimulatedClock();
  const net = new SimulatedNetwork(clock, new SimulatedRandom(seed), faults);
  const peers = net.join(identity(1), handler);
  const other = net.join(identity(2), handler);
  return { clock, net, peers, other };
}

describe("contract", () => {
  peersContract(async (handler) => {
    const { clock, net, peers } = network(handler);
    return {
      peers,
      settle: (promise) => clock.runUntilSettled(promise),
      cut: () => {
        net.cut(1, 2);
        net.cut(2, 1);
      },
      close: () => peers.close(),
    };
  });
});

async function faultyRun(seed: number) {
  const handled: unknown[] = [];
  const handler: PeerHandler = {
    handle: async ({ head }) => {
      handled.push(head);
      return { head, parts: [] };
    },
  };
  const faults = { delayMsMin: 1, delayMsMax: 50, lossChance: 0.2, duplicateChance: 0.2 };
  const { clock, peers } = network(handler, faults, seed);
  const outcomes = Array.from({ length: 500 }, (_, head) =>
    peers.request(2, "m", { head, parts: [] }, { timeoutMs: 500 }).then(
      () => "answered",
      ({ kind }: { kind: string }) => kind,
    ),
  );
  return { handled, outcomes: await clock.runUntilSettled(Promise.all(outcomes)) };
}

test("under faults requests are lost, doubled and overtake each other, the same under one seed", async () => {
  const { handled, outcomes } = await faultyRun(7);
  expect(await faultyRun(7)).toEqual({ handled, outcomes });
  expect((await faultyRun(8)).handled).not.toEqual(handled);
  expect(handled.length).toBeGreaterThan(new Set(handled).size);
  expect(new Set(handled).size).toBeLessThan(500);
  expect(handled).not.toEqual(handled.toSorted((a, b) => Number(a) - Number(b)));
  expect(new Set(outcomes)).toEqual(new Set(["answered", "noAnswer"]));
});

test("a line cut one way carries the request and not its answer", async () => {
  let handled = 0;
  const handler: PeerHandler = {
    handle: async (request) => {
      handled += 1;
      return request;
    },
  };
  const { clock, net, peers, other } = network(handler);
  const ask = (from: typeof peers, to: number) =>
    clock.runUntilSettled(from.request(to, "m", { head: 1, parts: [] }, { timeoutMs: 100 }));
  net.cut(2, 1);
  await expect(ask(peers, 2)).rejects.toMatchObject({ kind: "noAnswer" });
  expect(handled).toBe(1);
  await expect(ask(other, 1)).rejects.toMatchObject({ kind: "noAnswer" });
  expect(handled).toBe(1);
  net.heal(2, 1);
  expect((await ask(peers, 2)).head).toBe(1);
});
