// A produce body of one record a line, read as it comes: chunks of any size in, records out. Pure: no stream, no time.
// It holds at most one unfinished line. The first bad line ends the reading; the records before it are still given.

import { Buffer } from "node:buffer";
import { BrokerError } from "../../protocol/error-codes.ts";
import { parseRecordJson } from "./produce-json.ts";
import type { ParsedRecord, PartFormat, ProduceContext } from "./produce-options.ts";

/** The longest line, its line break not counted. */
export const ndjsonLineBytesMax = 8 * 1024 * 1024;

const nothing = Buffer.alloc(0);

export interface NdjsonRecords {
  readonly records: readonly ParsedRecord[];
  /** Where each record stood: lines count from 1, empty ones too. */
  readonly lines: readonly number[];
  /** Why reading ended, with `line` among its fields. The records given came before it. */
  readonly failure: BrokerError | undefined;
}

export interface NdjsonOptions {
  readonly partition: number | undefined;
  readonly keyFormat: PartFormat;
  readonly valueFormat: PartFormat;
  /** Smaller than ndjsonLineBytesMax in tests. */
  readonly lineBytesMax?: number;
}

/** Cuts a stream of bytes into lines. A line is a view of its chunk unless it lay in several. */
export class LineSplitter {
  /** The beginning of a line whose end has not come; grows by doubling, however small the chunks are. */
  #pending = nothing;
  #pendingBytes = 0;

  /** Bytes of the line that has begun and not ended. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Calls `take` for each line that ends in this chunk, without its line feed, until it returns false. */
  push(chunk: Buffer, take: (line: Uint8Array) => boolean): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end < 0) break;
      const rest = chunk.subarray(start, end);
      start = end + 1;
      if (!take(this.#pendingBytes === 0 ? rest : this.#finish(rest))) return;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** The last line, if the stream did not end with a line feed. */
  end(): Uint8Array | undefined {
    return this.#pendingBytes === 0 ? undefined : this.#finish(nothing);
  }

  #keep(piece: Buffer): void {
    const length = this.#pendingBytes + piece.length;
    if (length > this.#pending.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.#pending.length));
      larger.set(this.#pending.subarray(0, this.#pendingBytes));
      this.#pending = larger;
    }
    this.#pending.set(piece, this.#pendingBytes);
    this.#pendingBytes = length;
  }

  #finish(rest: Buffer): Uint8Array {
    this.#keep(rest);
    const line = this.#pending.subarray(0, this.#pendingBytes);
    this.#pending = nothing; // the line's records are views of the old one
    this.#pendingBytes = 0;
    return line;
  }
}

export class NdjsonReader {
  readonly #splitter = new LineSplitter();
  readonly #options: NdjsonOptions;
  readonly #lineBytesMax: number;
  #line = 0;
  #failure: BrokerError | undefined;

  constructor(options: NdjsonOptions) {
    this.#options = options;
    this.#lineBytesMax = options.lineBytesMax ?? ndjsonLineBytesMax;
  }

  /** True while a line has begun and not ended: the silence of a slow sender, not of one that has nothing to say. */
  get insideLine(): boolean {
    return this.#splitter.pendingBytes > 0;
  }

  /** The chunk is kept (records are views of it): it must not be written to afterwards. */
  push(chunk: Buffer, nowMs: number): NdjsonRecords {
    const context: ProduceContext = { partition: this.#options.partition, nowMs };
    const records: ParsedRecord[] = [];
    const lines: number[] = [];
    if (this.#failure === undefined) {
      this.#splitter.push(chunk, (line) => this.#take(line, context, records, lines));
      // One more than the limit: the last byte may be the first of CRLF.
      if (this.#splitter.pendingBytes > this.#lineBytesMax + 1) this.#fail(this.#tooLong(), this.#line + 1);
    }
    return { records, lines, failure: this.#failure };
  }

  /** The stream has ended: a last line needs no line feed. */
  end(nowMs: number): NdjsonRecords {
    const context: ProduceContext = { partition: this.#options.partition, nowMs };
    const records: ParsedRecord[] = [];
    const lines: number[] = [];
    const line = this.#failure === undefined ? this.#splitter.end() : undefined;
    if (line !== undefined) this.#take(line, context, records, lines);
    return { records, lines, failure: this.#failure };
  }

  /** Reads a line; false once reading has ended. */
  #take(line: Uint8Array, context: ProduceContext, records: ParsedRecord[], lines: number[]): boolean {
    this.#line += 1;
    const ended = line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
    if (ended.length === 0) return true;
    if (ended.length > this.#lineBytesMax) return this.#fail(this.#tooLong(), this.#line);
    try {
      records.push(parseRecordJson(ended, context, this.#options));
      lines.push(this.#line);
      return true;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      return this.#fail(error, this.#line);
    }
  }

  #tooLong(): BrokerError {
    return new BrokerError("PAYLOAD_TOO_LARGE", `a line is longer than ${this.#lineBytesMax} bytes`, {
      fields: { limit: { name: "ndjsonLineBytesMax", value: this.#lineBytesMax } },
    });
  }

  #fail(error: BrokerError, line: number): false {
    this.#failure = new BrokerError(error.code, `line ${line}: ${error.message}`, {
      fields: { ...error.fields, line },
      cause: error,
    });
    return false;
  }
}
