// Base64 as RFC 4648 section 4 writes it and in no other way: standard alphabet, padded, unused bits zero. Two texts for the
// same bytes would make "the same record" a matter of taste, and Buffer's own decoder takes anything.

import { Buffer } from "node:buffer";

/** The bytes a base64 text (as ASCII bytes) stands for, or undefined if it is not strict. */
export function decodeBase64(ascii: Uint8Array): Uint8Array | undefined {
  if (ascii.length % 4 !== 0) return undefined;
  const text = Buffer.from(ascii.buffer, ascii.byteOffset, ascii.byteLength).toString("latin1");
  const decoded = Buffer.from(text, "base64");
  return decoded.toString("base64") === text ? decoded : undefined;
}
