// What the server sends, once: by type, for the AsyncAPI document and for the tests, which hold every frame against it.

import type { Schema } from "../json-schema.ts";
import { offsetSchema } from "../schemas.ts";
import { idCharactersMax } from "./socket-limits.ts";

const id: Schema = { type: ["string", "integer"], maxLength: idCharactersMax };
const text: Schema = { type: "string" };
const partition: Schema = { type: "integer", minimum: 0 };
const position: Schema = {
  type: "object",
  required: ["topic", "partition", "nextOffset"],
  properties: {
    topic: text,
    partition,
    nextOffset: offsetSchema,
    leaderEpoch: { type: "integer" },
    metadata: text,
  },
  additionalProperties: false,
};
const positions: Schema = { type: "array", items: position };
const topicPartition: Schema = {
  type: "object",
  required: ["topic", "partition"],
  properties: { topic: text, partition },
  additionalProperties: false,
};
const reset: Schema = {
  type: "array",
  description: "Where offsetReset had to be used.",
  items: {
    type: "object",
    required: ["topic", "partition", "from", "to"],
    properties: { topic: text, partition, from: { type: ["integer", "string"] }, to: offsetSchema },
    additionalProperties: false,
  },
};
const delivery = {
  id,
  topic: text,
  partition,
  nextOffset: { ...offsetSchema, description: "Where to go on behind these records; gaps are passed." },
  highWatermark: offsetSchema,
  leaderEpoch: { type: "integer", description: "Of the last record." },
  caughtUp: { type: "boolean", description: "There was nothing more to read." },
} as const satisfies Record<string, Schema>;

interface ServerFrameInfo {
  readonly summary: string;
  readonly properties: Readonly<Record<string, Schema>>;
  readonly required: readonly string[];
}

const table = {
  ready: {
    summary: "The first frame: frames are taken now.",
    properties: {
      brokerId: { type: "integer" },
      limits: { type: "object", additionalProperties: { type: "number" } },
    },
    required: ["brokerId", "limits"],
  },
  produced: {
    summary: "The answer of the HTTP route; with acks 0 nothing but the id.",
    properties: {
      id,
      offsets: { type: "array", items: { $ref: "#/components/schemas/ProducedOffset" } },
      partition,
      baseOffset: offsetSchema,
      lastOffset: offsetSchema,
      leaderEpoch: { type: "integer" },
      duplicate: { type: "boolean" },
    },
    required: ["id"],
  },
  subscribed: {
    summary: "From where each partition is read; records follow.",
    properties: { id, positions, reset },
    required: ["id", "positions"],
  },
  records: {
    summary: "Records of one partition, in order.",
    properties: { ...delivery, records: { type: "array", items: { $ref: "#/components/schemas/Record" } } },
    required: ["id", "topic", "partition", "nextOffset", "highWatermark", "leaderEpoch", "records"],
  },
  batches: {
    summary: "Whole stored batches of one partition; the first may start before the place asked for.",
    properties: { ...delivery, batches: { description: "bin" } },
    required: ["id", "topic", "partition", "nextOffset", "highWatermark", "leaderEpoch", "batches"],
  },
  assigned: {
    summary: "What this member reads from now on, and from where.",
    properties: {
      id,
      memberEpoch: { type: "integer" },
      assignment: {
        type: "array",
        items: {
          type: "object",
          required: ["topic", "partitions"],
          properties: { topic: text, partitions: { type: "array", items: partition } },
          additionalProperties: false,
        },
      },
      positions,
      reset,
    },
    required: ["id", "memberEpoch", "assignment", "positions"],
  },
  revoking: {
    summary:
      "Nothing more of these comes; they go on as soon as what was delivered is acked, at the latest in deadlineMs.",
    properties: {
      id,
      partitions: { type: "array", items: topicPartition },
      deadlineMs: { type: "integer", minimum: 0 },
    },
    required: ["id", "partitions", "deadlineMs"],
  },
  acked: {
    summary: "A group's acks that are durable now.",
    properties: { id, positions },
    required: ["id", "positions"],
  },
  ok: { summary: "The seek happened: what follows comes from there.", properties: { id }, required: ["id"] },
  closed: {
    summary: "The last frame of a subscription. With a code it was not the client's wish, nor the end it asked for.",
    properties: { id, code: text },
    required: ["id"],
  },
  pong: { summary: "The answer to a ping.", properties: { id }, required: ["id"] },
  problem: {
    summary: "A frame that was refused, or why a subscription closes.",
    properties: { id, problem: { $ref: "#/components/schemas/Problem" } },
    required: ["problem"],
  },
  goaway: {
    summary: "The broker shuts down: come back, to any broker, after so long. Close 1012 follows.",
    properties: { reconnectAfterMs: { type: "integer", minimum: 0 } },
    required: ["reconnectAfterMs"],
  },
} as const satisfies Record<string, ServerFrameInfo>;

export type ServerFrameType = keyof typeof table;
export const serverFrames: Readonly<Record<ServerFrameType, ServerFrameInfo>> = table;

/** Frames may gain fields within v1; the tests are stricter. */
export const serverFrameSchemas: Readonly<Record<ServerFrameType, Schema>> = Object.fromEntries(
  Object.entries(serverFrames).map(([type, { properties, required }]) => [
    type,
    { type: "object", properties: { type: { const: type }, ...properties }, required: ["type", ...required] },
  ]),
) as unknown as Record<ServerFrameType, Schema>;

/** A frame that is no delivery. */
export type ServerFrame = { readonly type: Exclude<ServerFrameType, "records" | "batches"> } & Readonly<
  Record<string, unknown>
>;
