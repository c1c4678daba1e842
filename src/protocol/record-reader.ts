// Walks the records of one batch without making an object for each: next() moves on, the fields tell where things lie.
// Every length is checked before it is used; whatever does not add up is a BatchCorruptError.

import { CodecError, type Codecs } from "./codecs.ts";
import { BatchCorruptError, type BatchHeader, batchHeaderBytes, codecOf, isLogAppendTime } from "./record-batch.ts";
import { VarintReader } from "./varint.ts";

/** The smallest record: seven fields of one byte, key and value null, no headers. */
export const recordBytesMin = 7;

export interface DecodeLimits {
  /** The most bytes the records of one compressed batch may inflate to. */
  readonly decompressedBytesMax: number;
}

export interface RecordHeader {
  /** UTF-8. */
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

const noHeaders: readonly RecordHeader[] = [];

/** The uncompressed records of a batch; of an uncompressed batch a view, not a copy. May throw a CodecError. */
export function recordBytes(batch: Uint8Array, header: BatchHeader, codecs: Codecs, limits: DecodeLimits): Uint8Array {
  const codec = codecOf(header);
  if (codec === undefined) throw new BatchCorruptError(`the attributes ${header.attributes} name no codec`);
  if (header.sizeBytes < batchHeaderBytes || header.sizeBytes > batch.length) {
    throw new BatchCorruptError(`a batch says it has ${header.sizeBytes} bytes, there are ${batch.length}`);
  }
  const body = batch.subarray(batchHeaderBytes, header.sizeBytes);
  return codec === "none" ? body : codecs.decompress(codec, body, limits.decompressedBytesMax);
}

export class RecordReader {
  /** What all positions below point into. */
  readonly bytes: Uint8Array;
  /** The record next() moved to, counted in the batch. */
  index = -1;
  offsetDelta = 0;
  /** As the record holds it; see timestamp for what it means. */
  timestampDelta = 0;
  attributes = 0;
  keyStart = 0;
  /** −1: the key is null. */
  keyLength = -1;
  valueStart = 0;
  /** −1: the value is null. */
  valueLength = -1;
  headersCount = 0;
  /** What follows the offset delta, up to the record's end: what does not depend on the batch's base. */
  restStart = 0;
  end = 0;
  readonly #header: BatchHeader;
  readonly #logAppendTime: boolean;
  readonly #reader: VarintReader;
  #headersStart = 0;

  /** `bytes` are what recordBytes gave for this header. */
  constructor(header: BatchHeader, bytes: Uint8Array) {
    this.#header = header;
    this.#logAppendTime = isLogAppendTime(header);
    this.bytes = bytes;
    this.#reader = new VarintReader(bytes);
  }

  /** The reader of a stored batch; a CodecError becomes a BatchCorruptError. */
  static open(batch: Uint8Array, header: BatchHeader, codecs: Codecs, limits: DecodeLimits): RecordReader {
    try {
      return new RecordReader(header, recordBytes(batch, header, codecs, limits));
    } catch (cause) {
      if (!(cause instanceof CodecError)) throw cause;
      throw new BatchCorruptError(`the records cannot be inflated: ${cause.message}`, undefined, { cause });
    }
  }

  /** Moves to the next record. False once recordsCount were read and nothing is left. */
  next(): boolean {
    const reader = this.#reader;
    reader.end = this.bytes.length;
    if (this.index + 1 >= this.#header.recordsCount) {
      if (reader.position === reader.end) return false;
      throw new BatchCorruptError(`${reader.end - reader.position} bytes follow the last record`);
    }
    this.index++;
    try {
      this.#readRecord(reader);
    } catch (cause) {
      if (!(cause instanceof BatchCorruptError)) throw cause;
      throw new BatchCorruptError(`record ${this.index}: ${cause.message}`, this.index, { cause });
    }
    return true;
  }

  #readRecord(reader: VarintReader): void {
    const length = reader.varint();
    if (length < recordBytesMin - 1 || length > reader.end - reader.position) {
      throw new BatchCorruptError(
        `its length ${length} does not fit in the ${reader.end - reader.position} bytes left`,
      );
    }
    reader.end = reader.position + length;
    this.attributes = this.bytes[reader.position++]!;
    this.timestampDelta = reader.varlong();
    this.offsetDelta = reader.varint();
    this.restStart = reader.position;
    this.end = reader.end;
    this.keyLength = this.#span(reader, "key");
    this.keyStart = reader.position - Math.max(this.keyLength, 0);
    this.valueLength = this.#span(reader, "value");
    this.valueStart = reader.position - Math.max(this.valueLength, 0);
    this.headersCount = reader.varint();
    this.#headersStart = reader.position;
    if (this.headersCount !== 0) this.#skipHeaders(reader);
    if (reader.position !== reader.end) {
      throw new BatchCorruptError(`${reader.end - reader.position} bytes are left after its last header`);
    }
  }

  /** Reads a length, −1 for null, and passes over the bytes it counts. */
  #span(reader: VarintReader, what: string): number {
    const length = reader.varint();
    if (length < -1 || length > reader.end - reader.position) {
      throw new BatchCorruptError(
        `its ${what} has the length ${length} with ${reader.end - reader.position} bytes left`,
      );
    }
    if (length > 0) reader.position += length;
    return length;
  }

  #skipHeaders(reader: VarintReader): void {
    // A header takes two bytes at least, so a lie about the count ends here and not in a long loop.
    if (this.headersCount < 0 || this.headersCount * 2 > reader.end - reader.position) {
      throw new BatchCorruptError(`it cannot have ${this.headersCount} headers`);
    }
    for (let header = 0; header < this.headersCount; header++) {
      if (this.#span(reader, "header key") < 0) throw new BatchCorruptError("a header key is null");
      this.#span(reader, "header value");
    }
  }

  get offset(): number {
    return this.#header.baseOffset + this.offsetDelta;
  }

  /** Milliseconds; noTimestamp if the producer gave none. */
  get timestamp(): number {
    return this.#logAppendTime ? this.#header.maxTimestamp : this.#header.baseTimestamp + this.timestampDelta;
  }

  get key(): Uint8Array | null {
    return this.keyLength < 0 ? null : this.bytes.subarray(this.keyStart, this.keyStart + this.keyLength);
  }

  get value(): Uint8Array | null {
    return this.valueLength < 0 ? null : this.bytes.subarray(this.valueStart, this.valueStart + this.valueLength);
  }

  get headers(): readonly RecordHeader[] {
    if (this.headersCount === 0) return noHeaders;
    const reader = new VarintReader(this.bytes, this.#headersStart);
    const headers: RecordHeader[] = [];
    for (let header = 0; header < this.headersCount; header++) {
      const key = this.#take(reader)!;
      headers.push({ key, value: this.#take(reader) });
    }
    return headers;
  }

  #take(reader: VarintReader): Uint8Array | null {
    const length = reader.varint();
    if (length < 0) return null;
    reader.position += length;
    return this.bytes.subarray(reader.position - length, reader.position);
  }
}
