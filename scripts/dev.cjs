// `npm run dev`: compiles whenever a source changes, and starts the broker again with each new build.
// What follows `--` goes to `millrace serve`.

const { spawn } = require("node:child_process");
const { join } = require("node:path");
const { buildIfStale, forgetBuild } = require("./build.cjs");

const root = join(__dirname, "..");
if (!buildIfStale()) process.exit(1);
// From here on tsc writes to dist as it likes.
forgetBuild();

const tsc = [require.resolve("typescript/bin/tsc"), "-p", "tsconfig.build.json", "--watch", "--preserveWatchOutput"];
const broker = ["--watch", "--watch-preserve-output", "dist/bin/millrace.cjs", "serve", ...process.argv.slice(2)];
const children = [tsc, broker].map((args) => spawn(process.execPath, args, { cwd: root, stdio: "inherit" }));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const child of children) child.kill(signal);
  });
}
for (const child of children) {
  child.on("exit", () => {
    for (const other of children) other.kill("SIGTERM");
  });
}
