// Random lives of consumer groups, each with its crashes; `npm run sim -- --seeds 10000` makes more of them, a tenth of the seeds asked
// for since each takes ten times as long as one of the log; SIM_SEED=n npm run sim repeats one.

import { expect, test } from "vitest";
import { secondsFor } from "../time-budget.ts";
import { type GroupSeedReport, runGroupSeed } from "./group-seeds.ts";

const single = process.env["SIM_SEED"];
const asked = process.env["SIM_SEEDS"];
const askedCount = Math.ceil(Number(asked) / 10);
const first = Number(process.env["SIM_FIRST_SEED"] ?? 1);
const fewest = 30;

if (single !== undefined)
  test("the seed asked for", { timeout: 60_000 }, async () => {
    expect((await runGroupSeed(Number(single))).steps).toBeGreaterThan(0);
  });
else
  test("seeds, as many as asked for or there is time for", { timeout: 3_600_000 }, async () => {
    const sum: GroupSeedReport = { steps: 0, crashes: 0, powerCuts: 0, compactions: 0 };
    const started = performance.now();
    const endMs = started + 1000 * secondsFor("group-seeds", 6);
    let count = 0;
    while (asked === undefined ? count < fewest || performance.now() < endMs : count < askedCount) {
      const report = await runGroupSeed(first + count);
      for (const key of Object.keys(sum) as (keyof GroupSeedReport)[]) sum[key] += report[key];
      count += 1;
    }
    if (asked !== undefined) {
      const perSecond = ((count / (performance.now() - started)) * 1000).toFixed(1);
      process.stdout.write(`${count} seeds of groups, ${perSecond} a second: ${JSON.stringify(sum)}\n`);
    }
    for (const kind of ["crashes", "powerCuts", "compactions"] as const) expect(sum[kind]).toBeGreaterThan(count / 10);
  });
