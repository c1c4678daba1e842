// The two entropy codes of Zstandard (RFC 8878, section 4): FSE tables and Huffman trees, and the bits they read.
// Input is expected with `inputPadding` bytes before and after it, so that a reader may look a few bytes too far;
// what it read is judged afterwards.

import { CodecError } from "./codecs.ts";

export const inputPadding = 16;
const huffmanBitsMax = 11;
const weightsAccuracyMax = 6;

export function corrupt(message: string): CodecError {
  return new CodecError("corrupt", `zstd: ${message}`);
}

const highestBit = (value: number): number => 31 - Math.clz32(value);

/** Reads a stream from its last bit to its first; the highest set bit of the last byte only marks where it ends. */
export class BackwardBits {
  readonly bytes: Uint8Array;
  /** In bits from the start of `bytes`; what lies below it is still to be read. Below `start`: read too far. */
  position: number;
  readonly start: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    const last = end > start ? bytes[end - 1]! : 0;
    if (last === 0) throw corrupt("a bit stream has no end mark");
    this.bytes = bytes;
    this.start = start * 8;
    this.position = (end - 1) * 8 + highestBit(last);
  }

  /** At most 25 bits. */
  read(count: number): number {
    const position = this.position - count;
    const at = position >> 3;
    const bytes = this.bytes;
    this.position = position;
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    return (word >>> (position & 7)) & ((1 << count) - 1);
  }
}

/** A state gives a symbol; the next state is `next[state]` plus `bits[state]` bits from the stream. */
export interface FseTable {
  readonly accuracy: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly next: Uint16Array;
}

/** The table of one symbol that needs no bits. */
export function singleSymbolTable(symbol: number): FseTable {
  return { accuracy: 0, symbols: Uint8Array.of(symbol), bits: new Uint8Array(1), next: new Uint16Array(1) };
}

/** `counts[symbol]` of all 2^accuracy states belong to it; −1 is the least likely kind, with one. */
export function buildFseTable(counts: ArrayLike<number>, symbolsCount: number, accuracy: number): FseTable {
  const size = 1 << accuracy;
  const symbols = new Uint8Array(size);
  const bits = new Uint8Array(size);
  const next = new Uint16Array(size);
  const seen = new Uint16Array(symbolsCount);
  let high = size;
  for (let symbol = 0; symbol < symbolsCount; symbol++) {
    seen[symbol] = Math.abs(counts[symbol]!);
    if (counts[symbol] === -1) symbols[--high] = symbol;
  }
  const step = (size >> 1) + (size >> 3) + 3;
  let state = 0;
  for (let symbol = 0; symbol < symbolsCount; symbol++) {
    for (let left = counts[symbol]!; left > 0; left--) {
      symbols[state] = symbol;
      do state = (state + step) & (size - 1);
      while (state >= high);
    }
  }
  for (let at = 0; at < size; at++) {
    const symbol = symbols[at]!;
    const rank = seen[symbol]!;
    seen[symbol] = rank + 1;
    bits[at] = accuracy - highestBit(rank);
    next[at] = (rank << bits[at]!) - size;
  }
  return { accuracy, symbols, bits, next };
}

/** Reads a table description from `start`; `end` is the position after it. */
export function readFseTable(
  bytes: Uint8Array,
  start: number,
  limit: number,
  accuracyMax: number,
  symbolsMax: number,
): { table: FseTable; end: number } {
  let position = start * 8;
  const take = (count: number): number => {
    const at = position >> 3;
    if (at >= limit) throw corrupt("a table is cut short");
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    const value = (word >> (position & 7)) & ((1 << count) - 1);
    position += count;
    return value;
  };
  const accuracy = take(4) + 5;
  if (accuracy > accuracyMax) throw corrupt("a table is too fine");
  const counts = new Int16Array(symbolsMax);
  let symbol = 0;
  for (let remaining = 1 << accuracy; remaining > 0; ) {
    if (symbol >= symbolsMax) throw corrupt("a table has too many symbols");
    // Small values take one bit less than the others.
    const width = highestBit(remaining + 1) + 1;
    const small = (1 << (width - 1)) - 1;
    const threshold = (1 << width) - 2 - remaining;
    let value = take(width);
    if ((value & small) < threshold) {
      value &= small;
      position--;
    } else if (value > small) value -= threshold;
    const count = value - 1;
    counts[symbol++] = count;
    remaining -= Math.abs(count);
    if (count !== 0) continue;
    let zeros: number;
    do {
      zeros = take(2);
      symbol += zeros;
    } while (zeros === 3);
  }
  const end = (position + 7) >> 3;
  if (symbol > symbolsMax || end > limit) throw corrupt("a table is cut short");
  return { table: buildFseTable(counts, symbol, accuracy), end };
}

