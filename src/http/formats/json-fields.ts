// Walks the objects of a request body field by field, over a JsonScanner, and refuses what is not legal JSON.
// A reader asks for the next name, takes or passes the value, and says that the object goes on; no values are made.

import { Buffer, isUtf8 } from "node:buffer";
import { invalidField, joinPath, malformedJson, notUtf8Json, unknownFields } from "./body-refusal.ts";
import { JsonScanner } from "./json-scanner.ts";
import { decodeJsonString, jsonInteger, loneSurrogate } from "./json-string.ts";

/** The fields of one kind of object. The index of a name stands for it. */
export class FieldNames {
  readonly names: readonly string[];
  readonly #bytes: readonly Uint8Array[];

  constructor(names: readonly string[]) {
    this.names = names;
    this.#bytes = names.map((name) => Buffer.from(name));
  }

  /** The index of the name in a range of bytes, or -1. */
  indexOf(bytes: Uint8Array, start: number, end: number): number {
    const known = this.#bytes;
    next: for (let index = 0; index < known.length; index++) {
      const name = known[index]!;
      if (name.length !== end - start) continue;
      for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) continue next;
      return index;
    }
    return -1;
  }
}

const noHints: ReadonlyMap<string, string> = new Map();

export class JsonFields {
  readonly bytes: Uint8Array;
  readonly scanner: JsonScanner;
  /** Of the field nextField() came to: where its value begins. */
  valueStart = 0;
  /** Of the object nextField() came to the end of: just after it. */
  objectEnd = 0;
  /** Of the object nextField() is in. A reader that enters another object keeps and restores these two. */
  seen = 0;
  unknown: string[] | undefined;
  readonly #objectPath: () => string;

  /** `objectPath` tells where the reader is, for a refusal: the path of the object whose fields it reads. */
  constructor(body: Uint8Array, objectPath: () => string) {
    if (!isUtf8(body)) throw notUtf8Json(body);
    this.bytes = body;
    this.#objectPath = objectPath;
    this.scanner = new JsonScanner(body);
  }

  /** The path of a field of the object being read; of the object itself if it is "". */
  path(field: string): string {
    return field === "" ? this.#objectPath() : joinPath(this.#objectPath(), field);
  }

  /** A position the scanner gave, unless it is a refusal. */
  must(position: number): number {
    if (position < 0) throw malformedJson(this.scanner);
    return position;
  }

  unexpected(position: number): never {
    this.scanner.failure = "syntax";
    this.scanner.failurePosition = position;
    throw malformedJson(this.scanner);
  }

  /** Passes over a value of any kind. */
  skip(position: number): number {
    return this.must(this.scanner.skipValue(position));
  }

  /** From just after the outermost value: nothing but white space may follow. */
  endOfBody(position: number): void {
    const end = this.scanner.skipSpace(position);
    if (end !== this.bytes.length) this.unexpected(end);
  }

  /** Steps into an object or array: to its first name, its first element or its closing bracket. */
  enter(position: number, bracket: "{" | "[", field: string, hint?: string): number {
    if (this.bytes[position] !== bracket.charCodeAt(0)) {
      throw this.wrongType(position, field, bracket === "{" ? "an object" : "an array", hint);
    }
    return this.scanner.skipSpace(position + 1);
  }

  /** From just after an element or a field's value: to the next one, or to the closing bracket. */
  next(position: number, close: number): number {
    const at = this.scanner.skipSpace(position);
    const byte = this.bytes[at];
    if (byte === close) return at;
    if (byte !== 0x2c) this.unexpected(at);
    const following = this.scanner.skipSpace(at + 1);
    if (this.bytes[following] === close) this.unexpected(following);
    return following;
  }

  /**
   * The index of the known field whose name is at `position`; its value is at valueStart. Fields that are not known are
   * passed over and told by refuseUnknown(). -1 at the end of the object, which is at objectEnd then.
   */
  nextField(position: number, known: FieldNames): number {
    let at = position;
    for (;;) {
      if (this.bytes[at] === 0x7d) {
        this.objectEnd = at + 1;
        return -1;
      }
      const scanner = this.scanner;
      this.valueStart = this.must(scanner.skipName(at));
      const index = scanner.escaped
        ? known.names.indexOf(this.#text(at, scanner.nameEnd, true))
        : known.indexOf(this.bytes, at + 1, scanner.nameEnd - 1);
      if (index >= 0) {
        if ((this.seen & (1 << index)) !== 0) throw invalidField(this.path(known.names[index]!), "is there twice");
        this.seen |= 1 << index;
        return index;
      }
      this.unknown ??= [];
      this.unknown.push(this.#text(at, scanner.nameEnd, scanner.escaped));
      at = this.next(this.skip(this.valueStart), 0x7d);
    }
  }

  refuseUnknown(known: FieldNames, hints = noHints): void {
    if (this.unknown !== undefined) throw unknownFields(this.#objectPath(), this.unknown, known.names, hints);
  }

  #text(start: number, end: number, escaped: boolean): string {
    const decoded = decodeJsonString(this.bytes, start, end, escaped);
    return decoded === loneSurrogate ? "\ufffd" : Buffer.from(decoded).toString();
  }

  isNull(position: number): boolean {
    return this.bytes[position] === 0x6e;
  }

  /** The bytes of a string whose span has been scanned. */
  string(start: number, end: number, escaped: boolean, field: string): Uint8Array {
    if (this.bytes[start] !== 0x22) throw this.wrongType(start, field, "a string");
    const decoded = decodeJsonString(this.bytes, start, end, escaped);
    if (decoded === loneSurrogate) {
      throw invalidField(this.path(field), "has half of a surrogate pair, which has no UTF-8 form");
    }
    return decoded;
  }

  /** A scanned value as a string or a number (NaN unless it is a whole one); undefined for other kinds. */
  scalar(start: number, end: number): string | number | undefined {
    const first = this.bytes[start]!;
    if (first === 0x22) return this.#text(start, end, this.scanner.escaped);
    return first === 0x2d || (first >= 0x30 && first <= 0x39) ? jsonInteger(this.bytes, start, end) : undefined;
  }

  wrongType(position: number, field: string, wanted: string, hint?: string): Error {
    this.must(this.scanner.skipValue(position)); // what is no value at all is malformed first
    return invalidField(this.path(field), `must be ${wanted}, not ${kindOf(this.bytes[position]!)}`, hint);
  }
}

function kindOf(first: number): string {
  if (first === 0x7b) return "an object";
  if (first === 0x5b) return "an array";
  if (first === 0x22) return "a string";
  if (first === 0x74 || first === 0x66) return "a boolean";
  return first === 0x6e ? "null" : "a number";
}
