// Inflates Zstandard frames (RFC 8878), as Kafka's zstd codec writes them. Frames may follow one another.
// Our own because no library for Node 20 is bounded: here output, and so time and memory, stop at maxBytes.
// Frames that need a dictionary are refused. The optional content checksum is not verified (a batch has its own CRC).

import { BoundedOutput, tooLarge } from "./bounded-output.ts";
import { CodecError } from "./codecs.ts";
import { viewOf } from "./record-batch.ts";
import { BlockState, blockBytesMax, inflateZstdBlock } from "./zstd-block.ts";
import { corrupt, inputPadding } from "./zstd-entropy.ts";

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
const skippableMask = 0xfffffff0;
/** Bit positions are kept in 31 bits. */
const inputBytesMax = 2 ** 27;

interface Frame {
  /** The most one block may inflate to. */
  readonly blockBytesMax: number;
  /** Undefined if the frame does not say. */
  readonly contentBytes: number | undefined;
  readonly hasChecksum: boolean;
}

export function inflateZstd(input: Uint8Array, maxBytes: number): Uint8Array {
  if (input.length > inputBytesMax) throw new CodecError("tooLarge", `zstd: more than ${inputBytesMax} bytes of input`);
  return new ZstdInflater(input, maxBytes).inflate();
}

class ZstdInflater {
  readonly #input: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  readonly #output: BoundedOutput;
  readonly #scratch = new Uint8Array(blockBytesMax);
  #position = inputPadding;

  constructor(input: Uint8Array, maxBytes: number) {
    this.#input = new Uint8Array(input.length + 2 * inputPadding);
    this.#input.set(input, inputPadding);
    this.#view = viewOf(this.#input);
    this.#end = inputPadding + input.length;
    this.#output = new BoundedOutput(input.length * 4, maxBytes);
  }

  inflate(): Uint8Array {
    if (this.#position === this.#end) throw corrupt("there is no frame");
    while (this.#position < this.#end) {
      const magic = this.#uint(4);
      if (magic === frameMagic) this.#frame();
      else if ((magic & skippableMask) >>> 0 === skippableMagic) this.#skip(this.#uint(4));
      else throw corrupt("not a frame");
    }
    return this.#output.written();
  }

  #frame(): void {
    const frame = this.#frameHeader();
    const output = this.#output;
    const state = new BlockState(output.length, this.#scratch);
    if (frame.contentBytes !== undefined && output.length + frame.contentBytes > output.maxBytes) {
      throw tooLarge(output.maxBytes);
    }
    for (let last = false; !last; ) last = this.#block(frame, state);
    const produced = output.length - state.floor;
    if (frame.contentBytes !== undefined && produced !== frame.contentBytes) {
      throw corrupt(`the frame says ${frame.contentBytes} bytes and holds ${produced}`);
    }
    if (frame.hasChecksum) this.#skip(4);
  }

  #frameHeader(): Frame {
    const descriptor = this.#uint(1);
    const singleSegment = (descriptor & 0x20) !== 0;
    if ((descriptor & 0x08) !== 0) throw corrupt("the frame header is not legal");
    let windowBytes = Number.POSITIVE_INFINITY;
    if (!singleSegment) {
      const window = this.#uint(1);
      windowBytes = 2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8);
    }
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
    if (this.#uint(dictionaryBytes) !== 0) throw corrupt("the frame needs a dictionary");
    const sizeKind = descriptor >> 6;
    let contentBytes: number | undefined;
    if (sizeKind === 1) contentBytes = this.#uint(2) + 256;
    else if (sizeKind === 2) contentBytes = this.#uint(4);
    else if (sizeKind === 3) contentBytes = this.#uint(4) + this.#uint(4) * 2 ** 32;
    else if (singleSegment) contentBytes = this.#uint(1);
    if (singleSegment) windowBytes = contentBytes!;
    const hasChecksum = (descriptor & 0x04) !== 0;
    return { blockBytesMax: Math.min(windowBytes, blockBytesMax), contentBytes, hasChecksum };
  }

  /** True if this was the frame's last block. */
  #block(frame: Frame, state: BlockState): boolean {
    const head = this.#uint(3);
    const kind = (head >> 1) & 3;
    const size = head >> 3;
    if (size > frame.blockBytesMax || kind === 3) throw corrupt("a block is not legal");
    const start = this.#position;
    this.#skip(kind === 1 ? 1 : size);
    this.#output.openBlock(kind === 2 ? frame.blockBytesMax : size);
    if (kind === 0) this.#output.append(this.#input, start, size);
    else if (kind === 1) this.#output.fill(this.#input[start]!, size);
    else inflateZstdBlock(this.#input, start, start + size, state, this.#output);
    return (head & 1) !== 0;
  }

  #skip(count: number): void {
    if (count > this.#end - this.#position) throw corrupt("the data is cut short");
    this.#position += count;
  }

  /** A little-endian unsigned integer of up to four bytes. */
  #uint(bytes: number): number {
    this.#skip(bytes);
    if (bytes === 0) return 0;
    // The padding in front makes a word readable that ends here.
    return this.#view.getUint32(this.#position - 4, true) >>> (32 - 8 * bytes);
  }
}
