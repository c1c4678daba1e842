// How much of a subscription is on its way un-acked: records and bytes, over all its partitions. Cumulative acks give it back. Pure.
// It keeps, for each delivery, where its records stand in the range they were cut from, so that an ack may end inside of one.

import { bytesThrough, type RangeIndex } from "./record-range.ts";

export interface WindowLimits {
  readonly records: number;
  readonly bytes: number;
}

/** One delivery that is not wholly acked. Without an index it is acked as a whole: stored batches. */
interface Outstanding {
  readonly index: RangeIndex | undefined;
  start: number;
  readonly end: number;
  /** Exclusive. */
  readonly nextOffset: number;
  records: number;
  bytes: number;
}

/** What one partition has un-acked, oldest first. */
export class Unacked {
  readonly deliveries: Outstanding[] = [];

  /** Every record is acked; of a gap behind the last one nobody has to speak. */
  get isEmpty(): boolean {
    return this.deliveries.every(({ records }) => records === 0);
  }
}

export class AckWindow {
  readonly #limits: WindowLimits;
  records = 0;
  bytes = 0;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  get recordsLeft(): number {
    return Math.max(0, this.#limits.records - this.records);
  }

  get bytesLeft(): number {
    return Math.max(0, this.#limits.bytes - this.bytes);
  }

  /** Nothing is on its way: a single record may be larger than the window. */
  get isEmpty(): boolean {
    return this.records === 0;
  }

  get isFull(): boolean {
    return this.recordsLeft === 0 || this.bytesLeft === 0;
  }

  delivered(unacked: Unacked, delivery: Outstanding): void {
    unacked.deliveries.push(delivery);
    this.records += delivery.records;
    this.bytes += delivery.bytes;
  }

  /** Everything below the offset is handled. */
  acked(unacked: Unacked, nextOffset: number): void {
    const { deliveries } = unacked;
    let whole = 0;
    while (whole < deliveries.length && deliveries[whole]!.nextOffset <= nextOffset) {
      this.#give(deliveries[whole]!.records, deliveries[whole]!.bytes);
      whole += 1;
    }
    deliveries.splice(0, whole);
    const first = deliveries[0];
    if (first?.index === undefined) return;
    const { offsets } = first.index;
    let end = first.start;
    while (end < first.end && offsets[end]! < nextOffset) end += 1;
    if (end === first.start) return;
    const bytes = bytesThrough(first.index, first.start, end - 1);
    const records = end - first.start;
    first.start = end;
    first.records -= records;
    first.bytes -= bytes;
    this.#give(records, bytes);
  }

  /** What is on its way of one partition counts no more. */
  forget(unacked: Unacked): void {
    for (const { records, bytes } of unacked.deliveries) this.#give(records, bytes);
    unacked.deliveries.length = 0;
  }

  #give(records: number, bytes: number): void {
    this.records -= records;
    this.bytes -= bytes;
  }
}
