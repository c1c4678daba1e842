// A program of examples/, run as its readers run it: from the root of the repository, told by MILLRACE_URL where the broker is.

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
/** An example that takes longer hangs. */
const runMsMax = 30_000;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExampleOptions {
  readonly url: string;
  readonly args?: readonly string[];
  readonly input?: string;
}

/** Runs `examples/<name>` to its end. */
export async function runExample(name: string, { url, args = [], input = "" }: ExampleOptions): Promise<Ran> {
  const child = startExample(name, { url, args });
  const tooLong = setTimeout(() => child.kill("SIGKILL"), runMsMax);
  const written = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      written[name] += text;
    });
  }
  child.stdin?.end(input);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearTimeout(tooLong);
  return { code, ...written };
}

/** Starts it; whoever asked ends it. */
export function startExample(name: string, { url, args = [] }: ExampleOptions): ChildProcess {
  const path = join(root, "examples", name);
  const isScript = name.endsWith(".mjs");
  return spawn(isScript ? process.execPath : path, isScript ? [path, ...args] : args, {
    cwd: root,
    env: { PATH: process.env["PATH"], MILLRACE_URL: url },
    stdio: "pipe",
  });
}

/** The page of examples/browser, served on a free port. */
export class ExamplePage {
  readonly origin: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, origin: string) {
    this.#child = child;
    this.origin = origin;
  }

  static async start(): Promise<ExamplePage> {
    const child = startExample("browser/serve.mjs", { url: "", args: ["--port", "0"] });
    let told = "";
    for await (const text of child.stdout!.setEncoding("utf8")) {
      told += text as string;
      const origin = /--allowed-origins (http:\S+)/.exec(told)?.[1];
      if (origin !== undefined) return new ExamplePage(child, origin);
    }
    throw new Error(`the page is not served: ${told}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill();
    await ended;
  }
}
