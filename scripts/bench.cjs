// `npm run bench -- append|http-produce|http-fetch|start|groups|streams|profile|all [--quick] [--write]`: compiles src and bench to dist.bench, builds
// dist, then measures. What is printed is also kept in bench/results; --write puts it into bench/README.md.

const { spawnSync } = require("node:child_process");
const { join } = require("node:path");
const { buildIfStale } = require("./build.cjs");

const root = join(__dirname, "..");

function node(args) {
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status ?? 1;
}

const compiled =
  buildIfStale() && node([require.resolve("typescript/bin/tsc"), "-p", join(root, "bench/tsconfig.json")]) === 0;
process.exitCode = compiled ? node([join(root, "dist.bench/bench/run.js"), ...process.argv.slice(2)]) : 1;
