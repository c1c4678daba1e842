// Tests of the tests: each seeded defect is put into a copy of the program, and the suite named for it must fail.

import { describe, expect, test } from "vitest";
import { secondsFor } from "../time-budget.ts";
import { mutations } from "./catalogue.ts";
import { runMutant } from "./run-mutant.ts";

const mutantTimeoutMs = 60_000;
const deadlineMs = performance.now() + secondsFor("mutants", 420) * 1000;

describe.concurrent("a suite notices", () => {
  test.for(mutations)("$name", { timeout: mutantTimeoutMs + 5_000 }, async (mutation) => {
    const leftMs = deadlineMs - performance.now();
    expect(leftMs, "no time left for this mutant: see test/time-budget.ts").toBeGreaterThan(0);
    const verdict = await runMutant(mutation, Math.min(mutantTimeoutMs, leftMs));
    expect(verdict.kind, verdict.kind === "notCaught" ? verdict.why : verdict.by).toBe("caught");
  });
});
