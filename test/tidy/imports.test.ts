// The import rules bite: each forbidden import below is reported by the rule that forbids it, each allowed one by none.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

/** File, what it imports, the rule that says no. */
const forbidden = [
  ["src/log/segment.ts", "../broker/broker.ts", "layer-log"],
  ["src/protocol/record.ts", "../io/disk.ts", "layer-protocol"],
  ["src/io/peers.ts", "../log/ok.ts", "layer-io"],
  ["src/cluster/image.ts", "../replication/ok.ts", "layer-cluster"],
  ["src/replication/image.ts", "../cluster/ok.ts", "layer-replication"],
  ["src/http/routes/topics.ts", "../../log/ok.ts", "layer-http"],
  ["src/broker/topics.ts", "../http/ok.ts", "layer-broker"],
  ["src/cli/topics.ts", "../main.ts", "layer-cli"],
  ["src/cli/serve.ts", "../log/segment.ts", "cli-serve"],
  ["src/cli/log.ts", "../broker/broker.ts", "cli-log"],
  ["src/client/producer.ts", "../io/disk.ts", "layer-client"],
  ["src/protocol/crc.ts", "node:crypto", "protocol-is-pure"],
  ["src/client/fetch.ts", "undici", "protocol-is-pure"],
  ["src/log/files.ts", "node:fs", "only-at-home-files-and-sockets"],
  ["src/log/more-files.ts", "fs/promises", "only-at-home-files-and-sockets"],
  ["src/broker/timers.ts", "node:timers/promises", "only-at-home-time"],
  ["src/broker/requests.ts", "node:http", "only-at-home-http"],
  ["src/log/inflate.ts", "node:zlib", "only-at-home-zlib"],
  ["src/log/environment.ts", "node:process", "only-at-home-process"],
  ["src/log/crc.ts", "@node-rs/crc32", "only-at-home-codecs"],
  ["src/broker/server.ts", "fastify", "only-at-home-fastify"],
  ["src/log/pack.ts", "msgpackr", "only-at-home-formats"],
  ["src/http/metrics.ts", "prom-client", "only-at-home-prom-client"],
  ["src/broker/logging.ts", "pino", "only-at-home-pino"],
  ["src/http/calls.ts", "undici", "only-at-home-undici"],
  ["src/http/flags.ts", "commander", "only-at-home-commander"],
  ["src/elsewhere/thing.ts", "../assert.ts", "every-file-has-a-layer"],
  ["src/log/cycle-back.ts", "./cycle.ts", "no-cycles"],
  ["src/log/gone.ts", "./no-such-file.ts", "resolves"],
] as const;

const allowed = [
  ["src/main.ts", "./http/ok.ts"],
  ["src/http/ok.ts", "../broker/ok.ts"],
  ["src/http/server.ts", "fastify"],
  ["src/http/encoding.ts", "node:zlib"],
  ["src/broker/ok.ts", "../replication/ok.ts"],
  ["src/broker/broker.ts", "../cluster/ok.ts"],
  ["src/replication/ok.ts", "../log/ok.ts"],
  ["src/cluster/ok.ts", "node:crypto"],
  ["src/log/ok.ts", "../io/disk.ts"],
  ["src/io/disk.ts", "node:fs"],
  ["src/io/codecs.ts", "../protocol/ok.ts"],
  ["src/protocol/ok.ts", "../assert.ts"],
] as const;

let folder: string;
let reported: Set<string>;

/** A copy of the layers with one import per file, cruised once with the project's own rules. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-imports-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", dependencies: rootDependencies() }));
  const write = (path: string, imported: string | undefined): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), imported === undefined ? "export {};\n" : `import "${imported}";\n`);
  };
  write("src/assert.ts", undefined);
  write("src/log/cycle.ts", "./cycle-back.ts");
  for (const [path, imported] of [...forbidden, ...allowed]) write(path, imported);
  writeFileSync(
    join(folder, "src/http/sockets.ts"),
    'import type { Socket } from "node:net";\nexport type S = Socket;\n',
  );
  reported = cruise();
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function rootDependencies(): Record<string, string> {
  return Object.fromEntries(forbidden.map(([, name]) => [name, "*"]).filter(([name]) => !name?.startsWith(".")));
}

/** Each violation as "file → rule". */
function cruise(): Set<string> {
  const bin = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const args = [bin, "src", "--config", join(root, ".dependency-cruiser.cjs"), "--output-type", "json"];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 26 });
  if (stdout === "") throw new Error(stderr);
  const { summary } = JSON.parse(stdout) as { summary: { violations: { from: string; rule: { name: string } }[] } };
  return new Set(summary.violations.map(({ from, rule }) => `${from} → ${rule.name}`));
}

test.for(forbidden)("%s may not import %s: %s", ([path, , rule]) => {
  expect([...reported]).toContain(`${path} → ${rule}`);
});

test("what is allowed is not reported", () => {
  const files = [...allowed.map(([path]) => path), "src/http/sockets.ts"];
  expect([...reported].filter((line) => files.some((path) => line.startsWith(`${path} `)))).toEqual([]);
});
