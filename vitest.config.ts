// Three projects, so that `npm test` is everything: `unit` needs nothing, `process` takes ports and starts brokers from a
// fresh build, `mutants` tests the tests. The later ones wait for the earlier: two cores are shared by all.

import { defineConfig } from "vitest/config";
import { mutationPlugin } from "./test/mutations/vite-plugin.ts";
import { SummaryReporter } from "./test/summary-reporter.ts";

const mutation = process.env["MILLRACE_MUTATION"];
const plugins = mutation === undefined ? [] : [mutationPlugin(mutation)];
const processTests = ["test/process/**/*.test.ts", "test/testing/**/*.test.ts"];
const mutantTests = "test/mutations/mutants.test.ts";

export default defineConfig({
  test: {
    reporters: ["default", new SummaryReporter()],
    pool: "forks",
    maxWorkers: 2,
    projects: [
      {
        plugins,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...processTests, mutantTests],
          // A machine that is busy with other things is no failure; a mutant that hangs is.
          testTimeout: mutation === undefined ? 30_000 : 5_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        plugins,
        test: {
          name: "process",
          include: processTests,
          globalSetup: "test/process/build.ts",
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { name: "mutants", include: [mutantTests], maxConcurrency: 2, sequence: { groupOrder: 2 } } },
    ],
  },
});
