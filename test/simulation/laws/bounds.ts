// L3: logStartOffset ≤ highWatermark ≤ flushedOffset (relaxed topics: logEndOffset) ≤ logEndOffset.

import { type ExpectedLog, isStrict } from "../log-history.ts";
import type { ObservedLog } from "../log-observation.ts";
import { LawBroken } from "./law-broken.ts";

export function checkBounds(expected: ExpectedLog, log: ObservedLog): void {
  const { logStartOffset, highWatermark, flushedOffset, logEndOffset } = log;
  const acknowledged = isStrict(expected) ? flushedOffset : logEndOffset;
  if (logStartOffset <= highWatermark && highWatermark <= acknowledged && flushedOffset <= logEndOffset) return;
  throw new LawBroken(
    "L3",
    `${log.name}: start ${logStartOffset}, high watermark ${highWatermark}, flushed ${flushedOffset}, end ${logEndOffset}`,
  );
}
