// What a read asks for, from its query: which partitions, from where to where, how much at once, and how records are shown.

import type { Broker, TopicInfo } from "../broker/broker.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { isOfTopic, type OffsetExpression, parseOffsetExpression } from "../protocol/offset-expression.ts";
import { type PartFormat, partFormats } from "./formats/produce-options.ts";
import { pageBytesDefault, pageRecordsDefault } from "./limits.ts";
import { mediaTypes } from "./media-type.ts";
import { offsetParameter } from "./offset-parameter.ts";
import { booleanParameter, choiceParameter, invalidParameter, type Query, wholeNumberParameter } from "./query.ts";
import type { Exchange } from "./route.ts";

export type OffsetReset = "error" | "earliest" | "latest";

export interface ReadPlan {
  readonly topic: TopicInfo;
  /** The route of one partition: records do not name theirs, and cursors are numbers. */
  readonly single: boolean;
  readonly partitions: readonly number[];
  readonly from: OffsetExpression;
  readonly until: OffsetExpression | undefined;
  readonly offsetReset: OffsetReset;
  readonly keyFormat: PartFormat;
  readonly valueFormat: PartFormat;
  /** Undefined if the query does not say. */
  readonly maxRecords: number | undefined;
  readonly maxBytes: number | undefined;
  readonly minBytes: number;
  readonly waitMs: number;
  readonly follow: boolean;
}

const everywhere = ["offset", "until", "offsetReset", "maxRecords", "maxBytes", "partitions"];
const parametersOf: Readonly<Record<string, readonly string[]>> = {
  [mediaTypes.json]: [...everywhere, "minBytes", "waitMs", "keyFormat", "valueFormat"],
  [mediaTypes.msgpack]: [...everywhere, "minBytes", "waitMs"],
  [mediaTypes.recordBatch]: [...everywhere, "minBytes", "waitMs"],
  [mediaTypes.eventStream]: [...everywhere, "keyFormat", "valueFormat"],
  [mediaTypes.ndjson]: [...everywhere, "keyFormat", "valueFormat", "follow"],
};

const count = { min: 0, max: Number.MAX_SAFE_INTEGER };
const positive = { min: 1, max: Number.MAX_SAFE_INTEGER };

export async function readPlan(exchange: Exchange, single: boolean): Promise<ReadPlan> {
  const { query, mediaType, http } = exchange;
  checkParameters(query, mediaType);
  const isPage = mediaType !== mediaTypes.eventStream && mediaType !== mediaTypes.ndjson;
  const maxBytes = wholeNumberParameter(query, "maxBytes", positive);
  const { maxPageBytes, maxWaitMs, maxPartitionsPerRead } = http.settings;
  if (isPage && maxBytes !== undefined && maxBytes > maxPageBytes) throw pageTooLarge(maxPageBytes);
  const from = startOf(exchange);
  const until = query.has("until") ? offsetParameter(query, "until", { kind: "latest" }) : undefined;
  const fields = {
    from,
    until,
    offsetReset: choiceParameter(query, "offsetReset", ["error", "earliest", "latest"]) ?? "error",
    keyFormat: choiceParameter(query, "keyFormat", partFormats) ?? "string",
    valueFormat: choiceParameter(query, "valueFormat", partFormats) ?? "json",
    maxRecords: wholeNumberParameter(query, "maxRecords", positive),
    maxBytes,
    minBytes: Math.min(wholeNumberParameter(query, "minBytes", count) ?? 1, maxBytes ?? pageBytesDefault),
    waitMs: Math.min(wholeNumberParameter(query, "waitMs", count) ?? 0, maxWaitMs),
    follow: booleanParameter(query, "follow"),
  } as const;
  const onePartition = single ? exchange.partition() : undefined;
  const named = partitionsParameter(query);
  const topic = await http.broker.topic(exchange.parameter("topic"), "read");
  const partitions = selectPartitions(topic, onePartition === undefined ? named : [onePartition], maxPartitionsPerRead);
  checkExpression("offset", from, topic, partitions, single);
  if (until !== undefined) checkExpression("until", until, topic, partitions, single);
  return { topic, single, partitions, ...fields };
}

