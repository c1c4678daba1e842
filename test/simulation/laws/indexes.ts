// The indexes lead to the batches: a read at any record gives the batch that holds it, and nothing before.

import type { PartitionLog } from "../../../src/log/partition-log.ts";
import { readBatchHeader, viewOf } from "../../../src/protocol/record-batch.ts";
import type { ObservedLog } from "../log-observation.ts";
import { LawBroken } from "./law-broken.ts";

export async function checkIndexes(log: PartitionLog, observed: ObservedLog): Promise<void> {
  for (const { header } of observed.batches) {
    const offset = Math.max(header.lastOffset, observed.logStartOffset);
    const bytes = await log.read(offset, 1, observed.logEndOffset);
    const found = bytes.byteLength > 0 ? readBatchHeader(viewOf(bytes), 0).baseOffset : undefined;
    if (found !== header.baseOffset)
      throw new LawBroken(
        "L10",
        `${observed.name}: a read at ${offset} gives the batch at ${found}, not at ${header.baseOffset}`,
      );
  }
}
