// Where a decompressor writes: grows as needed, never beyond the bytes its caller allowed.

import { CodecError } from "./codecs.ts";

/** Matches shorter than this are copied by a loop, which then beats copyWithin. */
const shortCopyBytes = 32;

export class BoundedOutput {
  bytes: Uint8Array;
  /** Bytes written. */
  length = 0;
  readonly maxBytes: number;
  #limit = 0;
  #limitIsMax = false;

  constructor(capacity: number, maxBytes: number) {
    this.maxBytes = maxBytes;
    this.bytes = new Uint8Array(Math.min(capacity, maxBytes));
  }

  /** Allows `blockBytesMax` more bytes, as far as maxBytes reaches. Only what was allowed may be written. */
  openBlock(blockBytesMax: number): void {
    this.#limitIsMax = this.length + blockBytesMax > this.maxBytes;
    this.#limit = Math.min(this.length + blockBytesMax, this.maxBytes);
    if (this.#limit <= this.bytes.length) return;
    const grown = new Uint8Array(Math.min(Math.max(this.#limit, this.bytes.length * 2), this.maxBytes));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** Throws unless `count` more bytes fit in the open block. */
  reserve(count: number): void {
    if (this.length + count <= this.#limit) return;
    if (this.#limitIsMax) throw tooLarge(this.maxBytes);
    throw new CodecError("corrupt", "a block is larger than its frame allows");
  }

  append(source: Uint8Array, start: number, count: number): void {
    this.reserve(count);
    const bytes = this.bytes;
    const length = this.length;
    if (count >= shortCopyBytes) bytes.set(source.subarray(start, start + count), length);
    else for (let index = 0; index < count; index++) bytes[length + index] = source[start + index]!;
    this.length = length + count;
  }

  fill(byte: number, count: number): void {
    this.reserve(count);
    this.bytes.fill(byte, this.length, this.length + count);
    this.length += count;
  }

  /** Repeats `count` bytes from `distance` back; they may overlap what is being written. Nothing before `floor` exists. */
  copyBack(distance: number, count: number, floor: number): void {
    this.reserve(count);
    const bytes = this.bytes;
    const to = this.length;
    const from = to - distance;
    if (distance <= 0 || from < floor) throw new CodecError("corrupt", "a match begins before the data");
    if (count >= shortCopyBytes && distance >= count) bytes.copyWithin(to, from, from + count);
    else if (count >= shortCopyBytes && distance === 1) bytes.fill(bytes[from]!, to, to + count);
    else for (let index = 0; index < count; index++) bytes[to + index] = bytes[from + index]!;
    this.length = to + count;
  }

  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

export function tooLarge(maxBytes: number): CodecError {
  return new CodecError("tooLarge", `the data inflates to more than ${maxBytes} bytes`);
}
