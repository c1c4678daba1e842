// The records of what was fetched, one after another, from a place on and up to an end. It keeps none: a taker gets each one as it
// passes and says when it has enough.

import type { FetchedPartition } from "../broker/broker.ts";
import { CodecError, type Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { StoredRecord } from "../protocol/record.ts";
import {
  BatchCorruptError,
  type BatchHeader,
  batchSizeAt,
  isControl,
  readBatchHeader,
  viewOf,
} from "../protocol/record-batch.ts";
import { type DecodeLimits, RecordReader } from "../protocol/record-reader.ts";

export interface WalkRange {
  /** Records below are passed over. */
  readonly from: number;
  /** Exclusive. */
  readonly until: number;
}

/** A stored batch that cannot be read. */
export interface Unreadable {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly cause: unknown;
}

export interface Walked {
  /** Where to go on; gaps are passed. */
  readonly nextOffset: number;
  /** What it stopped at. */
  readonly unreadable?: Unreadable;
}

export class RecordWalk {
  readonly #codecs: Codecs;
  readonly #limits: DecodeLimits;

  constructor(codecs: Codecs, limits: DecodeLimits) {
    this.#codecs = codecs;
    this.#limits = limits;
  }

  /** `take` answers false once it wants no more; the record it was given then is taken all the same. */
  run(fetched: FetchedPartition, { from, until }: WalkRange, take: (record: StoredRecord) => boolean): Walked {
    const { batches } = fetched;
    const view = viewOf(batches);
    let next = from;
    for (let start = 0; start < batches.byteLength; start += batchSizeAt(view, start)) {
      const header = readBatchHeader(view, start);
      if (header.lastOffset < next || isControl(header)) continue;
      try {
        const reader = this.#open(batches.subarray(start, start + header.sizeBytes), header);
        while (reader.next()) {
          const { offset } = reader;
          if (offset < next) continue;
          if (offset >= until) return { nextOffset: until };
          next = offset + 1;
          if (!take(reader)) return { nextOffset: next };
        }
      } catch (cause) {
        if (!(cause instanceof BatchCorruptError) && !(cause instanceof CodecError)) throw cause;
        const { baseOffset, lastOffset } = header;
        return { nextOffset: next, unreadable: { baseOffset, lastOffset, cause } };
      }
    }
    return { nextOffset: Math.max(next, Math.min(fetched.nextOffset, until)) };
  }

  #open(batch: Uint8Array, header: BatchHeader): RecordReader {
    return RecordReader.open(batch, header, this.#codecs, this.#limits);
  }
}

/**
 * Gives each partition its part of `max` records, in turn: those with little leave their part to those behind them. `walk` takes up to
 * `share` and says how many it took, and whether the whole is full. Returns how many were taken.
 */
export function shareRecords(
  fetched: readonly FetchedPartition[],
  max: number,
  walk: (one: FetchedPartition, share: number) => { readonly taken: number; readonly full: boolean },
): number {
  let left = max;
  for (let nth = 0; nth < fetched.length && left > 0; nth++) {
    const { taken, full } = walk(fetched[nth]!, Math.ceil(left / (fetched.length - nth)));
    left -= taken;
    if (full) break;
  }
  return max - left;
}

export function unreadableBatch(
  { baseOffset, lastOffset, cause }: Unreadable,
  goOn: string,
  fields: Readonly<Record<string, unknown>> = {},
): BrokerError {
  const detail = `the stored batch of offsets ${baseOffset} to ${lastOffset} cannot be read; ${goOn} reads on behind it`;
  return new BrokerError("KAFKA_STORAGE_ERROR", detail, { fields: { ...fields, baseOffset, lastOffset }, cause });
}
