// The seeded defects still fit the sources they are made for, and the judge of a run tells real catches from accidents.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mutations } from "./catalogue.ts";
import { type Mutation, mutate, mutatedFile, root } from "./mutation.ts";
import { judge, type SuiteReport } from "./run-mutant.ts";
import { mutationPlugin } from "./vite-plugin.ts";

const example: Mutation = { name: "example", file: "a.ts", find: "sync();", replace: "", caughtBy: "a.test.ts" };

describe("the catalogue", () => {
  test("gives each mutation its own name", () => {
    const names = mutations.map((mutation) => mutation.name);
    expect(names).toEqual([...new Set(names)]);
  });

  test.for(mutations)("$name matches $file once and names a suite", (mutation) => {
    expect(mutatedFile(mutation)).toContain(mutation.replace);
    expect(existsSync(join(root, mutation.caughtBy)), mutation.caughtBy).toBe(true);
  });

  test("holds the mutations of every file here", async () => {
    const tools = /^(?:mutation|catalogue|vite-plugin|run-mutant|.*\.test)\.ts$/;
    const dataFiles = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".ts") && !tools.test(name));
    const modules = await Promise.all(dataFiles.map((name) => import(join(import.meta.dirname, name))));
    const found = modules.flatMap((module: Record<string, readonly Mutation[]>) => Object.values(module).flat());
    expect(found.length).toBeGreaterThan(0);
    expect(new Set(found)).toEqual(new Set(mutations));
  });
});

describe("mutate", () => {
  test("edits the one place", () => {
    expect(mutate("write(); sync(); ack();", example)).toBe("write();  ack();");
  });

  test("takes the replacement literally", () => {
    expect(mutate("sync();", { ...example, replace: "$& $1" })).toBe("$& $1");
  });

  test.for([["write();", 0] as const, ["sync(); sync();", 2] as const])("refuses %j", ([source, matches]) => {
    expect(() => mutate(source, example)).toThrow(`matches ${matches} times`);
  });

  test("refuses an edit that changes nothing", () => {
    expect(() => mutate("sync();", { ...example, replace: example.find })).toThrow("changes nothing");
  });

  test("an unknown name is refused", () => {
    expect(() => mutationPlugin("no-such-defect")).toThrow("no such mutation");
  });
});

describe("judge", () => {
  const report = (message: string, ...failures: string[]): SuiteReport => ({
    numPassedTests: 3,
    testResults: [
      {
        message,
        assertionResults: failures.map((text) => ({ fullName: "a test", status: "failed", failureMessages: [text] })),
      },
    ],
  });

  test("an assertion that fails is a catch", () => {
    expect(judge(report("", "AssertionError: expected 1 to be 2"))).toEqual({ kind: "caught", by: "a test" });
  });

  test.for([
    ["TypeError: x is not a function", "breaks the program"],
    ["Error: Test timed out in 5000ms.", "breaks the program"],
  ] as const)("%s is not", ([failure, why]) => {
    expect(judge(report("", failure))).toMatchObject({ kind: "notCaught", why: expect.stringContaining(why) });
  });

  test("neither is a suite that does not load, nor one that passes, nor one without tests", () => {
    const kinds = [report("Transform failed"), report(""), { ...report(""), numPassedTests: 0 }].map(judge);
    expect(kinds).toMatchObject([
      { why: expect.stringContaining("does not load") },
      { why: expect.stringContaining("all 3 tests") },
      { why: expect.stringContaining("no test ran") },
    ]);
  });
});
