// What an operator meets who types something wrong, or starts a broker where it cannot be: one line that says what to do, and an exit
// code that tells wrong usage (64) from the rest (1).

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const launcher = join(import.meta.dirname, "../../dist/bin/millrace.cjs");
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-command-line-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function millrace(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [launcher, ...args], { cwd: folder, encoding: "utf8", timeout: 20_000 });
}

describe("wrong usage", () => {
  test.each([
    [["serv"], "unknown command 'serv'"],
    [["serve", "--listn", "127.0.0.1:0"], "--listen"],
    [["serve", "--listen", "localhost"], "host:port"],
    [["serve", "--max-wait-ms"], "--max-wait-ms"],
    [["serve", "--max-wait-ms", "soon"], "whole number from 0 to 600000 ms"],
    [["serve", "now"], "now"],
    [["config", "print", "--dta-dir", "x"], "--data-dir"],
    [["log", "truncate"], "--data-dir"],
    [["log", "truncate", "--data-dir", "d", "--topic", "t", "--partition", "x"], "whole number"],
  ])("%j", (args, said) => {
    const { status, stdout, stderr } = millrace(...args);
    expect(stderr).toMatch(/^millrace: /);
    expect(stderr).toContain(said);
    expect([status, stdout]).toEqual([64, ""]);
  });

  test("no command: what there is", () => {
    const { status, stderr } = millrace();
    expect(stderr).toContain("serve [options]");
    expect(status).toBe(64);
  });
});

describe("what is asked for is no error", () => {
  test.each([
    [["--help"], "serve [options]"],
    [["serve", "--help"], "MILLRACE_DATA_DIR"],
    [["--version"], /^\d+\.\d+\.\d+/],
    [["config", "print", "--max-wait-ms", "5"], /^maxWaitMs: 5 +# flag --max-wait-ms, ms$/m],
  ])("%j", (args, said) => {
    const { status, stdout, stderr } = millrace(...args);
    expect(stdout).toMatch(said);
    expect([status, stderr]).toEqual([0, ""]);
  });
});

describe("a broker that cannot start says why and what to do", () => {
  test("its folder is a file", () => {
    writeFileSync(join(folder, "file"), "");
    const { status, stderr } = millrace("serve", "--listen", "127.0.0.1:0", "--data-dir", "file");
    expect(stderr).toMatch(/^millrace: .*ENOTDIR; there is a file where a folder is meant\n$/);
    expect(status).toBe(1);
  });

  test("its port is taken", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => holder.once("listening", resolve));
    const { port } = holder.address() as { port: number };
    const { status, stderr } = millrace("serve", "--listen", `127.0.0.1:${port}`, "--data-dir", "d");
    holder.close();
    expect(stderr).toMatch(
      /^millrace: .*address already in use.*; is a broker running already\? --listen host:port takes another\n$/,
    );
    expect(status).toBe(1);
  });
});
