// Values to plain msgpack: whole numbers as integers, never as floats; what JSON leaves out (undefined, functions) is
// left out here too, and toJSON is honoured, so that a value packs as it would be written in JSON. Bytes stay bytes.

import { MillraceError } from "./millrace-error.ts";

const depthMax = 64;
const utf8 = new TextEncoder();

/** The bytes of one value. */
export function packMsgpack(value: unknown): Uint8Array {
  const writer = new MsgpackWriter();
  writer.value(value, 0);
  return writer.finish();
}

class MsgpackWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  value(value: unknown, depth: number): void {
    if (depth > depthMax) throw cannot(`it nests deeper than ${depthMax}, or within itself`);
    if (typeof value === "string") this.#text(value);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "bigint") this.#bigint(value);
    else if (typeof value === "object" && value !== null) this.#object(value, depth);
    else this.#byte(0xc0);
  }

  #object(value: object, depth: number): void {
    if (value instanceof Uint8Array) {
      this.#sized(value.length, undefined, 0xc4);
      this.#append(value);
    } else if (Array.isArray(value)) {
      this.#sized(value.length, { tag: 0x90, max: 0x0f }, 0xdb);
      for (const element of value) this.value(element, depth + 1);
    } else if ("toJSON" in value && typeof value.toJSON === "function") {
      this.value(value.toJSON(), depth + 1);
    } else {
      const entries = Object.entries(value).filter(([, entry]) => entry !== undefined && typeof entry !== "function");
      this.#sized(entries.length, { tag: 0x80, max: 0x0f }, 0xdd);
      for (const [key, entry] of entries) {
        this.#text(key);
        this.value(entry, depth + 1);
      }
    }
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value);
    else this.#float(value);
  }

  #text(text: string): void {
    const bytes = utf8.encode(text);
    this.#sized(bytes.length, { tag: 0xa0, max: 0x1f }, 0xd9);
    this.#append(bytes);
  }

  /** A length: in the tag itself if it is short, else after `tag`, `tag` + 1 or `tag` + 2 in one, two or four bytes. */
  #sized(length: number, short: { tag: number; max: number } | undefined, tag: number): void {
    const hasByteForm = tag === 0xc4 || tag === 0xd9;
    if (short !== undefined && length <= short.max) this.#byte(short.tag | length);
    else if (hasByteForm && length <= 0xff) this.#tagged(tag, 1, (at) => this.#view.setUint8(at, length));
    else if (length <= 0xffff) this.#tagged(tag + 1, 2, (at) => this.#view.setUint16(at, length));
    else this.#tagged(tag + 2, 4, (at) => this.#view.setUint32(at, length));
  }

  #integer(value: number): void {
    if (value >= 0 ? value < 0x80 : value >= -32) this.#byte(value & 0xff);
    else if (value >= 0 && value <= 0xff) this.#tagged(0xcc, 1, (at) => this.#view.setUint8(at, value));
    else if (value >= 0 && value <= 0xffff) this.#tagged(0xcd, 2, (at) => this.#view.setUint16(at, value));
    else if (value >= 0 && value <= 0xffffffff) this.#tagged(0xce, 4, (at) => this.#view.setUint32(at, value));
    else if (value >= 0) this.#tagged(0xcf, 8, (at) => this.#view.setBigUint64(at, BigInt(value)));
    else if (value >= -0x80) this.#tagged(0xd0, 1, (at) => this.#view.setInt8(at, value));
    else if (value >= -0x8000) this.#tagged(0xd1, 2, (at) => this.#view.setInt16(at, value));
    else if (value >= -0x80000000) this.#tagged(0xd2, 4, (at) => this.#view.setInt32(at, value));
    else this.#tagged(0xd3, 8, (at) => this.#view.setBigInt64(at, BigInt(value)));
  }

  #bigint(value: bigint): void {
    if (BigInt.asUintN(64, value) === value) this.#tagged(0xcf, 8, (at) => this.#view.setBigUint64(at, value));
    else if (BigInt.asIntN(64, value) === value) this.#tagged(0xd3, 8, (at) => this.#view.setBigInt64(at, value));
    else throw cannot(`${value} does not fit in 64 bits`);
  }

  #float(value: number): void {
    this.#tagged(0xcb, 8, (at) => this.#view.setFloat64(at, value));
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  #tagged(tag: number, size: number, write: (at: number) => void): void {
    this.#reserve(1 + size);
    this.#bytes[this.#length] = tag;
    write(this.#length + 1);
    this.#length += 1 + size;
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

const cannot = (why: string): MillraceError => new MillraceError("ENCODE_FAILED", `msgpack cannot hold this: ${why}`);
