// Strings of a JSON text as bytes, and whole numbers as numbers. The scanner has passed over them: the grammar holds.

import { Buffer } from "node:buffer";

const escapes = new Uint8Array(256);
for (const [letter, byte] of Object.entries({ '"': 0x22, "\\": 0x5c, "/": 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 })) {
  escapes[letter.charCodeAt(0)] = byte;
}

/** Stands for a string that is no text: it has half of a surrogate pair, which has no UTF-8 form. */
export const loneSurrogate = "loneSurrogate";

/** The UTF-8 bytes of the string between two quotes; a view unless it has escapes. */
export function decodeJsonString(
  bytes: Uint8Array,
  start: number,
  end: number,
  escaped: boolean,
): Uint8Array | typeof loneSurrogate {
  return escaped ? unescapeString(bytes, start + 1, end - 1) : bytes.subarray(start + 1, end - 1);
}

function unescapeString(bytes: Uint8Array, start: number, end: number): Uint8Array | typeof loneSurrogate {
  // An escape is never shorter than the bytes it stands for.
  const target = Buffer.allocUnsafe(end - start);
  let length = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte !== 0x5c) {
      target[length++] = byte;
      at += 1;
      continue;
    }
    const letter = bytes[at + 1]!;
    at += 2;
    if (letter !== 0x75) {
      target[length++] = escapes[letter]!;
      continue;
    }
    let codePoint = hex4(bytes, at);
    at += 4;
    if (codePoint >= 0xd800 && codePoint < 0xe000) {
      const paired = codePoint < 0xdc00 && at + 6 <= end && bytes[at] === 0x5c && bytes[at + 1] === 0x75;
      const low = paired ? hex4(bytes, at + 2) : 0;
      if (low < 0xdc00 || low > 0xdfff) return loneSurrogate;
      codePoint = 0x10000 + ((codePoint - 0xd800) << 10) + (low - 0xdc00);
      at += 6;
    }
    length = writeUtf8(target, length, codePoint);
  }
  return target.subarray(0, length);
}

function hex4(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < at + 4; i++) {
    const byte = bytes[i]!;
    value = value * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x61 + 10);
  }
  return value;
}

function writeUtf8(target: Uint8Array, at: number, codePoint: number): number {
  if (codePoint < 0x80) {
    target[at] = codePoint;
    return at + 1;
  }
  if (codePoint < 0x800) {
    target[at] = 0xc0 | (codePoint >> 6);
    target[at + 1] = 0x80 | (codePoint & 0x3f);
    return at + 2;
  }
  if (codePoint < 0x10000) {
    target[at] = 0xe0 | (codePoint >> 12);
    target[at + 1] = 0x80 | ((codePoint >> 6) & 0x3f);
    target[at + 2] = 0x80 | (codePoint & 0x3f);
    return at + 3;
  }
  target[at] = 0xf0 | (codePoint >> 18);
  target[at + 1] = 0x80 | ((codePoint >> 12) & 0x3f);
  target[at + 2] = 0x80 | ((codePoint >> 6) & 0x3f);
  target[at + 3] = 0x80 | (codePoint & 0x3f);
  return at + 4;
}

/** The number between two positions if it is written as a whole one within ±(2^53−1), else NaN: nothing is rounded. */
export function jsonInteger(bytes: Uint8Array, start: number, end: number): number {
  const negative = bytes[start] === 0x2d;
  const first = negative ? start + 1 : start;
  if (first === end || end - first > 16) return Number.NaN;
  let value = 0;
  for (let at = first; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  if (!Number.isSafeInteger(value) || (negative && value === 0)) return Number.NaN;
  return negative ? -value : value;
}
