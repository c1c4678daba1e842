// What a client may send, once: by kind of frame, its fields and what they may hold. Parsing, the AsyncAPI document and the tests go by
// this table. Only produce frames, which carry records, have a parser of their own that knows the same fields.

import type { PartFormat } from "../formats/produce-options.ts";
import { positionsSchema } from "../group-positions.ts";
import type { Schema } from "../json-schema.ts";
import { maxTopicsPerMember, nameCharactersMax, sessionTimeoutMsMax, sessionTimeoutMsMin } from "../limits.ts";
import { produceProperties } from "../routes/records-produce-words.ts";
import { formatSchema } from "../schemas.ts";
import { groupWindowDefault, idCharactersMax, maxWindowBytes, maxWindowRecords } from "./socket-limits.ts";

/** Chosen by the client; echoed as it came. */
export type FrameId = string | number;

const id: Schema = {
  type: ["string", "integer"],
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  maxLength: idCharactersMax,
  description: "Chosen by the client and echoed; in use until its last answer.",
};
const subscriptionId: Schema = { ...id, description: "Of a subscription." };
const topic: Schema = { type: "string", maxLength: nameCharactersMax };
const name: Schema = { type: "string", maxLength: nameCharactersMax };
const partition: Schema = { type: "integer", minimum: 0, maximum: 2 ** 31 - 1 };

export const windowSchema: Schema = {
  type: "object",
  properties: {
    records: { type: "integer", minimum: 1, maximum: maxWindowRecords },
    bytes: { type: "integer", minimum: 1, maximum: maxWindowBytes },
  },
  additionalProperties: false,
  description: "How much may be on its way un-acked; a single larger record is let through.",
};

const reading = {
  window: windowSchema,
  offsetReset: { type: "string", enum: ["error", "earliest", "latest"], description: "For an offset that is gone." },
  keyFormat: { ...formatSchema, default: "string", description: "JSON only: how keys are shown." },
  valueFormat: { ...formatSchema, default: "json", description: "JSON only: how values are shown." },
} as const satisfies Record<string, Schema>;

const offsetExpression: Schema = {
  type: ["string", "integer"],
  maxLength: 65_536,
  description: "As offset of a read over HTTP.",
};

interface ClientFrameInfo {
  readonly summary: string;
  readonly properties: Readonly<Record<string, Schema>>;
  readonly required: readonly string[];
}

const table = {
  auth: {
    summary:
      "Who the client is. Only the first frame, where authentication is on; where it is off nothing looks at it.",
    properties: { token: { type: "string", maxLength: 65_536 } },
    required: ["token"],
  },
  produce: {
    summary: "Append records: the body of the HTTP route. With a partition it is the route of one partition.",
    properties: {
      id,
      topic,
      partition,
      idempotencyKey: { type: "string", maxLength: 128, description: "As the header of the HTTP routes." },
      batch: { description: "Msgpack only, instead of records: one RecordBatch v2 as bin, to one partition." },
      ...produceProperties,
    },
    required: ["id", "topic"],
  },
  subscribe: {
    summary: "Read partitions of a topic from places of one's own choice.",
    properties: {
      id,
      topic,
      offset: { ...offsetExpression, default: "earliest" },
      until: { ...offsetExpression, description: "Exclusive end; the subscription closes there." },
      partitions: { type: "array", items: partition, description: "Default: all." },
      positions: { ...positionsSchema, description: "Where to go on; wins over offset for the partitions it names." },
      ...reading,
      format: {
        type: "string",
        enum: ["records", "batch"],
        default: "records",
        description:
          "Msgpack only. batch: whole stored batches; a window counts their records and their bytes as stored.",
      },
    },
    required: ["id", "topic"],
  },
  subscribeGroup: {
    summary: "Be a member of a consumer group.",
    properties: {
      id,
      group: name,
      memberId: name,
      topics: { type: "array", items: topic, description: `At most ${maxTopicsPerMember}.` },
      instanceId: name,
      sessionTimeoutMs: {
        type: "integer",
        minimum: sessionTimeoutMsMin,
        maximum: sessionTimeoutMsMax,
        default: 45_000,
      },
      ...reading,
      window: {
        ...windowSchema,
        description: `${windowSchema.description} Default ${groupWindowDefault.records} records, ${groupWindowDefault.bytes} bytes.`,
      },
    },
    required: ["id", "group", "memberId", "topics"],
  },
  ack: {
    summary: "Everything below each nextOffset is handled. In a group also the commit, answered by acked.",
    properties: { id: subscriptionId, positions: positionsSchema },
    required: ["id", "positions"],
  },
  seek: {
    summary: "Go on from elsewhere; what was un-acked of these partitions is forgotten.",
    properties: { id: subscriptionId, positions: positionsSchema },
    required: ["id", "positions"],
  },
  unsubscribe: {
    summary: "End a subscription; a member leaves.",
    properties: { id: subscriptionId },
    required: ["id"],
  },
  ping: { summary: "Is anybody there?", properties: { id }, required: ["id"] },
} as const satisfies Record<string, ClientFrameInfo>;

export type ClientFrameKind = keyof typeof table;
export const clientFrames: Readonly<Record<ClientFrameKind, ClientFrameInfo>> = table;

/** The `type` of a kind: a group's subscribe is a subscribe with a group. */
export const typeOfKind = (kind: ClientFrameKind): string => (kind === "subscribeGroup" ? "subscribe" : kind);

/** Whole frames, as the document shows them and as parsing checks them. */
export const clientFrameSchemas: Readonly<Record<ClientFrameKind, Schema>> = Object.fromEntries(
  Object.entries(clientFrames).map(([kind, { properties, required }]) => [
    kind,
    {
      type: "object",
      properties: { type: { const: typeOfKind(kind as ClientFrameKind) }, ...properties },
      required: ["type", ...required],
      additionalProperties: false,
    },
  ]),
) as unknown as Record<ClientFrameKind, Schema>;

export interface Window {
  readonly records?: number;
  readonly bytes?: number;
}

interface Reading {
  readonly window?: Window;
  readonly offsetReset?: "error" | "earliest" | "latest";
  readonly keyFormat?: PartFormat;
  readonly valueFormat?: PartFormat;
}

export interface SubscribeFrame extends Reading {
  readonly id: FrameId;
  readonly topic: string;
  readonly offset?: string | number;
  readonly until?: string | number;
  readonly partitions?: readonly number[];
  readonly positions?: unknown;
  readonly format?: "records" | "batch";
}

export interface SubscribeGroupFrame extends Reading {
  readonly id: FrameId;
  readonly group: string;
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly instanceId?: string;
  readonly sessionTimeoutMs?: number;
}

export interface PositionsFrame {
  readonly id: FrameId;
  readonly positions: unknown;
}

export interface IdFrame {
  readonly id: FrameId;
}
