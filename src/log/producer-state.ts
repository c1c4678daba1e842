// What a partition remembers of its idempotent producers: enough to answer a repeat with the first offsets, and to refuse a gap.
// Rules: Apache Kafka's ProducerStateManager and ProducerAppendInfo; five batches a producer; an unknown producer is
// accepted at any sequence (KIP-360), since retention or expiry may have dropped its past.
// Idempotency-Keys live here too: each is a producer id of a reserved range with one batch.
//
// Nothing is remembered before it is written: a write group judges against this state plus what it has staged itself
// (StagedProducers), and only a group that was written is remembered.

import { reservedProducerIdMin } from "../protocol/batch-validation.ts";
import {
  type BatchHeader,
  incrementSequence,
  lastSequence,
  noProducerId,
  noSequence,
} from "../protocol/record-batch.ts";

const batchesKept = 5;

export interface ProducerBatch {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  /** The batch's largest record timestamp. */
  readonly timestamp: number;
}

export interface ProducerEntry {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Oldest first; at least one, at most batchesKept. */
  readonly batches: readonly ProducerBatch[];
  /** When this broker appended or loaded it, on the monotonic clock; what its age counts from. */
  readonly seenMs: number;
}

export type Verdict =
  | { readonly kind: "accepted" }
  | { readonly kind: "duplicate"; readonly batch: ProducerBatch }
  | { readonly kind: "fenced"; readonly currentEpoch: number }
  | { readonly kind: "outOfOrder"; readonly expectedSequence: number }
  /** An Idempotency-Key came again with another number of records. */
  | { readonly kind: "keyReused"; readonly records: number };

const accepted: Verdict = { kind: "accepted" };

export function judge(held: ProducerEntry | undefined, header: BatchHeader): Verdict {
  if (!held) return accepted;
  const last = lastSequence(header);
  const sameEpoch = header.producerEpoch === held.producerEpoch;
  // The last: a producer that was forgotten for a while may have begun again with the same sequences.
  const seen = held.batches.findLast(
    (batch) => sameEpoch && batch.firstSequence === header.baseSequence && batch.lastSequence === last,
  );
  if (seen) return { kind: "duplicate", batch: seen };
  if (isReserved(header.producerId)) {
    const batch = held.batches.at(-1)!;
    return { kind: "keyReused", records: batch.lastOffset - batch.firstOffset + 1 };
  }
  if (header.producerEpoch < held.producerEpoch) return { kind: "fenced", currentEpoch: held.producerEpoch };
  const expectedSequence = sameEpoch ? incrementSequence(held.batches.at(-1)!.lastSequence, 1) : 0;
  return header.baseSequence === expectedSequence ? accepted : { kind: "outOfOrder", expectedSequence };
}

/** Made from an Idempotency-Key. */
export function isReserved(producerId: bigint): boolean {
  return producerId >= reservedProducerIdMin;
}

/** The entry after a batch: a new epoch forgets the batches of the old one. */
function withBatch(held: ProducerEntry | undefined, header: BatchHeader, seenMs: number): ProducerEntry {
  const batch: ProducerBatch = {
    firstSequence: header.baseSequence,
    lastSequence: lastSequence(header),
    firstOffset: header.baseOffset,
    lastOffset: header.lastOffset,
    timestamp: header.maxTimestamp,
  };
  // A key that comes again after it was forgotten is a new request: what it appended before must not answer for it.
  const goesOn = held?.producerEpoch === header.producerEpoch && !isReserved(header.producerId);
  const before = goesOn ? held.batches.slice(1 - batchesKept) : [];
  return {
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    batches: [...before, batch],
    seenMs,
  };
}

export interface ProducerLimits {
  readonly producerIdsMax: number;
  readonly producerIdExpirationMs: number;
  readonly idempotencyKeysMax: number;
  readonly idempotencyWindowMs: number;
}

/** Entries in the order they were last seen, forgotten by number and by age. */
class AgedEntries {
  readonly #entries = new Map<bigint, ProducerEntry>();
  readonly #entriesMax: number;
  readonly #ageMaxMs: number;

  constructor(entriesMax: number, ageMaxMs: number) {
    this.#entriesMax = entriesMax;
    this.#ageMaxMs = ageMaxMs;
  }

  get(producerId: bigint, nowMs: number): ProducerEntry | undefined {
    const entry = this.#entries.get(producerId);
    return entry && nowMs - entry.seenMs <= this.#ageMaxMs ? entry : undefined;
  }

  set(entry: ProducerEntry): void {
    this.#entries.delete(entry.producerId);
    this.#entries.set(entry.producerId, entry);
    if (this.#entries.size > this.#entriesMax) this.#entries.delete(this.#entries.keys().next().value!);
  }

  forgetOld(nowMs: number): void {
    for (const entry of this.#entries.values()) {
      if (nowMs - entry.seenMs <= this.#ageMaxMs) return;
      this.#entries.delete(entry.producerId);
    }
  }

  values(): Iterable<ProducerEntry> {
    return this.#entries.values();
  }
}

export class ProducerState {
  readonly #producers: AgedEntries;
  readonly #keys: AgedEntries;

  constructor(limits: ProducerLimits) {
    this.#producers = new AgedEntries(limits.producerIdsMax, limits.producerIdExpirationMs);
    this.#keys = new AgedEntries(limits.idempotencyKeysMax, limits.idempotencyWindowMs);
  }

  get(producerId: bigint, nowMs: number): ProducerEntry | undefined {
    return this.#group(producerId).get(producerId, nowMs);
  }

  /** Producers and keys, each least recently seen first. */
  *entries(): Iterable<ProducerEntry> {
    yield* this.#producers.values();
    yield* this.#keys.values();
  }

  remember(entry: ProducerEntry): void {
    this.#group(entry.producerId).set(entry);
  }

  /** Takes a batch that is in the log as it is: recovery and replicas never judge. Control batches have no sequence. */
  replay(header: BatchHeader, nowMs: number): void {
    if (header.producerId === noProducerId || header.baseSequence === noSequence) return;
    this.remember(withBatch(this.get(header.producerId, nowMs), header, nowMs));
  }

  forgetOld(nowMs: number): void {
    this.#producers.forgetOld(nowMs);
    this.#keys.forgetOld(nowMs);
  }

  #group(producerId: bigint): AgedEntries {
    return isReserved(producerId) ? this.#keys : this.#producers;
  }
}

/** What one write group has accepted so far, over the remembered state. */
export class StagedProducers {
  readonly #state: ProducerState;
  readonly #nowMs: number;
  readonly #staged = new Map<bigint, ProducerEntry>();

  constructor(state: ProducerState, nowMs: number) {
    this.#state = state;
    this.#nowMs = nowMs;
  }

  judge(header: BatchHeader): Verdict {
    if (header.producerId === noProducerId) return accepted;
    return judge(this.#held(header.producerId), header);
  }

  /** `header` with the offsets it will have. */
  stage(header: BatchHeader): void {
    if (header.producerId === noProducerId) return;
    const entry = withBatch(this.#held(header.producerId), header, this.#nowMs);
    this.#staged.delete(header.producerId); // in the order they were last seen, as recovery and replicas replay them
    this.#staged.set(header.producerId, entry);
  }

  /** The group is written. */
  remember(): void {
    for (const entry of this.#staged.values()) this.#state.remember(entry);
  }

  #held(producerId: bigint): ProducerEntry | undefined {
    return this.#staged.get(producerId) ?? this.#state.get(producerId, this.#nowMs);
  }
}