/** A page's limits, with their defaults. */
export const pageLimits = ({ maxRecords, maxBytes }: ReadPlan): { maxRecords: number; maxBytes: number } => ({
  maxRecords: maxRecords ?? pageRecordsDefault,
  maxBytes: maxBytes ?? pageBytesDefault,
});

function startOf({ query, request, mediaType }: Exchange): OffsetExpression {
  const lastEventId = request.headers["last-event-id"];
  if (mediaType === mediaTypes.eventStream && typeof lastEventId === "string" && lastEventId !== "") {
    const expression = parseOffsetExpression(lastEventId);
    if (expression.kind !== "invalid") return expression;
    throw new BrokerError("INVALID_REQUEST", `the header Last-Event-ID ${expression.reason}`);
  }
  return offsetParameter(query, "offset", { kind: "earliest" });
}

function checkParameters(query: Query, mediaType: string): void {
  const known = parametersOf[mediaType] ?? [];
  const misplaced = [...query.keys()].filter((name) => !known.includes(name));
  if (misplaced.length === 0) return;
  throw new BrokerError("INVALID_REQUEST", `the query parameter ${misplaced[0]} means nothing for ${mediaType}`, {
    fields: { unknown: misplaced },
  });
}

function pageTooLarge(maxPageBytes: number): BrokerError {
  return new BrokerError("INVALID_REQUEST", `maxBytes of a page may be ${maxPageBytes}`, {
    fields: { parameter: "maxBytes", limit: { name: "maxPageBytes", value: maxPageBytes } },
  });
}

function partitionsParameter(query: Query): readonly number[] | undefined {
  const text = query.get("partitions");
  if (text === undefined) return undefined;
  const partitions = text.split(",").map((part) => (/^(?:0|[1-9][0-9]{0,9})$/.test(part) ? Number(part) : -1));
  if (partitions.includes(-1)) throw invalidParameter("partitions", "must be partitions separated by commas, as 0,3,5");
  if (new Set(partitions).size < partitions.length) throw invalidParameter("partitions", "names a partition twice");
  return partitions;
}

export function selectPartitions(
  topic: TopicInfo,
  named: readonly number[] | undefined,
  max: number,
): readonly number[] {
  const partitions = named ?? Array.from({ length: topic.partitionCount }, (_, partition) => partition);
  if (partitions.length > max) {
    throw new BrokerError("INVALID_REQUEST", `a read may have ${max} partitions; name them with partitions=`, {
      fields: { limit: { name: "maxPartitionsPerRead", value: max } },
    });
  }
  const unknown = partitions.find((partition) => partition >= topic.partitionCount);
  if (unknown === undefined) return partitions;
  throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic.name} has no partition ${unknown}`);
}

function checkExpression(
  name: string,
  expression: OffsetExpression,
  topic: TopicInfo,
  partitions: readonly number[],
  single: boolean,
): void {
  if (expression.kind === "offset" && partitions.length > 1) {
    throw invalidParameter(name, "is a number, which fits one partition; over several write 0:43,1:99");
  }
  if (expression.kind !== "perPartition") return;
  if (single) throw invalidParameter(name, "must be for one partition here: a number, without a partition before it");
  if (!isOfTopic(expression, topic.topicId)) return; // resolved as an offset that is gone
  for (const partition of expression.offsets.keys()) {
    if (!partitions.includes(partition))
      throw invalidParameter(name, `names partition ${partition}, which is not read`);
  }
}

/** Where an expression points in each of the plan's partitions. Nothing says that the places are still in the log. */
export async function resolvePlaces(
  broker: Broker,
  { topic, partitions }: Pick<ReadPlan, "topic" | "partitions">,
  expression: OffsetExpression,
): Promise<number[]> {
  if (expression.kind === "offset") return [expression.offset];
  if (expression.kind !== "perPartition") {
    return (await broker.resolveOffsets(topic.name, partitions, expression)).map(({ offset }) => offset);
  }
  const earliest = await broker.resolveOffsets(topic.name, partitions, { kind: "earliest" });
  return partitions.map((partition, at) => expression.offsets.get(partition) ?? earliest[at]!.offset);
}
