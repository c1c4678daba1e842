#!/usr/bin/env node
// Starts Millrace with a larger thread pool for file calls. CommonJS on purpose: libuv reads UV_THREADPOOL_SIZE when
// its pool is first used, and Node's ESM loader uses it before the first line of an ES module runs.
// `node dist/main.js` works too, with the four threads that libuv starts unless the environment says otherwise.

process.env["UV_THREADPOOL_SIZE"] ??= "16";

import("../main.ts").catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
});
