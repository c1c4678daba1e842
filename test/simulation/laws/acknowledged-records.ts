// L1: what was acknowledged is where it was said to be, as it was sent, until its removal was asked for.
// And nothing else is there: no batch twice, none that was refused for sure, none that a recovery did not find before.

import { type ExpectedLog, isStrict } from "../log-history.ts";
import type { ObservedLog } from "../log-observation.ts";
import { LawBroken } from "./law-broken.ts";

/** `powerWasCut`: a relaxed topic may have lost its end. */
export function checkAcknowledgedRecords(expected: ExpectedLog, log: ObservedLog, powerWasCut: boolean): void {
  const endMin = powerWasCut && !isStrict(expected) ? expected.durableEnd : expected.acknowledgedEnd;
  if (log.logEndOffset < endMin)
    throw new LawBroken("L1", `${log.name} ends at ${log.logEndOffset}, acknowledged to ${endMin}`);
  const { logStartOffset } = log;
  if (logStartOffset < expected.logStartMin || logStartOffset > expected.logStartMax)
    throw new LawBroken(
      "L1",
      `${log.name} starts at ${logStartOffset}; removal was answered to ${expected.logStartMin}, asked to ${expected.logStartMax}`,
    );
  const places = new Map<string, number>();
  for (const { header, content } of log.batches) {
    const { baseOffset } = header;
    if (places.has(content))
      throw new LawBroken("L1", `${log.name}: the batch at ${places.get(content)} again at ${baseOffset}`);
    places.set(content, baseOffset);
    const fate = expected.fates.get(content);
    if (!fate) throw new LawBroken("L1", `${log.name}: nobody sent the batch at ${baseOffset}`);
    if (fate.baseOffset === undefined && fate.open === 0)
      throw new LawBroken("L1", `${log.name}: the batch at ${baseOffset} was refused, or lost before`);
    if (
      fate.baseOffset !== undefined &&
      fate.leaderEpoch !== undefined &&
      fate.leaderEpoch !== header.partitionLeaderEpoch
    )
      throw new LawBroken("L1", `${log.name}: the batch at ${baseOffset} changed its leader epoch`);
  }
  for (const { batch, baseOffset } of expected.fates.values()) {
    if (baseOffset === undefined || baseOffset + batch.records <= logStartOffset) continue;
    const place = places.get(batch.content);
    const mayBeLost = baseOffset >= endMin;
    if (place !== baseOffset && !(mayBeLost && place === undefined))
      throw new LawBroken(
        "L1",
        `${log.name}: the batch acknowledged at ${baseOffset} is ${place === undefined ? "gone" : `at ${place}`}`,
      );
  }
}
