// Produce: to a topic, to one partition; as JSON, msgpack, lines, raw bytes, or a batch that the client encoded.

import type { TopicInfo } from "../../broker/broker.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import type { RecordHeader } from "../../protocol/record-reader.ts";
import { readBody } from "../body.ts";
import { unknownFields } from "../formats/body-refusal.ts";
import { parseProduceJson } from "../formats/produce-json.ts";
import { parseProduceMsgpack } from "../formats/produce-msgpack.ts";
import {
  type ParsedProduce,
  type ProduceOptions,
  produceHints,
  produceOptionNames,
  produceOptionsFromQuery,
} from "../formats/produce-options.ts";
import type { HttpContext } from "../http-context.ts";
import { contentMediaType, mediaTypes } from "../media-type.ts";
import { idempotencyKey, produceBatch, produceToPartition, produceToTopic } from "../produce-request.ts";
import { produceLines } from "../produce-stream.ts";
import { type Exchange, type Route, unsupportedMediaType } from "../route.ts";
import { partitionProduceRoute, topicProduceRoute } from "./records-produce-words.ts";

const topicTypes = [mediaTypes.json, mediaTypes.msgpack, mediaTypes.ndjson, mediaTypes.bytes] as const;
const partitionTypes = [...topicTypes, mediaTypes.recordBatch] as const;

/** What a query may say, by scope and content type: a body that is an object says it itself. */
const batchParameters = ["acks", "timeoutMs", "expectedOffset"];
const parameters = {
  topic: {
    [mediaTypes.ndjson]: produceOptionNames("topic", true) as readonly string[],
    [mediaTypes.bytes]: ["key", ...produceOptionNames("topic", false)],
  },
  partition: {
    [mediaTypes.ndjson]: produceOptionNames("partition", true) as readonly string[],
    [mediaTypes.bytes]: ["key", ...produceOptionNames("partition", false)],
    [mediaTypes.recordBatch]: batchParameters,
  },
} as const;

export function produceRoutes(_http: HttpContext): readonly Route[] {
  return [
    { ...topicProduceRoute, handle: handleTopic },
    { ...partitionProduceRoute, handle: handlePartition },
  ];
}

async function handleTopic(exchange: Exchange): Promise<void> {
  const mediaType = contentMediaType(exchange.request.headers["content-type"]);
  const found = producedTopic(exchange);
  const topic = found instanceof Promise ? await found : found;
  switch (mediaType) {
    case mediaTypes.json:
    case mediaTypes.msgpack: {
      const key = keyOfRecords(exchange);
      const body = await readBody(exchange.http, exchange.request, exchange.reply);
      return produceToTopic(exchange, topic, parseRecords(exchange, mediaType, body, undefined), key, body.length);
    }
    case mediaTypes.bytes: {
      const parsed = await readValue(exchange, "topic");
      return produceToTopic(exchange, topic, parsed.produce, parsed.key, parsed.bodyBytes);
    }
    case mediaTypes.ndjson:
      return produceLines(exchange, topic, undefined, queryOptions(exchange, "topic", mediaType));
    default:
      throw unsupportedMediaType(mediaType, topicTypes);
  }
}

