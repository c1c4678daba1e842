// From the bytes of a frame to what it asks for. Strict as the bodies over HTTP: what is malformed, unknown or ambiguous is refused, with
// the id it carries if that can be told, so that the client knows which of its frames it was.

import { nearestName } from "../../nearest-name.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { invalidField } from "../formats/body-refusal.ts";
import { parseJsonBody, parseMsgpackBody } from "../formats/body-values.ts";
import { JsonScanner } from "../formats/json-scanner.ts";
import { jsonInteger } from "../formats/json-string.ts";
import { MsgpackReader } from "../formats/msgpack-reader.ts";
import { parseProduceJson } from "../formats/produce-json.ts";
import { parseProduceMsgpack } from "../formats/produce-msgpack.ts";
import type { FrameFieldName, FrameFields, ParsedProduce, ProduceContext } from "../formats/produce-options.ts";
import { positionHints } from "../group-positions.ts";
import { checkAgainst, type FieldHints } from "../json-schema.ts";
import { idempotencyKeyPattern } from "../produce-append.ts";
import {
  type ClientFrameKind,
  clientFrameSchemas,
  clientFrames,
  type FrameId,
  type IdFrame,
  type PositionsFrame,
  type SubscribeFrame,
  type SubscribeGroupFrame,
  typeOfKind,
} from "./client-frames.ts";

export interface ProduceFrame {
  readonly id: FrameId;
  readonly topic: string;
  readonly partition: number | undefined;
  readonly idempotencyKey: string | undefined;
  readonly batch: Uint8Array | undefined;
  readonly produce: ParsedProduce;
  readonly sizeBytes: number;
}

export type ClientFrame =
  | { readonly kind: "produce"; readonly frame: ProduceFrame }
  | { readonly kind: "subscribe"; readonly frame: SubscribeFrame }
  | { readonly kind: "subscribeGroup"; readonly frame: SubscribeGroupFrame }
  | { readonly kind: "ack" | "seek"; readonly frame: PositionsFrame }
  | { readonly kind: "unsubscribe" | "ping"; readonly frame: IdFrame }
  | { readonly kind: "auth"; readonly frame: object };

export type Encoding = "json" | "msgpack";

const types = [...new Set(Object.keys(clientFrames).map((kind) => typeOfKind(kind as ClientFrameKind)))];
/** What fits one subprotocol only. */
const onlyJson = ["keyFormat", "valueFormat"] as const;

