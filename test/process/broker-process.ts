// A broker of its own process, from the build in dist, as an operator would start it. A test ends what it started: with
// kill or stop, by `await using`, and at the latest when the test's own process ends.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** MILLRACE_TEST_LAUNCHER puts another build to the test, such as one with a defect that must be found. */
const launcher = process.env["MILLRACE_TEST_LAUNCHER"] ?? join(import.meta.dirname, "../../dist/bin/millrace.cjs");
/** A start that takes longer has failed: no test gives it this much to recover. */
const startMsMax = 30_000;
/** What is kept of the log of one process. */
const logLinesMax = 10_000;

export interface BrokerProcessOptions {
  readonly dataDir: string;
  /** By default a free port of 127.0.0.1. */
  readonly listen?: string;
  /** More of the command line, such as ["--checkpoint-interval-ms", "100"]. */
  readonly args?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One line of the broker's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string };

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
// Without these a test's process ends without "exit": when it is told to, and when the runner that forked it is gone.
process.once("SIGTERM", () => process.exit(143));
process.once("disconnect", () => process.exit(1));

export class BrokerProcess {
  readonly url: string;
  /** Milliseconds from its start until it told where it listens. */
  readonly startedInMs: number;
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #exited: Promise<Exit>;

  private constructor(child: ChildProcess, output: Output, exited: Promise<Exit>, url: string, startedInMs: number) {
    this.#child = child;
    this.#output = output;
    this.#exited = exited;
    this.url = url;
    this.startedInMs = startedInMs;
  }

  /** Resolves when the broker has told where it listens and calls itself ready; rejects with its log if it ends instead. */
  static async start(options: BrokerProcessOptions): Promise<BrokerProcess> {
    const begun = performance.now();
    const { child, output, exited } = spawnBroker(options);
    const url = await Promise.race([output.url, exited.then(() => undefined), afterMs(startMsMax)]);
    if (url === undefined) {
      child.kill("SIGKILL");
      const { code } = await exited;
      throw new Error(`the broker did not start (exit code ${code}):\n${output.text}`);
    }
    const broker = new BrokerProcess(child, output, exited, url, performance.now() - begun);
    const ready = await fetch(`${url}/readyz?verbose=true`);
    if (ready.status === 200) return broker;
    await broker.kill();
    throw new Error(`the broker tells where it listens and is not ready: ${await ready.text()}`);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get exited(): Promise<Exit> {
    return this.#exited;
  }

  /** Everything it has written so far, standard output and error. */
  get text(): string {
    return this.#output.text;
  }

  get logLines(): readonly LogLine[] {
    return this.#output.logLines;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it without a chance to do anything. Harmless if it has ended. */
  async kill(): Promise<Exit> {
    this.#child.kill("SIGKILL");
    return await this.#exited;
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<Exit> {
    this.#child.kill("SIGTERM");
    return await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Runs a broker that is expected to end by itself. */
export async function runBroker(options: BrokerProcessOptions): Promise<Exit & { readonly text: string }> {
  const { child, output, exited } = spawnBroker(options);
  const ended = await Promise.race([exited, output.url.then(() => undefined), afterMs(startMsMax)]);
  child.kill("SIGKILL");
  const exit = await exited;
  if (ended === undefined) throw new Error(`the broker was expected to end:\n${output.text}`);
  return { ...exit, text: output.text };
}

function spawnBroker({ dataDir, listen = "127.0.0.1:0", args = [] }: BrokerProcessOptions): {
  child: ChildProcess;
  output: Output;
  exited: Promise<Exit>;
} {
  const own = ["serve", "--data-dir", dataDir, "--listen", listen];
  const child = spawn(process.execPath, [launcher, ...own, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
  });
  running.add(child);
  const output = new Output(child);
  const exited = once(child, "close").then(([code, signal]): Exit => {
    running.delete(child);
    return { code: code as number | null, signal: signal as NodeJS.Signals | null };
  });
  return { child, output, exited };
}

/** The caller's, without what configures a broker or speaks to a test runner. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(MILLRACE_|VITEST|NODE_OPTIONS$|NODE_ENV$)/.test(name));
  return Object.fromEntries(own);
}

function afterMs(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref());
}

/** What a broker writes, line by line. */
class Output {
  readonly url: Promise<string>;
  readonly logLines: LogLine[] = [];
  readonly #lines: string[] = [];
  #found: (url: string) => void = () => {};

  constructor(child: ChildProcess) {
    this.url = new Promise((resolve) => {
      this.#found = resolve;
    });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream! }).on("line", (line) => this.#take(line));
    }
  }

  get text(): string {
    return this.#lines.join("\n");
  }

  #take(line: string): void {
    if (this.#lines.length === logLinesMax) return;
    this.#lines.push(line);
    const parsed = parsedLine(line);
    if (parsed === undefined) return;
    this.logLines.push(parsed);
    if (typeof parsed["url"] === "string") this.#found(parsed["url"]);
  }
}

function parsedLine(line: string): LogLine | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
}
