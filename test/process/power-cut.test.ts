// Power cuts under load, on a filesystem of its own: nothing that was acknowledged is lost, doubled or moved. That the cuts
// do lose what was not synced is shown in the same way, with a topic that is acknowledged before it is synced.
// MILLRACE_TEST_POWER_CUTS=100 cuts more often, MILLRACE_TEST_SEED repeats what the clients draw.

import { join } from "node:path";
import { expect, test } from "vitest";
import { needs } from "../required-tools.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { BrokerProcess } from "./broker-process.ts";
import { countFrom, expectUnbroken, seedOfRun } from "./judgement.ts";
import { Load } from "./load.ts";
import { LoopFilesystem } from "./loop-filesystem.ts";

const cuts = countFrom("MILLRACE_TEST_POWER_CUTS", 10);
const controlCuts = 3;
const secondsPerCut = 6;
const args = ["--checkpoint-interval-ms", "150"];
const clients = { partitionCount: 3, producers: 3, keyed: 3, plain: 3, refused: 0 };

needs("root", "loop", "mkfs.ext4", "perl").describe("power cuts", () => {
  test(
    `${cuts} power cuts under load: nothing acknowledged is lost, doubled or moved`,
    async () => {
      using filesystem = await LoopFilesystem.create();
      const dataDir = join(filesystem.path, "data");
      const seed = seedOfRun();
      const random = new SimulatedRandom(seed);
      let broker = await BrokerProcess.start({ dataDir, args });
      const config = { "segment.bytes": 128 * 1024 };
      const load = await Load.start({ url: broker.url, seed, topic: "cut", config, ...clients, follow: true });
      try {
        for (let cut = 0; cut < cuts; cut++) {
          await load.waitForAcknowledged(20 + random.integer(1_000));
          load.address.down();
          if (cut % 3 === 2) {
            // What survives a kill in the page cache alone must not be acknowledged to those who ask again.
            await broker.kill();
            broker = await BrokerProcess.start({ dataDir, args });
            load.address.up(broker.url);
            await load.waitForAcknowledged(1);
            load.address.down();
          }
          await filesystem.cutPower(broker);
          broker = await BrokerProcess.start({ dataDir, args });
          load.address.up(broker.url);
        }
        await load.waitForAcknowledged(500);
        const verdict = await load.finish();
        expectUnbroken(load, verdict, seed);
        expect(verdict.acknowledged).toBeGreaterThan(cuts * 20);
      } finally {
        await load.close();
        await broker.kill();
      }
    },
    (cuts + 5) * secondsPerCut * 1_000,
  );

  test(
    "the same cuts lose what is acknowledged before it is synced",
    async () => {
      using filesystem = await LoopFilesystem.create();
      const dataDir = join(filesystem.path, "data");
      const config = { "flush.messages": 1_000_000_000 };
      let lost = 0;
      for (let cut = 0; cut < controlCuts; cut++) {
        await using broker = await BrokerProcess.start({ dataDir });
        const options = {
          url: broker.url,
          seed: seedOfRun(),
          topic: `relaxed-${cut}`,
          config,
          ...clients,
          follow: false,
        };
        const load = await Load.start(options);
        try {
          await load.waitForAcknowledged(1_000);
          load.address.down();
          await filesystem.cutPower(broker);
          await load.abandon();
          await using again = await BrokerProcess.start({ dataDir });
          const { anomalies } = await load.judgeAt(again.url);
          lost += anomalies.filter(({ kind }) => kind === "lostWrite").length;
        } finally {
          await load.close();
        }
      }
      expect(lost).toBeGreaterThan(0);
    },
    (controlCuts + 5) * secondsPerCut * 1_000,
  );
});
