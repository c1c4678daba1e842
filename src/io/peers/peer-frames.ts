// Frames between brokers, as bytes. Pure. A message is a msgpack head and parts that follow it untouched; a frame carries a piece of one:
//   kind u8 · zero u24 · id u32 · headBytes u32 · totalBytes u32 · position u32 · totalBytes' bytes from `position` on
// all big endian. The head is [value, [length of each part]]. Whatever is not exactly so is a MalformedFrameError.

import { Buffer } from "node:buffer";
import { Packr, Unpackr } from "msgpackr";
import { assert } from "../../assert.ts";
import { messageBytesMax } from "./peer-limits.ts";
import type { PeerMessage } from "./peers.ts";

/** In the order of a connection's life. The server's challenge comes first. */
export const frameKinds = {
  challenge: 1,
  hello: 2,
  welcome: 3,
  request: 4,
  reply: 5,
  refusal: 6,
  cancel: 7,
  ping: 8,
  pong: 9,
} as const;
export type FrameKind = keyof typeof frameKinds;

const kindNames = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([name, kind]) => [kind, name as FrameKind]),
);

export const frameHeaderBytes = 20;

export class MalformedFrameError extends Error {
  override readonly name = "MalformedFrameError";
}

/** A message ready to be cut up. */
export interface EncodedMessage {
  readonly kind: FrameKind;
  readonly id: number;
  readonly headBytes: number;
  readonly totalBytes: number;
  /** The head, then the parts. */
  readonly chunks: readonly Uint8Array[];
}

export interface Piece {
  readonly kind: FrameKind;
  readonly id: number;
  readonly headBytes: number;
  readonly totalBytes: number;
  readonly position: number;
  /** A view of the frame. */
  readonly bytes: Uint8Array;
}

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

export function encodeMessage(kind: FrameKind, id: number, { head, parts }: PeerMessage): EncodedMessage {
  const encoded = packr.pack([head, parts.map(({ length }) => length)]);
  const totalBytes = parts.reduce((sum, { length }) => sum + length, encoded.length);
  return {
    kind,
    id,
    headBytes: encoded.length,
    totalBytes,
    chunks: [encoded, ...parts.filter((part) => part.length > 0)],
  };
}

/** A frame with nothing in it. */
export const emptyMessage = (kind: FrameKind, id: number): EncodedMessage => ({
  kind,
  id,
  headBytes: 0,
  totalBytes: 0,
  chunks: [],
});

/** A frame of the handshake: bytes without a head. */
export const handshakeMessage = (kind: "challenge" | "hello" | "welcome", bytes: Uint8Array): EncodedMessage => ({
  kind,
  id: 0,
  headBytes: 0,
  totalBytes: bytes.length,
  chunks: [bytes],
});

/** The frame's bytes: its header, and views of the message's own chunks. */
export function framePiece(message: EncodedMessage, position: number, length: number): Uint8Array[] {
  assert(position + length <= message.totalBytes, "a piece goes beyond its message");
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt8(frameKinds[message.kind], 0);
  header.writeUInt32BE(message.id, 4);
  header.writeUInt32BE(message.headBytes, 8);
  header.writeUInt32BE(message.totalBytes, 12);
  header.writeUInt32BE(position, 16);
  const chunks: Uint8Array[] = [header];
  let start = 0;
  for (const chunk of message.chunks) {
    const from = Math.max(0, position - start);
    const to = Math.min(chunk.length, position + length - start);
    if (from < to) chunks.push(chunk.subarray(from, to));
    start += chunk.length;
  }
  return chunks;
}

export function decodePiece(frame: Uint8Array): Piece {
  if (frame.length < frameHeaderBytes) throw new MalformedFrameError("shorter than a header");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const first = view.getUint32(0);
  const kind = kindNames.get(first >>> 24);
  if (kind === undefined || (first & 0xffffff) !== 0) throw new MalformedFrameError("no known kind");
  const id = view.getUint32(4);
  const headBytes = view.getUint32(8);
  const totalBytes = view.getUint32(12);
  const position = view.getUint32(16);
  const bytes = frame.subarray(frameHeaderBytes);
  if (totalBytes > messageBytesMax) throw new MalformedFrameError(`a message of ${totalBytes} bytes`);
  if (headBytes > totalBytes) throw new MalformedFrameError("the head is longer than the message");
  if (position + bytes.length > totalBytes) throw new MalformedFrameError("a piece goes beyond its message");
  if (bytes.length === 0 && totalBytes > 0) throw new MalformedFrameError("an empty piece");
  return { kind, id, headBytes, totalBytes, position, bytes };
}

/** `bytes`: the whole of a message. */
export function decodeMessage(headBytes: number, bytes: Uint8Array): PeerMessage {
  const [head, lengths] = decodeHead(bytes.subarray(0, headBytes));
  const parts: Uint8Array[] = [];
  let at = headBytes;
  for (const length of lengths) {
    if (length > bytes.length - at) throw new MalformedFrameError("a part goes beyond its message");
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  if (at !== bytes.length) throw new MalformedFrameError("bytes that are of no part");
  return { head, parts };
}

function decodeHead(bytes: Uint8Array): readonly [unknown, readonly number[]] {
  let value: unknown;
  try {
    value = unpackr.unpack(bytes);
  } catch (error) {
    throw new MalformedFrameError(`the head is no msgpack: ${(error as Error).message}`);
  }
  if (!Array.isArray(value) || value.length !== 2 || !Array.isArray(value[1])) {
    throw new MalformedFrameError("the head is not a value and lengths");
  }
  const lengths = value[1] as readonly unknown[];
  if (!lengths.every((length) => Number.isSafeInteger(length) && (length as number) >= 0)) {
    throw new MalformedFrameError("the length of a part is no length");
  }
  return value as [unknown, number[]];
}
