// The shapes that more than one route answers with, under the names they have in the OpenAPI document.

import type { Schema } from "./json-schema.ts";

/** As exact as a JSON number can be. */
export const wholeNumberFrom = (minimum: number) =>
  ({ type: "integer", minimum, maximum: Number.MAX_SAFE_INTEGER }) as const;
export const offsetSchema: Schema = wholeNumberFrom(0);
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
  topic: { type: "string", description: "Where the surroundings do not say it." },
  partition,
  offset: offsetSchema,
  timestamp: { type: "integer", description: "Milliseconds since the epoch." },
  key: { description: "null: the record has no key." },
  value: { description: "null: a tombstone." },
  headers: { type: "array", items: { $ref: "#/components/schemas/RecordHeader" } },
  keyFormat: { ...formatSchema, description: "There when the bytes did not fit the format that was asked for." },
  valueFormat: { ...formatSchema, description: "There when the bytes did not fit the format that was asked for." },
} as const satisfies Record<string, Schema>;

const place = { topic: text, partition, nextOffset: offsetSchema } as const satisfies Record<string, Schema>;
const nullableCount: Schema = { type: ["integer", "null"], minimum: 0 };
const groupState: Schema = { type: "string", enum: ["empty", "assigning", "reconciling", "stable"] };
const assignment: Schema = { type: "array", items: { $ref: "#/components/schemas/TopicPartitions" } };

/** Of consumer groups. */
const groupSchemas: Readonly<Record<string, Schema>> = {
  Position: {
    type: "object",
    description: "Where to go on: the last handled record's offset + 1.",
    required: ["topic", "partition", "nextOffset"],
    properties: place,
  },
  TopicPartitions: {
    type: "object",
    required: ["topic", "partitions"],
    properties: { topic: text, partitions: { type: "array", items: partition } },
  },
  Poll: {
    type: "object",
    required: ["memberEpoch", "heartbeatIntervalMs", "assignment", "records", "positions"],
    properties: {
      memberEpoch: { ...count, description: "Goes into the next poll; says nothing else." },
      heartbeatIntervalMs: { ...count, description: "How often to poll while records are being handled." },
      assignment: { ...assignment, description: "All that the member has." },
      records: { type: "array", items: { $ref: "#/components/schemas/Record" } },
      positions: {
        type: "array",
        items: { $ref: "#/components/schemas/Position" },
        description: "Where each assigned partition would go on: the commit of the next poll. Empty for maxRecords 0.",
      },
      notCommitted: {
        type: "array",
        description: "What was left out of the commit, its records will be delivered again.",
        items: {
          type: "object",
          required: ["topic", "partition", "code"],
          properties: { topic: text, partition, code: text },
        },
      },
      reset: {
        type: "array",
        description: "offsetReset had to be used for places that are not in the log any more.",
        items: {
          type: "object",
          required: ["topic", "partition", "from", "to"],
          properties: { topic: text, partition, from: offsetSchema, to: offsetSchema },
        },
      },
    },
    additionalProperties: false,
  },
  GroupSummary: {
    type: "object",
    required: ["groupId", "state", "members"],
    properties: {
      groupId: text,
      state: groupState,
      members: count,
      lag: { ...count, description: "Records still to read, with lag=true." },
      lagMs: { ...nullableCount, description: "The age of the oldest of them; null when it cannot be told." },
    },
    additionalProperties: false,
  },
  Group: {
    type: "object",
    required: ["groupId", "state", "groupEpoch", "assignmentEpoch", "coordinator", "members"],
    properties: {
      groupId: text,
      state: groupState,
      groupEpoch: { ...count, description: "Rises with every change of members or topics." },
      assignmentEpoch: { ...count, description: "The group epoch that the assignment is for." },
      coordinator: { type: "integer", description: "A broker's id." },
      members: { type: "array", items: { $ref: "#/components/schemas/GroupMember" } },
    },
    additionalProperties: false,
  },
  GroupMember: {
    type: "object",
    required: ["memberId", "memberEpoch", "topics", "assignment"],
    properties: {
      memberId: text,
      instanceId: text,
      memberEpoch: { type: "integer" },
      topics: { type: "array", items: text },
      assignment,
    },
    additionalProperties: false,
  },
  GroupPosition: {
    type: "object",
    required: ["topic", "partition", "nextOffset", "metadata", "highWatermark", "lag", "lagMs", "memberId"],
    properties: {
      topic: text,
      partition,
      nextOffset: { ...offsetSchema, type: ["integer", "null"], description: "null: nothing is committed." },
      metadata: { type: ["string", "null"], description: "As it was committed." },
      highWatermark: { ...nullableCount, description: "null, as the lag, while the partition is offline." },
      lag: { ...nullableCount, description: "Records still to read; without a commit from the earliest one." },
      lagMs: {
        ...nullableCount,
        description: "The age of the oldest of them, 0 if there is none; null when it cannot be told.",
      },
      memberId: { type: ["string", "null"], description: "Who has the partition." },
    },
    additionalProperties: false,
  },
  ResetPosition: {
    type: "object",
    required: ["topic", "partition", "nextOffset", "previous"],
    properties: { ...place, previous: { ...nullableCount, description: "null: nothing was committed." } },
    additionalProperties: false,
  },
};

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
  ...groupSchemas,
};
