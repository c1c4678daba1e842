// Bytes of an answer, put together in one buffer that doubles when it is full. Nothing is written twice but by growing.

import { Buffer } from "node:buffer";

/** Below this a loop is faster than TypedArray.set. */
const shortCopyBytes = 24;
const zero = 0x30;

export class ByteWriter {
  /** What was written is the first `length` bytes. Growing replaces the buffer: do not keep it. */
  bytes: Buffer;
  length = 0;

  constructor(sizeHint: number) {
    this.bytes = Buffer.allocUnsafe(Math.max(sizeHint, 64));
  }

  /** Room for so many bytes; with it a caller may write to `bytes` and raise `length` itself. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  copy(source: Uint8Array): void {
    const count = source.length;
    this.reserve(count);
    const { bytes, length } = this;
    if (count > shortCopyBytes) bytes.set(source, length);
    else for (let i = 0; i < count; i++) bytes[length + i] = source[i]!;
    this.length = length + count;
  }

  text(text: string): void {
    this.reserve(text.length * 3);
    this.length += this.bytes.write(text, this.length);
  }

  /** Bytes as base64 text. */
  base64(source: Uint8Array): void {
    const text = Buffer.from(source.buffer, source.byteOffset, source.byteLength).toString("base64");
    this.reserve(text.length);
    this.length += this.bytes.write(text, this.length, "latin1");
  }

  /** A whole number within ±(2^53−1), in decimal. */
  integer(value: number): void {
    this.reserve(17);
    if (value < 0) {
      this.bytes[this.length++] = 0x2d;
      this.#digits(-value);
    } else this.#digits(value);
  }

  #digits(value: number): void {
    if (value >= 1e8) {
      // Two halves that each fit an int32: 2^53 has 16 digits.
      const high = Math.floor(value / 1e8);
      this.#digits(high);
      this.#digitsOfInt(value - high * 1e8, 8);
      return;
    }
    let count = 1;
    for (let power = 10; power <= value; power *= 10) count += 1;
    this.#digitsOfInt(value, count);
  }

  #digitsOfInt(value: number, count: number): void {
    let rest = value | 0;
    for (let at = this.length + count - 1; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      this.bytes[at] = zero + rest - tenth * 10;
      rest = tenth;
    }
    this.length += count;
  }

  take(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}
