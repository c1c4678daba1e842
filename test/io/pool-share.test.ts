// The size of the pool as libuv reads it, and the launcher that sets it early enough.

import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { PoolShare, poolThreads } from "../../src/io/pool-share.ts";
import { compiledSources } from "./compiled-sources.ts";

test("the pool's size follows libuv's reading of the environment", () => {
  expect(poolThreads(undefined)).toBe(4);
  expect(poolThreads("16")).toBe(16);
  expect(poolThreads("0")).toBe(1);
  expect(poolThreads("many")).toBe(1);
  expect(poolThreads("5000")).toBe(1024);
});

test("syncs get half the pool, at least one thread", () => {
  expect([1, 2, 3, 4, 16].map((threads) => new PoolShare(threads).syncsMax)).toEqual([1, 1, 1, 2, 8]);
});

test("a sync that throws gives its place back", async () => {
  const share = new PoolShare(2);
  await expect(share.run(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(await share.run(() => Promise.resolve(5))).toBe(5);
});

test("the launcher's pool has 16 threads; an ES module that sets the variable is too late", async () => {
  const folder = await compiledSources(["bin/millrace.cts"]);
  try {
    // Prints the variable, and by how many threads the process exceeds the same one with a pool of one.
    await writeFile(
      join(folder, "main.js"),
      `import { readdirSync } from "node:fs";
       if (process.argv[2] === "late") process.env.UV_THREADPOOL_SIZE = "16";
       const { readFile } = await import("node:fs/promises");
       await readFile("/proc/self/stat");
       console.log(process.env.UV_THREADPOOL_SIZE, readdirSync("/proc/self/task").length);`,
    );
    const started = async (argv: string[], poolSize?: string) => {
      const { UV_THREADPOOL_SIZE: _ours, ...environment } = process.env;
      const env = poolSize === undefined ? environment : { ...environment, UV_THREADPOOL_SIZE: poolSize };
      const { stdout } = await promisify(execFile)(process.execPath, argv, { env });
      const [variable, threads] = stdout.trim().split(" ");
      return { variable, threads: Number(threads) };
    };
    const one = await started([join(folder, "main.js")], "1");
    const launched = await started([join(folder, "bin/millrace.cjs")]);
    expect(launched).toEqual({ variable: "16", threads: one.threads + 15 });
    expect(await started([join(folder, "bin/millrace.cjs")], "6")).toEqual({ variable: "6", threads: one.threads + 5 });
    expect(await started([join(folder, "main.js"), "late"])).toEqual({ variable: "16", threads: one.threads + 3 });
  } finally {
    await rm(folder, { recursive: true });
  }
});
