// The package as npm would publish it: what it exports is there, with types that fit, and the client works from it.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TemporaryFolder } from "./temporary-folder.ts";

const root = join(import.meta.dirname, "../..");
const folder = new TemporaryFolder();
let tarball: string;

beforeAll(() => {
  const packed = execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder.path], {
    cwd: root,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ filename }] = JSON.parse(packed.toString("utf8")) as [{ filename: string }];
  tarball = join(folder.path, filename);
});

afterAll(() => folder[Symbol.dispose]());

test("publint has nothing to say", async () => {
  const bytes = readFileSync(tarball);
  const { messages, pkg } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer },
    strict: true,
  });
  const said = messages.map((message) => formatMessage(message, (pkg ?? {}) as Record<string, unknown>));
  expect(said).toEqual([]);
});

test("are the types wrong? no", () => {
  const attw = join(root, "node_modules/@arethetypeswrong/cli/dist/index.js");
  const options = [tarball, "--profile", "esm-only", "--format", "json", "--no-definitely-typed"];
  const answer = execFileSync(process.execPath, [attw, ...options], { stdio: ["ignore", "pipe", "ignore"] });
  const { analysis } = JSON.parse(answer.toString("utf8")) as {
    analysis: { entrypoints: object; problems: { kind: string; resolutionKind?: string }[] };
  };
  expect(Object.keys(analysis.entrypoints)).toContain("./client");
  // An ES module for Node 20.19 and later: require() loads it there, and what knows no "exports" is older.
  const others = ["node10", "node16-cjs"];
  expect(analysis.problems.filter(({ resolutionKind }) => !others.includes(resolutionKind ?? ""))).toEqual([]);
});

test("the client is found by its name, in Node and for browsers", () => {
  const script = `
    const { Millrace, MillraceError } = await import("millrace/client");
    const error = await new Millrace({ url: "http://127.0.0.1:1", requestTimeoutMs: 50 }).admin().cluster().catch((e) => e);
    console.log(error instanceof MillraceError, error.code);`;
  const run = (...flags: string[]): string =>
    execFileSync(process.execPath, [...flags, "--input-type=module", "-e", script], { cwd: root })
      .toString("utf8")
      .trim();
  expect(run()).toBe("true TIMED_OUT");
  expect(run("--conditions=browser")).toBe("true TIMED_OUT");
});
