// Seeded defects of src/io.

import type { Mutation } from "./mutation.ts";

export const ioMutations: readonly Mutation[] = [
  {
    name: "short-write-not-looped",
    file: "src/io/node-disk-file.ts",
    find: "    while (written < bytes.length) {",
    replace: "    if (written < bytes.length) {",
    caughtBy: "test/io/node-disk.test.ts",
    test: "short",
  },
  {
    name: "short-writev-not-looped",
    file: "src/io/node-disk-file.ts",
    find: "      while (rest.length > 0) {",
    replace: "      if (rest.length > 0) {",
    caughtBy: "test/io/node-disk.test.ts",
    test: "short",
  },
];
