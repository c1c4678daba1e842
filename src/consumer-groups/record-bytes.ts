// Kafka's primitives as its generated messages write them: big-endian integers, strings with an int16 length (keys), compact
// strings and arrays with an unsigned varint of length + 1 (flexible versions), and tagged fields, of which a reader
// skips those it does not know. A reader never goes past its bytes. A coordinator reads millions of these when it loads,
// so short ASCII strings and topic ids, of which there are few, take short cuts.

import { formatTopicId, parseTopicId, topicIdBytes } from "../protocol/topic-partition.ts";

/** Bytes in a group's log that are no group record; the log was damaged, or somebody else wrote it. */
export class GroupRecordCorruptError extends Error {
  override readonly name = "GroupRecordCorruptError";
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const stringBytesMax = 2 ** 15 - 1;
const asciiLengthMax = 64;
const initialBytes = 512;
const keptBytesMax = 64 * 1024;
const knownTopicIdsMax = 10_000;

/** One string for each topic id, by its bytes as characters; and the other way round. */
const topicIds = new Map<string, string>();
const topicIdUuids = new Map<string, Uint8Array>();

/** One field of a flexible struct that may be left out: its tag, the bytes it takes, and what writes them. */
export interface TaggedField {
  readonly tag: number;
  readonly size: number;
  readonly write: (writer: RecordWriter) => void;
}

/** May be used again and again: taken() empties it. */
export class RecordWriter {
  #bytes = new Uint8Array(initialBytes);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Forgets what somebody did not get to the end with. */
  clear(): void {
    this.#length = 0;
  }

  /** What was written, in an array of its own. */
  taken(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    if (this.#bytes.length > keptBytesMax) this.#use(new Uint8Array(initialBytes));
    return taken;
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
    this.#view.setInt32(position, Math.floor(value / 2 ** 32));
    this.#view.setUint32(position + 4, value >>> 0);
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
    let bytes = topicIdUuids.get(topicId);
    if (bytes === undefined) {
      bytes = parseTopicId(topicId);
      if (bytes === undefined) throw new GroupRecordCorruptError(`${JSON.stringify(topicId)} is no topic id`);
      if (topicIdUuids.size >= knownTopicIdsMax) topicIdUuids.clear();
      topicIdUuids.set(topicId, bytes);
    }
    this.#append(bytes);
  }

  string(text: string): void {
    const bytes = encoder.encode(text);
    if (bytes.length > stringBytesMax) throw new GroupRecordCorruptError(`a string of ${bytes.length} bytes`);
    this.int16(bytes.length);
    this.#append(bytes);
  }

  compactString(text: string | null): void {
    const bytes = text === null ? undefined : encoder.encode(text);
    this.uvarint(bytes === undefined ? 0 : bytes.length + 1);
    if (bytes !== undefined) this.#append(bytes);
  }

  compactArray<T>(items: readonly T[], write: (item: T) => void): void {
    this.uvarint(items.length + 1);
    for (const item of items) write(item);
  }

  /** The end of a flexible struct: the tags that are there, in rising order. */
  taggedFields(fields: readonly (TaggedField | undefined)[]): void {
    let count = 0;
    for (const field of fields) if (field !== undefined) count++;
    this.uvarint(count);
    for (const field of fields) {
      if (field === undefined) continue;
      this.uvarint(field.tag);
      this.uvarint(field.size);
      field.write(this);
    }
  }

  #append(bytes: Uint8Array): void {
    const position = this.#reserve(bytes.length);
    this.#bytes.set(bytes, position);
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
      this.#use(larger);
    }
    return position;
  }

  #use(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

/** The bytes that a compact array of int32 takes. */
export function int32ArraySize(count: number): number {
  let size = 1 + 4 * count;
  for (let rest = count + 1; rest > 0x7f; rest = Math.floor(rest / 128)) size++;
  return size;
}

export class RecordReader {
  readonly #bytes: Buffer;
  #position = 0;
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  int8(): number {
    return this.#bytes.readInt8(this.#take(1));
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  int64(): number {
    const value = this.roundedInt64();
    if (!Number.isSafeInteger(value)) throw new GroupRecordCorruptError("an integer beyond 2^53");
    return value;
  }

  /** Any int64 will do: rounded beyond 2^53. */
  roundedInt64(): number {
    const position = this.#take(8);
    return this.#bytes.readInt32BE(position) * 2 ** 32 + this.#bytes.readUInt32BE(position + 4);
  }

  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#take(1)]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new GroupRecordCorruptError("an unsigned varint of more than five bytes");
  }

  uuid(): string {
    const position = this.#take(topicIdBytes);
    const characters = this.#characters(position, topicIdBytes);
    let topicId = topicIds.get(characters);
    if (topicId === undefined) {
      topicId = formatTopicId(this.#bytes.subarray(position, position + topicIdBytes));
      if (topicIds.size >= knownTopicIdsMax) topicIds.clear();
      topicIds.set(characters, topicId);
    }
    return topicId;
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
    if (count > this.#end - this.#position) throw new GroupRecordCorruptError("an array longer than its bytes");
    return Array.from({ length: count }, read);
  }

  /** Calls `read` at each tag's value, which may read it and no further, or leave it. */
  taggedFields(read?: (tag: number) => void): void {
    for (let rest = this.uvarint(); rest > 0; rest--) {
      const tag = this.uvarint();
      const size = this.uvarint();
      const begin = this.#take(size);
      const outerEnd = this.#end;
      this.#end = this.#position;
      this.#position = begin;
      read?.(tag);
      this.#position = this.#end;
      this.#end = outerEnd;
    }
  }

  #text(length: number): string {
    const position = this.#take(length);
    if (length <= asciiLengthMax && this.#isAscii(position, length)) return this.#characters(position, length);
    try {
      return decoder.decode(this.#bytes.subarray(position, position + length));
    } catch (cause) {
      throw new GroupRecordCorruptError("a string is not UTF-8", { cause });
    }
  }

  #isAscii(position: number, length: number): boolean {
    for (let index = position; index < position + length; index++) if (this.#bytes[index]! > 0x7f) return false;
    return true;
  }

  /** Each byte as the character of its number. */
  #characters(position: number, length: number): string {
    return this.#bytes.toString("latin1", position, position + length);
  }

  #take(count: number): number {
    const position = this.#position;
    if (count > this.#end - position) throw new GroupRecordCorruptError("a record ends too early");
    this.#position += count;
    return position;
  }
}
