// A broker that is killed again and again under load, and started again: nothing acknowledged is lost, doubled or moved.
// MILLRACE_TEST_KILLS=1000 kills more often, MILLRACE_TEST_SEED repeats what the clients draw.

import { expect, test } from "vitest";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { BrokerProcess } from "./broker-process.ts";
import { countFrom, expectUnbroken, seedOfRun } from "./judgement.ts";
import { Load } from "./load.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const kills = countFrom("MILLRACE_TEST_KILLS", 20);
const secondsPerKill = 6;
/** Often enough that a kill meets rolls, snapshots and checkpoints too. */
const config = { "segment.bytes": 128 * 1024 };
const args = ["--checkpoint-interval-ms", "150"];

test(
  `${kills} kills under load: nothing acknowledged is lost, doubled or moved`,
  async () => {
    using folder = new TemporaryFolder();
    const seed = seedOfRun();
    const random = new SimulatedRandom(seed);
    let broker = await BrokerProcess.start({ dataDir: folder.path, args });
    const clients = { partitionCount: 4, producers: 3, keyed: 4, plain: 4, refused: 1, follow: true };
    const load = await Load.start({ url: broker.url, seed, topic: "killed", config, ...clients });
    try {
      for (let kill = 0; kill < kills; kill++) {
        await load.waitForAcknowledged(20 + random.integer(1_000));
        load.address.down();
        expect(await broker.kill()).toEqual({ code: null, signal: "SIGKILL" });
        broker = await BrokerProcess.start({ dataDir: folder.path, args });
        load.address.up(broker.url);
      }
      await load.waitForAcknowledged(500);
      const verdict = await load.finish();
      expectUnbroken(load, verdict, seed);
      expect(verdict.acknowledged).toBeGreaterThan(kills * 20);
      expect(verdict.inDoubt).toBeGreaterThan(0);
    } finally {
      await load.close();
      await broker.kill();
    }
  },
  (kills + 10) * secondsPerKill * 1_000,
);
