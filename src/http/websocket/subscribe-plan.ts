// Where a subscription begins and ends: its frame against the topic as it is. What offsetReset had to move is told.

import type { TopicInfo } from "../../broker/broker.ts";
import type { Position } from "../../broker/group-calls.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { isOfTopic, type OffsetExpression, parseOffsetExpression } from "../../protocol/offset-expression.ts";
import { invalidField } from "../formats/body-refusal.ts";
import { readPositions } from "../group-positions.ts";
import type { HttpContext } from "../http-context.ts";
import { type OffsetReset, resolvePlaces, selectPartitions } from "../read-plan.ts";
import type { SubscribeFrame } from "./client-frames.ts";

export interface PartitionPlan {
  readonly partition: number;
  readonly from: number;
  /** Exclusive. */
  readonly until: number;
}

export interface PlaceReset {
  readonly topic: string;
  readonly partition: number;
  readonly from: number | string;
  readonly to: number;
}

export interface SubscribePlan {
  readonly topic: TopicInfo;
  readonly partitions: readonly PartitionPlan[];
  readonly reset: readonly PlaceReset[];
}

export async function subscribePlan(http: HttpContext, frame: SubscribeFrame): Promise<SubscribePlan> {
  const from = expressionOf("offset", frame.offset) ?? { kind: "earliest" };
  const until = expressionOf("until", frame.until);
  const named = readPositions("positions", frame.positions) ?? [];
  checkNamed(frame.partitions);
  const topic = await http.broker.topic(frame.topic, "read");
  const partitions = selectPartitions(topic, frame.partitions, http.settings.maxPartitionsPerRead);
  const places = await startPlaces(http, topic, partitions, from, named, frame.offsetReset ?? "error");
  const ends =
    until === undefined
      ? undefined
      : await resolvePlaces(http.broker, { topic, partitions }, checked("until", until, topic, partitions));
  return {
    topic,
    partitions: partitions.map((partition, at) => ({
      partition,
      from: places.from[at]!,
      until: ends?.[at] ?? Number.POSITIVE_INFINITY,
    })),
    reset: places.reset,
  };
}

function expressionOf(path: string, value: string | number | undefined): OffsetExpression | undefined {
  if (value === undefined) return undefined;
  const expression = parseOffsetExpression(String(value));
  if (expression.kind === "invalid") throw invalidField(path, expression.reason);
  return expression;
}

function checkNamed(partitions: readonly number[] | undefined): void {
  if (partitions === undefined) return;
  if (partitions.length === 0) throw invalidField("partitions", "must name a partition");
  if (new Set(partitions).size < partitions.length) throw invalidField("partitions", "names a partition twice");
}

function checked(
  path: string,
  expression: OffsetExpression,
  topic: TopicInfo,
  partitions: readonly number[],
): OffsetExpression {
  if (expression.kind === "offset" && partitions.length > 1) {
    throw invalidField(path, "is a number, which fits one partition; over several write 0:43,1:99, or positions");
  }
  if (expression.kind !== "perPartition" || !isOfTopic(expression, topic.topicId)) return expression;
  for (const partition of expression.offsets.keys()) {
    if (!partitions.includes(partition)) throw invalidField(path, `names partition ${partition}, which is not read`);
  }
  return expression;
}

async function startPlaces(
  { broker }: HttpContext,
  topic: TopicInfo,
  partitions: readonly number[],
  expression: OffsetExpression,
  named: readonly Position[],
  offsetReset: OffsetReset,
): Promise<{ from: readonly number[]; reset: readonly PlaceReset[] }> {
  const reset: PlaceReset[] = [];
  const foreign = !isOfTopic(expression, topic.topicId);
  if (foreign && offsetReset === "error") {
    throw new BrokerError("OFFSET_OUT_OF_RANGE", "this cursor is of another topic, or of an earlier one of this name");
  }
  const start = foreign
    ? { kind: offsetReset as "earliest" | "latest" }
    : checked("offset", expression, topic, partitions);
  const from = [...(await resolvePlaces(broker, { topic, partitions }, start))];
  for (const [index, position] of named.entries()) {
    const at = position.topic === topic.name ? partitions.indexOf(position.partition) : -1;
    if (at < 0)
      throw invalidField(`positions[${index}]`, `names ${position.topic}-${position.partition}, which is not read`);
    from[at] = position.nextOffset;
  }
  const ends = await broker.resolveOffsets(topic.name, partitions, { kind: "latest" });
  for (const [at, { partition, logStartOffset, highWatermark, logEndOffset }] of ends.entries()) {
    const offset = from[at]!;
    if (offset >= logStartOffset && offset <= logEndOffset) continue;
    if (offsetReset === "error")
      throw outOfRange(topic.name, partition, offset, { logStartOffset, highWatermark, logEndOffset });
    const to = offsetReset === "earliest" ? logStartOffset : highWatermark;
    reset.push({ topic: topic.name, partition, from: offset, to });
    from[at] = to;
  }
  if (foreign) {
    for (const [at, partition] of partitions.entries()) {
      reset.push({ topic: topic.name, partition, from: "another topic", to: from[at]! });
    }
  }
  return { from, reset };
}

/** A place to seek to. */
export async function checkInLog({ broker }: HttpContext, { topic, partition, nextOffset }: Position): Promise<void> {
  const [ends] = await broker.resolveOffsets(topic, [partition], { kind: "latest" });
  if (ends !== undefined && nextOffset >= ends.logStartOffset && nextOffset <= ends.logEndOffset) return;
  const { logStartOffset = -1, highWatermark = -1, logEndOffset = -1 } = ends ?? {};
  throw outOfRange(topic, partition, nextOffset, { logStartOffset, highWatermark, logEndOffset });
}

function outOfRange(
  topic: string,
  partition: number,
  offset: number,
  ends: { readonly logStartOffset: number; readonly highWatermark: number; readonly logEndOffset: number },
): BrokerError {
  return new BrokerError("OFFSET_OUT_OF_RANGE", `offset ${offset} is not in the log of ${topic}-${partition}`, {
    fields: { topic, partition, offset, ...ends },
  });
}
