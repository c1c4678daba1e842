// Clients whose network fails all the time: a proxy cuts, stalls, half-closes and delays their connections at random. Nothing that was
// acknowledged is lost, nothing is doubled, and readers see everything in order. `npm run chaos:clients -- --minutes 5` goes on for longer.

import { expect, test } from "vitest";
import { secondsFor } from "../time-budget.ts";
import { BrokerProcess } from "./broker-process.ts";
import { ChaosProxy } from "./chaos-proxy.ts";
import { expectUnbroken, seedOfRun } from "./judgement.ts";
import { Load } from "./load.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const seconds = secondsFor("chaos-clients", 10);
const settleSeconds = 60;

test(
  `plain HTTP over a network that fails for ${seconds} s: nothing acknowledged is lost, doubled or moved`,
  async () => {
    using folder = new TemporaryFolder();
    const seed = seedOfRun();
    await using broker = await BrokerProcess.start({ dataDir: folder.path });
    await using proxy = await ChaosProxy.start(broker.url);
    const clients = { partitionCount: 4, producers: 3, keyed: 4, plain: 4, refused: 1, follow: true };
    const load = await Load.start({ url: proxy.url, seed, topic: "chaos", ...clients });
    try {
      const faults = await proxy.wreak({ seed, seconds });
      expect(Object.keys(faults).length, JSON.stringify(faults)).toBeGreaterThan(2);
      const verdict = await load.finish();
      expectUnbroken(load, verdict, seed);
      expect(verdict.acknowledged).toBeGreaterThan(100);
      expect(verdict.inDoubt).toBeGreaterThan(0);
    } finally {
      await load.close();
    }
  },
  (seconds + settleSeconds) * 1_000,
);
