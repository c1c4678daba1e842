// Produce: one batch a partition. All batches are judged before the first is appended; then each partition answers for itself.

import type { TopicConfig } from "../log/topic-config.ts";
import type { AppendInfo } from "../log/write-group.ts";
import { validateProducedBatch } from "../protocol/batch-validation.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import type { Acks, Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";

export interface ProducedBatch {
  readonly partition: number;
  /** A RecordBatch v2 with base offset 0. The broker stamps and keeps the bytes. */
  readonly batch: Uint8Array;
  /** Append only if the first record gets this offset. */
  readonly expectedOffset?: number | undefined;
}

export interface ProduceRequest {
  readonly topic: string;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly batches: readonly ProducedBatch[];
  /** The batches were encoded by this process from records it has checked: they need no deep walk, and may be of Idempotency-Keys. */
  readonly encodedHere?: boolean;
}

export type ProduceOutcome =
  | ({ readonly kind: "appended"; readonly partition: number } & AppendInfo)
  | { readonly kind: "failed"; readonly partition: number; readonly error: BrokerError };

/** Rejects, with nothing appended, unless every batch is legal and every partition is here. */
export async function produce(
  parts: BrokerParts,
  config: TopicConfig,
  request: ProduceRequest,
): Promise<readonly ProduceOutcome[]> {
  const { batches, topic, acks, timeoutMs, encodedHere = false } = request;
  if (batches.length === 1) {
    const produced = batches[0]!;
    const partition = parts.partitions.get(topic, produced.partition);
    const header = validate(parts, config, produced.batch, encodedHere);
    return [await append(partition, produced, header, acks, timeoutMs)]; // the rule, and so without the detours below
  }
  const appends = batches.map((produced) => {
    const partition = parts.partitions.get(topic, produced.partition);
    return { produced, partition, header: validate(parts, config, produced.batch, encodedHere) };
  });
  return await Promise.all(
    appends.map(({ produced, partition, header }) => append(partition, produced, header, acks, timeoutMs)),
  );
}

async function append(
  partition: Partition,
  { batch, expectedOffset, partition: number }: ProducedBatch,
  header: BatchHeader,
  acks: Acks,
  timeoutMs: number,
): Promise<ProduceOutcome> {
  try {
    const { baseOffset, lastOffset, leaderEpoch, duplicate } = await partition.append(batch, header, {
      expectedOffset,
      acks,
      timeoutMs,
    });
    return { kind: "appended", partition: number, baseOffset, lastOffset, leaderEpoch, duplicate };
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return { kind: "failed", partition: number, error };
  }
}

function validate(
  { codecs, clock, settings }: BrokerParts,
  config: TopicConfig,
  batch: Uint8Array,
  encodedHere: boolean,
): BatchHeader {
  return validateProducedBatch(
    batch,
    {
      maxMessageBytes: config.maxMessageBytes,
      segmentBytes: config.segmentBytes,
      timestampAfterMaxMs: config.messageTimestampAfterMaxMs,
      timestampBeforeMaxMs: config.messageTimestampBeforeMaxMs,
      compacted: config.cleanupPolicy.compact,
      decompressedBytesMax: settings.decompressedBytesMax,
      nowMs: clock.nowMs(),
    },
    codecs,
    { deep: !encodedHere, reservedProducerIdsAllowed: encodedHere },
  );
}
