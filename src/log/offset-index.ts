// From an offset to a place in the segment file, sparsely: entry = last offset of a batch → where that batch starts.
// Eight bytes an entry, big-endian, as Apache Kafka's .index: relative offset i32, file position i32.

import { assert } from "../assert.ts";

const entryBytes = 8;
const firstCapacity = 64;

export class OffsetIndex {
  readonly #baseOffset: number;
  /** Pairs: relative offset, position. Both rise. */
  #pairs: Int32Array;
  #count: number;

  constructor(baseOffset: number, pairs = new Int32Array(2 * firstCapacity), count = 0) {
    this.#baseOffset = baseOffset;
    this.#pairs = pairs;
    this.#count = count;
  }

  /** undefined when the bytes are not a legal index of a segment of `segmentBytes`: rebuild it then. */
  static decode(baseOffset: number, bytes: Uint8Array, segmentBytes: number): OffsetIndex | undefined {
    if (bytes.byteLength % entryBytes !== 0) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = bytes.byteLength / entryBytes;
    const pairs = new Int32Array(2 * count);
    for (let i = 0; i < count; i++) {
      const relative = view.getInt32(i * entryBytes);
      const position = view.getInt32(i * entryBytes + 4);
      const rises =
        i === 0 ? relative >= 0 && position >= 0 : relative > pairs[2 * i - 2]! && position > pairs[2 * i - 1]!;
      if (!rises || position >= segmentBytes) return undefined;
      pairs[2 * i] = relative;
      pairs[2 * i + 1] = position;
    }
    return new OffsetIndex(baseOffset, pairs, count);
  }

  get count(): number {
    return this.#count;
  }

  /** Memory held, in bytes. */
  get heldBytes(): number {
    return this.#pairs.byteLength;
  }

  get lastPosition(): number {
    return this.#count === 0 ? 0 : this.#pairs[2 * this.#count - 1]!;
  }

  append(lastOffset: number, position: number): void {
    const relative = lastOffset - this.#baseOffset;
    assert(
      relative >= 0 && relative < 2 ** 31 && position < 2 ** 31,
      `index entry ${lastOffset}@${position} overflows segment ${this.#baseOffset}`,
    );
    assert(
      this.#count === 0 || relative > this.#pairs[2 * this.#count - 2]!,
      `index entry ${lastOffset} does not rise`,
    );
    if (2 * this.#count === this.#pairs.length) {
      const larger = new Int32Array(Math.max(2 * firstCapacity, 2 * this.#pairs.length));
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    this.#pairs[2 * this.#count] = relative;
    this.#pairs[2 * this.#count + 1] = position;
    this.#count += 1;
  }

  /** A position at or before the batch that holds `offset`: scan on from there. */
  positionBefore(offset: number): number {
    const relative = offset - this.#baseOffset;
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pairs[2 * middle]! <= relative) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.#pairs[2 * low - 1]!;
  }

  encode(): Uint8Array {
    const bytes = new Uint8Array(this.#count * entryBytes);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < 2 * this.#count; i++) view.setInt32(i * 4, this.#pairs[i]!);
    return bytes;
  }
}
