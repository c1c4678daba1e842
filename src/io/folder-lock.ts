// Keeps a second process out of a data folder. Each starter listens on a unix socket of its own in `<folder>/.lock/`;
// the kernel refuses connections to the socket of a dead process, so a crash leaves nothing that must be guessed about
// (a pid file does: in containers everyone is pid 1). The names are random and never used twice, so removing a dead
// one cannot hit a living one, and of several starters at once exactly one wins:
// every starter is listening before it looks for others, so of two at least one sees the other. It gives way to a
// holder, and to a starter with a smaller name; for a starter with a greater name it waits until that one gave way
// (it saw us) or holds the folder (it looked before we were there).

import { randomBytes } from "node:crypto";
import fs from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { createConnection, createServer } from "node:net";
import type { FolderLock } from "./disk.ts";
import { DiskError, FolderLockedError } from "./disk.ts";

const lockFolderName = ".lock";
const hiddenSuffix = ".new";
const socketName = /^[0-9a-f]{24}$/;
/** A living process that says nothing for this long (stopped, or blocked) counts as the holder. */
const answerWaitMs = 5_000;
/** One answer is `held <pid>`, `trying <pid>` or `gone`, each with a line break. */
const answerBytesMax = 64;
/** A starter that loses its socket to the cleaning of another begins again, this often. */
const startsMax = 5;
/** A process short of descriptors hangs up without a word; a dead one refuses the next call. */
const callsMax = 5;

/** Takes the folder until unlock or the end of the process; a living holder is a FolderLockedError. */
export async function lockFolder(directory: string, waitMs = answerWaitMs): Promise<FolderLock> {
  const folder = `${directory}/${lockFolderName}`;
  try {
    await fs.mkdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    const handle = await fs.open(folder, "r");
    try {
      return await take(directory, await shortPathOf(folder, handle.fd), waitMs, () => handle.close());
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof FolderLockedError) throw error;
    throw new DiskError((error as NodeJS.ErrnoException).code ?? "EIO", "lock", directory, { cause: error });
  }
}

/** A socket's path may have some 100 bytes; a data folder's may be longer, and Linux offers it under a short name. */
async function shortPathOf(folder: string, fd: number): Promise<string> {
  const short = `/proc/self/fd/${fd}`;
  return (await fs.stat(short).catch(() => undefined))?.isDirectory() ? short : folder;
}

async function take(
  directory: string,
  folder: string,
  waitMs: number,
  released: () => Promise<void>,
): Promise<FolderLock> {
  for (let attempt = 1; ; attempt++) {
    const claim = new Claim(folder);
    if (!(await claim.publish())) {
      if (attempt === startsMax) throw new FolderLockedError(directory, "a process that is starting");
      continue;
    }
    let holder: string | undefined;
    try {
      holder = await firstAheadOf(claim.name, folder, waitMs);
    } catch (error) {
      await claim.withdraw();
      throw error;
    }
    if (holder !== undefined) {
      await claim.withdraw();
      throw new FolderLockedError(directory, holder);
    }
    claim.hold();
    await removeHalfMade(folder);
    return {
      unlock: async () => {
        await claim.withdraw();
        await released();
      },
    };
  }
}

/** Who has the folder, or a better right to it than the claim of this name; undefined when nobody has. */
async function firstAheadOf(name: string, folder: string, waitMs: number): Promise<string | undefined> {
  for (const other of await fs.readdir(folder)) {
    if (other === name || !socketName.test(other)) continue;
    const path = `${folder}/${other}`;
    let answer = await ask(path, other > name, waitMs);
    for (let calls = 1; answer.kind === "hungUp" && calls < callsMax; calls++) {
      answer = await ask(path, other > name, waitMs);
    }
    if (answer.kind === "hungUp") return "a process that hangs up";
    if (answer.kind === "alive") return answer.holder;
    if (answer.kind === "dead") await fs.rm(path, { force: true });
  }
  return undefined;
}

/** Sockets of starters that died before they showed their name. A living one finds its own gone and begins again. */
async function removeHalfMade(folder: string): Promise<void> {
  for (const name of await fs.readdir(folder)) {
    if (name.endsWith(hiddenSuffix)) await fs.rm(`${folder}/${name}`, { force: true });
  }
}

type Answer = { kind: "alive"; holder: string } | { kind: "gaveWay" } | { kind: "dead" } | { kind: "hungUp" };

/** Asks the process behind a socket. With `wait` an answer of "trying" is not enough: it waits for what comes of it. */
function ask(path: string, wait: boolean, waitMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let heard = "";
    const answer = (value: Answer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(value);
    };
    const timer = setTimeout(() => {
      answer({ kind: "alive", holder: `${describe(heard)} that does not answer` });
    }, waitMs);
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      heard += text.slice(0, answerBytesMax);
      if (heard.includes("gone\n")) answer({ kind: "gaveWay" });
      else if (/held \d+\n/.test(heard) || (!wait && /trying \d+\n/.test(heard))) {
        answer({ kind: "alive", holder: describe(heard) });
      }
    });
    socket.on("close", () => answer({ kind: "hungUp" }));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") answer({ kind: "dead" });
      else if (error.code === "ENOENT") answer({ kind: "gaveWay" });
      else if (error.code === "ECONNRESET" || error.code === "EPIPE") answer({ kind: "hungUp" });
      else if (error.code === "EAGAIN")
        answer({ kind: "alive", holder: "a process that does not answer" }); // queue full
      else {
        clearTimeout(timer);
        reject(error);
      }
    });
  });
}

function describe(heard: string): string {
  const pid = /(\d+)\n/.exec(heard)?.[1];
  return pid === undefined ? "a process" : `process ${pid}`;
}

/** Our own socket: it says to everyone who asks whether we are still trying, hold the folder, or gave way. */
class Claim {
  readonly name = randomBytes(12).toString("hex");
  readonly #path: string;
  readonly #server: Server;
  readonly #askers = new Set<Socket>();
  #held = false;

  constructor(folder: string) {
    this.#path = `${folder}/${this.name}`;
    this.#server = createServer((asker) => this.#answer(asker));
  }

  /** Listens, and only then shows the name: a socket that is bound and not yet listening looks dead. */
  async publish(): Promise<boolean> {
    const hidden = `${this.#path}${hiddenSuffix}`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(hidden, resolve);
    });
    this.#server.unref();
    // A call that could not be taken (no descriptors left) is no reason to die: to the caller we still look alive.
    this.#server.on("error", () => {});
    try {
      await fs.rename(hidden, this.#path);
      return true;
    } catch (error) {
      await this.#close();
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  hold(): void {
    this.#held = true;
    for (const asker of this.#askers) asker.end(`held ${process.pid}\n`);
  }

  async withdraw(): Promise<void> {
    await fs.rm(this.#path, { force: true });
    for (const asker of this.#askers) asker.end("gone\n");
    await this.#close();
  }

  #answer(asker: Socket): void {
    asker.unref();
    asker.on("error", () => asker.destroy()); // it went away; nothing is owed to it
    if (this.#held) {
      asker.end(`held ${process.pid}\n`);
      return;
    }
    this.#askers.add(asker);
    asker.on("close", () => this.#askers.delete(asker));
    asker.write(`trying ${process.pid}\n`);
  }

  #close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
