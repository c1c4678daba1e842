// Completes package-lock.json with the native builds of every platform. npm leaves out those it could not fetch while
// locking (a mirror may carry Linux only), and `npm ci` then refuses the file. Run after each change of dependencies:
//   node scripts/lock-platforms.mjs          adds what is missing
//   node scripts/lock-platforms.mjs --check  changes nothing, exits 1 if something is missing
// Entries added here carry no integrity: the package was not seen. npm fills it in where it can fetch.

import { readFileSync, writeFileSync } from "node:fs";

const lockFile = new URL("../package-lock.json", import.meta.url);
const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"];

/** The platform that a package of native builds has in its name: @node-rs/crc32-linux-x64-musl and the like. */
function platformOf(name) {
  const words = name.split("/").at(-1).split("-");
  if (name === "fsevents") return { os: ["darwin"] };
  const cpu = words.includes("universal") ? undefined : processors.find((known) => words.includes(known));
  const os = systems.find((known) => words.includes(known));
  return { ...(cpu && { cpu: [cpu] }), ...(os && { os: [os] }) };
}

const lock = JSON.parse(readFileSync(lockFile, "utf8"));
const missing = [];
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] || lock.packages[`${path}/node_modules/${name}`]) continue;
    const version = range.replace(/^[~^]/, "");
    if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${path} wants ${name} ${range}: name its version here`);
    const dev = entry.dev || entry.devOptional;
    missing.push([`node_modules/${name}`, { version, ...(dev && { dev: true }), optional: true, ...platformOf(name) }]);
  }
}

if (process.argv.includes("--check")) {
  for (const [path] of missing)
    process.stderr.write(`package-lock.json lacks ${path}: run node scripts/lock-platforms.mjs\n`);
  process.exitCode = missing.length > 0 ? 1 : 0;
} else if (missing.length > 0) {
  const order = ([a], [b]) => (a < b ? -1 : 1);
  lock.packages = Object.fromEntries([...Object.entries(lock.packages), ...missing].sort(order));
  writeFileSync(lockFile, `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`added ${missing.length} packages to package-lock.json\n`);
}
