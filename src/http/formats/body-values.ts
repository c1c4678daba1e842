// Bodies of the routes that carry no records, as plain values for their schemas to judge. Unlike the usual decoders these know how a
// number was written and whether a field is there twice: what is malformed, too deep or ambiguous is refused, not guessed.

import { Buffer, isUtf8 } from "node:buffer";
import { invalidField, joinPath, malformedJson, notUtf8Json } from "./body-refusal.ts";
import { JsonScanner } from "./json-scanner.ts";
import { jsonInteger } from "./json-string.ts";
import { floatHint, MsgpackReader } from "./msgpack-reader.ts";

export function parseJsonBody(body: Uint8Array): unknown {
  if (!isUtf8(body)) throw notUtf8Json(body);
  const scanner = new JsonScanner(body);
  if (!scanner.isWhole()) throw malformedJson(scanner);
  return new JsonValues(scanner).read("");
}

/** The value of a text that is legal JSON and not too deep. */
class JsonValues {
  readonly #scanner: JsonScanner;
  #at: number;

  constructor(scanner: JsonScanner) {
    this.#scanner = scanner;
    this.#at = scanner.skipSpace(0);
  }

  /** The value that begins here; goes on to just after it. */
  read(path: string): unknown {
    const start = this.#at;
    const first = this.#scanner.bytes[start]!;
    if (first === 0x7b) return this.#object(path);
    if (first === 0x5b) return this.#array(path);
    this.#at = this.#scanner.skipValue(start);
    return first === 0x2d || (first >= 0x30 && first <= 0x39)
      ? this.#number(start, this.#at, path)
      : this.#parsed(start, this.#at);
  }

  #object(path: string): object {
    const fields = new Map<string, unknown>();
    for (let more = this.#enter(0x7d); more; more = this.#next(0x7d)) {
      const start = this.#at;
      this.#at = this.#scanner.skipName(start);
      const name = this.#parsed(start, this.#scanner.nameEnd) as string;
      const fieldPath = joinPath(path, name);
      if (fields.has(name)) throw invalidField(fieldPath, "is there twice");
      fields.set(name, this.read(fieldPath));
    }
    return Object.fromEntries(fields); // makes __proto__ a field like any other
  }

  #array(path: string): unknown[] {
    const items: unknown[] = [];
    for (let more = this.#enter(0x5d); more; more = this.#next(0x5d)) {
      items.push(this.read(`${path}[${items.length}]`));
    }
    return items;
  }

  /** Into an object or array: false, and past it, if it is empty. */
  #enter(close: number): boolean {
    this.#at = this.#scanner.skipSpace(this.#at + 1);
    return !this.#passed(close);
  }

  /** From just after an element to the next one: false, and past the whole, if it was the last. */
  #next(close: number): boolean {
    this.#at = this.#scanner.skipSpace(this.#at);
    if (this.#passed(close)) return false;
    this.#at = this.#scanner.skipSpace(this.#at + 1);
    return true;
  }

  #passed(close: number): boolean {
    if (this.#scanner.bytes[this.#at] !== close) return false;
    this.#at += 1;
    return true;
  }

  #number(start: number, end: number, path: string): number {
    const whole = jsonInteger(this.#scanner.bytes, start, end);
    if (!Number.isNaN(whole)) return whole;
    const value = this.#parsed(start, end) as number;
    if (Number.isInteger(value)) throw invalidField(path, "must be written as a whole number up to 2^53-1");
    return value;
  }

  #parsed(start: number, end: number): unknown {
    const { buffer, byteOffset } = this.#scanner.bytes;
    return JSON.parse(Buffer.from(buffer, byteOffset + start, end - start).toString());
  }
}

export function parseMsgpackBody(body: Uint8Array): unknown {
  const reader = new MsgpackReader(body);
  reader.skip(0);
  reader.endOfBody();
  return msgpackValue(new MsgpackReader(body), "");
}

/** The value at the reader's position, of a body that was skipped over before: all of it is there and legal. */
function msgpackValue(reader: MsgpackReader, path: string): unknown {
  switch (reader.kind()) {
    case "nil":
      reader.nil();
      return null;
    case "boolean":
      return reader.boolean();
    case "integer":
      return reader.integer();
    case "float":
      return msgpackFloat(reader, path);
    case "string":
      return Buffer.from(reader.span()).toString();
    case "array":
      return Array.from({ length: reader.arrayLength() }, (_, index) => msgpackValue(reader, `${path}[${index}]`));
    case "map":
      return msgpackMap(reader, path);
    default:
      return Buffer.from(reader.span());
  }
}

function msgpackMap(reader: MsgpackReader, path: string): object {
  const fields: [string, unknown][] = [];
  for (let left = reader.mapLength(); left > 0; left--) {
    const name = Buffer.from(reader.mapKey()).toString();
    fields.push([name, msgpackValue(reader, joinPath(path, name))]);
  }
  return Object.fromEntries(fields);
}

function msgpackFloat(reader: MsgpackReader, path: string): number {
  const value = reader.float();
  if (Number.isInteger(value)) throw invalidField(path, "must be an integer, not a float", floatHint);
  return value;
}
