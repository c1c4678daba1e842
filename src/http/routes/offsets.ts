// Where things are in a topic: offsets by time or from either end, and the lower end moved up.

import type { HttpContext } from "../http-context.ts";
import { offsetParameter } from "../offset-parameter.ts";
import { invalidParameter, wholeNumberParameter } from "../query.ts";
import { type Exchange, objectContent, objectOffers, type Route } from "../route.ts";
import { offsetSchema } from "../schemas.ts";

const offsetsSchema = {
  type: "object",
  required: ["offsets"],
  properties: { offsets: { type: "array", items: { $ref: "#/components/schemas/ResolvedOffset" } } },
  additionalProperties: false,
} as const;

const deletedSchema = {
  type: "object",
  required: ["logStartOffset"],
  properties: { logStartOffset: offsetSchema },
  additionalProperties: false,
} as const;

export function offsetRoutes({ broker }: HttpContext): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/v1/topics/:topic/offsets",
      operationId: "resolveOffsets",
      tag: "Topics",
      summary: "Where an offset expression points in every partition",
      query: {
        at: {
          description: "earliest, latest, a number, -n, @ms, @time, or 0:43,1:99.",
          schema: { type: "string", default: "latest" },
        },
      },
      offers: objectOffers,
      answers: {
        200: {
          description: "One entry for each partition.",
          content: objectContent(offsetsSchema),
        },
      },
      problems: ["UNKNOWN_TOPIC_OR_PARTITION", "OFFSET_OUT_OF_RANGE"],
      handle: async (exchange) => {
        const at = offsetParameter(exchange.query, "at", { kind: "latest" });
        const topic = await broker.topic(exchange.parameter("topic"), "read");
        const partitions = Array.from({ length: topic.partitionCount }, (_, partition) => partition);
        exchange.answer(200, { offsets: await broker.resolveOffsets(topic.name, partitions, at) });
      },
    },
    {
      method: "DELETE",
      path: "/v1/topics/:topic/partitions/:partition/records",
      operationId: "deleteRecords",
      tag: "Topics",
      summary: "Delete the records below an offset",
      query: {
        before: {
          description: "The offset of the first record to keep, or latest: the high watermark.",
          schema: { type: "string" },
          required: true,
        },
      },
      offers: objectOffers,
      answers: {
        200: {
          description: "The log's new start.",
          content: objectContent(deletedSchema),
        },
      },
      problems: ["UNKNOWN_TOPIC_OR_PARTITION", "OFFSET_OUT_OF_RANGE", "KAFKA_STORAGE_ERROR"],
      handle: async (exchange) => {
        const before = beforeParameter(exchange);
        const deleted = await broker.deleteRecords(exchange.parameter("topic"), exchange.partition(), before);
        exchange.answer(200, deleted);
      },
    },
  ];
}

function beforeParameter({ query }: Exchange): number | "latest" {
  if (!query.has("before")) throw invalidParameter("before", "is required: an offset, or latest");
  if (query.get("before") === "latest") return "latest";
  return wholeNumberParameter(query, "before", { min: 0, max: Number.MAX_SAFE_INTEGER }) as number;
}
