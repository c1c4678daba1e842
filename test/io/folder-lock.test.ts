// The folder lock between real processes: one holder, a stale lock taken over, one winner among several starters.

import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { DiskError, FolderLockedError } from "../../src/io/disk.ts";
import { lockFolder } from "../../src/io/folder-lock.ts";
import { compiledSources } from "./compiled-sources.ts";

let sources: string;
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  sources = await compiledSources(["assert.ts", "io/disk.ts", "io/folder-lock.ts"]);
  // Says `ready`, and for each line it reads tries to take the folder named there and says what came of it.
  await writeFile(
    join(sources, "starter.js"),
    `import { createInterface } from "node:readline";
     import { lockFolder } from "./io/folder-lock.js";
     createInterface({ input: process.stdin }).on("line", async (folder) => {
       try { await lockFolder(folder); console.log("held"); } catch (error) { console.log(error.message); }
     });
     console.log("ready");`,
  );
});
afterAll(() => rm(sources, { recursive: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-lock-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) await killed(child);
  await rm(folder, { recursive: true });
});

class Starter {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    this.process = spawn(process.execPath, [join(sources, "starter.js")], { stdio: ["pipe", "pipe", "inherit"] });
    children.push(this.process);
    this.#lines = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    const next = await this.#lines.next();
    return next.done ? "ended" : next.value;
  }

  take(): void {
    this.process.stdin!.write(`${folder}\n`);
  }
}

async function started(count: number): Promise<Starter[]> {
  const starters = Array.from({ length: count }, () => new Starter());
  for (const starter of starters) expect(await starter.line()).toBe("ready");
  return starters;
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

test("a second taker is refused and told the holder's pid; after unlock the folder is free", async () => {
  const lock = await lockFolder(folder);
  const refused = await lockFolder(folder).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(FolderLockedError);
  expect(String(refused)).toContain(`process ${process.pid};`);
  await lock.unlock();
  const again = await lockFolder(folder);
  await again.unlock();
  expect(await readdir(join(folder, ".lock"))).toEqual([]);
});

test("another process is refused while the holder lives, and takes over when it is killed", async () => {
  const [holder, other] = await started(2);
  holder!.take();
  expect(await holder!.line()).toBe("held");
  other!.take();
  expect(await other!.line()).toContain(`${folder} is in use by process ${holder!.process.pid};`);
  await killed(holder!.process);
  other!.take();
  expect(await other!.line()).toBe("held");
  expect(await readdir(join(folder, ".lock"))).toHaveLength(1);
});

test("of four starters at once on a stale lock exactly one wins, each time", async () => {
  const [dead] = await started(1);
  dead!.take();
  expect(await dead!.line()).toBe("held");
  await killed(dead!.process);
  for (let round = 0; round < 4; round++) {
    const starters = await started(4);
    for (const starter of starters) starter.take();
    const answers = await Promise.all(starters.map((starter) => starter.line()));
    expect(answers.filter((answer) => answer === "held")).toHaveLength(1);
    expect(answers.filter((answer) => answer.includes("is in use by"))).toHaveLength(3);
    for (const starter of starters) await killed(starter.process);
  }
});

test("of many starters in one process exactly one wins", async () => {
  for (let round = 0; round < 20; round++) {
    const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => lockFolder(folder)));
    const won = outcomes.filter((outcome) => outcome.status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(FolderLockedError);
    }
    await won[0]!.value.unlock();
  }
});

test("a holder that is stopped counts as alive", async () => {
  const [holder] = await started(1);
  holder!.take();
  expect(await holder!.line()).toBe("held");
  holder!.process.kill("SIGSTOP");
  await expect(lockFolder(folder, 50)).rejects.toThrow("a process that does not answer");
});

test("a folder with a long path can be locked, a missing one cannot", async () => {
  const long = join(folder, "x".repeat(200));
  await mkdir(long);
  const lock = await lockFolder(long);
  await expect(lockFolder(long)).rejects.toThrow(FolderLockedError);
  await lock.unlock();
  const refused = await lockFolder(join(folder, "none")).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(DiskError);
  expect(refused).toMatchObject({ code: "ENOENT" });
});

test("what a starter left that died half-way is removed by the next holder", async () => {
  await mkdir(join(folder, ".lock"));
  await writeFile(join(folder, ".lock", "0123456789abcdef01234567.new"), "");
  const lock = await lockFolder(folder);
  expect(await readdir(join(folder, ".lock"))).toHaveLength(1);
  await lock.unlock();
});
