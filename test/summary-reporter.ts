// The end of a run in plain lines: each kind of suite that was left out and how to get what it needs, then, last,
// `N passed, N failed`. With MILLRACE_TEST_SUMMARY=<file> that line is also written there, for scripts.

import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/** How the name of a suite that was left out begins; see required-tools.ts. */
export const notRunPrefix = "not run here: needs ";

export interface Summary {
  passed: number;
  failed: number;
  /** How many suites were left out, by the line that says why. */
  readonly notRun: Map<string, number>;
}

export class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const summary: Summary = { passed: 0, failed: unhandledErrors.length, notRun: new Map() };
    for (const module of modules) addModule(summary, module);
    const counts = `${summary.passed} passed, ${summary.failed} failed`;
    process.stdout.write(`${[...notRunLines(summary), counts].join("\n")}\n`);
    const file = process.env["MILLRACE_TEST_SUMMARY"];
    if (file !== undefined) writeFileSync(file, `${counts}\n`);
  }
}

function addModule(summary: Summary, module: TestModule): void {
  for (const test of module.children.allTests("passed")) if (test) summary.passed++;
  for (const test of module.children.allTests("failed")) if (test) summary.failed++;
  // A file that does not load, or a hook that throws, fails no test of its own.
  if (module.errors().length > 0) summary.failed++;
  for (const suite of module.children.allSuites()) {
    if (suite.errors().length > 0) summary.failed++;
    if (!suite.name.startsWith(notRunPrefix)) continue;
    summary.notRun.set(suite.name, (summary.notRun.get(suite.name) ?? 0) + 1);
  }
}

export function notRunLines(summary: Summary): string[] {
  const lines = [...summary.notRun].map(([line, suites]) => `${line}: ${counted(suites)}`);
  if (lines.length === 0) return [];
  const total = [...summary.notRun.values()].reduce((sum, suites) => sum + suites, 0);
  return [...lines.sort(), `not run here in all: ${counted(total)}`];
}

function counted(suites: number): string {
  return suites === 1 ? "1 suite" : `${suites} suites`;
}
