// Kafka's primitives as its generated messages write them: big-endian integers, strings with an int16 length (keys), compact
// strings and arrays with an unsigned varint of length + 1 (flexible versions), and tagged fields, of which a reader
// skips those it does not know. A reader never goes past its bytes.

import { formatTopicId, parseTopicId, topicIdBytes } from "../protocol/topic-partition.ts";

/** Bytes in a group's log that are no group record; the log was damaged, or somebody else wrote it. */
export class GroupRecordCorruptError extends Error {
  override readonly name = "GroupRecordCorruptError";
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const stringBytesMax = 2 ** 15 - 1;
const initialBytes = 128;

export class RecordWriter {
  #bytes = new Uint8Array(initialBytes);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** What was written, in an array of its own. */
  taken(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  int8(value: number): void {
    const position = this.#reserve(1);
    this.#view.setInt8(position, value);
  }

  int16(value: number): void {
    const position = this.#reserve(2);
    this.#view.setInt16(position, value);
  }

  int32(value: number): void {
    const position = this.#reserve(4);
    this.#view.setInt32(position, value);
  }

  int64(value: number): void {
    const position = this.#reserve(8);
    this.#view.setBigInt64(position, BigInt(value));
  }

  uvarint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#uint8((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.#uint8(rest);
  }

  uuid(topicId: string): void {
    const bytes = parseTopicId(topicId);
    if (bytes === undefined) throw new GroupRecordCorruptError(`${JSON.stringify(topicId)} is no topic id`);
    this.bytes(bytes);
  }

  bytes(bytes: Uint8Array): void {
    const position = this.#reserve(bytes.length);
    this.#bytes.set(bytes, position);
  }

  string(text: string): void {
    const bytes = encoder.encode(text);
    if (bytes.length > stringBytesMax) throw new GroupRecordCorruptError(`a string of ${bytes.length} bytes`);
    this.int16(bytes.length);
    this.bytes(bytes);
  }

  compactString(text: string | null): void {
    const bytes = text === null ? undefined : encoder.encode(text);
    this.uvarint(bytes === undefined ? 0 : bytes.length + 1);
    if (bytes !== undefined) this.bytes(bytes);
  }

  compactArray<T>(items: readonly T[], write: (item: T) => void): void {
    this.uvarint(items.length + 1);
    for (const item of items) write(item);
  }

  /** The end of a flexible struct: the tags that are there, in rising order. */
  taggedFields(fields: readonly TaggedField[]): void {
    const present = fields.filter((field) => field !== undefined);
    this.uvarint(present.length);
    for (const { tag, write } of present) {
      const inner = new RecordWriter();
      write(inner);
      const bytes = inner.taken();
      this.uvarint(tag);
      this.uvarint(bytes.length);
      this.bytes(bytes);
    }
  }

  #uint8(value: number): void {
    const position = this.#reserve(1);
    this.#bytes[position] = value;
  }

  /** Before anything touches #bytes or #view: they may be other ones afterwards. */
  #reserve(count: number): number {
    const position = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return position;
  }
}

type TaggedField = { readonly tag: number; readonly write: (writer: RecordWriter) => void } | undefined;

export class RecordReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  int8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  int16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  int64(): number {
    const value = Number(this.#view.getBigInt64(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw new GroupRecordCorruptError("an integer beyond 2^53");
    return value;
  }

  /** Any int64 will do: rounded beyond 2^53. */
  roundedInt64(): number {
    return Number(this.#view.getBigInt64(this.#take(8)));
  }

  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#view.getUint8(this.#take(1));
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new GroupRecordCorruptError("an unsigned varint of more than five bytes");
  }

  uuid(): string {
    const position = this.#take(topicIdBytes);
    return formatTopicId(this.#bytes.subarray(position, position + topicIdBytes));
  }

  string(): string {
    const length = this.int16();
    if (length < 0) throw new GroupRecordCorruptError("a null where a string must be");
    return this.#text(length);
  }

  compactString(): string {
    const text = this.nullableCompactString();
    if (text === null) throw new GroupRecordCorruptError("a null where a string must be");
    return text;
  }

  nullableCompactString(): string | null {
    const length = this.uvarint() - 1;
    return length < 0 ? null : this.#text(length);
  }

  compactArray<T>(read: () => T): T[] {
    const items = this.nullableCompactArray(read);
    if (items === null) throw new GroupRecordCorruptError("a null where an array must be");
    return items;
  }

  nullableCompactArray<T>(read: () => T): T[] | null {
    const count = this.uvarint() - 1;
    if (count < 0) return null;
    if (count > this.#bytes.length - this.#position)
      throw new GroupRecordCorruptError("an array longer than its bytes");
    return Array.from({ length: count }, read);
  }

  /** Calls the reader of each known tag with its own bytes; skips the others. */
  taggedFields(known: Readonly<Record<number, (reader: RecordReader) => void>> = {}): void {
    for (let rest = this.uvarint(); rest > 0; rest--) {
      const tag = this.uvarint();
      const size = this.uvarint();
      const position = this.#take(size);
      known[tag]?.(new RecordReader(this.#bytes.subarray(position, position + size)));
    }
  }

  #text(length: number): string {
    const position = this.#take(length);
    try {
      return decoder.decode(this.#bytes.subarray(position, position + length));
    } catch (cause) {
      throw new GroupRecordCorruptError("a string is not UTF-8", { cause });
    }
  }

  #take(count: number): number {
    const position = this.#position;
    if (count > this.#bytes.length - position) throw new GroupRecordCorruptError("a record ends too early");
    this.#position += count;
    return position;
  }
}
