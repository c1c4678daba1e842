// The JSON body of a produce request, straight from its bytes. Values keep the very text that was sent: a view of the body,
// not copied and not parsed. Everything is refused that a lenient parser would let pass or change: unknown and double
// fields, numbers that would be rounded, text that is no UTF-8, base64 that is not canonical.

import type { RecordHeader } from "../../protocol/record-reader.ts";
import { decodeBase64 } from "./base64.ts";
import { invalidField, joinPath } from "./body-refusal.ts";
import { FieldNames, JsonFields } from "./json-fields.ts";
import {
  type FrameFieldName,
  frameFieldNames,
  type ParsedProduce,
  type ParsedRecord,
  type PartFormat,
  type ProduceContext,
  type ProduceOptionName,
  ProduceOptionsBuilder,
  partFormat,
  partitionMax,
  produceHints,
  produceOptionNames,
  recordHints,
  wholeNumber,
} from "./produce-options.ts";

const topicOptions = produceOptionNames("topic", true);
const partitionOptions = produceOptionNames("partition", true);
const topicFields = new FieldNames(["records", ...topicOptions]);
const partitionFields = new FieldNames(["records", ...partitionOptions]);
const frameFields = new FieldNames([...partitionFields.names, ...frameFieldNames]);
const recordFields = new FieldNames(["key", "value", "headers", "timestamp", "partition"]);
const headerFields = new FieldNames(["key", "value", "valueFormat"]);

const noHeaders: readonly RecordHeader[] = [];

/** Where the parts of a record lie. Bytes are made once the formats are known: they may come after the records. */
class RecordSpans {
  keyStart = -1;
  keyEnd = -1;
  keyEscaped = false;
  valueStart = -1;
  valueEnd = -1;
  valueEscaped = false;
  headers: readonly RecordHeader[] = noHeaders;
  timestamp = -1;
  partition: number | undefined = undefined;
}

export function parseProduceJson(body: Uint8Array, context: ProduceContext): ParsedProduce {
  const parser = new ProduceJsonParser(body, context);
  return parser.produce();
}

/** One line of NDJSON: a record by itself. */
export function parseRecordJson(
  line: Uint8Array,
  context: ProduceContext,
  formats: { readonly keyFormat: PartFormat; readonly valueFormat: PartFormat },
): ParsedRecord {
  const parser = new ProduceJsonParser(line, context);
  return parser.single(formats.keyFormat, formats.valueFormat);
}

class ProduceJsonParser {
  readonly #fields: JsonFields;
  readonly #context: ProduceContext;
  /** The record and the header being read, for paths; -1 outside. A line of NDJSON is a record without an index. */
  #record = -1;
  #header = -1;

  constructor(body: Uint8Array, context: ProduceContext) {
    this.#fields = new JsonFields(body, () => this.#objectPath());
    this.#context = context;
  }