async function handlePartition(exchange: Exchange): Promise<void> {
  const mediaType = contentMediaType(exchange.request.headers["content-type"]);
  const partition = exchange.partition();
  const topic = await producedTopic(exchange);
  if (partition >= topic.partitionCount) {
    throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic.name} has no partition ${partition}`);
  }
  switch (mediaType) {
    case mediaTypes.json:
    case mediaTypes.msgpack: {
      const key = keyOfRecords(exchange);
      const body = await readBody(exchange.http, exchange.request, exchange.reply);
      return produceToPartition(exchange, topic, partition, parseRecords(exchange, mediaType, body, partition), key);
    }
    case mediaTypes.bytes: {
      const parsed = await readValue(exchange, "partition");
      return produceToPartition(exchange, topic, partition, parsed.produce, parsed.key);
    }
    case mediaTypes.ndjson:
      return produceLines(exchange, topic, partition, queryOptions(exchange, "partition", mediaType));
    case mediaTypes.recordBatch: {
      const options = queryOptions(exchange, "partition", mediaType);
      const batch = await readBody(exchange.http, exchange.request, exchange.reply);
      return produceBatch(exchange, topic, partition, batch, options);
    }
    default:
      throw unsupportedMediaType(mediaType, partitionTypes);
  }
}

function producedTopic({ http, request }: Exchange): TopicInfo | Promise<TopicInfo> {
  return http.broker.topic((request.params as { readonly topic: string }).topic, "produce");
}

interface ParsedRequest {
  readonly produce: ParsedProduce;
  readonly key: string | undefined;
  readonly bodyBytes: number;
}

/** JSON or msgpack: the body says everything but the Idempotency-Key. */
function keyOfRecords(exchange: Exchange): string | undefined {
  const { query } = exchange;
  if (query.size > 0) {
    throw new BrokerError("INVALID_REQUEST", "with a body of this content type the options go into the body", {
      fields: { unknown: [...query.keys()] },
    });
  }
  return idempotencyKey(exchange);
}

function parseRecords(
  { http }: Exchange,
  mediaType: string,
  body: Uint8Array,
  partition: number | undefined,
): ParsedProduce {
  const context = { partition, nowMs: http.clock.nowMs() };
  return mediaType === mediaTypes.json ? parseProduceJson(body, context) : parseProduceMsgpack(body, context);
}

/** octet-stream: the body is the value of one record. */
async function readValue(exchange: Exchange, scope: "topic" | "partition"): Promise<ParsedRequest> {
  const { http, request, reply, query } = exchange;
  checkParameters(exchange, parameters[scope][mediaTypes.bytes]);
  const options = produceOptionsFromQuery(query, scope);
  const key = idempotencyKey(exchange);
  const headers = recordHeaders(request.raw.rawHeaders);
  const value = await readBody(http, request, reply);
  const recordKey = query.get("key");
  const record = {
    key: recordKey === undefined ? null : Buffer.from(recordKey),
    value,
    headers,
    timestamp: http.clock.nowMs(),
    partition: undefined,
  };
  return { produce: { records: [record], options }, key, bodyBytes: value.length };
}

const recordHeaderPrefix = "record-header-";
const noHeaders: readonly RecordHeader[] = [];

/** `record-header-<name>: value`, in the order sent, a name as often as it was sent. */
function recordHeaders(rawHeaders: readonly string[]): readonly RecordHeader[] {
  let headers: RecordHeader[] | undefined;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    if (!name.startsWith(recordHeaderPrefix)) continue;
    if (name.length === recordHeaderPrefix.length) {
      throw new BrokerError("INVALID_REQUEST", "a record-header- request header needs a name after its prefix");
    }
    headers ??= [];
    // Node gives each byte of a header as one character.
    const value = Buffer.from(rawHeaders[at + 1]!, "latin1");
    headers.push({ key: Buffer.from(name.slice(recordHeaderPrefix.length)), value });
  }
  return headers ?? noHeaders;
}

/** Bodies that are no object: their options are in the query. */
function queryOptions(
  exchange: Exchange,
  scope: "topic" | "partition",
  mediaType: typeof mediaTypes.ndjson | typeof mediaTypes.recordBatch,
): ProduceOptions {
  const known = (parameters[scope] as Readonly<Record<string, readonly string[]>>)[mediaType] ?? batchParameters;
  checkParameters(exchange, known);
  if (exchange.request.headers["idempotency-key"] !== undefined) {
    const hint = mediaType === mediaTypes.ndjson ? "producerId" : "the batch's own producer id";
    throw new BrokerError("INVALID_REQUEST", `Idempotency-Key is not for ${mediaType}; use ${hint}`);
  }
  return produceOptionsFromQuery(exchange.query, scope);
}

function checkParameters({ query }: Exchange, known: readonly string[]): void {
  const unknown = [...query.keys()].filter((name) => !known.includes(name));
  if (unknown.length > 0) throw unknownFields("the query", unknown, known, produceHints);
}
