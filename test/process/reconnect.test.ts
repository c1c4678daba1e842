// Clients whose network fails all the time: a proxy cuts, stalls, half-closes and delays their connections at random. Nothing that was
// acknowledged is lost, nothing is doubled, and readers see everything in order. `npm run chaos:clients -- --minutes 5` goes on for longer.

import { expect, test } from "vitest";
import { Millrace } from "../../src/client/client-node.ts";
import { secondsFor } from "../time-budget.ts";
import { BrokerProcess } from "./broker-process.ts";
import { ChaosProxy } from "./chaos-proxy.ts";
import { judgeClients } from "./client-judge.ts";
import { ClientLoad } from "./client-load.ts";
import { HttpClient } from "./http-client.ts";
import { expectUnbroken, seedOfRun } from "./judgement.ts";
import { Load } from "./load.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { byPages } from "./whole-reads.ts";

const allSeconds = secondsFor("chaos-clients", 25);
const seconds = allSeconds * 0.2;
const clientSeconds = allSeconds * 0.4;
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
    } finally {
      await load.close();
    }
  },
  (seconds + settleSeconds) * 1_000,
);

test.each(["auto", "http"] as const)(
  `a group and idempotent producers, transport %s, over a network that fails for ${clientSeconds} s: nothing lost or doubled, all seen in order`,
  async (transport) => {
    using folder = new TemporaryFolder();
    const seed = seedOfRun();
    await using broker = await BrokerProcess.start({ dataDir: folder.path });
    await using proxy = await ChaosProxy.start(broker.url);
    await using direct = new Millrace({ url: broker.url });
    const topic = "chaos";
    const partitionCount = 4;
    await direct.admin().createTopic({ name: topic, partitionCount });
    const load = new ClientLoad({ url: proxy.url, transport, seed, topic, producers: 3, members: 2 });
    try {
      const faults = await proxy.wreak({ seed, seconds: clientSeconds });
      expect(Object.keys(faults).length, JSON.stringify(faults)).toBeGreaterThan(2);
      await load.stopProducing();
      await using client = new HttpClient(2);
      const log = await byPages({ client, url: broker.url, topic, partitionCount });
      const records = log.map((record) => ({ ...record, text: JSON.parse(record.text) as string }));
      const { partitions } = await direct.admin().describeTopic(topic);
      const ends = new Map(partitions.map(({ partition, logEndOffset }) => [partition, logEndOffset ?? 0]));
      await load.seen.reaches(ends);
      await load.leave();
      const anomalies = judgeClients(records, load.acknowledged, load.seen);
      expect([...load.failed, ...anomalies].slice(0, 10), `seed ${seed}`).toEqual([]);
      expect(records.length, `seed ${seed}`).toBeGreaterThan(100);
      expect(load.retries).toBeGreaterThan(0);
      expect(load.recordsOverSocket).toBeGreaterThan(0);
      const committed = await direct.admin().groupOffsets(load.group);
      expect(new Map(committed.map(({ partition, nextOffset }) => [partition, nextOffset]))).toEqual(ends);
    } finally {
      await load.close();
    }
  },
  (clientSeconds + settleSeconds) * 1_000,
);
