// L5: offsets rise without gap or overlap, from the batch that holds the log start to the log end; every batch is whole;
// leader epochs never fall, and the epoch cache says the same as the batches.

import { isSound, type ObservedLog } from "../log-observation.ts";
import { LawBroken } from "./law-broken.ts";

export function checkContiguity(log: ObservedLog): void {
  let next: number | undefined;
  let epoch = -1;
  for (const batch of log.batches) {
    const { baseOffset, lastOffset, partitionLeaderEpoch } = batch.header;
    if (!isSound(batch)) throw new LawBroken("L5", `${log.name}: the batch at ${baseOffset} fails its CRC`);
    if (next === undefined ? baseOffset > log.logStartOffset : baseOffset !== next)
      throw new LawBroken("L5", `${log.name}: offset ${baseOffset} where ${next ?? log.logStartOffset} is due`);
    if (partitionLeaderEpoch < epoch)
      throw new LawBroken("L5", `${log.name}: epoch ${partitionLeaderEpoch} at ${baseOffset}, after epoch ${epoch}`);
    const known = log.epochs.findLast((entry) => entry.startOffset <= Math.max(baseOffset, log.logStartOffset));
    if (known?.epoch !== partitionLeaderEpoch)
      throw new LawBroken(
        "L5",
        `${log.name}: epoch ${partitionLeaderEpoch} at ${baseOffset}, known as ${known?.epoch}`,
      );
    epoch = partitionLeaderEpoch;
    next = lastOffset + 1;
  }
  if ((next ?? log.logStartOffset) !== log.logEndOffset)
    throw new LawBroken("L5", `${log.name}: the batches end at ${next}, the log at ${log.logEndOffset}`);
}
