// One compressed block of Zstandard (RFC 8878, section 3.1.1.3): literals, then sequences that mix them with matches.
// What later blocks of a frame may use again lives in BlockState.

import type { BoundedOutput } from "./bounded-output.ts";
import {
  BackwardBits,
  buildFseTable,
  corrupt,
  type FseTable,
  type HuffmanTable,
  readFseTable,
  readHuffmanStream,
  readHuffmanTable,
  singleSymbolTable,
} from "./zstd-entropy.ts";

export const blockBytesMax = 128 * 1024;

/** A kind of symbol in a sequence: its code's extra bits, what it starts at, and the table used if none is sent. */
interface SequenceCode {
  readonly accuracyMax: number;
  readonly symbolsMax: number;
  readonly standard: FseTable;
}

const ones = (count: number): number[] => new Array<number>(count).fill(1);
const twos = (count: number): number[] => new Array<number>(count).fill(2);
const rare = (count: number): number[] => new Array<number>(count).fill(-1);

function sequenceCode(accuracyMax: number, symbolsMax: number, accuracy: number, counts: number[]): SequenceCode {
  return { accuracyMax, symbolsMax, standard: buildFseTable(counts, counts.length, accuracy) };
}

const literalCode = sequenceCode(9, 36, 6, [4, 3, ...twos(11), ...ones(3), ...twos(9), 3, 2, ...ones(5), ...rare(4)]);
/** Offsets that need more than 30 bits reach further back than any output here is long. */
const offsetCode = sequenceCode(8, 31, 5, [...ones(6), ...twos(3), ...ones(15), ...rare(5)]);
const matchCode = sequenceCode(9, 53, 6, [1, 4, 3, ...twos(6), ...ones(37), ...rare(7)]);

