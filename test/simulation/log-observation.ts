// What a log shows of itself to its readers: all of it, read through the same door as a fetch.

import type { EpochEntry } from "../../src/log/leader-epoch-cache.ts";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import type { ProducerEntry } from "../../src/log/producer-state.ts";
import {
  type BatchHeader,
  batchSizeAt,
  hasValidCrc,
  readBatchHeader,
  viewOf,
} from "../../src/protocol/record-batch.ts";
import { codecs } from "../log/log-fixture.ts";
import { LawBroken } from "./laws/law-broken.ts";

export interface ObservedBatch {
  readonly header: BatchHeader;
  readonly bytes: Uint8Array;
  /** Magic to end: what the log must keep as the producer sent it. */
  readonly content: string;
}

export interface ObservedLog {
  readonly name: string;
  readonly topicId: string;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly flushedOffset: number;
  readonly logEndOffset: number;
  /** From the one that holds the log start to the log end. */
  readonly batches: readonly ObservedBatch[];
  readonly epochs: readonly EpochEntry[];
  readonly producers: readonly ProducerEntry[];
}

const magicPosition = 16;
const readBytes = 8 * 1024;

export function contentOf(batch: Uint8Array): string {
  return Buffer.from(batch.buffer, batch.byteOffset + magicPosition, batch.byteLength - magicPosition).toString(
    "latin1",
  );
}

/** Throws what the log throws. */
export async function observe(log: PartitionLog): Promise<ObservedLog> {
  const { logStartOffset, highWatermark, flushedOffset, logEndOffset, identity } = log;
  const batches: ObservedBatch[] = [];
  for (let offset = logStartOffset; offset < logEndOffset; ) {
    const bytes = await log.read(offset, readBytes, logEndOffset);
    const view = viewOf(bytes);
    if (bytes.byteLength === 0)
      throw new LawBroken("L1", `${identity.topic}: nothing to read at ${offset}, below its end`);
    for (let at = 0; at < bytes.byteLength; at += batchSizeAt(view, at)) {
      const header = readBatchHeader(view, at);
      const batch = bytes.subarray(at, at + header.sizeBytes);
      batches.push({ header, bytes: batch, content: contentOf(batch) });
      offset = header.lastOffset + 1;
    }
  }
  return {
    name: identity.topic,
    topicId: identity.topicId,
    logStartOffset,
    highWatermark,
    flushedOffset,
    logEndOffset,
    batches,
    epochs: [...log.epochs.entries],
    producers: log.producers(),
  };
}

export function isSound({ bytes }: ObservedBatch): boolean {
  return hasValidCrc(bytes, codecs);
}

/** The same for two logs that hold and know the same. */
export function signatureOf(log: ObservedLog): string {
  const producers = log.producers
    .map(({ producerId, producerEpoch, batches }) => JSON.stringify([`${producerId}`, producerEpoch, batches]))
    .sort();
  const batches = log.batches.map(({ header, content }) => [header.baseOffset, header.partitionLeaderEpoch, content]);
  return JSON.stringify([log.name, log.logStartOffset, log.logEndOffset, log.epochs, producers, batches]);
}
