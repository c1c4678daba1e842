// Reads msgpack from its bytes, strictly: no extensions, no integer that would be rounded, no length that is not there, text
// that is UTF-8, maps whose keys are different strings, a bounded depth. Keys and values of records come as views, not copies.

import { Buffer, isUtf8 } from "node:buffer";
import { BrokerError } from "../../protocol/error-codes.ts";
import { viewOf } from "../../protocol/record-batch.ts";

/** How deep a body may nest: 1 is a map of scalars. */
export const msgpackDepthMax = 64;
/** For whoever sends a whole number as a float: some encoders do, and round it. */
export const floatHint = "write it as a msgpack integer (msgpackr: as a BigInt from 2^32 on)";

export type MsgpackKind =
  | "nil"
  | "boolean"
  | "integer"
  | "float"
  | "string"
  | "binary"
  | "array"
  | "map"
  | "extension"
  | "reserved";

/** The kinds of the bytes 0xc0 to 0xdf. */
const taggedKinds: readonly MsgpackKind[] = [
  ...(["nil", "reserved", "boolean", "boolean", "binary", "binary", "binary"] as const),
  ...(["extension", "extension", "extension", "float", "float"] as const),
  ...(["integer", "integer", "integer", "integer", "integer", "integer", "integer", "integer"] as const),
  ...(["extension", "extension", "extension", "extension", "extension"] as const),
  ...(["string", "string", "string", "array", "array", "map", "map"] as const),
];

const kinds: readonly MsgpackKind[] = Array.from({ length: 256 }, (_, byte): MsgpackKind => {
  if (byte <= 0x7f || byte >= 0xe0) return "integer";
  if (byte <= 0x8f) return "map";
  if (byte <= 0x9f) return "array";
  return byte <= 0xbf ? "string" : taggedKinds[byte - 0xc0]!;
});

export class MsgpackReader {
  readonly bytes: Uint8Array;
  position = 0;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = viewOf(bytes);
  }

  /** What stands at the position. */
  kind(): MsgpackKind {
    this.#need(1);
    return kinds[this.bytes[this.position]!]!;
  }

  nil(): void {
    this.position += 1;
  }

  boolean(): boolean {
    return this.bytes[this.position++] === 0xc3;
  }

  /** NaN if it is beyond ±(2^53−1): nothing is rounded. */
  integer(): number {
    const tag = this.bytes[this.position++]!;
    if (tag <= 0x7f) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    const size = 1 << (tag & 3);
    const at = this.#take(size);
    const view = this.#view;
    const signed = tag >= 0xd0;
    if (size === 1) return signed ? view.getInt8(at) : view.getUint8(at);
    if (size === 2) return signed ? view.getInt16(at) : view.getUint16(at);
    if (size === 4) return signed ? view.getInt32(at) : view.getUint32(at);
    const high = signed ? view.getInt32(at) : view.getUint32(at);
    const value = high * 2 ** 32 + view.getUint32(at + 4);
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }

  float(): number {
    const single = this.bytes[this.position++] === 0xca;
    const at = this.#take(single ? 4 : 8);
    return single ? this.#view.getFloat32(at) : this.#view.getFloat64(at);
  }

  /** The bytes of a bin or of a str, which must be UTF-8 then; a view. */
  span(): Uint8Array {
    const start = this.position;
    const tag = this.bytes[this.position++]!;
    const text = tag < 0xc4 || tag > 0xc6;
    const length = tag <= 0xbf ? tag & 0x1f : this.#length(text ? tag - 0xd9 : tag - 0xc4);
    const at = this.#take(length);
    const bytes = this.bytes.subarray(at, at + length);
    if (text && !isUtf8(bytes)) this.#malformed("a str is not UTF-8", start);
    return bytes;
  }

  /** How many elements an array has. They are there: each takes a byte at least. */
  arrayLength(): number {
    const tag = this.bytes[this.position++]!;
    const length = tag <= 0x9f ? tag & 0x0f : this.#length(tag - 0xdb);
    this.#need(length);
    return length;
  }

  mapLength(): number {
    const tag = this.bytes[this.position++]!;
    const length = tag <= 0x8f ? tag & 0x0f : this.#length(tag - 0xdd);
    this.#need(2 * length);
    return length;
  }

  /** The key of a map, which must be a str; a view. */
  mapKey(): Uint8Array {
    if (this.kind() !== "string") this.#malformed("a key of a map is not a str", this.position);
    return this.span();
  }

  /** Passes over any value, having checked all of it. `depth`: of the containers around it. */
  skip(depth: number): void {
    const kind = this.kind();
    switch (kind) {
      case "nil":
      case "boolean":
        this.position += 1;
        return;
      case "integer":
        this.#skipInteger();
        return;
      case "float":
        this.#skipFloat();
        return;
      case "string":
      case "binary":
        this.span();
        return;
      case "array":
        this.#enter(depth);
        for (let left = this.arrayLength(); left > 0; left--) this.skip(depth + 1);
        return;
      case "map":
        this.#enter(depth);
        this.#skipMap(depth);
        return;
      default:
        this.#malformed(kind === "extension" ? "extensions are not taken" : "0xc1 is never used", this.position);
    }
  }

  #skipInteger(): void {
    const start = this.position;
    if (Number.isNaN(this.integer())) this.#malformed("an integer is beyond 2^53-1", start);
  }

  #skipFloat(): void {
    const start = this.position;
    if (!Number.isFinite(this.float())) this.#malformed("a float is not a finite number", start);
  }

  #skipMap(depth: number): void {
    const names = new Set<string>();
    for (let left = this.mapLength(); left > 0; left--) {
      const start = this.position;
      const name = Buffer.from(this.mapKey()).toString();
      if (names.has(name)) this.#malformed("a map has a key twice", start);
      // No field of ours, and not every decoder can keep it.
      if (name === "__proto__") this.#malformed("a map has the key __proto__", start);
      names.add(name);
      this.skip(depth + 1);
    }
  }

  #enter(depth: number): void {
    if (depth < msgpackDepthMax) return;
    throw new BrokerError("MALFORMED_BODY", `msgpack nests deeper than ${msgpackDepthMax}`, {
      fields: { position: this.position, limit: { name: "msgpackDepthMax", value: msgpackDepthMax } },
    });
  }

  /** Nothing may follow the body's one value. */
  endOfBody(): void {
    if (this.position < this.bytes.length) this.#malformed("bytes follow the value", this.position);
  }

  /** A length of 1, 2 or 4 bytes: 2 to the `log2` of them. */
  #length(log2: number): number {
    const at = this.#take(1 << log2);
    return log2 === 0 ? this.#view.getUint8(at) : log2 === 1 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #need(count: number): void {
    if (count > this.bytes.length - this.position) this.#malformed("it ends too early", this.bytes.length);
  }

  #take(count: number): number {
    this.#need(count);
    const at = this.position;
    this.position = at + count;
    return at;
  }

  #malformed(what: string, position: number): never {
    throw new BrokerError("MALFORMED_BODY", `not msgpack as it is taken here: ${what} at byte ${position}`, {
      fields: { position },
    });
  }
}
