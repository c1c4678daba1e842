// A server started as an operator would start it, timed from the spawn until it says where it listens.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

const startMsMax = 120_000;

export class ServingProcess {
  readonly url: string;
  readonly readyMs: number;
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess, url: string, readyMs: number) {
    this.#process = child;
    this.url = url;
    this.readyMs = readyMs;
  }

  static broker(dataDir: string, flags: readonly string[] = []): Promise<ServingProcess> {
    const serve = ["dist/bin/millrace.cjs", "serve", "--data-dir", dataDir, "--listen", "127.0.0.1:0"];
    return ServingProcess.#start([...serve, ...flags]);
  }

  static bareFastify(): Promise<ServingProcess> {
    return ServingProcess.#start(["dist.bench/bench/bare-fastify.js"]);
  }

  static async #start(args: readonly string[]): Promise<ServingProcess> {
    const started = performance.now();
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const late = setTimeout(() => child.kill("SIGKILL"), startMsMax);
    for await (const line of createInterface({ input: child.stdout })) {
      const { url } = JSON.parse(line) as { url?: string };
      if (url === undefined) continue;
      const readyMs = performance.now() - started;
      clearTimeout(late);
      child.stdout.resume();
      return new ServingProcess(child, url, readyMs);
    }
    throw new Error(`${args[0]} ended before it listened`);
  }

  /** Bytes of memory that are its own or shared, now. */
  rssBytes(): Promise<number> {
    return this.#memory("VmRSS");
  }

  /** The most they have been so far. */
  peakRssBytes(): Promise<number> {
    return this.#memory("VmHWM");
  }

  async #memory(field: string): Promise<number> {
    const status = await readFile(`/proc/${this.#process.pid}/status`, "utf8");
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
  }

  async createTopic(topic: object): Promise<void> {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${this.url}/v1/topics`, { method: "POST", headers, body: JSON.stringify(topic) });
    if (answer.status !== 201) throw new Error(`the topic was not made: ${answer.status} ${await answer.text()}`);
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }
}