export function parseFrame(bytes: Uint8Array, encoding: Encoding, nowMs: number): ClientFrame {
  const type = peek(bytes, encoding, "type");
  if (type === "produce") return { kind: "produce", frame: parseProduce(bytes, encoding, nowMs) };
  const value = encoding === "json" ? parseJsonBody(bytes) : parseMsgpackBody(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidField("", "must be an object");
  const fields = value as Readonly<Record<string, unknown>>;
  const kind = kindOf(fields);
  checkAgainst(clientFrameSchemas[kind], value, hintsOf(kind));
  if (encoding === "msgpack") refuseMisplaced(fields, onlyJson, "msgpack");
  else refuseMisplaced(fields, ["format"], "JSON");
  return { kind, frame: fields } as unknown as ClientFrame;
}

/** Of a frame that was refused: a problem of a produce says whether it may be in the log. */
export function isProduce(bytes: Uint8Array, encoding: Encoding): boolean {
  try {
    return peek(bytes, encoding, "type") === "produce";
  } catch {
    return false;
  }
}

/** The id of a frame that was refused, if it can be told. */
export function idOf(bytes: Uint8Array, encoding: Encoding): FrameId | undefined {
  try {
    const id = peek(bytes, encoding, "id");
    return isId(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

function kindOf(fields: Readonly<Record<string, unknown>>): ClientFrameKind {
  const type = Object.hasOwn(fields, "type") ? fields["type"] : undefined;
  if (type === undefined) throw invalidField("type", "is missing");
  if (typeof type !== "string") throw invalidField("type", "must be a string");
  if (type === "subscribe" && Object.hasOwn(fields, "group")) return "subscribeGroup";
  if (types.includes(type)) return type as ClientFrameKind;
  const nearest = nearestName(type, types);
  const hint = nearest === undefined ? `known are ${types.join(", ")}` : `did you mean ${nearest}?`;
  const shown = JSON.stringify(type.slice(0, 100));
  throw new BrokerError("INVALID_REQUEST", `unknown frame type ${shown}: ${hint}`, { fields: { path: "type", hint } });
}

const noHints: FieldHints = new Map();
const subscribeHints: FieldHints = new Map([
  ["topic", "a group subscribes to topics: an array"],
  ["offset", "a group begins where it committed; offsetReset is for where it did not"],
  ["topics", "without a group a subscription has one topic"],
  ["memberId", "it goes with group"],
]);
const hintsOf = (kind: ClientFrameKind): FieldHints =>
  kind === "ack" || kind === "seek"
    ? positionHints
    : kind === "subscribe" || kind === "subscribeGroup"
      ? subscribeHints
      : noHints;

function refuseMisplaced(fields: Readonly<Record<string, unknown>>, names: readonly string[], encoding: string): void {
  const misplaced = names.filter((name) => Object.hasOwn(fields, name));
  if (misplaced.length === 0) return;
  throw new BrokerError("INVALID_REQUEST", `${misplaced[0]} means nothing in ${encoding}`, {
    fields: { unknown: misplaced, path: misplaced[0] },
  });
}

class ProduceFields implements FrameFields {
  id: unknown;
  topic: unknown;
  partition: unknown;
  idempotencyKey: unknown;
  batch: Uint8Array | undefined;

  set(name: FrameFieldName, value: unknown): void {
    if (name !== "type") this[name] = value === undefined ? Number.NaN : value; // there, but of no kind that it can be
  }
}

function parseProduce(bytes: Uint8Array, encoding: Encoding, nowMs: number): ProduceFrame {
  const fields = new ProduceFields();
  const context: ProduceContext = { partition: undefined, nowMs, frame: fields };
  const produce = encoding === "json" ? parseProduceJson(bytes, context) : parseProduceMsgpack(bytes, context);
  const { id, topic, partition, idempotencyKey, batch } = fields;
  if (id === undefined) throw invalidField("id", "is missing");
  if (!isId(id)) throw invalidField("id", "must be a string of at most 128 characters or a whole number from 0");
  if (topic === undefined) throw invalidField("topic", "is missing");
  if (typeof topic !== "string") throw invalidField("topic", "must be a string");
  if (
    idempotencyKey !== undefined &&
    !(typeof idempotencyKey === "string" && idempotencyKeyPattern.test(idempotencyKey))
  ) {
    throw invalidField("idempotencyKey", "must be 1 to 128 visible ASCII characters");
  }
  if (partition !== undefined)
    checkAgainst(clientFrames.produce.properties["partition"]!, partition, noHints, "partition");
  checkScope(produce, partition as number | undefined, batch !== undefined);
  if (batch !== undefined && idempotencyKey !== undefined) {
    throw invalidField("idempotencyKey", "is not for a batch, which has a producer id of its own");
  }
  return {
    id,
    topic,
    partition: partition as number | undefined,
    idempotencyKey,
    batch,
    produce,
    sizeBytes: bytes.length,
  };
}

function checkScope({ records, options }: ParsedProduce, partition: number | undefined, isBatch: boolean): void {
  if (partition === undefined) {
    if (isBatch || options.producer !== undefined || options.expectedOffset !== undefined) {
      throw invalidField("partition", "is missing", "batch, producerId and expectedOffset are of one partition");
    }
    return;
  }
  if (isBatch && options.producer !== undefined) throw invalidField("producerId", "is in the batch itself");
  for (const [index, record] of records.entries()) {
    if (record.partition === undefined || record.partition === partition) continue;
    throw invalidField(`records[${index}].partition`, `is ${record.partition}, and the frame says ${partition}`);
  }
}

const isId = (id: unknown): id is FrameId =>
  typeof id === "string"
    ? id.length <= 128 && !/\p{Surrogate}/u.test(id)
    : Number.isSafeInteger(id) && (id as number) >= 0;

/** The first field of this name, without looking further: a string or a number; undefined if there is none, or what stands there is neither. */
function peek(bytes: Uint8Array, encoding: Encoding, name: "type" | "id"): string | number | undefined {
  return encoding === "json" ? peekJson(bytes, name) : peekMsgpack(bytes, name);
}

const nothing = new Uint8Array(0);
const scanner = new JsonScanner(nothing);

function peekJson(bytes: Uint8Array, wanted: string): string | number | undefined {
  scanner.reset(bytes);
  try {
    return findJson(bytes, wanted);
  } finally {
    scanner.reset(nothing);
  }
}

function findJson(bytes: Uint8Array, wanted: string): string | number | undefined {
  let at = scanner.skipSpace(0);
  if (bytes[at] !== 0x7b) return undefined;
  at = scanner.skipSpace(at + 1);
  while (bytes[at] === 0x22) {
    const start = scanner.skipName(at);
    if (start < 0) return undefined;
    const name = text(bytes, at, scanner.nameEnd);
    const end = scanner.skipValue(start);
    if (end < 0) return undefined;
    if (name === wanted) {
      if (bytes[start] === 0x22) return text(bytes, start, end);
      const whole = jsonInteger(bytes, start, end);
      return Number.isNaN(whole) ? undefined : whole;
    }
    at = scanner.skipSpace(end);
    if (bytes[at] !== 0x2c) return undefined;
    at = scanner.skipSpace(at + 1);
  }
  return undefined;
}

const text = (bytes: Uint8Array, start: number, end: number): string =>
  JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString());

function peekMsgpack(bytes: Uint8Array, wanted: string): string | number | undefined {
  const reader = new MsgpackReader(bytes);
  if (bytes.length === 0 || reader.kind() !== "map") return undefined;
  for (let left = reader.mapLength(); left > 0; left--) {
    const name = Buffer.from(reader.mapKey()).toString();
    if (name !== wanted) reader.skip(1);
    else if (reader.kind() === "string") return Buffer.from(reader.span()).toString();
    else return reader.kind() === "integer" ? reader.integer() : undefined;
  }
  return undefined;
}
