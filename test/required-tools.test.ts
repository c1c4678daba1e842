// A suite without its tools is told of and counted, never silently gone; where all tools are required, it fails.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { notRunLines } from "./summary-reporter.ts";

const root = join(import.meta.dirname, "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

/** Runs the fixture with an empty PATH, so that no command is found; the last lines it prints. */
function runFixture(settings: Record<string, string>): { status: number | null; lines: string[] } {
  const args = [vitest, "run", "--config", "test/fixtures/left-out.config.ts", "--root", root];
  const env = { PATH: "", ...settings };
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, env, encoding: "utf8" });
  return { status, lines: stdout.trimEnd().split("\n") };
}

test("what is absent is named with its package, and the rest of the file runs", () => {
  expect(runFixture({})).toEqual({
    status: 0,
    lines: [
      "not run here: needs etcd (apt install etcd-server) and kcat (apt install kcat): 2 suites",
      "not run here in all: 2 suites",
      "1 passed, 0 failed",
    ],
  });
});

test("a file with nothing left to run is no failure", () => {
  const { status, lines } = runFixture({ MILLRACE_FIXTURE_ALONE: "1" });
  expect([status, lines.at(-1)]).toEqual([0, "0 passed, 0 failed"]);
});

test("it fails where MILLRACE_TEST_REQUIRE=all", () => {
  const { status, lines } = runFixture({ MILLRACE_TEST_REQUIRE: "all" });
  expect([status, lines.at(-1)]).toEqual([1, "1 passed, 2 failed"]);
});

test("the lines are sorted and counted", () => {
  const notRun = new Map([
    ["not run here: needs root (run as root)", 2],
    ["not run here: needs etcd (apt install etcd-server)", 1],
  ]);
  expect(notRunLines({ passed: 0, failed: 0, notRun })).toEqual([
    "not run here: needs etcd (apt install etcd-server): 1 suite",
    "not run here: needs root (run as root): 2 suites",
    "not run here in all: 3 suites",
  ]);
});
