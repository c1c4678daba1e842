// From records to batches and back: which partition each record goes to, one batch a partition, and what became of each record.

import type { ProducedBatch, ProduceOutcome } from "../broker/produce.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { partitionForKey } from "../protocol/partitioner.ts";
import { encodeRecordBatch } from "../protocol/record.ts";
import type { ParsedRecord } from "./formats/produce-options.ts";
import { statusOf } from "./problem.ts";

/** The records of a request that go to one partition, by their places in the request. */
export interface PartitionShare {
  readonly partition: number;
  readonly indexes: number[];
}

/** A record goes where it says, else where its key belongs, else to `keylessPartition`. */
export function shareOut(
  records: readonly ParsedRecord[],
  topic: { readonly name: string; readonly partitionCount: number },
  keylessPartition: number,
): readonly PartitionShare[] {
  const shares = new Map<number, PartitionShare>();
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!;
    const partition =
      record.partition ?? (record.key === null ? keylessPartition : partitionForKey(record.key, topic.partitionCount));
    if (partition >= topic.partitionCount) {
      throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic.name} has no partition ${partition}`, {
        fields: { recordIndexes: [index] },
      });
    }
    const share = shares.get(partition);
    if (share === undefined) shares.set(partition, { partition, indexes: [index] });
    else share.indexes.push(index);
  }
  return [...shares.values()];
}

/** Who the batches are from. */
export interface BatchProducer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
}

export function encodeShare(
  records: readonly ParsedRecord[],
  share: PartitionShare,
  producer: BatchProducer | undefined,
  codecs: Codecs,
): ProducedBatch {
  const mine = share.indexes.length === records.length ? records : share.indexes.map((index) => records[index]!);
  return { partition: share.partition, batch: encodeRecordBatch(mine, { ...producer, codecs }) };
}

export interface ProducedOffset {
  readonly partition: number;
  readonly offset?: number;
  readonly duplicate?: true;
  readonly code?: string;
  readonly maybeAppended?: boolean;
}

/** One entry for each record, in the order sent. */
export function offsetsOf(
  recordCount: number,
  shares: readonly PartitionShare[],
  outcomes: readonly ProduceOutcome[],
): readonly ProducedOffset[] {
  const offsets = new Array<ProducedOffset>(recordCount);
  for (let at = 0; at < shares.length; at++) {
    const outcome = outcomes[at]!;
    const { partition, indexes } = shares[at]!;
    for (let nth = 0; nth < indexes.length; nth++) {
      offsets[indexes[nth]!] =
        outcome.kind === "failed"
          ? { partition, code: outcome.error.code, maybeAppended: outcome.error.maybeAppended }
          : { partition, offset: outcome.baseOffset + nth, ...(outcome.duplicate ? { duplicate: true } : {}) };
    }
  }
  return offsets;
}

/** The fields of the answers to a produce that appended every record; made by hand, since they are most of what the broker says. */
export function offsetsJson(offsets: readonly ProducedOffset[]): string {
  let json = '"offsets":[';
  for (let at = 0; at < offsets.length; at++) {
    const { partition, offset, duplicate } = offsets[at]!;
    json += `${at === 0 ? "" : ","}{"partition":${partition},"offset":${offset}${duplicate ? ',"duplicate":true' : ""}}`;
  }
  return `${json}]`;
}

export function producedJson(produced: {
  readonly partition: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly leaderEpoch: number;
  readonly duplicate: boolean;
}): string {
  const { partition, baseOffset, lastOffset, leaderEpoch, duplicate } = produced;
  return `"partition":${partition},"baseOffset":${baseOffset},"lastOffset":${lastOffset},"leaderEpoch":${leaderEpoch},"duplicate":${duplicate}`;
}

/** 504 before 503 before the rest. */
const severity = (error: BrokerError): number => {
  const status = statusOf(error);
  return status >= 503 ? status : status === 500 ? 502 : 0;
};

/**
 * The refusal of the worst part, if any part failed. Its status is that part's own; maybeAppended speaks for the whole request, since
 * who sends all of it again would double the parts that are in the log.
 */
export function worstFailure(outcomes: readonly ProduceOutcome[]): BrokerError | undefined {
  let worst: BrokerError | undefined;
  for (const outcome of outcomes) {
    if (outcome.kind === "failed" && (worst === undefined || severity(outcome.error) > severity(worst)))
      worst = outcome.error;
  }
  return worst;
}

export function partialFailure(
  worst: BrokerError,
  outcomes: readonly ProduceOutcome[],
  offsets: readonly ProducedOffset[],
): BrokerError {
  const maybeAppended = outcomes.some((outcome) => outcome.kind === "appended" || outcome.error.maybeAppended);
  return new BrokerError(worst.code, worst.message, {
    fields: { ...worst.fields, maybeAppended, offsets },
    maybeAppended: worst.maybeAppended,
    cause: worst,
  });
}
