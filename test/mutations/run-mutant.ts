// Runs the suite that should notice a mutation, in a vitest of its own with the mutation applied, and judges the outcome.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Mutation, root } from "./mutation.ts";

/** What vitest's JSON reporter writes, as far as it is read here. */
export interface SuiteReport {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

export type Verdict =
  | { readonly kind: "caught"; readonly by: string }
  /** `why` says what is wrong with the mutation or with its suite. */
  | { readonly kind: "notCaught"; readonly why: string };

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const outputBytesMax = 20_000;
/** A mutant that breaks the program rather than its behaviour proves nothing about the suite. */
const brokenProgram = /^(?:SyntaxError|ReferenceError|TypeError|Error: Test timed out)/;

export async function runMutant(mutation: Mutation, timeoutMs: number): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-mutant-"));
  const reportFile = join(folder, "report.json");
  try {
    const output = await runSuite(mutation, reportFile, timeoutMs);
    const text = await readFile(reportFile, "utf8").catch(() => undefined);
    if (text === undefined) return { kind: "notCaught", why: `its suite did not finish:\n${output}` };
    return judge(JSON.parse(text) as SuiteReport);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves with the end of what the run printed, whatever its outcome. */
function runSuite(mutation: Mutation, reportFile: string, timeoutMs: number): Promise<string> {
  const args = [
    "run",
    mutation.caughtBy,
    "--bail=1",
    "--maxWorkers=1",
    "--reporter=json",
    `--outputFile=${reportFile}`,
  ];
  if (mutation.test !== undefined) args.push("--testNamePattern", mutation.test);
  // The parent's own VITEST_… variables would make the child believe that it is a worker.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST") && name !== "NODE_ENV");
  const env = { ...Object.fromEntries(inherited), MILLRACE_MUTATION: mutation.name };
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env, timeout: Math.ceil(timeoutMs), killSignal: "SIGKILL" as const };
    const child = spawn(process.execPath, [vitest, ...args], { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-outputBytesMax);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}

export function judge(report: SuiteReport): Verdict {
  const tests = report.testResults.flatMap((suite) => suite.assertionResults);
  const failed = tests.filter((test) => test.status === "failed");
  const caught = failed.find((test) => !brokenProgram.test(test.failureMessages[0] ?? ""));
  if (caught) return { kind: "caught", by: caught.fullName };
  const broken = failed[0];
  if (broken) return { kind: "notCaught", why: `it breaks the program: ${broken.failureMessages[0]}` };
  const unloaded = report.testResults.find((suite) => suite.message !== "");
  if (unloaded) return { kind: "notCaught", why: `its suite does not load: ${unloaded.message}` };
  if (report.numPassedTests === 0) return { kind: "notCaught", why: "no test ran; does `test` name one?" };
  return { kind: "notCaught", why: `all ${report.numPassedTests} tests of its suite pass with it` };
}
