// Every program of examples/ does what its first comment says, against a broker as it is built.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needs } from "../required-tools.ts";
import { BrokerProcess } from "./broker-process.ts";
import { ExamplePage, runExample } from "./example-process.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const folder = new TemporaryFolder();
let broker: BrokerProcess;
beforeAll(async () => {
  broker = await BrokerProcess.start({ dataDir: folder.path });
});
afterAll(async () => {
  await broker.stop();
  folder[Symbol.dispose]();
});

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

test("produce and consume: what one sends the other reads, once", async () => {
  const { url } = broker;
  const sent = await runExample("produce.mjs", { url, args: ["readings", "12"] });
  expect(sent).toMatchObject({ code: 0, stderr: "" });
  expect(lines(sent.stdout)).toHaveLength(12);
  const read = await runExample("consume.mjs", { url, args: ["readings", "--until-idle", "2"] });
  expect(read.code, read.stderr).toBe(0);
  const places = lines(read.stdout).map((line) => line.split(" ")[0]);
  const told = lines(sent.stdout).map((line) => line.replace(/.*partition (\d+), offset (\d+)$/, "$1:$2"));
  expect([...places].sort()).toEqual([...told].sort());
  expect(await runExample("produce.mjs", { url, args: ["readings", "1"] })).toMatchObject({ code: 0 });
  const rest = await runExample("consume.mjs", { url, args: ["readings", "--until-idle", "2"] });
  expect(lines(rest.stdout)).toHaveLength(1); // the group went on where it was
});

test("pipe.mjs: lines in, lines out", async () => {
  const { url } = broker;
  const made = { method: "POST", headers: { "content-type": "application/json" } };
  await fetch(`${url}/v1/topics`, { ...made, body: JSON.stringify({ name: "piped" }) });
  const input = ["1", '{"a":[true,null]}', '"ü"'].map((value) => `{"key":"k","value":${value}}\n`).join("");
  const into = await runExample("pipe.mjs", { url, args: ["in", "piped"], input });
  expect(into).toMatchObject({ code: 0, stderr: '{"appended":3}\n' });
  const out = await runExample("pipe.mjs", { url, args: ["out", "piped"] });
  expect(lines(out.stdout).map((line) => JSON.parse(line).value)).toEqual([1, { a: [true, null] }, "ü"]);
  const refused = await runExample("pipe.mjs", { url, args: ["in", "piped"], input: '{"value":1}\nnot json\n' });
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.stderr)).toMatchObject({ appended: 1, line: 2 });
});

needs("curl").describe("with curl", () => {
  test("pipe.sh: lines of any text come back as records", async () => {
    const input = 'plain\nwith "quotes" and \\ backslash\n';
    const piped = await runExample("pipe.sh", { url: broker.url, args: ["shell"], input });
    expect(piped.stderr).toContain('"appended":2');
    expect(piped.code).toBe(0);
    const values = lines(piped.stdout).map((line) => JSON.parse(line).value);
    expect(values).toEqual(["plain", 'with "quotes" and \\ backslash']);
  });
});

test("the browser page is served, and nothing else is", async () => {
  await using page = await ExamplePage.start();
  const index = await fetch(page.origin);
  expect(index.headers.get("content-type")).toBe("text/html; charset=utf-8");
  const [script] = /src="[^"]+"/.exec(await index.text()) ?? [];
  expect(script).toBe('src="tail.js"');
  expect((await fetch(`${page.origin}/tail.js`)).headers.get("content-type")).toMatch(/^text\/javascript/);
  expect((await fetch(`${page.origin}/serve.mjs`)).status).toBe(404);
  expect((await fetch(`${page.origin}/..%2fpackage.json`)).status).toBe(404);
});

describe("no example is left out", () => {
  const run = ["produce.mjs", "consume.mjs", "pipe.mjs", "pipe.sh", "browser/serve.mjs"];
  test("by this suite", () => {
    const all = readdirSync(join(import.meta.dirname, "../../examples"), { recursive: true, encoding: "utf8" });
    expect(all.filter((name) => /\.(?:mjs|sh|ts)$/.test(name)).sort()).toEqual([...run].sort());
  });
});
