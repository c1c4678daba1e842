// What every way to produce comes down to: records or one batch in, one broker call, what became of them out. Who asked, and how it is
// told, is the caller's.

import type { TopicInfo } from "../broker/broker.ts";
import { idempotencyProducerId } from "../broker/idempotency-key.ts";
import type { ProducedBatch, ProduceOutcome } from "../broker/produce.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { partitionForKey } from "../protocol/partitioner.ts";
import { encodeRecordBatch } from "../protocol/record.ts";
import { batchHeaderBytes, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import type { ParsedProduce, ProduceOptions, ProducerFields } from "./formats/produce-options.ts";
import type { HttpContext } from "./http-context.ts";
import {
  type BatchProducer,
  encodeShare,
  offsetsOf,
  type ProducedOffset,
  partialFailure,
  shareOut,
  worstFailure,
} from "./produce-batches.ts";

export const idempotencyKeyPattern = /^[\x21-\x7e]{1,128}$/;

export interface ProducedToPartition {
  readonly partition: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly leaderEpoch: number;
  readonly duplicate: boolean;
}

function batchProducer(key: string | undefined, producer: ProducerFields | undefined): BatchProducer | undefined {
  if (key === undefined) {
    return producer === undefined ? undefined : { ...producer, producerId: BigInt(producer.producerId) };
  }
  if (producer !== undefined) {
    throw new BrokerError("INVALID_REQUEST", "a request has an Idempotency-Key or a producerId, not both");
  }
  return { producerId: idempotencyProducerId(key), producerEpoch: 0, baseSequence: 0 };
}

/** Records to one partition. Undefined: acks 0, nobody waits. Rejects if they were not appended. */
export function appendToPartition(
  http: HttpContext,
  topic: TopicInfo,
  partition: number,
  { records, options }: ParsedProduce,
  key: string | undefined,
): Promise<ProducedToPartition | undefined> {
  const producer = batchProducer(key, options.producer);
  const batch = encodeRecordBatch(records, { ...producer, codecs: http.broker.codecs });
  const produced = { partition, batch, expectedOffset: options.expectedOffset };
  return sendBatch(http, topic, produced, options, records.length, true);
}

/** A batch that the client encoded. */
export function appendBatch(
  http: HttpContext,
  topic: TopicInfo,
  partition: number,
  batch: Uint8Array,
  options: ProduceOptions,
): Promise<ProducedToPartition | undefined> {
  // A lie about the count is the broker's to find; the metrics count only what was taken.
  const count = batch.length < batchHeaderBytes ? 0 : readBatchHeader(viewOf(batch), 0).recordsCount;
  return sendBatch(http, topic, { partition, batch, expectedOffset: options.expectedOffset }, options, count, false);
}

async function sendBatch(
  http: HttpContext,
  topic: TopicInfo,
  produced: ProducedBatch,
  options: ProduceOptions,
  recordCount: number,
  encodedHere: boolean,
): Promise<ProducedToPartition | undefined> {
  const { acks, timeoutMs } = options;
  const bytes = produced.batch.byteLength;
  const promise = http.broker.produce({ topic: topic.name, acks, timeoutMs, batches: [produced], encodedHere });
  if (acks === 0) {
    waitForNobody(http, topic.name, promise, [{ records: recordCount, bytes }]);
    return undefined;
  }
  const outcome = (await promise)[0]!;
  if (outcome.kind === "failed") throw outcome.error;
  if (!outcome.duplicate) count(http, topic.name, recordCount, bytes);
  return outcome;
}

/** Any partitions of a topic: one batch each, all in one call. One entry for each record; undefined for acks 0. */
export async function appendToTopic(
  http: HttpContext,
  topic: TopicInfo,
  { records, options }: ParsedProduce,
  key: string | undefined,
  bodyBytes: number,
): Promise<readonly ProducedOffset[] | undefined> {
  const { broker, sticky } = http;
  const keyless =
    key === undefined
      ? sticky.next(topic.partitionCount, bodyBytes)
      : partitionForKey(Buffer.from(key), topic.partitionCount);
  const shares = shareOut(records, topic, keyless);
  const producer = batchProducer(key, options.producer);
  const batches = shares.map((share) => encodeShare(records, share, producer, broker.codecs));
  const { acks, timeoutMs } = options;
  const promise = broker.produce({ topic: topic.name, acks, timeoutMs, batches, encodedHere: true });
  const sent = shares.map(({ indexes }, at) => ({ records: indexes.length, bytes: batches[at]!.batch.byteLength }));
  if (acks === 0) {
    waitForNobody(http, topic.name, promise, sent);
    return undefined;
  }
  const outcomes = await promise;
  countAppended(http, topic.name, sent, outcomes);
  const offsets = offsetsOf(records.length, shares, outcomes);
  const worst = worstFailure(outcomes);
  if (worst !== undefined) throw outcomes.length === 1 ? worst : partialFailure(worst, outcomes, offsets);
  return offsets;
}

/** What one batch of a request brings. */
interface Sent {
  readonly records: number;
  readonly bytes: number;
}

/** acks 0: nobody waits for what becomes of it; the operator learns of what is refused. */
function waitForNobody(
  http: HttpContext,
  topic: string,
  produced: Promise<readonly ProduceOutcome[]>,
  sent: readonly Sent[],
): void {
  void produced.then(
    (outcomes) => {
      countAppended(http, topic, sent, outcomes);
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome.kind === "failed") http.unwaitedRefusals.refused(topic, sent[at]!.records, outcome.error);
      }
    },
    (error: unknown) => {
      const records = sent.reduce((sum, one) => sum + one.records, 0);
      http.unwaitedRefusals.refused(topic, records, error);
    },
  );
}

type Counting = Pick<HttpContext, "topicMetrics">;

function countAppended(
  http: Counting,
  topic: string,
  sent: readonly Sent[],
  outcomes: readonly ProduceOutcome[],
): void {
  for (let at = 0; at < outcomes.length; at++) {
    const outcome = outcomes[at]!;
    if (outcome.kind !== "appended" || outcome.duplicate) continue;
    count(http, topic, sent[at]!.records, sent[at]!.bytes);
  }
}

function count({ topicMetrics }: Counting, topic: string, recordCount: number, bytes: number): void {
  const counters = topicMetrics.of(topic);
  counters.recordsProduced.inc(recordCount);
  counters.bytesIn.inc(bytes);
}
