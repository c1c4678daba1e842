// Compiles src to dist. With --if-stale it does nothing while dist holds the build of exactly these sources, so `npm start`
// and the tests can ask for it every time. dist is exchanged whole: a broker that runs from it never sees half a build.

const { spawnSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const root = join(__dirname, "..");
const dist = join(root, "dist");
const stampFile = "build-stamp";

/** A hash over every file that the build reads. */
function sourceStamp() {
  const hash = createHash("sha256");
  const sources = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const settings = ["tsconfig.json", "tsconfig.build.json", "package.json"].map((name) => join(root, name));
  for (const path of [...sources.sort(), ...settings]) {
    hash
      .update(`${path.slice(root.length)}\0`)
      .update(readFileSync(path))
      .update("\0");
  }
  return hash.digest("hex");
}

function isFresh(stamp) {
  const path = join(dist, stampFile);
  return existsSync(path) && readFileSync(path, "utf8") === stamp;
}

/** Returns whether dist now holds the build of the present sources; the compiler has told why if not. */
function build(stamp) {
  const next = join(root, `dist.next-${process.pid}`);
  const old = join(root, `dist.old-${process.pid}`);
  const tsc = require.resolve("typescript/bin/tsc");
  const options = [
    "-p",
    "tsconfig.build.json",
    "--outDir",
    next,
    "--incremental",
    "false",
    "--tsBuildInfoFile",
    "null",
  ];
  try {
    const { status } = spawnSync(process.execPath, [tsc, ...options], { cwd: root, stdio: ["ignore", 2, 2] });
    if (status !== 0) return false;
    chmodSync(join(next, "bin", "millrace.cjs"), 0o755); // npx runs it as it is
    writeFileSync(join(next, stampFile), stamp);
    if (existsSync(dist)) renameSync(dist, old);
    renameSync(next, dist);
    return true;
  } catch (error) {
    // Another process may have put the same build there in between.
    if (isFresh(stamp)) return true;
    throw error;
  } finally {
    rmSync(next, { recursive: true, force: true });
    rmSync(old, { recursive: true, force: true });
  }
}

function buildIfStale() {
  const stamp = sourceStamp();
  return isFresh(stamp) || build(stamp);
}

/** Makes the next buildIfStale build, whatever dist holds. */
function forgetBuild() {
  rmSync(join(dist, stampFile), { force: true });
}

module.exports = { buildIfStale, forgetBuild };

if (require.main === module) {
  const built = process.argv.includes("--if-stale") ? buildIfStale() : build(sourceStamp());
  process.exitCode = built ? 0 : 1;
}
