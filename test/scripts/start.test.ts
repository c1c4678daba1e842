// `npm start` on a stand-in for the broker: it builds when it must and only then, and a signal reaches the broker itself.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
let folder: string;

const mainOf = (word: string): string => `// A stand-in.
import { createServer } from "node:net";
const server = createServer().listen(0, "127.0.0.1");
process.on("SIGTERM", () => server.close());
process.stdout.write(${JSON.stringify(word)} + " " + process.argv.slice(2).join(" ") + "\\n");
`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-start-"));
  for (const path of [
    "scripts/build.cjs",
    "scripts/start.cjs",
    "tsconfig.json",
    "tsconfig.build.json",
    "package.json",
  ]) {
    cpSync(join(root, path), join(folder, path));
  }
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  mkdirSync(join(folder, "src/bin"), { recursive: true });
  writeFileSync(join(folder, "src/bin/millrace.cts"), '// A launcher.\nvoid import("../main.ts");\n');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function build(...flags: string[]): { status: number | null; stderr: string } {
  const args = [join(folder, "scripts/build.cjs"), ...flags];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  return { status, stderr };
}

/** The first line the child says. */
async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const chunk of child.stdout ?? []) {
    text += chunk;
    const line = text.split("\n").find((candidate) => candidate.includes("serve"));
    if (line !== undefined) return line;
  }
  throw new Error(`it ended early: ${text}`);
}

test("a start builds, hands on its arguments, and ends by SIGTERM without leaving anything behind", async () => {
  writeFileSync(join(folder, "src/main.ts"), mainOf("first"));
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn("npm", ["start", "--silent", "--", "--log-level", "warn"], { cwd: folder, stdio: [...stdio] });
  const exit = once(child, "exit");
  expect(await firstLine(child)).toBe("first serve --log-level warn");
  child.kill("SIGTERM");
  expect(await exit).toEqual([0, null]);
}, 30_000);

test("nothing is built while the sources are the same, and everything again once they differ", () => {
  const dist = join(folder, "dist/main.js");
  writeFileSync(dist, "// Only a build takes this away.\n");
  expect(build("--if-stale").status).toBe(0);
  expect(readFileSync(dist, "utf8")).toContain("Only a build");
  writeFileSync(join(folder, "src/main.ts"), mainOf("second"));
  expect(build("--if-stale").status).toBe(0);
  expect(readFileSync(dist, "utf8")).toContain("second");
}, 30_000);

test("what does not compile is said, and the last good build stays", () => {
  writeFileSync(join(folder, "src/main.ts"), "// Wrong.\nexport const count: number = 'one';\n");
  const { status, stderr } = build("--if-stale");
  expect([status, stderr]).toEqual([1, expect.stringContaining("TS2322")]);
  expect(readFileSync(join(folder, "dist/main.js"), "utf8")).toContain("second");
}, 30_000);
