// src keeps its own rules, and each rule bites.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fileLinesMax, findings } from "./rules.ts";

const root = join(import.meta.dirname, "../..");

test("every file of src is tidy", () => {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .map((name) => `src/${name.replaceAll("\\", "/")}`)
    .filter((path) => /\.[cm]?ts$/.test(path));
  expect(files.length).toBeGreaterThan(0);
  const said = files.flatMap((path) =>
    findings(path, readFileSync(join(root, path), "utf8")).map(({ line, message }) => `${path}:${line}: ${message}`),
  );
  expect(said).toEqual([]);
});

const inLog = (code: string): string[] =>
  findings("src/log/segment.ts", `// A segment.\n${code}`).map((f) => f.message);

describe("outside src/io", () => {
  test.for([
    "const now = Date.now();",
    "const now = Date['now']();",
    "const { now } = Date.now ? { now: Date.now } : { now: 0 };",
    "const now = globalThis.Date.now();",
    "const now = new Date();",
    "const now = new Date;",
    "const now = Date();",
    "const { now } = performance;",
    "const at = performance.now();",
    "setTimeout(() => {}, 5);",
    "const later = setTimeout;",
    "const clock = { setTimer: setTimeout };",
    "const clock = { setTimeout };",
    "globalThis.setInterval(() => {}, 5);",
    "await new Promise(setImmediate);",
    "const signal = AbortSignal.timeout(5);",
    "const chance = Math.random();",
    "const id = crypto.randomUUID();",
    "crypto.getRandomValues(bytes);",
    "import { randomBytes } from 'node:crypto';",
    "import { createHash, randomUUID as id } from 'crypto';",
    "import * as crypto from 'node:crypto';",
    "import crypto from 'node:crypto';",
    "const at = process.hrtime.bigint();",
    "const home = process.env.HOME;",
    "const home = process['env'];",
    "const flags = process.argv.slice(2);",
  ])("%s is found", (code) => {
    expect(inLog(code)).not.toEqual([]);
  });

  test.for([
    "// Date.now() and setTimeout would be wrong here.",
    "const text = 'Date.now() Math.random()';",
    "const text = `new Date() is one`;",
    "const pattern = /setTimeout\\(/;",
    "const shown = new Date(ms).toISOString();",
    "const when = Date.parse(text);",
    "clock.setTimeout(5);",
    "interface Clock { setTimeout(ms: number): void; performance: number }",
    "class Timers { setTimeout(ms: number): void {} }",
    "type Handle = ReturnType<Clock['setTimeout']>;",
    "const clock = { setTimeout: 5 };",
    "import { createHash, timingSafeEqual } from 'node:crypto';",
    "const { rss } = process.memoryUsage();",
  ])("%s is not", (code) => {
    expect(inLog(code)).toEqual([]);
  });
});

describe("at home", () => {
  test.for([
    ["src/io/node-clock.ts", "const at = performance.now(); setTimeout(() => {}, Date.now());"],
    ["src/io/node-random.ts", "import { randomBytes } from 'node:crypto';"],
    ["src/main.ts", "const [, , ...flags] = process.argv; const home = process.env;"],
    ["src/cli/serve.ts", "const home = process.env;"],
  ] as const)("%s may: %s", ([path, code]) => {
    expect(findings(path, `// What it is.\n${code}`)).toEqual([]);
  });

  test("src/io may not read the environment, nor main the clock", () => {
    expect(findings("src/io/node-disk.ts", "// A.\nconst home = process.env;")).toMatchObject([{ line: 2 }]);
    expect(findings("src/main.ts", "// A.\n\nconst now = Date.now();")).toMatchObject([{ line: 3 }]);
  });
});

describe("a file", () => {
  test.for(["utils.ts", "types.ts", "index.ts", "helpers.ts"])("is not called %s", (name) => {
    expect(findings(`src/log/${name}`, "// A.\n")).toMatchObject([{ message: expect.stringContaining("name") }]);
  });

  test(`has at most ${fileLinesMax} lines`, () => {
    const text = (lines: number): string => `// A.\n${"let a;\n".repeat(lines - 1)}`;
    expect(findings("src/log/segment.ts", text(fileLinesMax))).toEqual([]);
    expect(findings("src/log/segment.ts", text(fileLinesMax + 1))).toHaveLength(1);
  });

  test("begins with a comment", () => {
    expect(findings("src/log/segment.ts", "export const a = 1;\n// late\n")).toHaveLength(1);
    expect(findings("src/bin/millrace.cts", "#!/usr/bin/env node\n// Starts.\n")).toEqual([]);
    expect(findings("src/log/segment.ts", "/** A segment. */\n")).toEqual([]);
  });
});
