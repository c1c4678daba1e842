// A scanner over the bytes of a JSON text: it checks the grammar (RFC 8259) and says where values lie, without making
// them. JSON.parse cannot: it has no source text on Node 20, and records are stored as the very text that was sent.
// Strict where JSON.parse is, and in depth too. It never throws: a negative result is a refusal, told in `failure`.
// Whether the bytes are UTF-8 is the caller's to check first (isUtf8 of node:buffer, once for the whole body).

import { Buffer } from "node:buffer";
import { viewOf } from "../../protocol/record-batch.ts";

/** How deep a value may nest: 1 is an array of scalars. */
export const jsonDepthMax = 64;

/** Classes of bytes, one bit each. */
const inString = 1; // stands for itself in a string: no quote, backslash or control character
const space = 2;
const digit = 4;
const hexDigit = 8;
const escapable = 16; // may follow a backslash; `u` is apart

const classes = new Uint8Array(256).fill(inString, 0x20);
classes[0x22] = 0;
classes[0x5c] = 0;
const mark = (characters: string, bit: number): void => {
  for (const character of characters) classes[character.charCodeAt(0)]! |= bit;
};
mark(" \t\n\r", space);
mark("0123456789", digit);
mark("0123456789abcdefABCDEF", hexDigit);
mark('"\\/bfnrt', escapable);

/** A string without a special character for so many bytes is searched for the next one natively. */
const shortRunBytes = 32;

/** Buffer's search works on any Uint8Array and is many times faster than Uint8Array's own. */
const nativeIndexOf: (this: Uint8Array, byte: number, from: number) => number = Buffer.prototype.indexOf;

