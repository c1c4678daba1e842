// A read as one page, in JSON or msgpack or as the stored batches, waiting if it was asked to; and HEAD: the place alone.

import { BrokerError } from "../protocol/error-codes.ts";
import { formatCursor, isOfTopic } from "../protocol/offset-expression.ts";
import { JsonPageWriter, MsgpackPageWriter } from "./formats/page-writer.ts";
import { mediaTypes } from "./media-type.ts";
import { goneSignal, sendPage } from "./page-answer.ts";
import { ReadCursor } from "./read-cursor.ts";
import { pageLimits, type ReadPlan, resolvePlaces } from "./read-plan.ts";
import type { Exchange } from "./route.ts";

/** The fields of a page before its records. */
export const pageHead = ({ topic, single, partitions }: ReadPlan): object =>
  single ? { topic: topic.name, partition: partitions[0] } : { topic: topic.name };

/** The fields after them. */
export function pageTail(cursor: ReadCursor): object {
  const { nextOffset, caughtUp, plan } = cursor;
  const reset = cursor.takeReset();
  const ends = plan.single ? { logStartOffset: cursor.logStartOffset, highWatermark: cursor.highWatermark } : {};
  return { nextOffset, caughtUp, ...ends, reset };
}

export async function readPage(exchange: Exchange, plan: ReadPlan): Promise<void> {
  const { http, mediaType } = exchange;
  const cursor = await ReadCursor.open(http, plan);
  const { maxRecords, maxBytes } = pageLimits(plan);
  const { keyFormat, valueFormat, single, minBytes, waitMs } = plan;
  const writer =
    mediaType === mediaTypes.msgpack
      ? new MsgpackPageWriter(pageHead(plan))
      : new JsonPageWriter(pageHead(plan), { keyFormat, valueFormat, lineBreaks: "kept" });
  const signal = waitMs > 0 ? goneSignal(exchange) : undefined;
  await cursor.step({ maxRecords, maxBytes, minBytes, waitMs, signal }, (record, partition) => {
    writer.add(record, single ? undefined : partition);
    return writer.sizeBytes < maxBytes;
  });
  const page = writer.finish(pageTail(cursor));
  placeHeaders(exchange, cursor);
  await sendPage(exchange, page);
}

/** The stored batches as they are. maxRecords and until cut between batches, if they were given. */
export async function readBatches(exchange: Exchange, plan: ReadPlan): Promise<void> {
  const cursor = await ReadCursor.open(exchange.http, plan);
  const { maxBytes } = pageLimits(plan);
  const { minBytes, waitMs } = plan;
  const maxRecords = plan.maxRecords ?? Number.POSITIVE_INFINITY;
  const cut = plan.maxRecords !== undefined || plan.until !== undefined;
  const signal = waitMs > 0 ? goneSignal(exchange) : undefined;
  const batches = await cursor.stepRaw({ maxRecords, maxBytes, minBytes, waitMs, signal }, cut);
  placeHeaders(exchange, cursor);
  exchange.begin(200, mediaTypes.recordBatch).send(Buffer.from(batches.buffer, batches.byteOffset, batches.byteLength));
}

function placeHeaders({ reply }: Exchange, cursor: ReadCursor): void {
  reply.header("next-offset", String(cursor.nextOffset));
  if (!cursor.plan.single) return;
  reply.header("high-watermark", String(cursor.highWatermark));
  reply.header("log-start-offset", String(cursor.logStartOffset));
}

/** Where `offset` points to, at once and without a record. */
export async function readPlace(exchange: Exchange, plan: ReadPlan): Promise<void> {
  const { broker } = exchange.http;
  const { topic, partitions, single } = plan;
  const ends = await broker.resolveOffsets(topic.name, partitions, { kind: "latest" });
  const places = await placesOrReset(exchange, plan);
  const beyond = places.findIndex((place, at) => place < ends[at]!.logStartOffset || place > ends[at]!.logEndOffset);
  if (beyond >= 0) {
    if (plan.offsetReset === "error") throw outOfRange(places[beyond]!, ends[beyond]!);
    const reset = await broker.resolveOffsets(topic.name, partitions, { kind: plan.offsetReset });
    for (const [at, place] of places.entries()) {
      if (place < ends[at]!.logStartOffset || place > ends[at]!.logEndOffset) places[at] = reset[at]!.offset;
    }
  }
  const { reply } = exchange;
  const cursor = new Map(partitions.map((partition, at) => [partition, places[at]!]));
  reply.header("next-offset", single ? String(places[0]) : formatCursor(topic.topicId, cursor));
  if (single) {
    reply.header("high-watermark", String(ends[0]!.highWatermark));
    reply.header("log-start-offset", String(ends[0]!.logStartOffset));
  }
  exchange.begin(200, exchange.mediaType).send();
}

async function placesOrReset({ http }: Exchange, plan: ReadPlan): Promise<number[]> {
  if (isOfTopic(plan.from, plan.topic.topicId)) return resolvePlaces(http.broker, plan, plan.from);
  if (plan.offsetReset !== "error") return resolvePlaces(http.broker, plan, { kind: plan.offsetReset });
  throw new BrokerError("OFFSET_OUT_OF_RANGE", "this cursor is of another topic, or of an earlier one of this name");
}

function outOfRange(
  offset: number,
  {
    partition,
    logStartOffset,
    highWatermark,
    logEndOffset,
  }: {
    readonly partition: number;
    readonly logStartOffset: number;
    readonly highWatermark: number;
    readonly logEndOffset: number;
  },
): BrokerError {
  return new BrokerError("OFFSET_OUT_OF_RANGE", `offset ${offset} is not in the log of partition ${partition}`, {
    fields: { partition, logStartOffset, highWatermark, logEndOffset },
  });
}
