// The shapes that more than one route answers with, under the names they have in the OpenAPI document.

import type { Schema } from "./json-schema.ts";

export const offsetSchema: Schema = { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const partition: Schema = { type: "integer", minimum: 0, maximum: 2 ** 31 - 1 };
const text: Schema = { type: "string" };
const count: Schema = { type: "integer", minimum: 0 };
export const formatSchema: Schema = { type: "string", enum: ["json", "string", "base64"] };

const topicSummary = {
  name: text,
  topicId: { type: "string", description: "Differs from that of an earlier topic of this name." },
  partitionCount: { type: "integer", minimum: 1 },
  replicationFactor: { type: "integer", minimum: 1 },
  internal: { type: "boolean", description: "Kept by the broker itself: readable, not writable." },
} as const satisfies Record<string, Schema>;

const configValues: Schema = { type: ["string", "number", "boolean"] };

const producedOffset: Schema = {
  type: "object",
  required: ["partition"],
  properties: {
    partition,
    offset: offsetSchema,
    duplicate: { type: "boolean", description: "It was in the log already; the offset is the first one." },
    code: { type: "string", description: "In a problem: why this record is not in the log." },
    maybeAppended: { type: "boolean" },
  },
};

const recordProperties = {
  partition,
  offset: offsetSchema,
  timestamp: { type: "integer", description: "Milliseconds since the epoch." },
  key: { description: "null: the record has no key." },
  value: { description: "null: a tombstone." },
  headers: { type: "array", items: { $ref: "#/components/schemas/RecordHeader" } },
  keyFormat: { ...formatSchema, description: "There when the bytes did not fit the format that was asked for." },
  valueFormat: { ...formatSchema, description: "There when the bytes did not fit the format that was asked for." },
} as const satisfies Record<string, Schema>;

export const namedSchemas: Readonly<Record<string, Schema>> = {
  Problem: {
    type: "object",
    description: "RFC 9457. More fields name what was met: limit, unknown, logEndOffset, expectedSequence and others.",
    required: ["type", "title", "status", "detail", "code", "retriable", "requestId"],
    properties: {
      type: { type: "string", description: "Where the code is explained." },
      title: text,
      status: { type: "integer" },
      detail: text,
      code: { type: "string", description: "Kafka's name of the error where Kafka has one." },
      retriable: { type: "boolean", description: "Trying again can succeed; says nothing about duplicates." },
      retryAfterMs: count,
      requestId: text,
      maybeAppended: { type: "boolean", description: "Of a produce: false means surely not in the log." },
      limit: {
        type: "object",
        required: ["name", "value"],
        properties: { name: text, value: { type: "number" } },
      },
      offsets: { type: "array", items: { $ref: "#/components/schemas/ProducedOffset" } },
    },
  },
  TopicSummary: {
    type: "object",
    required: Object.keys(topicSummary),
    properties: topicSummary,
    additionalProperties: false,
  },
  Topic: {
    type: "object",
    required: [...Object.keys(topicSummary), "config", "effectiveConfig", "partitions"],
    properties: {
      ...topicSummary,
      config: { type: "object", description: "What was set for this topic.", additionalProperties: configValues },
      effectiveConfig: {
        type: "object",
        description: "All configs, defaults included.",
        additionalProperties: configValues,
      },
      partitions: { type: "array", items: { $ref: "#/components/schemas/Partition" } },
    },
    additionalProperties: false,
  },
  Partition: {
    type: "object",
    required: ["partition", "leader", "leaderEpoch", "replicas", "inSyncReplicas"],
    properties: {
      partition,
      leader: { type: ["integer", "null"] },
      leaderEpoch: { type: "integer" },
      replicas: { type: "array", items: { type: "integer" } },
      inSyncReplicas: { type: "array", items: { type: "integer" } },
      logStartOffset: { type: ["integer", "null"] },
      highWatermark: { type: ["integer", "null"] },
      logEndOffset: { type: ["integer", "null"] },
      sizeBytes: { type: ["integer", "null"] },
    },
  },
  ResolvedOffset: {
    type: "object",
    required: ["partition", "offset", "timestamp", "logStartOffset", "highWatermark", "logEndOffset"],
    properties: {
      partition,
      offset: offsetSchema,
      timestamp: { type: ["integer", "null"], description: "Of the record there; null if there is none." },
      logStartOffset: offsetSchema,
      highWatermark: offsetSchema,
      logEndOffset: offsetSchema,
    },
    additionalProperties: false,
  },
  RecordHeader: {
    type: "object",
    required: ["key", "value"],
    properties: {
      key: text,
      value: { description: "In JSON a string or null, in msgpack bin or nil." },
      valueFormat: formatSchema,
    },
  },
  Record: { type: "object", required: ["offset", "timestamp", "key", "value"], properties: recordProperties },
  Page: {
    type: "object",
    required: ["topic", "records", "nextOffset", "caughtUp"],
    properties: {
      topic: text,
      partition,
      records: { type: "array", items: { $ref: "#/components/schemas/Record" } },
      nextOffset: { type: ["integer", "string"], description: "Where to go on; a cursor over several partitions." },
      caughtUp: { type: "boolean", description: "There was nothing more to read." },
      logStartOffset: offsetSchema,
      highWatermark: offsetSchema,
      reset: {
        type: "object",
        description: "offsetReset had to be used.",
        required: ["from", "to"],
        properties: { from: { type: ["integer", "string"] }, to: { type: ["integer", "string"] } },
      },
    },
  },
  ProducedRecord: {
    type: "object",
    required: ["value"],
    properties: {
      key: { description: "As keyFormat says; null or left out: no key." },
      value: {
        description: "As valueFormat says; any JSON value is stored as the very text that was sent. null: a tombstone.",
      },
      headers: { type: "array", items: { $ref: "#/components/schemas/RecordHeader" } },
      timestamp: { type: "integer", description: "Milliseconds since the epoch; default: now." },
      partition: { ...partition, description: "On the topic route; else by the key, as Kafka's default partitioner." },
    },
    additionalProperties: false,
  },
  ProducedOffset: producedOffset,
  Producer: {
    type: "object",
    required: ["producerId", "producerEpoch", "lastSequence", "lastTimestamp"],
    properties: {
      producerId: count,
      producerEpoch: count,
      lastSequence: { type: "integer" },
      lastTimestamp: { type: "integer" },
    },
    additionalProperties: false,
  },
};
