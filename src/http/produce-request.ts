// A produce request whose body is read whole: appended by one call, answered as the contract says.

import type { TopicInfo } from "../broker/broker.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { ParsedProduce, ProduceOptions } from "./formats/produce-options.ts";
import { mediaTypes } from "./media-type.ts";
import {
  appendBatch,
  appendToPartition,
  appendToTopic,
  idempotencyKeyPattern,
  type ProducedToPartition,
} from "./produce-append.ts";
import { offsetsJson, producedJson } from "./produce-batches.ts";
import type { Exchange } from "./route.ts";

/** The Idempotency-Key of a request, if it has one. */
export function idempotencyKey(exchange: Exchange): string | undefined {
  const key = exchange.request.headers["idempotency-key"];
  if (key === undefined) return undefined;
  if (typeof key === "string" && idempotencyKeyPattern.test(key)) return key;
  throw new BrokerError("INVALID_REQUEST", "Idempotency-Key must be 1 to 128 visible ASCII characters");
}

/** One partition: the path's. */
export async function produceToPartition(
  exchange: Exchange,
  topic: TopicInfo,
  partition: number,
  produce: ParsedProduce,
  key: string | undefined,
): Promise<void> {
  answerPartition(exchange, await appendToPartition(exchange.http, topic, partition, produce, key));
}

/** A batch that the client encoded. */
export async function produceBatch(
  exchange: Exchange,
  topic: TopicInfo,
  partition: number,
  batch: Uint8Array,
  options: ProduceOptions,
): Promise<void> {
  answerPartition(exchange, await appendBatch(exchange.http, topic, partition, batch, options));
}

function answerPartition(exchange: Exchange, produced: ProducedToPartition | undefined): void {
  if (produced === undefined) exchange.answer(202, {});
  else if (exchange.mediaType === mediaTypes.json) {
    exchange.begin(200, mediaTypes.json).send(`{${producedJson(produced)}}`);
  } else {
    const { partition, baseOffset, lastOffset, leaderEpoch, duplicate } = produced;
    exchange.answer(200, { partition, baseOffset, lastOffset, leaderEpoch, duplicate });
  }
}

/** Any partitions of a topic: one batch each, all in one call. */
export async function produceToTopic(
  exchange: Exchange,
  topic: TopicInfo,
  produce: ParsedProduce,
  key: string | undefined,
  bodyBytes: number,
): Promise<void> {
  const offsets = await appendToTopic(exchange.http, topic, produce, key, bodyBytes);
  if (offsets === undefined) exchange.answer(202, {});
  else if (exchange.mediaType === mediaTypes.json) {
    exchange.begin(200, mediaTypes.json).send(`{${offsetsJson(offsets)}}`);
  } else exchange.answer(200, { offsets });
}
