// What the producers of a run know of their own batches: which come next, and which to send again.

import type { BatchFate, ExpectedLog } from "./log-history.ts";

/** The batches of each producer and key, those of its newest epoch, in the order of their sequences. */
export function* producersOf(expected: ExpectedLog): Generator<BatchFate[]> {
  const byProducer = new Map<bigint, BatchFate[]>();
  for (const fate of expected.fates.values()) {
    const { producer } = fate.batch;
    if (!producer || fate.batch.isDoomed) continue;
    const held = byProducer.get(producer.id) ?? [];
    if (held.length > 0 && held[0]!.batch.producer!.epoch < producer.epoch) held.length = 0;
    byProducer.set(producer.id, [...held, fate]);
  }
  yield* byProducer.values();
}

export function lastOf(expected: ExpectedLog, id: bigint): BatchFate | undefined {
  for (const fates of producersOf(expected)) if (fates[0]!.batch.producer!.id === id) return fates.at(-1);
  return undefined;
}

/** The last acknowledged ones that the window must know, then everything behind the first without a place. */
export function retriesOf(fates: readonly BatchFate[], window: number): BatchFate[] {
  const firstOpen = fates.findIndex((fate) => fate.baseOffset === undefined);
  const end = firstOpen === -1 ? fates.length : firstOpen;
  return fates.slice(Math.max(0, end - window));
}
