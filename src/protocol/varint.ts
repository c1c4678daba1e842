// Zigzag varints (32 bits, at most 5 bytes) and varlongs (64 bits, at most 10 bytes): the integers inside a record.
// Whatever a VarintReader hands out is exact, and it never reads past its end.

import { BatchCorruptError } from "./record-batch.ts";

export const varintBytesMax = 5;
export const varlongBytesMax = 10;

const int32Max = 2 ** 31 - 1;
const int32Min = -(2 ** 31);

/** The bytes writeVarint needs for an int32. */
export function varintSize(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  if (zigzag < 0x80) return 1;
  if (zigzag < 0x4000) return 2;
  if (zigzag < 0x200000) return 3;
  return zigzag < 0x10000000 ? 4 : 5;
}

/** Writes an int32 and returns the position after it. */
export function writeVarint(target: Uint8Array, position: number, value: number): number {
  let zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  let next = position;
  while (zigzag > 0x7f) {
    target[next++] = (zigzag & 0x7f) | 0x80;
    zigzag >>>= 7;
  }
  target[next++] = zigzag;
  return next;
}

/** The bytes writeVarlong needs for a safe integer. */
export function varlongSize(value: number): number {
  if (value <= int32Max && value >= int32Min) return varintSize(value);
  let rest = Math.floor(magnitude(value) / 64);
  let size = 1;
  while (rest > 0) {
    rest = Math.floor(rest / 128);
    size++;
  }
  return size;
}

/** Writes a safe integer and returns the position after it. */
export function writeVarlong(target: Uint8Array, position: number, value: number): number {
  if (value <= int32Max && value >= int32Min) return writeVarint(target, position, value);
  // The zigzag value can need 54 bits, so its lowest bit (the sign) is kept apart from the magnitude.
  const half = magnitude(value);
  let next = position;
  target[next++] = ((half % 64) * 2 + (value < 0 ? 1 : 0)) | 0x80;
  let rest = Math.floor(half / 64);
  while (rest > 0x7f) {
    target[next++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[next++] = rest;
  return next;
}

function magnitude(value: number): number {
  return value < 0 ? -(value + 1) : value;
}

/** Reads one after the other from `position` up to, and never past, `end`. */
export class VarintReader {
  readonly bytes: Uint8Array;
  position: number;
  end: number;

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  varint(): number {
    // Nearly every integer of a record is one byte.
    if (this.position < this.end) {
      const first = this.bytes[this.position]!;
      if (first < 0x80) {
        this.position++;
        return (first >>> 1) ^ -(first & 1);
      }
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    let zigzag = 0;
    for (let shift = 0; shift < 7 * varintBytesMax; shift += 7) {
      const byte = this.#byte();
      if (shift === 28 && byte > 0x0f) break;
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (zigzag >>> 1) ^ -(zigzag & 1);
    }
    throw new BatchCorruptError("a varint does not fit in 32 bits");
  }

  /** Refuses what a number cannot hold exactly, beyond ±(2^53 − 1). */
  varlong(): number {
    if (this.position < this.end) {
      const first = this.bytes[this.position]!;
      if (first < 0x80) {
        this.position++;
        return (first >>> 1) ^ -(first & 1);
      }
    }
    return this.#longVarlong();
  }

  #longVarlong(): number {
    let half = 0;
    let negative = false;
    // What the current byte's lowest bit is worth in the magnitude; the first byte holds the sign and six bits.
    let unit = 1;
    for (let index = 0; index < varlongBytesMax; index++) {
      const byte = this.#byte();
      if (index === 0) {
        negative = (byte & 1) !== 0;
        half = (byte & 0x7f) >>> 1;
        unit = 64;
      } else {
        half += (byte & 0x7f) * unit;
        unit *= 128;
      }
      if (byte >= 0x80) continue;
      const value = negative ? -half - 1 : half;
      if (Number.isSafeInteger(value)) return value;
      break;
    }
    throw new BatchCorruptError("a varlong is beyond 2^53");
  }

  #byte(): number {
    if (this.position >= this.end) throw new BatchCorruptError("a varint runs past the end of its bytes");
    return this.bytes[this.position++]!;
  }
}
