// Plain msgpack to values: nil, booleans, numbers, text, bytes, arrays, maps with text keys. No extensions, no eval, and
// no key can reach a prototype. Bytes come as copies, so that a small record does not hold a whole page in memory.

import { MillraceError } from "./millrace-error.ts";

/** Deeper than anything a broker sends; a message may not overflow the stack. */
const depthMax = 64;
const shortTextBytes = 16;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The one value that `bytes` hold. */
export function unpackMsgpack(bytes: Uint8Array): unknown {
  try {
    const reader = new MsgpackReader(bytes);
    const value = reader.value(0);
    if (reader.position !== bytes.length)
      throw new RangeError(`${bytes.length - reader.position} bytes follow the value`);
    return value;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MillraceError("DECODE_FAILED", `not plain msgpack: ${why}`, { cause });
  }
}

class MsgpackReader {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): unknown {
    if (depth > depthMax) throw new RangeError(`it nests deeper than ${depthMax}`);
    const tag = this.#uint(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.#array(tag & 0x0f, depth);
    if (tag < 0xc0) return this.#text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#take(this.#uint(1 << (tag - 0xc4))).slice();
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (tag - 0xcc));
      case 0xcf:
        return exact(this.#view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return exact(this.#view.getBigInt64(this.#skip(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#uint(1 << (tag - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (tag - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (tag - 0xde)), depth);
      default:
        throw new RangeError(`the byte 0x${tag.toString(16)} at ${this.position - 1} begins no plain value`);
    }
  }

  /** Passes over `length` bytes and returns where they begin. */
  #skip(length: number): number {
    const start = this.position;
    if (length > this.#bytes.length - start) throw new RangeError("it ends within a value");
    this.position = start + length;
    return start;
  }

  #uint(size: number): number {
    const start = this.#skip(size);
    if (size === 1) return this.#bytes[start]!;
    return size === 2 ? this.#view.getUint16(start) : this.#view.getUint32(start);
  }

  #take(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  #text(length: number): string {
    const bytes = this.#take(length);
    if (length > shortTextBytes) return utf8.decode(bytes);
    // Field names: for a few ASCII letters a decoder takes longer than they do.
    let text = "";
    for (let at = 0; at < length; at++) {
      const byte = bytes[at]!;
      if (byte >= 0x80) return utf8.decode(bytes);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #array(length: number, depth: number): unknown[] {
    // Each element takes a byte at least: a lie about the length ends here.
    if (length > this.#bytes.length - this.position) throw new RangeError("it ends within an array");
    const array: unknown[] = [];
    for (let index = 0; index < length; index++) array.push(this.value(depth + 1));
    return array;
  }

  #map(length: number, depth: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (let index = 0; index < length; index++) {
      const key = this.value(depth + 1);
      if (typeof key !== "string") throw new RangeError("a map has a key that is no text");
      const value = this.value(depth + 1);
      if (key === "__proto__")
        Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
      else map[key] = value;
    }
    return map;
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
