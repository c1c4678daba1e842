// From a time to an offset, sparsely: entry = the largest timestamp so far → the last offset of the batch that holds it.
// Twelve bytes an entry, big-endian, as Apache Kafka's .timeindex: timestamp i64, relative offset i32.

import { assert } from "../assert.ts";

const entryBytes = 12;
const firstCapacity = 64;

export interface TimestampOffset {
  readonly timestamp: number;
  readonly offset: number;
}

export class TimeIndex {
  readonly #baseOffset: number;
  #timestamps: Float64Array;
  #relatives: Int32Array;
  #count: number;

  constructor(
    baseOffset: number,
    timestamps = new Float64Array(firstCapacity),
    relatives = new Int32Array(firstCapacity),
    count = 0,
  ) {
    this.#baseOffset = baseOffset;
    this.#timestamps = timestamps;
    this.#relatives = relatives;
    this.#count = count;
  }

  /** undefined when the bytes are not a legal index: rebuild it then. */
  static decode(baseOffset: number, bytes: Uint8Array): TimeIndex | undefined {
    if (bytes.byteLength % entryBytes !== 0) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = bytes.byteLength / entryBytes;
    const timestamps = new Float64Array(count);
    const relatives = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      timestamps[i] = view.getInt32(i * entryBytes) * 2 ** 32 + view.getUint32(i * entryBytes + 4);
      relatives[i] = view.getInt32(i * entryBytes + 8);
      if (relatives[i]! < 0) return undefined;
      if (i > 0 && (timestamps[i]! <= timestamps[i - 1]! || relatives[i]! <= relatives[i - 1]!)) return undefined;
    }
    return new TimeIndex(baseOffset, timestamps, relatives, count);
  }

  get count(): number {
    return this.#count;
  }

  get heldBytes(): number {
    return this.#timestamps.byteLength + this.#relatives.byteLength;
  }

  /** The largest timestamp known to the index. */
  get last(): TimestampOffset | undefined {
    return this.#count === 0 ? undefined : this.#entry(this.#count - 1);
  }

  /** Adds the entry if both its timestamp and its offset are larger than the last one's. */
  append(timestamp: number, offset: number): void {
    const relative = offset - this.#baseOffset;
    assert(relative >= 0 && relative < 2 ** 31, `time index entry for ${offset} overflows segment ${this.#baseOffset}`);
    const last = this.#count - 1;
    if (last >= 0 && (timestamp <= this.#timestamps[last]! || relative <= this.#relatives[last]!)) return;
    if (this.#count === this.#relatives.length) {
      const capacity = Math.max(firstCapacity, 2 * this.#count);
      const timestamps = new Float64Array(capacity);
      timestamps.set(this.#timestamps);
      const relatives = new Int32Array(capacity);
      relatives.set(this.#relatives);
      this.#timestamps = timestamps;
      this.#relatives = relatives;
    }
    this.#timestamps[this.#count] = timestamp;
    this.#relatives[this.#count] = relative;
    this.#count += 1;
  }

  /** An offset at or before the first record whose timestamp is ≥ `timestamp`: scan on from there. */
  offsetBefore(timestamp: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timestamps[middle]! < timestamp) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? this.#baseOffset : this.#entry(low - 1).offset;
  }

  encode(): Uint8Array {
    const bytes = new Uint8Array(this.#count * entryBytes);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < this.#count; i++) {
      const timestamp = this.#timestamps[i]!;
      view.setInt32(i * entryBytes, Math.floor(timestamp / 2 ** 32));
      view.setUint32(i * entryBytes + 4, timestamp >>> 0);
      view.setInt32(i * entryBytes + 8, this.#relatives[i]!);
    }
    return bytes;
  }

  #entry(i: number): TimestampOffset {
    return { timestamp: this.#timestamps[i]!, offset: this.#baseOffset + this.#relatives[i]! };
  }
}
