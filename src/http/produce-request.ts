// A produce request whose body is read whole: records or one batch in, one broker call, the contract's answer out.

import type { TopicInfo } from "../broker/broker.ts";
import { idempotencyProducerId } from "../broker/idempotency-key.ts";
import type { ProducedBatch, ProduceOutcome } from "../broker/produce.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { partitionForKey } from "../protocol/partitioner.ts";
import { encodeRecordBatch } from "../protocol/record.ts";
import { batchHeaderBytes, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import type { ParsedProduce, ProduceOptions, ProducerFields } from "./formats/produce-options.ts";
import { mediaTypes } from "./media-type.ts";
import {
  type BatchProducer,
  encodeShare,
  offsetsJson,
  offsetsOf,
  partialFailure,
  shareOut,
  worstFailure,
} from "./produce-batches.ts";
import type { Exchange } from "./route.ts";

const keyPattern = /^[\x21-\x7e]{1,128}$/;

/** The Idempotency-Key of a request, if it has one. */
export function idempotencyKey(exchange: Exchange): string | undefined {
  const key = exchange.request.headers["idempotency-key"];
  if (key === undefined) return undefined;
  if (typeof key === "string" && keyPattern.test(key)) return key;
  throw new BrokerError("INVALID_REQUEST", "Idempotency-Key must be 1 to 128 visible ASCII characters");
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

/** One partition: the path's. */
export async function produceToPartition(
  exchange: Exchange,
  topic: TopicInfo,
  partition: number,
  { records, options }: ParsedProduce,
  key: string | undefined,
): Promise<void> {
  const producer = batchProducer(key, options.producer);
  const batch = encodeRecordBatch(records, { ...producer, codecs: exchange.http.broker.codecs });
  const produced = { partition, batch, expectedOffset: options.expectedOffset };
  await sendBatch(exchange, topic, produced, options, records.length, true);
}

/** A batch that the client encoded. */
export async function produceBatch(
  exchange: Exchange,
  topic: TopicInfo,
  partition: number,
  batch: Uint8Array,
  options: ProduceOptions,
): Promise<void> {
  // A lie about the count is the broker's to find; the metrics count only what was taken.
  const count = batch.length < batchHeaderBytes ? 0 : readBatchHeader(viewOf(batch), 0).recordsCount;
  await sendBatch(exchange, topic, { partition, batch, expectedOffset: options.expectedOffset }, options, count, false);
}

async function sendBatch(
  exchange: Exchange,
  topic: TopicInfo,
  produced: ProducedBatch,
  options: ProduceOptions,
  recordCount: number,
  encodedHere: boolean,
): Promise<void> {
  const { broker } = exchange.http;
  const { acks, timeoutMs } = options;
  const bytes = produced.batch.byteLength;
  const promise = broker.produce({ topic: topic.name, acks, timeoutMs, batches: [produced], encodedHere });
  if (acks === 0) return answerUnwaited(exchange, topic.name, promise, [{ records: recordCount, bytes }]);
  const outcome = (await promise)[0]!;
  if (outcome.kind === "failed") throw outcome.error;
  const { partition, baseOffset, lastOffset, leaderEpoch, duplicate } = outcome;
  if (!duplicate) count(exchange, topic.name, recordCount, bytes);
  if (exchange.mediaType !== mediaTypes.json) {
    return exchange.answer(200, { partition, baseOffset, lastOffset, leaderEpoch, duplicate });
  }
  exchange
    .begin(200, mediaTypes.json)
    .send(
      `{"partition":${partition},"baseOffset":${baseOffset},"lastOffset":${lastOffset},"leaderEpoch":${leaderEpoch},"duplicate":${duplicate}}`,
    );
}

/** Any partitions of a topic: one batch each, all in one call. */
export async function produceToTopic(
  exchange: Exchange,
  topic: TopicInfo,
  { records, options }: ParsedProduce,
  key: string | undefined,
  bodyBytes: number,
): Promise<void> {
  const { broker, sticky } = exchange.http;
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
  if (acks === 0) return answerUnwaited(exchange, topic.name, promise, sent);
  const outcomes = await promise;
  countAppended(exchange, topic.name, sent, outcomes);
  const offsets = offsetsOf(records.length, shares, outcomes);
  const worst = worstFailure(outcomes);
  if (worst !== undefined) throw outcomes.length === 1 ? worst : partialFailure(worst, outcomes, offsets);
  if (exchange.mediaType === mediaTypes.json) exchange.begin(200, mediaTypes.json).send(offsetsJson(offsets));
  else exchange.answer(200, { offsets });
}

/** What one batch of a request brings. */
interface Sent {
  readonly records: number;
  readonly bytes: number;
}

/** acks 0: nobody waits for what becomes of it; the operator learns of what is refused. */
function answerUnwaited(
  exchange: Exchange,
  topic: string,
  produced: Promise<readonly ProduceOutcome[]>,
  sent: readonly Sent[],
): void {
  const { unwaitedRefusals } = exchange.http;
  void produced.then(
    (outcomes) => {
      countAppended(exchange, topic, sent, outcomes);
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome.kind === "failed") unwaitedRefusals.refused(topic, sent[at]!.records, outcome.error);
      }
    },
    (error: unknown) => {
      const records = sent.reduce((sum, one) => sum + one.records, 0);
      unwaitedRefusals.refused(topic, records, error);
    },
  );
  exchange.answer(202, {});
}

function countAppended(
  exchange: Exchange,
  topic: string,
  sent: readonly Sent[],
  outcomes: readonly ProduceOutcome[],
): void {
  for (let at = 0; at < outcomes.length; at++) {
    const outcome = outcomes[at]!;
    if (outcome.kind !== "appended" || outcome.duplicate) continue;
    count(exchange, topic, sent[at]!.records, sent[at]!.bytes);
  }
}

function count(exchange: Exchange, topic: string, recordCount: number, bytes: number): void {
  const counters = exchange.http.topicMetrics.of(topic);
  counters.recordsProduced.inc(recordCount);
  counters.bytesIn.inc(bytes);
}
