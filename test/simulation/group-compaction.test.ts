// What a coordinator makes of compacted logs is what it was before, and what its live state is: at any time, and however often.

import { expect, test } from "vitest";
import { checkedStates } from "./group-crash-explorer.ts";
import { GroupRun } from "./group-run.ts";
import { GroupTraffic } from "./group-traffic.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedRandom } from "./simulated-random.ts";

const rounds = 30;

test.each([1, 2, 3])(
  "replay equals live state after every compaction, and a restart changes nothing (seed %i)",
  async (seed) => {
    const random = new SimulatedRandom(seed);
    const disk = new SimulatedDisk();
    let run = new GroupRun(disk, random.fork());
    await run.start();
    let traffic = new GroupTraffic(run, random);
    let compactions = 0;
    for (let round = 0; round < rounds; round++) {
      for (let n = 0; n < 8; n++) await traffic.burst();
      if (random.chance(0.3)) await traffic.passTime();
      await traffic.compact();
      run.note();
      const live = run.states.map((states) => states.at(-1));
      const state = await run.process.state();
      const stopped = disk.copy();
      stopped.kill();
      expect(await checkedStates(stopped, run.known())).toEqual(live);
      if (!random.chance(0.3)) continue;
      await run.process.close();
      disk.kill();
      compactions += traffic.compactions;
      run = new GroupRun(disk, random.fork(), run.known());
      await run.start();
      expect(await run.process.state()).toEqual(state);
      traffic = new GroupTraffic(run, random);
    }
    expect(compactions).toBeGreaterThan(rounds / 10);
  },
);
