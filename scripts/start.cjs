// `npm start`: builds if the sources have changed, then is the broker, in this one process, so that signals reach it.
// What follows `--` goes to `millrace serve`: npm start -- --listen 127.0.0.1:9000

const { join } = require("node:path");
const { buildIfStale } = require("./build.cjs");

if (buildIfStale()) {
  const launcher = join(__dirname, "../dist/bin/millrace.cjs");
  process.argv.splice(1, 1, launcher, "serve");
  require(launcher);
} else {
  process.exitCode = 1;
}
