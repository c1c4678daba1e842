// A thousand random histories of the log, each with its crashes and failures; `npm run sim -- --seeds 100000` makes more of them,
// SIM_SEED=n npm run sim repeats one.

import { expect, test } from "vitest";
import { runSeed, type SeedReport, sumOf } from "./log-seeds.ts";

const single = process.env["SIM_SEED"];
const count = Number(process.env["SIM_SEEDS"] ?? 1000);
const first = Number(process.env["SIM_FIRST_SEED"] ?? 1);

if (single !== undefined)
  test("the seed asked for", { timeout: 60_000 }, async () => {
    expect((await runSeed(Number(single))).lives).toBeGreaterThan(0);
  });
else
  test(`${count} seeds from ${first}`, { timeout: 60_000 + 60 * count }, async () => {
    const reports: SeedReport[] = [];
    const started = performance.now();
    for (let seed = first; seed < first + count; seed++) reports.push(await runSeed(seed));
    const sum = sumOf(reports);
    if (process.env["SIM_SEEDS"]) {
      const perSecond = Math.round((count / (performance.now() - started)) * 1000);
      process.stdout.write(`${count} seeds, ${perSecond} a second: ${JSON.stringify(sum)}\n`);
    }
    for (const kind of ["crashes", "powerCuts", "failures"] as const) expect(sum[kind]).toBeGreaterThan(count / 20);
  });
