// Producer ids, and what partitions remember of them.

import type { HttpContext } from "../http-context.ts";
import { wholeNumberParameter } from "../query.ts";
import { objectContent, objectOffers, type Route } from "../route.ts";

const allocatedSchema = {
  type: "object",
  required: ["producerId", "producerEpoch"],
  properties: { producerId: { type: "integer", minimum: 0 }, producerEpoch: { type: "integer", const: 0 } },
  additionalProperties: false,
} as const;

const nothingSchema = { type: "object", properties: {}, additionalProperties: false } as const;

const producersSchema = {
  type: "object",
  required: ["producers"],
  properties: { producers: { type: "array", items: { $ref: "#/components/schemas/Producer" } } },
  additionalProperties: false,
} as const;

export function producerRoutes({ broker }: HttpContext): readonly Route[] {
  return [
    {
      method: "POST",
      path: "/v1/producers",
      operationId: "createProducer",
      tag: "Produce",
      summary: "Get a producer id that nobody else has or had",
      description:
        "A producer that restarts keeps its id and raises producerEpoch; 32766 is the last, then it takes a new id.",
      body: objectContent(nothingSchema),
      offers: objectOffers,
      answers: {
        201: {
          description: "The id.",
          content: objectContent(allocatedSchema),
        },
      },
      problems: ["KAFKA_STORAGE_ERROR"],
      handle: async (exchange) => {
        await exchange.readObject(nothingSchema, false);
        exchange.answer(201, await broker.allocateProducerId());
      },
    },
    {
      method: "GET",
      path: "/v1/topics/:topic/partitions/:partition/producers",
      operationId: "describeProducers",
      tag: "Produce",
      summary: "How a producer that comes back finds its place",
      query: {
        producerId: {
          description: "Only this one.",
          schema: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
        },
      },
      offers: objectOffers,
      answers: {
        200: {
          description: "The idempotent producers that the partition remembers.",
          content: objectContent(producersSchema),
        },
      },
      problems: ["UNKNOWN_TOPIC_OR_PARTITION"],
      handle: async (exchange) => {
        const producerId = wholeNumberParameter(exchange.query, "producerId", { min: 0, max: Number.MAX_SAFE_INTEGER });
        const topic = exchange.parameter("topic");
        exchange.answer(200, { producers: await broker.describeProducers(topic, exchange.partition(), producerId) });
      },
    },
  ];
}
