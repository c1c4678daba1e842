// The start of a broker in a user's test: within its budget, as the package is installed (dist), in a process that has just loaded it.
// Nearly all of it is the routes; nothing waits for the device.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const startMsMax = 150;
/** The best of some counts: what others make the machine do is not the start's. */
const tries = 5;

// Where the kernel tells it, the time in which the process was ready to run and had no core is left out.
const program = `
import { readFileSync } from "node:fs";
import { startBroker } from ${JSON.stringify(join(import.meta.dirname, "../../dist/testing.js"))};
const coreless = () => {
  try {
    return Number(readFileSync("/proc/self/schedstat", "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
};
const [begun, corelessBefore] = [performance.now(), coreless()];
const broker = await startBroker();
const startedMs = performance.now() - begun - (coreless() - corelessBefore);
await broker.close();
process.stdout.write(String(startedMs));
`;

test(`the first broker of a process takes requests within ${startMsMax} ms`, () => {
  const took: number[] = [];
  for (let run = 0; run < tries && !took.some((ms) => ms < startMsMax); run++) {
    const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect([stderr, status]).toEqual(["", 0]);
    took.push(Number(stdout));
  }
  expect(Math.min(...took)).toBeLessThan(startMsMax);
});
