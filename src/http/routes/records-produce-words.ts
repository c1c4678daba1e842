// What the produce routes take and answer, for the OpenAPI document.

import { produceTimeoutMsMax } from "../formats/produce-options.ts";
import type { Schema } from "../json-schema.ts";
import { mediaTypes } from "../media-type.ts";
import { objectContent, objectOffers, type Parameter, type Route } from "../route.ts";
import { formatSchema, offsetSchema } from "../schemas.ts";

const acks: Schema = {
  enum: ["all", 1, 0],
  default: "all",
  description: "all: on every in-sync replica, synced. 1: on the leader. 0: 202 without waiting.",
};
const timeoutMs: Schema = { type: "integer", minimum: 1, maximum: produceTimeoutMsMax, default: 30_000 };

const options = {
  acks,
  timeoutMs,
  keyFormat: { ...formatSchema, default: "string", description: "How keys are written." },
  valueFormat: { ...formatSchema, default: "json", description: "How values are written." },
} as const satisfies Record<string, Schema>;

const producerOptions = {
  producerId: { ...offsetSchema, description: "With producerEpoch and baseSequence, all or none." },
  producerEpoch: { type: "integer", minimum: 0, maximum: 32_766 },
  baseSequence: { type: "integer", minimum: 0, maximum: 2 ** 31 - 1, description: "Of the first record." },
  expectedOffset: { ...offsetSchema, description: "Append only if the first record gets this offset." },
} as const satisfies Record<string, Schema>;

const records: Schema = {
  type: "array",
  minItems: 1,
  items: { $ref: "#/components/schemas/ProducedRecord" },
};

const topicBody: Schema = {
  type: "object",
  required: ["records"],
  properties: { records, ...options },
  additionalProperties: false,
};
/** Of the partition route: all that the body of a produce may say. */
export const produceProperties = { records, ...options, ...producerOptions };
const partitionBody: Schema = { ...topicBody, properties: produceProperties };

const parametersOf = (schemas: Readonly<Record<string, Schema>>, onlyFor: string): Record<string, Parameter> =>
  Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [
      name,
      { description: `${schema.description ?? name} ${onlyFor}`, schema },
    ]),
  );

const notObjects = "(bodies that are no object)";
const keyParameter: Parameter = {
  description: "The record's key, in UTF-8 (octet-stream).",
  schema: { type: "string" },
};

const requestHeaders: Readonly<Record<string, Parameter>> = {
  "Idempotency-Key": {
    description:
      "The same key appends nothing twice for ten minutes. JSON, msgpack and octet-stream; not with producerId.",
    schema: { type: "string", minLength: 1, maxLength: 128, pattern: "^[\\x21-\\x7e]+$" },
  },
};

const bytes: Schema = { type: "string", contentEncoding: "binary" };
const commonBodies = {
  [mediaTypes.ndjson]: { type: "string", description: "One record a line, any length; appended as it arrives." },
  [mediaTypes.bytes]: { ...bytes, description: "One record: the value as it is. Headers from record-header-<name>." },
} as const satisfies Record<string, Schema>;

const linesAnswer: Schema = {
  type: "object",
  required: ["appended"],
  properties: { appended: { type: "integer", minimum: 0, description: "Lines." } },
  additionalProperties: false,
};

const notWaited = {
  description: "acks 0: nobody waited.",
  content: objectContent({ type: "object", additionalProperties: false }),
};

const topicAnswer: Schema = {
  type: "object",
  required: ["offsets"],
  properties: { offsets: { type: "array", items: { $ref: "#/components/schemas/ProducedOffset" } } },
  additionalProperties: false,
};
const partitionAnswer: Schema = {
  type: "object",
  required: ["partition", "baseOffset", "lastOffset", "leaderEpoch", "duplicate"],
  properties: {
    partition: { type: "integer" },
    baseOffset: offsetSchema,
    lastOffset: offsetSchema,
    leaderEpoch: { type: "integer" },
    duplicate: { type: "boolean", description: "It was in the log already; the offsets are the first ones." },
  },
  additionalProperties: false,
};

const problems = [
  "UNKNOWN_TOPIC_OR_PARTITION",
  "INVALID_TOPIC_EXCEPTION",
  "MALFORMED_BODY",
  "INVALID_RECORD",
  "INVALID_TIMESTAMP",
  "PAYLOAD_TOO_LARGE",
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "UNSUPPORTED_MEDIA_TYPE",
  "IDEMPOTENCY_KEY_REUSED",
  "THROTTLING_QUOTA_EXCEEDED",
  "KAFKA_STORAGE_ERROR",
  "NOT_LEADER_OR_FOLLOWER",
  "NOT_ENOUGH_REPLICAS",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "REQUEST_TIMED_OUT",
  "BROKER_SHUTTING_DOWN",
] as const;

export const topicProduceRoute: Omit<Route, "handle"> = {
  method: "POST",
  path: "/v1/topics/:topic/records",
  operationId: "produceToTopic",
  tag: "Produce",
  summary: "Append records to the partitions of a topic",
  description:
    "Atomic for each partition. If a part fails the answer is the problem of its worst part, with offsets: one entry for each record.",
  query: { key: keyParameter, ...parametersOf(options, notObjects) },
  requestHeaders,
  body: { ...objectContent(topicBody), ...commonBodies },
  bodyRequired: true,
  offers: objectOffers,
  produce: true,
  answers: {
    200: {
      description: "All is in the log: where each record is; of NDJSON how many lines.",
      content: objectContent({ oneOf: [topicAnswer, linesAnswer] }),
    },
    202: notWaited,
  },
  problems,
};

export const partitionProduceRoute: Omit<Route, "handle"> = {
  method: "POST",
  path: "/v1/topics/:topic/partitions/:partition/records",
  operationId: "produceToPartition",
  tag: "Produce",
  summary: "Append records to one partition",
  query: { key: keyParameter, ...parametersOf({ ...options, ...producerOptions }, notObjects) },
  requestHeaders,
  body: {
    [mediaTypes.json]: partitionBody,
    [mediaTypes.msgpack]: partitionBody,
    ...commonBodies,
    [mediaTypes.recordBatch]: {
      ...bytes,
      description: "One RecordBatch v2, appended untouched but for offsets and epoch.",
    },
  },
  bodyRequired: true,
  offers: objectOffers,
  produce: true,
  answers: {
    200: {
      description: "It is in the log: where the batch is; of NDJSON how many lines.",
      content: objectContent({ oneOf: [partitionAnswer, linesAnswer] }),
    },
    202: notWaited,
  },
  problems: [
    ...problems,
    "EXPECTED_OFFSET_MISMATCH",
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "INVALID_PRODUCER_EPOCH",
    "CORRUPT_MESSAGE",
    "UNSUPPORTED_COMPRESSION_TYPE",
  ],
};
