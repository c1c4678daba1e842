// The frames of the metadata file: magic (4 bytes), CRC-32C of all that follows (4), payload length (4), payload, a JSON text.
// Numbers are big-endian. The magic begins with a byte that UTF-8 never has, so no payload can look like a frame.

import type { Codecs } from "../protocol/codecs.ts";

const magic = [0xff, 0x4d, 0x52, 0x4d] as const;
const crcAt = 4;
const lengthAt = 8;
export const frameHeaderBytes = 12;

const restoreAdvice =
  "Keep a copy of the file, then restore it from a backup; without it the broker cannot tell which topics its folders belong to.";

/** The file was damaged after it was written, or is not ours; starting anyway could forget topics. */
export class MetadataCorruptError extends Error {
  override readonly name = "MetadataCorruptError";
  readonly path: string;
  readonly position: number;
  constructor(path: string, position: number, reason: string, advice: string = restoreAdvice) {
    super(`${path}: byte ${position}: ${reason}. Nothing was changed. ${advice}`);
    this.path = path;
    this.position = position;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeFrame(payload: string, codecs: Codecs): Uint8Array {
  const text = encoder.encode(payload);
  const frame = new Uint8Array(frameHeaderBytes + text.length);
  const view = new DataView(frame.buffer);
  frame.set(magic);
  view.setUint32(lengthAt, text.length);
  frame.set(text, frameHeaderBytes);
  view.setUint32(crcAt, codecs.crc32c(frame.subarray(lengthAt)));
  return frame;
}

export interface Frame {
  readonly payload: string;
  /** Where the next frame begins. */
  readonly end: number;
}

/** undefined when no whole, undamaged frame is at `position`. */
export function frameAt(bytes: Uint8Array, position: number, codecs: Codecs): Frame | undefined {
  if (position + frameHeaderBytes > bytes.length) return undefined;
  if (!magic.every((byte, index) => bytes[position + index] === byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + position);
  const end = position + frameHeaderBytes + view.getUint32(lengthAt);
  if (end > bytes.length) return undefined;
  if (view.getUint32(crcAt) !== codecs.crc32c(bytes.subarray(position + lengthAt, end))) return undefined;
  return { payload: decoder.decode(bytes.subarray(position + frameHeaderBytes, end)), end };
}

/** Where the first undamaged frame at or after `position` begins. */
export function nextFrame(bytes: Uint8Array, position: number, codecs: Codecs): number | undefined {
  for (let at = bytes.indexOf(magic[0], position); at >= 0; at = bytes.indexOf(magic[0], at + 1)) {
    if (frameAt(bytes, at, codecs)) return at;
  }
  return undefined;
}
