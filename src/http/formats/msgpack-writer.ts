// Answers and records in msgpack. Our own encoder because integers must be integers: msgpackr writes those from 2^32 on as
// floats. Plain types only: nil, booleans, integers, floats for what is no integer, str, bin, arrays, maps with str keys.

import { Buffer } from "node:buffer";
import { assert } from "../../assert.ts";
import type { StoredRecord } from "../../protocol/record.ts";
import { ByteWriter } from "./byte-writer.ts";

const two32 = 2 ** 32;

export class MsgpackWriter {
  readonly out: ByteWriter;

  constructor(out: ByteWriter) {
    this.out = out;
  }

  nil(): void {
    this.out.byte(0xc0);
  }

  boolean(value: boolean): void {
    this.out.byte(value ? 0xc3 : 0xc2);
  }

  /** Any integer within ±(2^53−1), in the fewest bytes. */
  integer(value: number): void {
    assert(Number.isSafeInteger(value), "a msgpack integer is beyond 2^53");
    if (value >= 0) {
      if (value < 0x80) this.out.byte(value);
      else if (value <= 0xff) this.#tagged8(0xcc, value);
      else if (value <= 0xffff) this.#tagged16(0xcd, value);
      else if (value < two32) this.#tagged32(0xce, value);
      else this.uint64(value);
    } else if (value >= -32) this.out.byte(value & 0xff);
    else if (value >= -0x80) this.#tagged8(0xd0, value & 0xff);
    else if (value >= -0x8000) this.#tagged16(0xd1, value & 0xffff);
    else if (value >= -0x80000000) this.#tagged32(0xd2, value >>> 0);
    else this.#tagged64(0xd3, value);
  }

  /** Always nine bytes: where a field should have one type, whatever its value. */
  uint64(value: number): void {
    this.#tagged64(0xcf, value);
  }

  int64(value: number): void {
    this.#tagged64(0xd3, value);
  }

  float(value: number): void {
    this.out.reserve(9);
    this.out.bytes[this.out.length] = 0xcb;
    this.out.bytes.writeDoubleBE(value, this.out.length + 1);
    this.out.length += 9;
  }

  string(text: string): void {
    this.stringHeader(Buffer.byteLength(text));
    this.out.text(text);
  }

  stringHeader(length: number): void {
    if (length < 32) this.out.byte(0xa0 | length);
    else if (length <= 0xff) this.#tagged8(0xd9, length);
    else if (length <= 0xffff) this.#tagged16(0xda, length);
    else this.#tagged32(0xdb, length);
  }

  binary(bytes: Uint8Array): void {
    if (bytes.length <= 0xff) this.#tagged8(0xc4, bytes.length);
    else if (bytes.length <= 0xffff) this.#tagged16(0xc5, bytes.length);
    else this.#tagged32(0xc6, bytes.length);
    this.out.copy(bytes);
  }

  binaryOrNil(bytes: Uint8Array | null): void {
    if (bytes === null) this.nil();
    else this.binary(bytes);
  }

  arrayHeader(length: number): void {
    if (length < 16) this.out.byte(0x90 | length);
    else if (length <= 0xffff) this.#tagged16(0xdc, length);
    else this.#tagged32(0xdd, length);
  }

  mapHeader(length: number): void {
    if (length < 16) this.out.byte(0x80 | length);
    else if (length <= 0xffff) this.#tagged16(0xde, length);
    else this.#tagged32(0xdf, length);
  }

  /** What JSON.stringify takes, and bytes as bin; fields that are undefined are left out. */
  value(value: unknown): void {
    if (typeof value === "string") this.string(value);
    else if (typeof value === "number") Number.isSafeInteger(value) ? this.integer(value) : this.float(value);
    else if (typeof value === "boolean") this.boolean(value);
    else if (value === null || value === undefined) this.nil();
    else if (value instanceof Uint8Array) this.binary(value);
    else if (Array.isArray(value)) {
      this.arrayHeader(value.length);
      for (const element of value) this.value(element);
    } else {
      assert(typeof value === "object", `an answer cannot hold a ${typeof value}`);
      const entries = definedEntries(value);
      this.mapHeader(entries.length);
      this.entries(entries);
    }
  }

  entries(entries: readonly (readonly [string, unknown])[]): void {
    for (const [name, field] of entries) {
      this.string(name);
      this.value(field);
    }
  }

  #tagged8(tag: number, value: number): void {
    const { out } = this;
    out.reserve(2);
    out.bytes[out.length] = tag;
    out.bytes[out.length + 1] = value;
    out.length += 2;
  }

  #tagged16(tag: number, value: number): void {
    const { out } = this;
    out.reserve(3);
    out.bytes[out.length] = tag;
    out.bytes[out.length + 1] = value >>> 8;
    out.bytes[out.length + 2] = value;
    out.length += 3;
  }

  #tagged32(tag: number, value: number): void {
    const { out } = this;
    out.reserve(5);
    out.bytes[out.length] = tag;
    setUint32(out.bytes, out.length + 1, value);
    out.length += 5;
  }

  #tagged64(tag: number, value: number): void {
    const { out } = this;
    out.reserve(9);
    out.bytes[out.length] = tag;
    setUint32(out.bytes, out.length + 1, Math.floor(value / two32) >>> 0);
    setUint32(out.bytes, out.length + 5, value >>> 0);
    out.length += 9;
  }
}

export function setUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** The fields of an object as JSON.stringify would take them. */
export function definedEntries(object: object): [string, unknown][] {
  return Object.entries(object).filter(([, field]) => field !== undefined);
}

/** A whole answer. */
export function encodeMsgpack(value: unknown): Buffer {
  const writer = new MsgpackWriter(new ByteWriter(256));
  writer.value(value);
  return writer.out.take();
}

const packed = (text: string): Uint8Array => encodeMsgpack(text);
const names = {
  topic: packed("topic"),
  partition: packed("partition"),
  offset: packed("offset"),
  timestamp: packed("timestamp"),
  key: packed("key"),
  value: packed("value"),
  headers: packed("headers"),
};

/** Writes a record: offsets and timestamps always take 64 bits, so that each has one type in every record. */
export function writeMsgpackRecord(
  writer: MsgpackWriter,
  record: StoredRecord,
  partition?: number,
  topic?: string,
): void {
  const { out } = writer;
  const headers = record.headers;
  writer.mapHeader(
    4 + (topic === undefined ? 0 : 1) + (partition === undefined ? 0 : 1) + (headers.length === 0 ? 0 : 1),
  );
  if (topic !== undefined) {
    out.copy(names.topic);
    writer.string(topic);
  }
  if (partition !== undefined) {
    out.copy(names.partition);
    writer.integer(partition);
  }
  out.copy(names.offset);
  writer.uint64(record.offset);
  out.copy(names.timestamp);
  if (record.timestamp < 0) writer.int64(record.timestamp);
  else writer.uint64(record.timestamp);
  out.copy(names.key);
  writer.binaryOrNil(record.key);
  out.copy(names.value);
  writer.binaryOrNil(record.value);
  if (headers.length === 0) return;
  out.copy(names.headers);
  writer.arrayHeader(headers.length);
  for (const header of headers) {
    writer.mapHeader(2);
    out.copy(names.key);
    writer.string(Buffer.from(header.key.buffer, header.key.byteOffset, header.key.byteLength).toString());
    out.copy(names.value);
    writer.binaryOrNil(header.value);
  }
}
