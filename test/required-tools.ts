// What a suite needs beyond Node. A suite whose tools are absent is left out and told of in one line at the end of the
// run; with MILLRACE_TEST_REQUIRE=all it fails instead. required-tools.json is the one list of tools: the script
// scripts/setup-test-tools installs from it what the suites' needs() name.

import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, test } from "vitest";
import known from "./required-tools.json" with { type: "json" };
import { notRunPrefix } from "./summary-reporter.ts";

export type Tool = keyof typeof known;

interface Needs {
  /** Like vitest's describe; `body` runs only where the tools are. */
  describe(name: string, body: () => void): void;
  /** "etcd (apt install etcd-server)", or undefined if everything is here. */
  readonly missing: string | undefined;
}

/** Write the names out where you call it, as in `needs("root", "xfs_io").describe(…)`: setup-test-tools reads them. */
export function needs(...tools: readonly [Tool, ...Tool[]]): Needs {
  const absent = tools.filter((tool) => !isHere(tool)).sort();
  if (absent.length === 0) return { describe, missing: undefined };
  const missing = absent.map((tool) => `${tool} (${howToGet(tool)})`).join(" and ");
  if (process.env["MILLRACE_TEST_REQUIRE"] !== "all") return { describe: () => leaveOut(missing), missing };
  return { describe: (name) => refuse(name, missing), missing };
}

function leaveOut(missing: string): void {
  describe.skip(`${notRunPrefix}${missing}`, () => {});
}

function refuse(name: string, missing: string): void {
  test(name, () => {
    throw new Error(`MILLRACE_TEST_REQUIRE=all, but this suite needs ${missing}`);
  });
}

function howToGet(tool: Tool): string {
  const entry = known[tool];
  return "package" in entry ? `apt install ${entry.package}` : entry.install;
}

function isHere(tool: Tool): boolean {
  const isRoot = process.getuid?.() === 0;
  if (tool === "root") return isRoot;
  if (tool === "loop") return isRoot && existsSync("/dev/loop-control");
  return isCommand(known[tool].command);
}

function isCommand(name: string): boolean {
  const folders = `${process.env["PATH"] ?? ""}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter);
  return folders.some((folder) => isExecutable(join(folder, name)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