/** Looked up with the next `accuracy` bits: the symbol they begin with, and how many bits that took. */
export interface HuffmanTable {
  readonly accuracy: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

export function readHuffmanTable(
  bytes: Uint8Array,
  start: number,
  limit: number,
): { table: HuffmanTable; end: number } {
  if (start >= limit) throw corrupt("a Huffman tree is cut short");
  const weights = new Uint8Array(256);
  const head = bytes[start]!;
  if (head >= 128) {
    const count = head - 127;
    const end = start + 1 + ((count + 1) >> 1);
    if (end > limit) throw corrupt("a Huffman tree is cut short");
    for (let symbol = 0; symbol < count; symbol++) {
      const pair = bytes[start + 1 + (symbol >> 1)]!;
      weights[symbol] = symbol % 2 === 0 ? pair >> 4 : pair & 15;
    }
    return { table: buildHuffmanTable(weights, count), end };
  }
  const end = start + 1 + head;
  if (end > limit) throw corrupt("a Huffman tree is cut short");
  const { table, end: streamStart } = readFseTable(bytes, start + 1, end, weightsAccuracyMax, huffmanBitsMax + 1);
  return { table: buildHuffmanTable(weights, readWeights(bytes, streamStart, end, table, weights)), end };
}

/** Two states take turns until the bits run out; the state that waits then still gives its symbol. */
function readWeights(bytes: Uint8Array, start: number, end: number, table: FseTable, weights: Uint8Array): number {
  const stream = new BackwardBits(bytes, start, end);
  let state = stream.read(table.accuracy);
  let waiting = stream.read(table.accuracy);
  if (stream.position < stream.start) throw corrupt("the weights of a Huffman tree are cut short");
  for (let count = 0; count < 254; ) {
    weights[count++] = table.symbols[state]!;
    const following = table.next[state]! + stream.read(table.bits[state]!);
    if (stream.position < stream.start) {
      weights[count++] = table.symbols[waiting]!;
      return count;
    }
    state = waiting;
    waiting = following;
  }
  throw corrupt("a Huffman tree has too many symbols");
}

function buildHuffmanTable(weights: Uint8Array, count: number): HuffmanTable {
  let sum = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    if (weights[symbol]! > huffmanBitsMax) throw corrupt("a Huffman code is too long");
    if (weights[symbol]! > 0) sum += 1 << (weights[symbol]! - 1);
  }
  if (sum === 0) throw corrupt("a Huffman tree is empty");
  const accuracy = highestBit(sum) + 1;
  // The last symbol's weight is not written: it fills the tree up to a power of two.
  const left = (1 << accuracy) - sum;
  if (accuracy > huffmanBitsMax || (left & (left - 1)) !== 0) throw corrupt("a Huffman tree does not add up");
  weights[count] = highestBit(left) + 1;
  const symbols = new Uint8Array(1 << accuracy);
  const bits = new Uint8Array(1 << accuracy);
  let at = 0;
  for (let weight = 1; weight <= accuracy; weight++) {
    const span = 1 << (weight - 1);
    for (let symbol = 0; symbol <= count; symbol++) {
      if (weights[symbol] !== weight) continue;
      symbols.fill(symbol, at, at + span);
      bits.fill(accuracy + 1 - weight, at, at + span);
      at += span;
    }
  }
  return { accuracy, symbols, bits };
}

/** Fills target[from, to) from one Huffman stream, which must hold exactly these symbols. */
export function readHuffmanStream(
  bytes: Uint8Array,
  start: number,
  end: number,
  table: HuffmanTable,
  target: Uint8Array,
  from: number,
  to: number,
): void {
  const stream = new BackwardBits(bytes, start, end);
  const { accuracy, symbols, bits } = table;
  const mask = (1 << accuracy) - 1;
  const first = stream.start;
  let position = stream.position;
  for (let index = from; index < to; index++) {
    if (position < first) break;
    const low = position - accuracy;
    const at = low >> 3;
    const state = ((bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)) >> (low & 7)) & mask;
    target[index] = symbols[state]!;
    position -= bits[state]!;
  }
  if (position !== first) throw corrupt("a Huffman stream does not end where its symbols do");
}
