// What the tests under load share: how often, from which seed, and what they demand in the end.

import { expect } from "vitest";
import type { Verdict } from "../history/check-history.ts";
import type { Load } from "./load.ts";

/** The usual count, or the one that a longer run asks for in a variable. */
export function countFrom(variable: string, usual: number): number {
  const count = Number(process.env[variable] ?? usual);
  if (!(Number.isSafeInteger(count) && count > 0)) throw new Error(`${variable} is to be a whole number above 0`);
  return count;
}

export function seedOfRun(): number {
  return countFrom("MILLRACE_TEST_SEED", 1 + Math.floor(Math.random() * 2 ** 31));
}

const anomaliesShown = 10;

/** No promise is broken; else the failure names some, the seed, and the file that holds the whole history. */
export function expectUnbroken(load: Load, verdict: Verdict, seed: number): void {
  const { anomalies, ...counts } = verdict;
  if (anomalies.length > 0) {
    const shown = anomalies.slice(0, anomaliesShown).map(({ kind, detail }) => `${kind}: ${detail}`);
    const where = `seed ${seed}, ${JSON.stringify(counts)}, history in ${load.saveHistory()}`;
    expect.fail(`${anomalies.length} broken promises (${where}):\n${shown.join("\n")}`);
  }
  expect(counts.finalRecords).toBe(counts.acknowledged + counts.inDoubtThere);
}
