// A route is data: what it takes, what it answers, which words it uses for that; and one function. The router, the checks before it and
// the OpenAPI document are all made from it.

import type { FastifyReply, FastifyRequest } from "fastify";
import { BrokerError, type ErrorCode } from "../protocol/error-codes.ts";
import { hasBody, readBody } from "./body.ts";
import { parseJsonBody, parseMsgpackBody } from "./formats/body-values.ts";
import { encodeMsgpack } from "./formats/msgpack-writer.ts";
import type { HttpContext } from "./http-context.ts";
import { checkAgainst, type FieldHints, type Schema } from "./json-schema.ts";
import { contentMediaType, mediaTypes } from "./media-type.ts";
import type { OwnStatuses } from "./problem.ts";
import type { Query } from "./query.ts";

export type Method = "GET" | "HEAD" | "POST" | "PATCH" | "DELETE";

export interface Parameter {
  readonly description: string;
  readonly schema: Schema;
  readonly required?: boolean;
}

export interface Answer {
  readonly description: string;
  readonly headers?: readonly string[];
  /** By media type; a schema of text and bytes is `{type: "string"}`. */
  readonly content?: Readonly<Record<string, Schema>>;
}

export interface Route {
  readonly method: Method;
  /** As fastify writes it: /v1/topics/:topic */
  readonly path: string;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly query?: Readonly<Record<string, Parameter>>;
  readonly requestHeaders?: Readonly<Record<string, Parameter>>;
  /** By media type. */
  readonly body?: Readonly<Record<string, Schema>>;
  readonly bodyRequired?: boolean;
  readonly answers: Readonly<Record<number, Answer>>;
  /** Beyond those every route can meet. */
  readonly problems: readonly ErrorCode[];
  /** Codes that have another status here than in the table. */
  readonly ownStatuses?: OwnStatuses;
  /** What the answer can be, most wanted first. */
  readonly offers: readonly string[];
  /** Its problems say whether something may have been appended. */
  readonly produce?: boolean;
  /** A GET whose HEAD is a route of its own; any other GET answers HEAD as itself without the body. */
  readonly ownHead?: boolean;
  /** A request that asks for a WebSocket gets one here; handle() answers the others. */
  readonly upgrade?: "client" | "peer";
  handle(exchange: Exchange): Promise<void> | void;
}

export const objectOffers = [mediaTypes.json, mediaTypes.msgpack] as const;
/** A body or answer that is the same object in either of them. */
export const objectContent = (schema: Schema) => ({ [mediaTypes.json]: schema, [mediaTypes.msgpack]: schema });
const objectBodies: readonly string[] = objectOffers;

/** Given as its serializer, fastify leaves a text alone; else it would add a charset that JSON does not have. */
export const asItIs = (text: string): string => text;

/** One request and its answer, as a route sees them. */
export class Exchange {
  readonly http: HttpContext;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly query: Query;
  /** What the client wants, of what the route offers. */
  readonly mediaType: string;

  constructor(http: HttpContext, request: FastifyRequest, reply: FastifyReply, query: Query, mediaType: string) {
    this.http = http;
    this.request = request;
    this.reply = reply;
    this.query = query;
    this.mediaType = mediaType;
  }

  parameter(name: string): string {
    return (this.request.params as Readonly<Record<string, string>>)[name] ?? "";
  }

  /** The partition of the path. */
  partition(): number {
    const text = this.parameter("partition");
    const partition = /^(?:0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : -1;
    if (partition < 0 || partition > 2 ** 31 - 1) {
      throw new BrokerError("INVALID_REQUEST", "the partition in the path must be a whole number from 0 to 2^31-1");
    }
    return partition;
  }

  /** A body of JSON or msgpack, checked. An absent body that is not required is {}. */
  async readObject(schema: Schema, required: boolean, hints?: FieldHints): Promise<Readonly<Record<string, unknown>>> {
    if (!required && !hasBody(this.request)) return {};
    const mediaType = contentMediaType(this.request.headers["content-type"]);
    if (mediaType === undefined || !objectBodies.includes(mediaType))
      throw unsupportedMediaType(mediaType, objectBodies);
    const bytes = await readBody(this.http, this.request, this.reply);
    const value = mediaType === mediaTypes.json ? parseJsonBody(bytes) : parseMsgpackBody(bytes);
    checkAgainst(schema, value, hints);
    return value as Readonly<Record<string, unknown>>;
  }

  /** Answers with an object, in JSON or msgpack. */
  answer(status: number, value: object): void {
    const reply = this.begin(status, this.mediaType);
    reply.send(this.mediaType === mediaTypes.msgpack ? encodeMsgpack(value) : JSON.stringify(value));
  }

  /** 204. */
  empty(): void {
    if (this.http.draining) this.reply.header("connection", "close");
    this.reply.code(204).send();
  }

  /** The answer's status and type; the connection ends with it while the broker drains. */
  begin(status: number, mediaType: string): FastifyReply {
    if (this.http.draining) this.reply.header("connection", "close");
    return this.reply.code(status).header("content-type", mediaType).serializer(asItIs);
  }
}

const formTypes = new Set(["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]);

export function unsupportedMediaType(mediaType: string | undefined, accepts: readonly string[]): BrokerError {
  const said =
    mediaType === undefined || mediaType === ""
      ? "the request has no content type that can be read"
      : `${mediaType} is not taken here`;
  const hint =
    mediaType !== undefined && formTypes.has(mediaType) ? ": set content-type: application/json (curl --json)" : "";
  return new BrokerError("UNSUPPORTED_MEDIA_TYPE", said + hint, { fields: { accepts } });
}

export function notAcceptable(offers: readonly string[]): BrokerError {
  return new BrokerError("NOT_ACCEPTABLE", "nothing that Accept asks for can be given here", {
    fields: { available: offers },
  });
}
