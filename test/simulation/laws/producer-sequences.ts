// L7: of each producer epoch the log holds every sequence once and in order; what the log remembers of a producer
// is what its last batches say.

import { incrementSequence, lastSequence, noProducerId } from "../../../src/protocol/record-batch.ts";
import type { ObservedLog } from "../log-observation.ts";
import { LawBroken } from "./law-broken.ts";

interface Seen {
  readonly epoch: number;
  readonly batches: { readonly firstSequence: number; readonly lastSequence: number; readonly firstOffset: number }[];
}

export function checkProducerSequences(log: ObservedLog): void {
  const seen = new Map<bigint, Seen>();
  for (const { header } of log.batches) {
    const { producerId, producerEpoch, baseSequence, baseOffset } = header;
    if (producerId === noProducerId) continue;
    let producer = seen.get(producerId);
    if (producer && producerEpoch < producer.epoch)
      throw new LawBroken("L7", `${log.name}: producer ${producerId} at ${baseOffset} is of a fenced epoch`);
    const last = producer?.epoch === producerEpoch ? producer.batches.at(-1) : undefined;
    if (last && baseSequence !== incrementSequence(last.lastSequence, 1))
      throw new LawBroken(
        "L7",
        `${log.name}: producer ${producerId} at ${baseOffset}: sequence ${baseSequence} after ${last.lastSequence}`,
      );
    if (producer?.epoch !== producerEpoch) producer = { epoch: producerEpoch, batches: [] };
    producer.batches.push({ firstSequence: baseSequence, lastSequence: lastSequence(header), firstOffset: baseOffset });
    seen.set(producerId, producer);
  }
  for (const [producerId, { epoch, batches }] of seen) checkRemembered(log, producerId, epoch, batches.slice(-5));
}

/** Older batches of the window may lie below the log start; those in the log must be known. */
function checkRemembered(log: ObservedLog, producerId: bigint, epoch: number, batches: Seen["batches"]): void {
  const known = log.producers.find((entry) => entry.producerId === producerId);
  const remembered = known?.batches
    .slice(-batches.length)
    .map(({ firstSequence, lastSequence: last, firstOffset }) => ({
      firstSequence,
      lastSequence: last,
      firstOffset,
    }));
  if (known?.producerEpoch === epoch && JSON.stringify(remembered) === JSON.stringify(batches)) return;
  throw new LawBroken(
    "L7",
    `${log.name}: producer ${producerId} is remembered with ${JSON.stringify(remembered)}, its batches are ${JSON.stringify(batches)}`,
  );
}
