// Stored records as JSON. Bytes that are JSON are shown as they stand, bytes that are not in the asked format are shown
// in the next one that fits (json, string, base64) and the record says so: reading never fails because of what was written,
// and what was written never becomes JSON of ours.

import { Buffer, isUtf8 } from "node:buffer";
import type { StoredRecord } from "../../protocol/record.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { JsonScanner } from "./json-scanner.ts";
import type { PartFormat } from "./produce-options.ts";

export interface RecordStyle {
  readonly keyFormat: PartFormat;
  readonly valueFormat: PartFormat;
  /** "spaces" where a line break would end the record: NDJSON and server-sent events. */
  readonly lineBreaks: "kept" | "spaces";
}

const ascii = (text: string): Uint8Array => Buffer.from(text);
const labels = {
  topic: ascii('{"topic":'),
  partition: ascii('"partition":'),
  offset: ascii('"offset":'),
  timestamp: ascii(',"timestamp":'),
  key: ascii(',"key":'),
  value: ascii(',"value":'),
  headers: ascii(',"headers":['),
  headerKey: ascii('{"key":'),
  null: ascii("null"),
};
const ownKeyFormat = { string: ascii(',"keyFormat":"string"'), base64: ascii(',"keyFormat":"base64"') };
const ownValueFormat = { string: ascii(',"valueFormat":"string"'), base64: ascii(',"valueFormat":"base64"') };

/** How many bytes an escape adds to a byte of a JSON string; 0: it stands for itself. */
const escapeBytes = new Uint8Array(256).fill(5, 0, 0x20);
const shortEscapes = new Uint8Array(256);
for (const [byte, letter] of [
  [0x22, '"'],
  [0x5c, "\\"],
  [8, "b"],
  [9, "t"],
  [10, "n"],
  [12, "f"],
  [13, "r"],
] as const) {
  escapeBytes[byte] = 1;
  shortEscapes[byte] = letter.charCodeAt(0);
}
const hexDigits = ascii("0123456789abcdef");

export class RecordTextWriter {
  readonly #out: ByteWriter;
  readonly #style: RecordStyle;
  readonly #scanner = new JsonScanner(new Uint8Array(0));

  constructor(out: ByteWriter, style: RecordStyle) {
    this.#out = out;
    this.#style = style;
  }

  /** Writes a record; topic and partition only where the surroundings do not say them. */
  record(record: StoredRecord, partition?: number, topic?: string): void {
    const out = this.#out;
    if (topic === undefined) out.byte(0x7b);
    else {
      out.copy(labels.topic);
      out.text(JSON.stringify(topic));
      out.byte(0x2c);
    }
    if (partition !== undefined) {
      out.copy(labels.partition);
      out.integer(partition);
      out.byte(0x2c);
    }
    out.copy(labels.offset);
    out.integer(record.offset);
    out.copy(labels.timestamp);
    out.integer(record.timestamp);
    const { keyFormat, valueFormat } = this.#style;
    out.copy(labels.key);
    const keyShown = this.#part(record.key, keyFormat);
    out.copy(labels.value);
    const valueShown = this.#part(record.value, valueFormat);
    const headers = record.headers;
    if (headers.length > 0) this.#headers(headers);
    if (keyShown !== keyFormat && keyShown !== "json") out.copy(ownKeyFormat[keyShown]);
    if (valueShown !== valueFormat && valueShown !== "json") out.copy(ownValueFormat[valueShown]);
    out.byte(0x7d);
  }

  #headers(headers: StoredRecord["headers"]): void {
    const out = this.#out;
    out.copy(labels.headers);
    for (let i = 0; i < headers.length; i++) {
      const header = headers[i]!;
      if (i > 0) out.byte(0x2c);
      out.copy(labels.headerKey);
      // Names are UTF-8 by the format of a batch; one that is not is shown with replacement characters.
      this.#string(isUtf8(header.key) ? header.key : Buffer.from(Buffer.from(header.key).toString()));
      out.copy(labels.value);
      if (this.#part(header.value, "string") === "base64") out.copy(ownValueFormat.base64);
      out.byte(0x7d);
    }
    out.byte(0x5d);
  }

  /** Writes a key or value; returns the format that was used. */
  #part(bytes: Uint8Array | null, asked: PartFormat): PartFormat {
    if (bytes === null) {
      this.#out.copy(labels.null);
      return asked;
    }
    if (asked === "base64" || !isUtf8(bytes)) {
      this.#out.byte(0x22);
      this.#out.base64(bytes);
      this.#out.byte(0x22);
      return "base64";
    }
    if (asked === "json" && this.#isShownAsJson(bytes)) {
      this.#json(bytes);
      return "json";
    }
    this.#string(bytes);
    return "string";
  }

  /** True for one JSON text that is not too deep. The text null would be taken for a tombstone. */
  #isShownAsJson(bytes: Uint8Array): boolean {
    const scanner = this.#scanner;
    scanner.reset(bytes);
    return scanner.isWhole() && bytes[scanner.skipSpace(0)] !== 0x6e;
  }

  #json(bytes: Uint8Array): void {
    const out = this.#out;
    const start = out.length;
    out.copy(bytes);
    if (this.#style.lineBreaks === "kept") return;
    // In a JSON text a line break stands only between tokens.
    const written = out.bytes.subarray(start, out.length);
    for (const lineBreak of [0x0a, 0x0d]) {
      for (let at = written.indexOf(lineBreak); at >= 0; at = written.indexOf(lineBreak, at + 1)) written[at] = 0x20;
    }
  }

  /** UTF-8 bytes as a JSON string. */
  #string(bytes: Uint8Array): void {
    let extra = 0;
    for (let i = 0; i < bytes.length; i++) extra += escapeBytes[bytes[i]!]!;
    const out = this.#out;
    out.reserve(bytes.length + extra + 2);
    out.byte(0x22);
    if (extra === 0) out.copy(bytes);
    else out.length = writeEscaped(bytes, out.bytes, out.length);
    out.byte(0x22);
  }
}

function writeEscaped(source: Uint8Array, target: Uint8Array, start: number): number {
  let at = start;
  for (let i = 0; i < source.length; i++) {
    const byte = source[i]!;
    const added = escapeBytes[byte]!;
    if (added === 0) {
      target[at++] = byte;
      continue;
    }
    target[at++] = 0x5c;
    if (added === 1) {
      target[at++] = shortEscapes[byte]!;
      continue;
    }
    target[at++] = 0x75;
    target[at++] = zero;
    target[at++] = zero;
    target[at++] = hexDigits[byte >> 4]!;
    target[at++] = hexDigits[byte & 15]!;
  }
  return at;
}

const zero = 0x30;
