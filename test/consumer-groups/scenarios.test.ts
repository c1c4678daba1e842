// The scenarios of the folder beside: `vitest -u` rewrites what they say, read the diff before committing. Each is also run with a
// coordinator that restarts after every command, and must say the same; where time passes between commands it cannot
// (a restart begins every session anew), such a scenario restarts in its middle itself.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runScenario } from "./run-scenario.ts";

const folder = join(import.meta.dirname, "scenarios");

describe.each(readdirSync(folder).sort())("%s", (name) => {
  const path = join(folder, name);
  const text = readFileSync(path, "utf8");
  test("goes as it is written", async () => {
    await expect(runScenario(text)).toMatchFileSnapshot(path);
  });

  if (/^restart$/m.test(text)) return;
  test("goes the same with a restart after every command", () => {
    expect(runScenario(text, { restarts: true })).toBe(runScenario(text));
  });
});
