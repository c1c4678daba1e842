// An ext4 filesystem of its own in a file, from which power can be cut: everything that was not synced is gone, and what
// was half done in the filesystem stays half done until the next mount. Needs root, loop devices, mkfs.ext4 and perl.
// Neither mount nor loop device outlives the test: not its end, not its failure, and not its murder by more than one run.

import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { assert } from "../../src/assert.ts";
import type { BrokerProcess } from "./broker-process.ts";

const run = promisify(execFile);
const folderPrefix = "millrace-loop-";
/** Sparse: only what is written takes room. */
const imageBytes = 1024 * 1024 * 1024;
/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written any more. */
const shutdownScript = `
  open(my $mount, "<", $ARGV[0]) or die "open: $!";
  my $flags = pack("I", 2);
  ioctl($mount, 0x8004587D, $flags) or die "shutdown: $!";
`;
/** More than enough looks at the threads of a process that was told to stop. */
const looksMax = 100_000;

export class LoopFilesystem {
  /** Where it is mounted. */
  readonly path: string;
  readonly #folder: string;
  readonly #image: string;
  readonly #atExit = () => this.remove();

  private constructor(folder: string) {
    this.#folder = folder;
    this.#image = join(folder, "image");
    this.path = join(folder, "mount");
  }

  static async create(): Promise<LoopFilesystem> {
    removeLeftovers();
    const filesystem = new LoopFilesystem(mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`)));
    process.once("exit", filesystem.#atExit);
    await filesystem.#make();
    return filesystem;
  }

  async #make(): Promise<void> {
    writeFileSync(this.#image, "");
    truncateSync(this.#image, imageBytes);
    mkdirSync(this.path);
    await run("mkfs.ext4", ["-q", "-F", "-E", "nodiscard", this.#image], { env: withSystemPath() });
    await this.#mount();
  }

  async #mount(): Promise<void> {
    await run("mount", ["-o", "loop", this.#image, this.path], { env: withSystemPath() });
  }

  /**
   * Cuts the power under a running broker, and mounts what is left. The broker is stopped first, and every thread of it
   * seen to stand: an fdatasync that races the shutdown can return success for bytes that are gone.
   */
  async cutPower(broker: BrokerProcess): Promise<void> {
    broker.signal("SIGSTOP");
    await everyThreadStopped(broker.pid);
    await run("perl", ["-e", shutdownScript, this.path]);
    await broker.kill();
    await run("umount", [this.path], { env: withSystemPath() });
    await this.#mount();
  }

  /** Harmless if it is gone. */
  remove(): void {
    process.off("exit", this.#atExit);
    removeFolder(this.#folder);
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

async function everyThreadStopped(pid: number): Promise<void> {
  for (let look = 0; look < looksMax; look++) {
    const states = readdirSync(`/proc/${pid}/task`).map((thread) => threadState(pid, thread));
    if (states.every((state) => state === "T")) return;
    await new Promise(setImmediate);
  }
  throw new Error(`process ${pid} was told to stop and goes on`);
}

function threadState(pid: number, thread: string): string | undefined {
  // The name, in parentheses, may hold anything; the state follows it.
  return /\) (\S)/.exec(readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1"))?.[1];
}

/** What a run left that was killed itself. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(folderPrefix)) continue;
    const pid = Number(name.slice(folderPrefix.length).split("-")[0]);
    if (!isRunning(pid)) removeFolder(join(tmpdir(), name));
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function removeFolder(folder: string): void {
  const mount = join(folder, "mount");
  if (isMounted(mount)) spawnSync("umount", ["-l", mount], { env: withSystemPath() });
  assert(!isMounted(mount), `${mount} cannot be unmounted`);
  rmSync(folder, { recursive: true, force: true });
}

function isMounted(path: string): boolean {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[1] === path);
}

function withSystemPath(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
}
