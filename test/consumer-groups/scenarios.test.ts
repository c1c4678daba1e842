// The scenarios of the folder beside: `vitest -u` rewrites what they say, read the diff before committing. Each is also run with a
// coordinator that restarts after every command, and must say the same; where time passes between commands it cannot
// (a restart begins every session anew), such a scenario restarts in its middle itself. And each is run through the
// coordinator of a broker, whose restarts are clean stops, kills and power cuts of a simulated disk.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runScenario } from "./run-scenario.ts";
import { CoordinatorScenarioWorld, ShardScenarioWorld } from "./scenario-worlds.ts";

const folder = join(import.meta.dirname, "scenarios");

describe.each(readdirSync(folder).sort())("%s", (name) => {
  const path = join(folder, name);
  const text = readFileSync(path, "utf8");
  const restartsItself = /^restart$/m.test(text);

  test("goes as it is written", async () => {
    await expect(await runScenario(text, new ShardScenarioWorld())).toMatchFileSnapshot(path);
  });

  if (!restartsItself)
    test("goes the same with a restart after every command", async () => {
      expect(await runScenario(text, new ShardScenarioWorld(), { restarts: true })).toBe(text);
    });

  if (name === "expiry.txt") return; // of a shard: when a coordinator lets offsets expire is not for a scenario to say

  test.each(["close", "kill", "powerCut"] as const)(
    "goes the same through the coordinator, restarts by %s",
    async (by) => {
      const world = await CoordinatorScenarioWorld.start(by);
      expect(await runScenario(text, world, { restarts: !restartsItself })).toBe(text);
    },
  );

  if (!restartsItself)
    test("goes the same through the coordinator without a restart", async () => {
      expect(await runScenario(text, await CoordinatorScenarioWorld.start("kill"))).toBe(text);
    });
});
