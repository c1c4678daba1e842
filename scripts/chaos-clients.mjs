// npm run chaos:clients -- [--minutes N] [--seed N]: clients whose network fails all the time, for longer than `npm test` has time for.
// A run that fails prints its seed; --seed repeats the faults and what the clients draw, not how they interleave.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" }, seed: { type: "string" } } });
for (const [name, value] of Object.entries(values)) {
  if (name === "minutes" ? Number(value) > 0 : /^[1-9]\d*$/.test(value)) continue;
  process.stderr.write(`--${name} takes a number above 0, not ${JSON.stringify(value)}\n`);
  process.exit(2);
}
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "--project", "process", "test/process/reconnect.test.ts"],
  {
    cwd: join(import.meta.dirname, ".."),
    stdio: "inherit",
    env: {
      ...process.env,
      MILLRACE_TEST_SECONDS_CHAOS_CLIENTS: String(Number(values.minutes) * 60),
      ...(values.seed === undefined ? {} : { MILLRACE_TEST_SEED: values.seed }),
    },
  },
);
process.exit(status ?? 1);
