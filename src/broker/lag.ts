// How far behind a place in a partition is: in records, and in time. The time is the age of the next record, told by the header of
// its batch, so that nothing is decompressed; headers once read are remembered by the place, which a stalled reader keeps.

import { BrokerError } from "../protocol/error-codes.ts";
import { hasDeleteHorizon, isLogAppendTime, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import type { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";

const timestampsRememberedMax = 10_000;

interface Lag {
  /** Records; 0 at the high watermark or above. */
  readonly lag: number;
  /** Null when the next record has no timestamp, or cannot be read. */
  readonly lagMs: number | null;
}

export class Lags {
  readonly #parts: BrokerParts;
  /** In the order of their last use. */
  readonly #timestamps = new Map<string, number>();

  constructor(parts: BrokerParts) {
    this.#parts = parts;
  }

  /** Without a place it counts from the earliest record. */
  async of(partition: Partition, nextOffset: number | null): Promise<Lag> {
    const { highWatermark, log } = partition;
    const lag = Math.max(0, highWatermark - (nextOffset ?? log.logStartOffset));
    const from = Math.max(nextOffset ?? 0, log.logStartOffset);
    if (from >= highWatermark) return { lag, lagMs: 0 };
    try {
      const timestamp = await this.#timestampAt(partition, from, highWatermark);
      if (timestamp === undefined) return { lag, lagMs: 0 };
      return { lag, lagMs: timestamp < 0 ? null : Math.max(0, this.#parts.clock.nowMs() - timestamp) };
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      return { lag, lagMs: null };
    }
  }

  /** Of the next batch with records; undefined when compaction has left none. */
  async #timestampAt(partition: Partition, from: number, highWatermark: number): Promise<number | undefined> {
    const { topicId, partition: number } = partition.log.identity;
    // After a compaction the next record may be another one.
    const key = `${topicId}-${number}/${from}/${partition.log.compaction.cleanedTo ?? 0}`;
    const known = this.#timestamps.get(key);
    const timestamp = known ?? (await readTimestamp(partition, from, highWatermark));
    if (timestamp !== undefined) this.#remember(key, timestamp);
    return timestamp;
  }

  #remember(key: string, timestamp: number): void {
    this.#timestamps.delete(key);
    this.#timestamps.set(key, timestamp);
    if (this.#timestamps.size <= timestampsRememberedMax) return;
    for (const oldest of this.#timestamps.keys()) {
      this.#timestamps.delete(oldest);
      break;
    }
  }
}

async function readTimestamp(partition: Partition, from: number, highWatermark: number): Promise<number | undefined> {
  for (let offset = from; offset < highWatermark; ) {
    const bytes = await partition.read(offset, 1);
    if (bytes.byteLength === 0) return undefined;
    const header = readBatchHeader(viewOf(bytes), 0);
    // Two kinds of batches say when their records are from in their largest timestamp alone.
    if (header.recordsCount > 0)
      return hasDeleteHorizon(header) || isLogAppendTime(header) ? header.maxTimestamp : header.baseTimestamp;
    offset = header.lastOffset + 1;
  }
  return undefined;
}
