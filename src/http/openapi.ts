// The OpenAPI 3.1 document, from the routes and the table of codes: what is not in a route is not in the document.

import { type ErrorCode, errorCodes } from "../protocol/error-codes.ts";
import type { Schema } from "./json-schema.ts";
import { problemMediaType } from "./problem.ts";
import type { Answer, Parameter, Route } from "./route.ts";
import { namedSchemas } from "./schemas.ts";

const anywhere: readonly ErrorCode[] = [
  "INVALID_REQUEST",
  "ORIGIN_NOT_ALLOWED",
  "HOST_NOT_ALLOWED",
  "NOT_ACCEPTABLE",
  "UNKNOWN_SERVER_ERROR",
];
const withBody: readonly ErrorCode[] = [
  "MALFORMED_BODY",
  "PAYLOAD_TOO_LARGE",
  "UNSUPPORTED_MEDIA_TYPE",
  "THROTTLING_QUOTA_EXCEEDED",
];

const tags = [
  { name: "Topics", description: "Logs of records, in partitions." },
  { name: "Produce", description: "Append records. An acknowledgement means that they are on disk." },
  { name: "Read", description: "Read records by offset or time; read what is not there yet by waiting." },
  {
    name: "Consumer groups",
    description: "Consumers that share topics: the broker assigns partitions and keeps how far each was handled.",
  },
  { name: "Operation", description: "The broker itself." },
] as const;

export function openapiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:([a-zA-Z]+)/g, "{$1}");
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    jsonSchemaDialect: "https://json-schema.org/draft/2020-12/schema",
    info: {
      title: "Millrace",
      version,
      summary: "A durable message log over HTTP.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags,
    paths,
    components: { schemas: namedSchemas, headers: answerHeaders },
  };
}

const answerHeaders = {
  "next-offset": { description: "Where to go on.", schema: { type: "string" } },
  "high-watermark": { description: "Readers see what is below it.", schema: { type: "integer" } },
  "log-start-offset": { description: "The first offset that is still there.", schema: { type: "integer" } },
  location: { description: "Where the new resource is, relative.", schema: { type: "string" } },
} as const satisfies Record<string, { description: string; schema: Schema }>;

function operation(route: Route): object {
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    parameters: [
      ...pathParameters(route.path),
      ...Object.entries(route.query ?? {}).map(([name, parameter]) => parameterObject("query", name, parameter)),
      ...Object.entries(route.requestHeaders ?? {}).map(([name, parameter]) =>
        parameterObject("header", name, parameter),
      ),
    ],
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: route.bodyRequired === true, content: contentOf(route.body) } }),
    responses: responses(route),
  };
}

const pathParameterWords: Readonly<Record<string, { description: string; schema: Schema }>> = {
  topic: { description: "A topic's name.", schema: { type: "string" } },
  group: { description: "A group's id; names follow the rule of topics.", schema: { type: "string" } },
  member: { description: "A member's id, chosen by the client; unique in its group.", schema: { type: "string" } },
  partition: { description: "A partition's number, from 0.", schema: { type: "integer", minimum: 0 } },
};

function pathParameters(path: string): object[] {
  return [...path.matchAll(/:([a-zA-Z]+)/g)].map(([, name = ""]) => ({
    in: "path",
    name,
    required: true,
    ...pathParameterWords[name],
  }));
}

function parameterObject(place: "query" | "header", name: string, parameter: Parameter): object {
  const { description, schema, required } = parameter;
  return { in: place, name, description, schema, ...(required === true ? { required } : {}) };
}

const contentOf = (content: Readonly<Record<string, Schema>>): object =>
  Object.fromEntries(Object.entries(content).map(([mediaType, schema]) => [mediaType, { schema }]));

function responses(route: Route): object {
  const answers = Object.entries(route.answers).map(([status, answer]) => [status, answerObject(answer)] as const);
  const statuses = problemStatuses(route);
  const refusals = [...statuses]
    .filter(([status]) => !(status in route.answers))
    .map(([status, codes]) => [String(status), problemObject(codes)] as const);
  return Object.fromEntries([...answers, ...refusals]);
}

/** The codes a route can answer with, by status. */
export function problemStatuses(route: Route): ReadonlyMap<number, readonly ErrorCode[]> {
  const codes = new Set([...anywhere, ...(route.body === undefined ? [] : withBody), ...route.problems]);
  const statuses = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = route.ownStatuses?.[code] ?? errorCodes[code].httpStatus;
    statuses.set(status, [...(statuses.get(status) ?? []), code]);
  }
  // A write in doubt is 504 whatever its code.
  if (route.produce === true)
    statuses.set(504, [...new Set([...(statuses.get(504) ?? []), "KAFKA_STORAGE_ERROR" as const])]);
  return new Map([...statuses].sort(([a], [b]) => a - b));
}

function answerObject({ description, headers, content }: Answer): object {
  return {
    description,
    ...(headers === undefined
      ? {}
      : { headers: Object.fromEntries(headers.map((name) => [name, { $ref: `#/components/headers/${name}` }])) }),
    ...(content === undefined ? {} : { content: contentOf(content) }),
  };
}

const problemObject = (codes: readonly ErrorCode[]): object => ({
  description: codes.map((code) => `${code}: ${errorCodes[code].title}.`).join("\n"),
  content: { [problemMediaType]: { schema: { $ref: "#/components/schemas/Problem" } } },
});