const literalExtraBits = extraBits(16, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const literalBase = bases(0, literalExtraBits);
const matchExtraBits = extraBits(32, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const matchBase = bases(3, matchExtraBits);

function extraBits(withoutExtra: number, rest: readonly number[]): Uint8Array {
  const bits = new Uint8Array(withoutExtra + rest.length);
  bits.set(rest, withoutExtra);
  return bits;
}

function bases(first: number, bits: Uint8Array): Int32Array {
  const result = new Int32Array(bits.length);
  let base = first;
  for (let code = 0; code < bits.length; code++) {
    result[code] = base;
    base += 1 << bits[code]!;
  }
  return result;
}

/** What a frame's blocks hand on. */
export class BlockState {
  huffman: HuffmanTable | undefined;
  literalTable: FseTable | undefined;
  offsetTable: FseTable | undefined;
  matchTable: FseTable | undefined;
  /** The last three distances, the newest first. */
  recent1 = 1;
  recent2 = 4;
  recent3 = 8;
  /** Where the frame's output begins. */
  readonly floor: number;
  /** Room for the literals of one block. */
  readonly scratch: Uint8Array;

  constructor(floor: number, scratch: Uint8Array) {
    this.floor = floor;
    this.scratch = scratch;
  }
}

interface Literals {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly count: number;
  /** Where the sequences begin. */
  readonly end: number;
}

/** Inflates input[start, end), padded as zstd-entropy wants it, into the open block of `output`. */
export function inflateZstdBlock(
  input: Uint8Array,
  start: number,
  end: number,
  state: BlockState,
  output: BoundedOutput,
): void {
  if (end - start < 2) throw corrupt("a block is cut short");
  const literals = readLiterals(input, start, end, state);
  if (literals.end >= end) throw corrupt("a block is cut short");
  let position = literals.end;
  let sequences = input[position++]!;
  if (sequences >= 128) {
    if (sequences < 255) sequences = ((sequences - 128) << 8) + input[position++]!;
    else {
      sequences = input[position]! + (input[position + 1]! << 8) + 0x7f00;
      position += 2;
    }
  }
  if (sequences === 0) {
    if (position !== end) throw corrupt("bytes follow a block without sequences");
    output.append(literals.bytes, literals.start, literals.count);
    return;
  }
  const modes = input[position++]!;
  if ((modes & 3) !== 0 || position > end) throw corrupt("the sequences of a block are not legal");
  const tables = new TableReader(input, position, end);
  state.literalTable = tables.read(modes >> 6, literalCode, state.literalTable);
  state.offsetTable = tables.read((modes >> 4) & 3, offsetCode, state.offsetTable);
  state.matchTable = tables.read((modes >> 2) & 3, matchCode, state.matchTable);
  const stream = new BackwardBits(input, tables.position, end);
  runSequences(stream, sequences, state, literals, output);
}

function readLiterals(input: Uint8Array, start: number, end: number, state: BlockState): Literals {
  const head = input[start]!;
  const kind = head & 3;
  const sizeFormat = (head >> 2) & 3;
  if (kind >= 2) return readHuffmanLiterals(input, start, end, state, kind === 3);
  const headBytes = sizeFormat === 1 ? 2 : sizeFormat === 3 ? 3 : 1;
  const word = head | (input[start + 1]! << 8) | (input[start + 2]! << 16);
  const count = headBytes === 1 ? head >> 3 : (word & (2 ** (8 * headBytes) - 1)) >> 4;
  const at = start + headBytes;
  const stored = kind === 1 ? 1 : count;
  if (count > blockBytesMax || stored > end - at) throw corrupt("the literals of a block are cut short");
  if (kind === 0) return { bytes: input, start: at, count, end: at + count };
  state.scratch.fill(input[at]!, 0, count);
  return { bytes: state.scratch, start: 0, count, end: at + 1 };
}

function readHuffmanLiterals(
  input: Uint8Array,
  start: number,
  end: number,
  state: BlockState,
  reuseTree: boolean,
): Literals {
  const sizeFormat = (input[start]! >> 2) & 3;
  const headBytes = sizeFormat < 2 ? 3 : sizeFormat + 2;
  const sizeBits = sizeFormat < 2 ? 10 : sizeFormat === 2 ? 14 : 18;
  const low = (input[start]! | (input[start + 1]! << 8) | (input[start + 2]! << 16) | (input[start + 3]! << 24)) >>> 4;
  // 36 bits follow the kind and the format in the longest head, so the second size is put together from two words.
  const mask = (1 << sizeBits) - 1;
  const count = low & mask;
  const size = ((low >>> sizeBits) | (input[start + 4]! << (28 - sizeBits))) & mask;
  let at = start + headBytes;
  const streamsEnd = at + size;
  if (count > blockBytesMax || streamsEnd > end) throw corrupt("the literals of a block are cut short");
  if (!reuseTree) {
    const tree = readHuffmanTable(input, at, streamsEnd);
    state.huffman = tree.table;
    at = tree.end;
  }
  if (state.huffman === undefined) throw corrupt("a block uses a Huffman tree that was never sent");
  const target = state.scratch;
  if (sizeFormat === 0) readHuffmanStream(input, at, streamsEnd, state.huffman, target, 0, count);
  else readFourStreams(input, at, streamsEnd, state.huffman, target, count);
  return { bytes: target, start: 0, count, end: streamsEnd };
}

/** Four streams, each of a quarter of the literals, after the sizes of the first three. */
function readFourStreams(
  input: Uint8Array,
  start: number,
  end: number,
  table: HuffmanTable,
  target: Uint8Array,
  count: number,
): void {
  const quarter = (count + 3) >> 2;
  let at = start + 6;
  if (at > end || quarter * 3 > count) throw corrupt("the literals of a block are cut short");
  for (let stream = 0; stream < 4; stream++) {
    const sizeAt = start + 2 * stream;
    const streamEnd = stream === 3 ? end : at + (input[sizeAt]! | (input[sizeAt + 1]! << 8));
    if (streamEnd > end) throw corrupt("the literals of a block are cut short");
    const to = stream === 3 ? count : quarter * (stream + 1);
    readHuffmanStream(input, at, streamEnd, table, target, quarter * stream, to);
    at = streamEnd;
  }
}

class TableReader {
  readonly #input: Uint8Array;
  readonly #end: number;
  position: number;

  constructor(input: Uint8Array, position: number, end: number) {
    this.#input = input;
    this.position = position;
    this.#end = end;
  }

  read(mode: number, code: SequenceCode, previous: FseTable | undefined): FseTable {
    if (mode === 0) return code.standard;
    if (mode === 3) {
      if (previous === undefined) throw corrupt("a block repeats a table that was never sent");
      return previous;
    }
    if (mode === 2) {
      const { table, end } = readFseTable(this.#input, this.position, this.#end, code.accuracyMax, code.symbolsMax);
      this.position = end;
      return table;
    }
    if (this.position >= this.#end) throw corrupt("a table is cut short");
    const symbol = this.#input[this.position++]!;
    if (symbol >= code.symbolsMax) throw corrupt("a table holds an unknown code");
    return singleSymbolTable(symbol);
  }
}

function runSequences(
  stream: BackwardBits,
  count: number,
  state: BlockState,
  literals: Literals,
  output: BoundedOutput,
): void {
  const literalTable = state.literalTable!;
  const offsetTable = state.offsetTable!;
  const matchTable = state.matchTable!;
  let literalState = stream.read(literalTable.accuracy);
  let offsetState = stream.read(offsetTable.accuracy);
  let matchState = stream.read(matchTable.accuracy);
  let literalAt = literals.start;
  const literalEnd = literals.start + literals.count;
  for (let left = count; left > 0; left--) {
    const offset = readOffset(stream, offsetTable.symbols[offsetState]!);
    const match = matchTable.symbols[matchState]!;
    const matchLength = matchBase[match]! + stream.read(matchExtraBits[match]!);
    const literal = literalTable.symbols[literalState]!;
    const literalLength = literalBase[literal]! + stream.read(literalExtraBits[literal]!);
    if (left > 1) {
      literalState = literalTable.next[literalState]! + stream.read(literalTable.bits[literalState]!);
      matchState = matchTable.next[matchState]! + stream.read(matchTable.bits[matchState]!);
      offsetState = offsetTable.next[offsetState]! + stream.read(offsetTable.bits[offsetState]!);
    }
    if (stream.position < stream.start || literalLength > literalEnd - literalAt) {
      throw corrupt("the sequences of a block are cut short");
    }
    output.append(literals.bytes, literalAt, literalLength);
    literalAt += literalLength;
    output.copyBack(distance(state, offset, literalLength === 0), matchLength, state.floor);
  }
  if (stream.position !== stream.start) throw corrupt("bits follow the last sequence");
  output.append(literals.bytes, literalAt, literalEnd - literalAt);
}

function readOffset(stream: BackwardBits, code: number): number {
  if (code <= 16) return (1 << code) + stream.read(code);
  const high = stream.read(code - 16);
  return (1 << code) + high * 65536 + stream.read(16);
}

/** Offsets 1 to 3 name a recent distance (one further if there were no literals), greater ones a new distance. */
function distance(state: BlockState, offset: number, withoutLiterals: boolean): number {
  const recent = offset > 3 ? 4 : offset - (withoutLiterals ? 0 : 1);
  if (recent === 0) return state.recent1;
  let result = offset - 3;
  if (recent === 1) result = state.recent2;
  else if (recent === 2) result = state.recent3;
  else if (recent === 3) result = state.recent1 - 1;
  if (recent !== 1) state.recent3 = state.recent2;
  state.recent2 = state.recent1;
  state.recent1 = result;
  return result;
}
