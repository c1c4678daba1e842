// Topics: list, create, describe, alter, delete.

import type { HttpContext } from "../http-context.ts";
import type { Schema } from "../json-schema.ts";
import { listParameters, listRange } from "../list-range.ts";
import { mediaTypes } from "../media-type.ts";
import { booleanParameter } from "../query.ts";
import { objectContent, objectOffers, type Route } from "../route.ts";

const topicAnswer = (description: string) => ({
  description,
  content: {
    [mediaTypes.json]: { $ref: "#/components/schemas/Topic" },
    [mediaTypes.msgpack]: { $ref: "#/components/schemas/Topic" },
  },
});

const configSchema: Schema = {
  type: "object",
  description: "Kafka's names and meanings; numbers and booleans as such, strings are taken too.",
  additionalProperties: { type: ["string", "number", "boolean", "null"] },
};

const createSchema: Schema = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string", description: "1 to 249 of a-z, A-Z, 0-9, dot, underscore and hyphen." },
    partitionCount: { type: "integer", default: 1 },
    replicationFactor: { type: "integer" },
    config: { ...configSchema, additionalProperties: { type: ["string", "number", "boolean"] } },
  },
  additionalProperties: false,
};

const alterSchema: Schema = {
  type: "object",
  properties: {
    partitionCount: { type: "integer", description: "Not fewer than now." },
    config: { ...configSchema, description: "null restores the default." },
  },
  additionalProperties: false,
};

interface CreateTopicBody {
  readonly name: string;
  readonly partitionCount?: number;
  readonly replicationFactor?: number;
  readonly config?: Record<string, unknown>;
}

export function topicRoutes({ broker, topicMetrics }: HttpContext): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/v1/topics",
      operationId: "listTopics",
      tag: "Topics",
      summary: "List topics, sorted by name",
      query: {
        ...listParameters,
        internal: { description: "The broker's own topics too.", schema: { type: "boolean", default: false } },
      },
      offers: objectOffers,
      answers: {
        200: {
          description: "The topics.",
          content: objectContent({
            type: "object",
            required: ["topics"],
            properties: {
              topics: { type: "array", items: { $ref: "#/components/schemas/TopicSummary" } },
              next: { type: "string", description: "Give it as after." },
            },
            additionalProperties: false,
          }),
        },
      },
      problems: [],
      handle: (exchange) => {
        const { query } = exchange;
        const internal = booleanParameter(query, "internal");
        exchange.answer(200, broker.listTopics({ ...listRange(query), internal }));
      },
    },
    {
      method: "POST",
      path: "/v1/topics",
      operationId: "createTopic",
      tag: "Topics",
      summary: "Create a topic",
      description: "May be repeated: 200 if the topic exists and nothing that was given differs.",
      body: objectContent(createSchema),
      bodyRequired: true,
      offers: objectOffers,
      answers: {
        200: topicAnswer("It exists, as asked."),
        201: { ...topicAnswer("It was created."), headers: ["location"] },
      },
      problems: [
        "INVALID_TOPIC_EXCEPTION",
        "INVALID_CONFIG",
        "INVALID_PARTITIONS",
        "TOPIC_ALREADY_EXISTS",
        "INVALID_REPLICATION_FACTOR",
      ],
      handle: async (exchange) => {
        const body = (await exchange.readObject(createSchema, true)) as unknown as CreateTopicBody;
        const { created, topic } = await broker.createTopic(body);
        if (created) exchange.reply.header("location", `/v1/topics/${topic.name}`);
        exchange.answer(created ? 201 : 200, topic);
      },
    },
    {
      method: "GET",
      path: "/v1/topics/:topic",
      operationId: "describeTopic",
      tag: "Topics",
      summary: "Describe a topic",
      offers: objectOffers,
      answers: { 200: topicAnswer("The topic.") },
      problems: ["UNKNOWN_TOPIC_OR_PARTITION"],
      handle: async (exchange) => exchange.answer(200, await broker.describeTopic(exchange.parameter("topic"))),
    },
    {
      method: "PATCH",
      path: "/v1/topics/:topic",
      operationId: "alterTopic",
      tag: "Topics",
      summary: "Change configs or add partitions",
      body: objectContent(alterSchema),
      bodyRequired: true,
      offers: objectOffers,
      answers: { 200: topicAnswer("The topic as it is now.") },
      problems: ["UNKNOWN_TOPIC_OR_PARTITION", "INVALID_CONFIG", "INVALID_PARTITIONS"],
      handle: async (exchange) => {
        const body = await exchange.readObject(alterSchema, true);
        exchange.answer(200, await broker.alterTopic(exchange.parameter("topic"), body));
      },
    },
    {
      method: "DELETE",
      path: "/v1/topics/:topic",
      operationId: "deleteTopic",
      tag: "Topics",
      summary: "Delete a topic and its records",
      offers: objectOffers,
      answers: { 204: { description: "It is gone; its name is free." } },
      problems: ["UNKNOWN_TOPIC_OR_PARTITION", "INVALID_TOPIC_EXCEPTION"],
      handle: async (exchange) => {
        const topic = exchange.parameter("topic");
        await broker.deleteTopic(topic);
        topicMetrics.forget(topic);
        exchange.empty();
      },
    },
  ];
}
