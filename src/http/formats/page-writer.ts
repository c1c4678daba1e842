// Answers that carry records: an object whose `records` are written one by one between the fields before and the fields
// after them, as one buffer; and records as lines. Which records, and when it is enough, is the caller's to say.

import { Buffer } from "node:buffer";
import { assert } from "../../assert.ts";
import type { StoredRecord } from "../../protocol/record.ts";
import { ByteWriter } from "./byte-writer.ts";
import { definedEntries, MsgpackWriter, setUint32, writeMsgpackRecord } from "./msgpack-writer.ts";
import { type RecordStyle, RecordTextWriter } from "./record-text.ts";

/** A page grows from here to what its records need. */
const pageBytesInitial = 16 * 1024;

export interface PageWriter {
  readonly recordCount: number;
  /** So far. */
  readonly sizeBytes: number;
  /** A record is a StoredRecord or a RecordReader that has moved to one: it is written at once and not kept. */
  add(record: StoredRecord, partition?: number, topic?: string): void;
  /** Writes the fields after the records and gives the whole. Fields that are undefined are left out. */
  finish(tail: object): Buffer;
}

export class JsonPageWriter implements PageWriter {
  recordCount = 0;
  readonly #out: ByteWriter;
  readonly #records: RecordTextWriter;

  /** `head`: the fields before the records. */
  constructor(head: object, style: RecordStyle, sizeHint = pageBytesInitial) {
    this.#out = new ByteWriter(sizeHint);
    this.#records = new RecordTextWriter(this.#out, style);
    const fields = JSON.stringify(head).slice(0, -1);
    this.#out.text(`${fields}${fields === "{" ? "" : ","}"records":[`);
  }

  get sizeBytes(): number {
    return this.#out.length;
  }

  add(record: StoredRecord, partition?: number, topic?: string): void {
    if (this.recordCount > 0) this.#out.byte(0x2c);
    this.#records.record(record, partition, topic);
    this.recordCount += 1;
  }

  finish(tail: object): Buffer {
    const fields = JSON.stringify(tail).slice(1);
    this.#out.text(`]${fields === "}" ? "" : ","}${fields}`);
    return this.#out.take();
  }
}

export class MsgpackPageWriter implements PageWriter {
  recordCount = 0;
  readonly #writer: MsgpackWriter;
  readonly #headCount: number;
  /** Where the number of records goes once it is known. */
  readonly #countAt: number;

  constructor(head: object, sizeHint = pageBytesInitial) {
    const out = new ByteWriter(sizeHint);
    this.#writer = new MsgpackWriter(out);
    const entries = definedEntries(head);
    this.#headCount = entries.length;
    out.byte(0xde); // map 16; its two bytes of length are written by finish()
    out.length += 2;
    this.#writer.entries(entries);
    this.#writer.string("records");
    out.byte(0xdd); // array 32
    this.#countAt = out.length;
    out.reserve(4);
    out.length += 4;
  }

  get sizeBytes(): number {
    return this.#writer.out.length;
  }

  add(record: StoredRecord, partition?: number, topic?: string): void {
    writeMsgpackRecord(this.#writer, record, partition, topic);
    this.recordCount += 1;
  }

  finish(tail: object): Buffer {
    const entries = definedEntries(tail);
    this.#writer.entries(entries);
    const bytes = this.#writer.out.take();
    const fieldCount = this.#headCount + 1 + entries.length;
    assert(fieldCount <= 0xffff, "a page has more fields than a map 16 can have");
    bytes.writeUInt16BE(fieldCount, 1);
    setUint32(bytes, this.#countAt, this.recordCount);
    return bytes;
  }
}

/** Records as NDJSON. take() gives the lines since the last take. */
export class LinesWriter {
  recordCount = 0;
  #out = new ByteWriter(pageBytesInitial);
  #records: RecordTextWriter;
  readonly #style: RecordStyle;

  constructor(style: Omit<RecordStyle, "lineBreaks">) {
    this.#style = { keyFormat: style.keyFormat, valueFormat: style.valueFormat, lineBreaks: "spaces" };
    this.#records = new RecordTextWriter(this.#out, this.#style);
  }

  /** Not yet taken. */
  get sizeBytes(): number {
    return this.#out.length;
  }

  add(record: StoredRecord, partition?: number, topic?: string): void {
    this.#records.record(record, partition, topic);
    this.#out.byte(0x0a);
    this.recordCount += 1;
  }

  take(): Buffer {
    const lines = this.#out.take();
    this.#out = new ByteWriter(pageBytesInitial); // who has the lines may be sending them still
    this.#records = new RecordTextWriter(this.#out, this.#style);
    return lines;
  }
}

export interface ServerSentEvent {
  /** Left out for pages, so that `onmessage` gets them. */
  readonly event?: string;
  readonly id?: string;
  readonly retryMs?: number;
  /** One line of JSON: a page whose style has lineBreaks "spaces", or a problem. */
  readonly data?: Uint8Array;
}

export function serverSentEvent({ event, id, retryMs, data }: ServerSentEvent): Buffer {
  const fields =
    (event === undefined ? "" : `event: ${event}\n`) +
    (id === undefined ? "" : `id: ${id}\n`) +
    (retryMs === undefined ? "" : `retry: ${retryMs}\n`);
  if (data === undefined) return Buffer.from(`${fields}\n`);
  return Buffer.concat([Buffer.from(`${fields}data: `), data, Buffer.from("\n\n")]);
}
