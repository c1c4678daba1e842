// Seeded defects of src/protocol.

import type { Mutation } from "./mutation.ts";

export const protocolMutations: readonly Mutation[] = [
  {
    name: "sequence-does-not-wrap",
    file: "src/protocol/record-batch.ts",
    find: "return (sequence + delta) % sequences;",
    replace: "return sequence + delta;",
    caughtBy: "test/protocol/batch-header.test.ts",
  },
  {
    name: "crc-covers-too-little",
    file: "src/protocol/record-batch.ts",
    find: "  view.setUint32(at.crc, codecs.crc32c(batch.subarray(at.attributes)));",
    replace: "  view.setUint32(at.crc, codecs.crc32c(batch.subarray(at.lastOffsetDelta)));",
    caughtBy: "test/protocol/batch-header.test.ts",
  },
];
