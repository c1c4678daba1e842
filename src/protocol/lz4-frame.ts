// Inflates LZ4 frames (LZ4 Frame Format 1.6), as Kafka's lz4 codec writes them. Frames may follow one another.
// Our own because no library stops at a limit: output, and so time and memory, are bounded by maxBytes.

import { BoundedOutput, tooLarge } from "./bounded-output.ts";
import { CodecError } from "./codecs.ts";
import { viewOf } from "./record-batch.ts";
import { xxhash32 } from "./xxhash32.ts";

const frameMagic = 0x184d2204;
const skippableMagic = 0x184d2a50;
const skippableMask = 0xfffffff0;
const flag = {
  reserved: 0x02,
  dictionary: 0x01,
  contentChecksum: 0x04,
  contentSize: 0x08,
  blockChecksum: 0x10,
} as const;
const independentBlocks = 0x20;
const storedBlock = 0x80000000;
/** An LZ4 byte of input stands for at most this many of output. */
const ratioMax = 255;

interface Frame {
  readonly flags: number;
  readonly blockBytesMax: number;
  /** Undefined if the frame does not say. */
  readonly contentBytes: number | undefined;
}

export function inflateLz4(input: Uint8Array, maxBytes: number): Uint8Array {
  return new Lz4Inflater(input, maxBytes).inflate();
}

class Lz4Inflater {
  readonly #input: Uint8Array;
  readonly #view: DataView;
  readonly #output: BoundedOutput;
  #position = 0;

  constructor(input: Uint8Array, maxBytes: number) {
    this.#input = input;
    this.#view = viewOf(input);
    this.#output = new BoundedOutput(input.length * 4, maxBytes);
  }

  inflate(): Uint8Array {
    if (this.#input.length === 0) throw corrupt("there is no lz4 frame");
    while (this.#position < this.#input.length) {
      const magic = this.#uint32();
      if (magic === frameMagic) this.#frame();
      else if ((magic & skippableMask) >>> 0 === skippableMagic) this.#skip(this.#uint32());
      else throw corrupt("not an lz4 frame");
    }
    return this.#output.written();
  }

  #frame(): void {
    const frame = this.#frameHeader();
    const output = this.#output;
    const frameStart = output.length;
    if (frame.contentBytes !== undefined && frameStart + frame.contentBytes > output.maxBytes) {
      throw tooLarge(output.maxBytes);
    }
    for (let size = this.#uint32(); size !== 0; size = this.#uint32()) this.#block(frame, size, frameStart);
    const produced = output.length - frameStart;
    if (frame.contentBytes !== undefined && produced !== frame.contentBytes) {
      throw corrupt(`the frame says ${frame.contentBytes} bytes and holds ${produced}`);
    }
    if (
      (frame.flags & flag.contentChecksum) !== 0 &&
      this.#uint32() !== xxhash32(output.bytes, frameStart, output.length)
    ) {
      throw corrupt("the content checksum does not match");
    }
  }

  #frameHeader(): Frame {
    const start = this.#position;
    const flags = this.#byte();
    const sizes = this.#byte();
    const sizeCode = (sizes >> 4) & 7;
    if (flags >> 6 !== 1 || (flags & flag.reserved) !== 0 || (sizes & 0x8f) !== 0 || sizeCode < 4) {
      throw corrupt("the frame header is not legal");
    }
    if ((flags & flag.dictionary) !== 0) throw corrupt("the frame needs a dictionary");
    let contentBytes: number | undefined;
    if ((flags & flag.contentSize) !== 0) contentBytes = this.#uint32() + this.#uint32() * 2 ** 32;
    const checksum = (xxhash32(this.#input, start, this.#position) >>> 8) & 0xff;
    if (this.#byte() !== checksum) throw corrupt("the header checksum does not match");
    return { flags, blockBytesMax: 2 ** (8 + 2 * sizeCode), contentBytes };
  }

  #block(frame: Frame, sizeWord: number, frameStart: number): void {
    const size = sizeWord & ~storedBlock;
    const start = this.#position;
    if (size > frame.blockBytesMax) throw corrupt("a block is larger than its frame allows");
    this.#skip(size);
    if ((frame.flags & flag.blockChecksum) !== 0 && this.#uint32() !== xxhash32(this.#input, start, start + size)) {
      throw corrupt("a block checksum does not match");
    }
    const output = this.#output;
    if (sizeWord >= storedBlock) {
      output.openBlock(size);
      output.append(this.#input, start, size);
      return;
    }
    output.openBlock(Math.min(frame.blockBytesMax, size * ratioMax));
    const floor = (frame.flags & independentBlocks) !== 0 ? output.length : frameStart;
    inflateBlock(this.#input, start, start + size, output, floor);
  }

  #skip(count: number): void {
    if (count > this.#input.length - this.#position) throw corrupt("the data is cut short");
    this.#position += count;
  }

  #byte(): number {
    this.#skip(1);
    return this.#input[this.#position - 1]!;
  }

  #uint32(): number {
    this.#skip(4);
    return this.#view.getUint32(this.#position - 4, true);
  }
}

/** A block is sequences of: literals, then a match `distance` back; the last sequence has only literals. */
function inflateBlock(input: Uint8Array, start: number, end: number, output: BoundedOutput, floor: number): void {
  let position = start;
  while (position < end) {
    const token = input[position++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (position >= end) throw corrupt("a block is cut short");
        more = input[position++]!;
        literals += more;
      } while (more === 255);
    }
    if (literals > end - position) throw corrupt("a block is cut short");
    output.append(input, position, literals);
    position += literals;
    if (position === end) return;
    if (end - position < 2) throw corrupt("a block is cut short");
    const distance = input[position]! | (input[position + 1]! << 8);
    position += 2;
    let length = token & 15;
    if (length === 15) {
      let more: number;
      do {
        if (position >= end) throw corrupt("a block is cut short");
        more = input[position++]!;
        length += more;
      } while (more === 255);
    }
    output.copyBack(distance, length + 4, floor);
  }
  throw corrupt("a block does not end with literals");
}

function corrupt(message: string): CodecError {
  return new CodecError("corrupt", message);
}
