// npm run sim -- [--seeds N] [--first N]: random histories of the log, and of consumer groups, on the simulated disk, more of them
// than `npm test` has time for. SIM_SEED=n npm run sim repeats one. A seed that fails is printed with how to repeat it.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { seeds: { type: "string" }, first: { type: "string" } } });
for (const [name, value] of Object.entries(values)) {
  if (/^[1-9]\d*$/.test(value)) continue;
  process.stderr.write(`--${name} takes a whole number from 1, not ${JSON.stringify(value)}\n`);
  process.exit(2);
}
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "--project", "unit", "test/simulation/log-seeds.test.ts", "test/simulation/group-seeds.test.ts"],
  {
    cwd: join(import.meta.dirname, ".."),
    stdio: "inherit",
    env: { ...process.env, SIM_SEEDS: values.seeds ?? "10000", SIM_FIRST_SEED: values.first ?? "1" },
  },
);
process.exit(status ?? 1);
