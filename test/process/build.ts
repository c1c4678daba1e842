// Before the first test of a run that starts real brokers: dist holds the build of the present sources.

import { spawnSync } from "node:child_process";
import { join } from "node:path";

export default function buildIfStale(): void {
  const script = join(import.meta.dirname, "../../scripts/build.cjs");
  const { status } = spawnSync(process.execPath, [script, "--if-stale"], { stdio: "inherit" });
  if (status !== 0) throw new Error("the sources do not compile: run npm run build");
}