export class JsonScanner {
  bytes: Uint8Array;
  /** What was wrong and where, once a method has returned a negative number. */
  failure: "syntax" | "depth" = "syntax";
  failurePosition = 0;
  /** Of the last string passed: whether it has escapes. */
  escaped = false;
  /** Of the last name passed: just after its closing quote. */
  nameEnd = 0;
  #end: number;
  #view: DataView | undefined;
  /** The first backslash at or after the last place it was asked for; the end if there is none. */
  #backslash = -1;
  /** Per open container: 1 if it is an object. */
  readonly #objects = new Uint8Array(jsonDepthMax);

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#end = bytes.length;
  }

  /** Goes on with another text: cheaper than a new scanner for each of many. */
  reset(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.#end = bytes.length;
    this.#view = undefined;
    this.#backslash = -1;
  }

  /** The first byte from `position` on that is not white space, or the end. */
  skipSpace(position: number): number {
    const bytes = this.bytes;
    while (position < this.#end && (classes[bytes[position]!]! & space) !== 0) position += 1;
    return position;
  }

  #fail(position: number): -1 {
    this.failure = "syntax";
    this.failurePosition = position;
    return -1;
  }

  /** From the opening quote to just after the closing one. */
  skipString(position: number): number {
    const bytes = this.bytes;
    const end = this.#end;
    this.escaped = false;
    let at = position + 1;
    for (;;) {
      const shortEnd = Math.min(end, at + shortRunBytes);
      while (at < shortEnd && (classes[bytes[at]!]! & inString) !== 0) at += 1;
      if (at === shortEnd) {
        at = this.#skipLongRun(at);
        if (at < 0) return at;
      }
      const special = bytes[at]!;
      if (special === 0x22) return at + 1;
      if (special !== 0x5c) return this.#fail(at);
      this.escaped = true;
      at += 1;
      if (at < end && (classes[bytes[at]!]! & escapable) !== 0) at += 1;
      else {
        at = this.#skipUnicodeEscape(at);
        if (at < 0) return at;
      }
    }
  }

  /** The next quote or backslash, by native search; nothing before it may be a control character. */
  #skipLongRun(at: number): number {
    if (this.#backslash < at) {
      const found = nativeIndexOf.call(this.bytes, 0x5c, at);
      this.#backslash = found < 0 ? this.#end : found;
    }
    const quote = nativeIndexOf.call(this.bytes, 0x22, at);
    const runEnd = quote < 0 ? this.#backslash : Math.min(quote, this.#backslash);
    const control = this.#firstControl(at, runEnd);
    return control < runEnd || control === this.#end ? this.#fail(control) : runEnd;
  }

  /** The first byte below 0x20 in a range, or the end of the range. Four at a time: a byte borrows from its top bit. */
  #firstControl(from: number, to: number): number {
    this.#view ??= viewOf(this.bytes);
    const view = this.#view;
    let at = from;
    for (; at + 8 <= to; at += 8) {
      const a = view.getInt32(at);
      const b = view.getInt32(at + 4);
      if ((((a - 0x20202020) & ~a) | ((b - 0x20202020) & ~b)) & 0x80808080) break;
    }
    while (at < to && this.bytes[at]! >= 0x20) at += 1;
    return at;
  }

  /** The rest of an escape that is not of one letter, from the byte after the backslash. */
  #skipUnicodeEscape(position: number): number {
    if (position >= this.#end || this.bytes[position] !== 0x75) return this.#fail(position);
    for (let at = position + 1; at <= position + 4; at++) {
      if (at >= this.#end || (classes[this.bytes[at]!]! & hexDigit) === 0) return this.#fail(at);
    }
    return position + 5;
  }

  #skipDigits(position: number): number {
    const bytes = this.bytes;
    let at = position;
    while (at < this.#end && (classes[bytes[at]!]! & digit) !== 0) at += 1;
    return at === position ? this.#fail(at) : at;
  }

  #skipNumber(position: number): number {
    const bytes = this.bytes;
    let at = position;
    if (bytes[at] === 0x2d) at += 1;
    if (at < this.#end && bytes[at] === 0x30) at += 1;
    else at = this.#skipDigits(at);
    if (at > 0 && at < this.#end && bytes[at] === 0x2e) at = this.#skipDigits(at + 1);
    if (at > 0 && at < this.#end && (bytes[at]! | 0x20) === 0x65) {
      at += 1;
      if (at < this.#end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at += 1;
      at = this.#skipDigits(at);
    }
    return at;
  }

  #skipWord(position: number, word: string): number {
    for (let i = 1; i < word.length; i++) {
      const at = position + i;
      if (at >= this.#end || this.bytes[at] !== word.charCodeAt(i)) return this.#fail(at);
    }
    return position + word.length;
  }

  /** A value that is neither an object nor an array, from its first byte to just after its last. */
  #skipScalar(position: number): number {
    const first = position < this.#end ? this.bytes[position]! : 0;
    if (first === 0x22) return this.skipString(position);
    if (first === 0x2d || (classes[first]! & digit) !== 0) return this.#skipNumber(position);
    if (first === 0x74) return this.#skipWord(position, "true");
    if (first === 0x66) return this.#skipWord(position, "false");
    if (first === 0x6e) return this.#skipWord(position, "null");
    return this.#fail(position);
  }

  /** A name of an object and its colon, from the name's quote to the first byte of the value. */
  skipName(position: number): number {
    if (position >= this.#end || this.bytes[position] !== 0x22) return this.#fail(position);
    let at = this.skipString(position);
    if (at < 0) return at;
    this.nameEnd = at;
    at = this.skipSpace(at);
    if (at >= this.#end || this.bytes[at] !== 0x3a) return this.#fail(at);
    return this.skipSpace(at + 1);
  }

  /** Any value, from its first byte (no white space before it) to just after its last; negative if it is not legal. */
  skipValue(position: number): number {
    const bytes = this.bytes;
    const end = this.#end;
    const objects = this.#objects;
    let depth = 0;
    let at = position;
    for (;;) {
      const first = at < end ? bytes[at]! : 0;
      if (first === 0x7b || first === 0x5b) {
        if (depth === jsonDepthMax) {
          this.failure = "depth";
          this.failurePosition = at;
          return -1;
        }
        const isObject = first === 0x7b;
        objects[depth] = isObject ? 1 : 0;
        depth += 1;
        at = this.skipSpace(at + 1);
        if (!(at < end && bytes[at] === first + 2)) {
          if (isObject) {
            at = this.skipName(at);
            if (at < 0) return at;
          }
          continue;
        }
        depth -= 1;
        at += 1;
      } else {
        at = this.#skipScalar(at);
        if (at < 0) return at;
      }
      // After a value: a comma leads to the next one, a bracket is the end of another value.
      for (;;) {
        if (depth === 0) return at;
        at = this.skipSpace(at);
        const next = at < end ? bytes[at]! : 0;
        const isObject = objects[depth - 1] === 1;
        if (next === 0x2c) {
          at = this.skipSpace(at + 1);
          if (isObject) {
            at = this.skipName(at);
            if (at < 0) return at;
          }
          break;
        }
        if (next !== (isObject ? 0x7d : 0x5d)) return this.#fail(at);
        depth -= 1;
        at += 1;
      }
    }
  }

  /** A whole text: one value, white space around it allowed. */
  isWhole(): boolean {
    const valueEnd = this.skipValue(this.skipSpace(0));
    if (valueEnd < 0) return false;
    const rest = this.skipSpace(valueEnd);
    return rest === this.#end || this.#fail(rest) > 0;
  }
}
