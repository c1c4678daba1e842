// What the read routes take and answer, for the OpenAPI document.

import type { Settings } from "../../config.ts";
import { pageBytesDefault, pageRecordsDefault } from "../limits.ts";
import { mediaTypes } from "../media-type.ts";
import type { Answer, Parameter, Route } from "../route.ts";
import { formatSchema, wholeNumberFrom } from "../schemas.ts";

const offset: Parameter = {
  description:
    "Where to begin: a number (one partition), earliest, latest, -n (the last n of each partition), @ms or @2026-11-21T10:00:00Z (the first record at or after), over several partitions also 0:43,1:99. Every nextOffset and SSE id is such a value.",
  schema: { type: "string", default: "earliest" },
};
const until: Parameter = {
  description: "Where to end, exclusive; the same grammar, resolved when the request comes.",
  schema: { type: "string" },
};

function parameters({ maxPageBytes, maxWaitMs }: Settings): Readonly<Record<string, Parameter>> {
  return {
    offset,
    until,
    offsetReset: {
      description: "What to do when the offset is gone.",
      schema: { type: "string", enum: ["error", "earliest", "latest"], default: "error" },
    },
    maxRecords: {
      description: "Of a page; a stream has no limit unless one is given.",
      schema: { ...wholeNumberFrom(1), default: pageRecordsDefault },
    },
    maxBytes: {
      description: `Of a page (at most ${maxPageBytes}); the first record comes even if it is larger. A stream has no limit unless one is given.`,
      schema: { ...wholeNumberFrom(1), default: pageBytesDefault },
    },
    minBytes: { description: "A page that waits, waits for so much.", schema: { ...wholeNumberFrom(0), default: 1 } },
    waitMs: {
      description: `How long a page may wait for records; above ${maxWaitMs} it is lowered to that.`,
      schema: { ...wholeNumberFrom(0), default: 0 },
    },
    keyFormat: { description: "How JSON shows keys.", schema: { ...formatSchema, default: "string" } },
    valueFormat: { description: "How JSON shows values.", schema: { ...formatSchema, default: "json" } },
    follow: {
      description: "NDJSON for ever, with an empty line every 15 s of silence.",
      schema: { type: "boolean", default: false },
    },
  };
}

const partitions: Readonly<Record<string, Parameter>> = {
  partitions: { description: "Only these, as 0,3,5; default all.", schema: { type: "string" } },
};

const lastEventId: Readonly<Record<string, Parameter>> = {
  "Last-Event-ID": { description: "Wins over offset for server-sent events.", schema: { type: "string" } },
};

const page = { $ref: "#/components/schemas/Page" };
const content = {
  [mediaTypes.json]: page,
  [mediaTypes.msgpack]: page,
  [mediaTypes.eventStream]: {
    type: "string",
    description: "data: is a page, id: its nextOffset. event: problem carries a problem and ends the stream.",
  },
  [mediaTypes.ndjson]: {
    type: "string",
    description: "One record a line, to until or to the end as it was at the start.",
  },
} as const;
const batches = {
  [mediaTypes.recordBatch]: {
    type: "string",
    contentEncoding: "binary",
    description: "Whole stored batches; the first may begin before offset.",
  },
} as const;

const placeHeaders = ["next-offset", "high-watermark", "log-start-offset"];
const nothingLeft: Answer = { description: "Server-sent events: nothing is left before until." };
const problems = [
  "UNKNOWN_TOPIC_OR_PARTITION",
  "OFFSET_OUT_OF_RANGE",
  "KAFKA_STORAGE_ERROR",
  "NOT_LEADER_OR_FOLLOWER",
  "OFFSET_NOT_AVAILABLE",
] as const;

const topicTypes = Object.keys(content);
const partitionTypes = [...topicTypes, mediaTypes.recordBatch];

export const topicReadRoute = (settings: Settings): Omit<Route, "handle"> => ({
  method: "GET",
  path: "/v1/topics/:topic/records",
  operationId: "readTopic",
  tag: "Read",
  summary: "Read all or some partitions of a topic",
  description: "Ordered within each partition, not between them.",
  query: { ...parameters(settings), ...partitions },
  requestHeaders: lastEventId,
  offers: topicTypes,
  ownHead: true,
  answers: { 200: { description: "Records.", headers: ["next-offset"], content }, 204: nothingLeft },
  problems,
});

export const partitionReadRoute = (settings: Settings): Omit<Route, "handle"> => ({
  method: "GET",
  path: "/v1/topics/:topic/partitions/:partition/records",
  operationId: "readPartition",
  tag: "Read",
  summary: "Read one partition",
  query: parameters(settings),
  requestHeaders: lastEventId,
  offers: partitionTypes,
  ownHead: true,
  answers: {
    200: { description: "Records.", headers: placeHeaders, content: { ...content, ...batches } },
    204: nothingLeft,
  },
  problems,
});

export const topicHeadRoute = (settings: Settings): Omit<Route, "handle"> => ({
  ...topicReadRoute(settings),
  method: "HEAD",
  operationId: "locateInTopic",
  summary: "The place offset points to, at once",
  answers: { 200: { description: "In the headers.", headers: ["next-offset"] } },
});

export const partitionHeadRoute = (settings: Settings): Omit<Route, "handle"> => ({
  ...partitionReadRoute(settings),
  method: "HEAD",
  operationId: "locateInPartition",
  summary: "The place offset points to, at once",
  answers: { 200: { description: "In the headers.", headers: placeHeaders } },
});
