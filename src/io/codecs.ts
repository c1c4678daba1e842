// The Codecs port for Node: CRC-32C and snappy by native modules, gzip by zlib, lz4 and zstd by our own inflaters.
// Snappy's module is loaded by the first batch that needs it: few brokers ever do, and all would pay at their start.

import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";
import { CodecError, type Codecs, type CompressionCodec } from "../protocol/codecs.ts";
import { inflateLz4 } from "../protocol/lz4-frame.ts";
import { viewOf } from "../protocol/record-batch.ts";
import { inflateZstd } from "../protocol/zstd-frame.ts";

// require, because to import a CommonJS package costs the start 10 ms more.
const require = createRequire(import.meta.url);
const { crc32c } = require("@node-rs/crc32") as typeof import("@node-rs/crc32");

export const nodeCodecs: Codecs = {
  crc32c: (bytes) => crc32c(bytes),
  decompress,
};

function decompress(codec: CompressionCodec, bytes: Uint8Array, maxBytes: number): Uint8Array {
  switch (codec) {
    case "none":
      if (bytes.length > maxBytes) throw tooLarge(maxBytes);
      return bytes;
    case "gzip":
      return inflateGzip(bytes, maxBytes);
    case "snappy":
      return inflateSnappy(bytes, maxBytes);
    case "lz4":
      return inflateLz4(bytes, maxBytes);
    case "zstd":
      return inflateZstd(bytes, maxBytes);
  }
}

function tooLarge(maxBytes: number): CodecError {
  return new CodecError("tooLarge", `the data inflates to more than ${maxBytes} bytes`);
}

function corrupt(message: string, cause?: unknown): CodecError {
  return new CodecError("corrupt", message, { cause });
}

/** The same bytes as no Buffer: whose methods differ, and which protocol does not know. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function inflateGzip(bytes: Uint8Array, maxBytes: number): Uint8Array {
  try {
    // zlib wants a limit of at least one byte.
    const output = gunzipSync(bytes, { maxOutputLength: Math.max(maxBytes, 1) });
    if (output.length <= maxBytes) return plain(output);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_BUFFER_TOO_LARGE") throw corrupt("not a gzip stream", cause);
  }
  throw tooLarge(maxBytes);
}

// ---- snappy: Java producers write blocks behind the header of the xerial library, others one raw block.

const xerialMagic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00];
/** The magic, a version and the lowest version that can read it. */
const xerialHeaderBytes = 16;

function inflateSnappy(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const blocks = xerialMagic.every((byte, index) => bytes[index] === byte) ? xerialBlocks(bytes) : [bytes];
  // A block begins with the length of its output. All are checked before the first is inflated.
  let total = 0;
  for (const block of blocks) {
    total += snappyLength(block);
    if (total > maxBytes) throw tooLarge(maxBytes);
  }
  if (blocks.length === 1) return inflateSnappyBlock(blocks[0]!);
  const output = new Uint8Array(total);
  let position = 0;
  for (const block of blocks) {
    const part = inflateSnappyBlock(block);
    output.set(part, position);
    position += part.length;
  }
  return output;
}

function xerialBlocks(bytes: Uint8Array): Uint8Array[] {
  const view = viewOf(bytes);
  const blocks: Uint8Array[] = [];
  let position = xerialHeaderBytes;
  while (position < bytes.length) {
    const start = position + 4;
    if (start > bytes.length) throw corrupt("the snappy blocks are cut short");
    const end = start + view.getUint32(position);
    if (end > bytes.length) throw corrupt("the snappy blocks are cut short");
    blocks.push(bytes.subarray(start, end));
    position = end;
  }
  if (position !== bytes.length) throw corrupt("the snappy header is cut short");
  return blocks;
}

/** The output length a raw block announces: an unsigned varint of 32 bits. */
function snappyLength(block: Uint8Array): number {
  let length = 0;
  for (let index = 0; index < 5; index++) {
    const byte = block[index];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return length;
  }
  throw corrupt("not a snappy block");
}

let snappy: typeof import("snappy") | undefined;

function inflateSnappyBlock(block: Uint8Array): Uint8Array {
  snappy ??= require("snappy") as typeof import("snappy");
  try {
    return plain(snappy.uncompressSync(block, { asBuffer: true }) as Buffer);
  } catch (cause) {
    throw corrupt("not a snappy block", cause);
  }
}