  #objectPath(): string {
    const record = this.#record < 0 ? "" : `records[${this.#record}]`;
    return this.#header < 0 ? record : joinPath(record, `headers[${this.#header}]`);
  }

  produce(): ParsedProduce {
    const fields = this.#fields;
    const { frame, partition } = this.#context;
    const known = frame !== undefined ? frameFields : partition === undefined ? topicFields : partitionFields;
    const options = new ProduceOptionsBuilder();
    let spans: RecordSpans[] | undefined;
    let at = fields.enter(fields.scanner.skipSpace(0), "{", "", '{"records":[{"value":…}]} is what goes here');
    for (;;) {
      const field = fields.nextField(at, known);
      if (field < 0) break;
      const start = fields.valueStart;
      if (field === 0) {
        const seen = fields.seen;
        const unknown: string[] | undefined = fields.unknown;
        spans = [];
        at = this.#readRecords(start, spans);
        fields.seen = seen;
        fields.unknown = unknown;
      } else {
        at = fields.skip(start);
        const value = fields.scalar(start, at);
        if (field < partitionFields.names.length) options.set(known.names[field] as ProduceOptionName, value);
        else frame?.set(known.names[field] as FrameFieldName, value);
      }
      at = fields.next(at, 0x7d);
    }
    fields.endOfBody(fields.objectEnd);
    fields.refuseUnknown(known, produceHints);
    if (spans === undefined) throw invalidField("records", "is missing");
    if (spans.length === 0) throw invalidField("records", "must have at least one record");
    const { keyFormat, valueFormat } = options;
    const records = new Array<ParsedRecord>(spans.length);
    for (let index = 0; index < spans.length; index++) {
      this.#record = index;
      records[index] = this.#build(spans[index]!, keyFormat, valueFormat);
    }
    return { records, options: options.build() };
  }

  single(keyFormat: PartFormat, valueFormat: PartFormat): ParsedRecord {
    const spans = new RecordSpans();
    const end = this.#readRecord(this.#fields.scanner.skipSpace(0), spans);
    this.#fields.endOfBody(end);
    return this.#build(spans, keyFormat, valueFormat);
  }

  #readRecords(position: number, spans: RecordSpans[]): number {
    const fields = this.#fields;
    let at = fields.enter(position, "[", "records");
    while (fields.bytes[at] !== 0x5d) {
      this.#record = spans.length;
      const record = new RecordSpans();
      spans.push(record);
      at = fields.next(this.#readRecord(at, record), 0x5d);
    }
    this.#record = -1;
    return at + 1;
  }

  /** Reads the record at a position; returns just after it. */
  #readRecord(position: number, spans: RecordSpans): number {
    const fields = this.#fields;
    let at = fields.enter(position, "{", "");
    fields.seen = 0;
    fields.unknown = undefined;
    for (;;) {
      const field = fields.nextField(at, recordFields);
      if (field < 0) break;
      const start = fields.valueStart;
      if (field === 2) {
        const seen = fields.seen;
        const unknown: string[] | undefined = fields.unknown;
        at = this.#readHeaders(start, spans);
        fields.seen = seen;
        fields.unknown = unknown;
      } else {
        at = fields.skip(start);
        this.#keepSpan(spans, field, start, at);
      }
      at = fields.next(at, 0x7d);
    }
    const end = fields.objectEnd;
    fields.refuseUnknown(recordFields, recordHints);
    if (spans.valueStart < 0) throw invalidField(fields.path("value"), "is missing", "null is a tombstone");
    return end;
  }

  #keepSpan(spans: RecordSpans, field: number, start: number, end: number): void {
    const fields = this.#fields;
    if (field === 0) {
      spans.keyStart = start;
      spans.keyEnd = end;
      spans.keyEscaped = fields.scanner.escaped;
    } else if (field === 1) {
      spans.valueStart = start;
      spans.valueEnd = end;
      spans.valueEscaped = fields.scanner.escaped;
    } else if (field === 3) {
      spans.timestamp = this.#wholeNumber(start, end, "timestamp", Number.MAX_SAFE_INTEGER);
    } else {
      spans.partition = this.#wholeNumber(start, end, "partition", partitionMax);
      const only = this.#context.partition;
      if (only !== undefined && only !== spans.partition) {
        throw invalidField(fields.path("partition"), `is ${spans.partition}, and the path says ${only}`);
      }
    }
  }

  #wholeNumber(start: number, end: number, field: string, max: number): number {
    const value = this.#fields.scalar(start, end);
    if (typeof value === "number" && value >= 0 && value <= max) return value;
    return wholeNumber(this.#fields.path(field), value, { min: 0, max });
  }

  #readHeaders(position: number, spans: RecordSpans): number {
    const fields = this.#fields;
    const headers: RecordHeader[] = [];
    let at = fields.enter(position, "[", "headers", '[{"key":"name","value":"text"}] is what goes here');
    while (fields.bytes[at] !== 0x5d) {
      this.#header = headers.length;
      at = fields.next(this.#readHeader(at, headers), 0x5d);
    }
    this.#header = -1;
    spans.headers = headers;
    return at + 1;
  }

  #readHeader(position: number, headers: RecordHeader[]): number {
    const fields = this.#fields;
    let key: Uint8Array | undefined;
    let valueStart = -1;
    let valueEnd = -1;
    let valueEscaped = false;
    let format: PartFormat = "string";
    let at = fields.enter(position, "{", "");
    fields.seen = 0;
    fields.unknown = undefined;
    for (;;) {
      const field = fields.nextField(at, headerFields);
      if (field < 0) break;
      const start = fields.valueStart;
      at = fields.skip(start);
      const escaped = fields.scanner.escaped;
      if (field === 0) key = fields.string(start, at, escaped, "key");
      else if (field === 1) {
        valueStart = start;
        valueEnd = at;
        valueEscaped = escaped;
      } else format = partFormat(fields.path("valueFormat"), fields.scalar(start, at));
      at = fields.next(at, 0x7d);
    }
    const end = fields.objectEnd;
    fields.refuseUnknown(headerFields);
    if (key === undefined) throw invalidField(fields.path("key"), "is missing");
    if (valueStart < 0) throw invalidField(fields.path("value"), "is missing");
    if (format === "json") throw invalidField(fields.path("valueFormat"), "must be string or base64");
    headers.push({ key, value: this.#part(valueStart, valueEnd, valueEscaped, format, "value") });
    return end;
  }

  #build(spans: RecordSpans, keyFormat: PartFormat, valueFormat: PartFormat): ParsedRecord {
    const { keyStart } = spans;
    return {
      key: keyStart < 0 ? null : this.#part(keyStart, spans.keyEnd, spans.keyEscaped, keyFormat, "key"),
      value: this.#part(spans.valueStart, spans.valueEnd, spans.valueEscaped, valueFormat, "value"),
      headers: spans.headers,
      timestamp: spans.timestamp < 0 ? this.#context.nowMs : spans.timestamp,
      partition: spans.partition,
    };
  }

  /** The bytes of a key or value. */
  #part(start: number, end: number, escaped: boolean, format: PartFormat, field: string): Uint8Array | null {
    const fields = this.#fields;
    if (fields.isNull(start)) return null;
    if (format === "json") return fields.bytes.subarray(start, end);
    if (fields.bytes[start] !== 0x22) {
      throw fields.wrongType(start, field, format === "string" ? "a string or null" : "a string of base64 or null");
    }
    const text = fields.string(start, end, escaped, field);
    if (format === "string") return text;
    const decoded = decodeBase64(text);
    if (decoded !== undefined) return decoded;
    throw invalidField(fields.path(field), "is not base64", notBase64);
  }
}

const notBase64 = "the standard alphabet with + and /, padded with =, unused bits zero";
