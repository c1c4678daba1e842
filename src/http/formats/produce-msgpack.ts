// The msgpack body of a produce request: the fields of the JSON body without formats; keys, values and header values are bin
// (str is taken, as UTF-8) and are views of the body.

import { Buffer } from "node:buffer";
import type { RecordHeader } from "../../protocol/record-reader.ts";
import { invalidField, joinPath, unknownFields } from "./body-refusal.ts";
import { FieldNames } from "./json-fields.ts";
import { floatHint, type MsgpackKind, MsgpackReader } from "./msgpack-reader.ts";
import {
  type FrameFieldName,
  frameFieldNames,
  type ParsedProduce,
  type ParsedRecord,
  type ProduceContext,
  type ProduceOptionName,
  ProduceOptionsBuilder,
  partitionMax,
  produceHints,
  produceOptionNames,
  recordHints,
  wholeNumber,
} from "./produce-options.ts";

const topicFields = new FieldNames(["records", ...produceOptionNames("topic", false)]);
const partitionFields = new FieldNames(["records", ...produceOptionNames("partition", false)]);
const frameFields = new FieldNames([...partitionFields.names, ...frameFieldNames, "batch"]);
const recordFields = new FieldNames(["key", "value", "headers", "timestamp", "partition"]);
const headerFields = new FieldNames(["key", "value"]);

const formatHint = "msgpack has no formats: keys and values are bin";
const formatHints: readonly (readonly [string, string])[] = [
  ["keyFormat", formatHint],
  ["valueFormat", formatHint],
];
const hintsOfBody = new Map([...produceHints, ...formatHints]);
const hintsOfRecord = new Map([...recordHints, ...formatHints]);
const hintsOfHeader = new Map(formatHints);

const noHeaders: readonly RecordHeader[] = [];

class RecordDraft {
  key: Uint8Array | null = null;
  value: Uint8Array | null | undefined = undefined;
  headers = noHeaders;
  timestamp: number;
  partition: number | undefined = undefined;

  constructor(timestamp: number) {
    this.timestamp = timestamp;
  }
}

interface HeaderDraft {
  key: Uint8Array | undefined;
  value: Uint8Array | null | undefined;
}

export function parseProduceMsgpack(body: Uint8Array, context: ProduceContext): ParsedProduce {
  return new ProduceMsgpackParser(body, context).produce();
}

class ProduceMsgpackParser {
  readonly #reader: MsgpackReader;
  readonly #context: ProduceContext;
  /** The record and the header being read, for paths; -1 outside. */
  #record = -1;
  #header = -1;

  constructor(body: Uint8Array, context: ProduceContext) {
    this.#reader = new MsgpackReader(body);
    this.#context = context;
  }

  #path(field: string): string {
    const record = this.#record < 0 ? "" : `records[${this.#record}]`;
    const object = this.#header < 0 ? record : joinPath(record, `headers[${this.#header}]`);
    return field === "" ? object : joinPath(object, field);
  }

  produce(): ParsedProduce {
    const reader = this.#reader;
    const { frame, partition } = this.#context;
    const known = frame !== undefined ? frameFields : partition === undefined ? topicFields : partitionFields;
    const options = new ProduceOptionsBuilder();
    const draft: { records?: ParsedRecord[] } = {};
    this.#fields(known, hintsOfBody, 1, draft, (body, field) => {
      const name = known.names[field]!;
      if (field === 0) body.records = this.#records();
      else if (field < partitionFields.names.length) options.set(name as ProduceOptionName, this.#scalar(1));
      else if (frame !== undefined && name === "batch") frame.batch = this.#batch();
      else frame?.set(name as FrameFieldName, this.#scalar(1));
    });
    reader.endOfBody();
    const { records } = draft;
    if (frame?.batch !== undefined) {
      if (records !== undefined) throw invalidField("batch", "goes without records");
      return { records: [], options: options.build() };
    }
    if (records === undefined) throw invalidField("records", "is missing");
    if (records.length === 0) throw invalidField("records", "must have at least one record");
    return { records, options: options.build() };
  }

  /** Reads a map: `read` puts the value of each known field into the draft. `depth`: of the containers, this one too. */
  #fields<Draft>(
    known: FieldNames,
    hints: ReadonlyMap<string, string>,
    depth: number,
    draft: Draft,
    read: (draft: Draft, field: number) => void,
  ): void {
    const reader = this.#reader;
    this.#expect("map", "", "a map");
    let seen = 0;
    let unknown: string[] | undefined;
    for (let left = reader.mapLength(); left > 0; left--) {
      const name = reader.mapKey();
      const field = known.indexOf(name, 0, name.length);
      if (field < 0) {
        unknown ??= [];
        unknown.push(Buffer.from(name).toString());
        reader.skip(depth);
        continue;
      }
      if ((seen & (1 << field)) !== 0) throw invalidField(this.#path(known.names[field]!), "is there twice");
      seen |= 1 << field;
      read(draft, field);
    }
    if (unknown !== undefined) throw unknownFields(this.#path(""), unknown, known.names, hints);
  }

  #expect(kind: MsgpackKind, field: string, wanted: string): void {
    const found = this.#reader.kind();
    if (found !== kind) throw this.#wrongType(field, wanted, found);
  }

  #wrongType(field: string, wanted: string, found: MsgpackKind): Error {
    if (found === "extension" || found === "reserved") this.#reader.skip(0); // refuses it as such
    return invalidField(this.#path(field), `must be ${wanted}, not ${found}`);
  }

  #records(): ParsedRecord[] {
    const reader = this.#reader;
    this.#expect("array", "records", "an array");
    const count = reader.arrayLength();
    const records: ParsedRecord[] = [];
    for (let index = 0; index < count; index++) {
      this.#record = index;
      records.push(this.#readRecord());
    }
    this.#record = -1;
    return records;
  }

  #readRecord(): ParsedRecord {
    const draft = new RecordDraft(this.#context.nowMs);
    this.#fields(recordFields, hintsOfRecord, 3, draft, this.#readRecordField);
    const { key, value, headers, timestamp, partition } = draft;
    if (value === undefined) throw invalidField(this.#path("value"), "is missing", "nil is a tombstone");
    return { key, value, headers, timestamp, partition };
  }

  readonly #readRecordField = (draft: RecordDraft, field: number): void => {
    if (field === 0) draft.key = this.#part("key");
    else if (field === 1) draft.value = this.#part("value");
    else if (field === 2) draft.headers = this.#headers();
    else if (field === 3) draft.timestamp = this.#wholeNumber("timestamp", Number.MAX_SAFE_INTEGER);
    else draft.partition = this.#partition();
  };

  /** A key or value: bin, str or nil. */
  #part(field: string): Uint8Array | null {
    const kind = this.#reader.kind();
    if (kind === "binary" || kind === "string") return this.#reader.span();
    if (kind !== "nil") throw this.#wrongType(field, "bin, str or nil", kind);
    this.#reader.nil();
    return null;
  }

  #batch(): Uint8Array {
    this.#expect("binary", "batch", "bin");
    return this.#reader.span();
  }

  #headers(): readonly RecordHeader[] {
    const reader = this.#reader;
    this.#expect("array", "headers", "an array");
    const headers: RecordHeader[] = [];
    for (let left = reader.arrayLength(); left > 0; left--) {
      this.#header = headers.length;
      headers.push(this.#readHeader());
    }
    this.#header = -1;
    return headers;
  }

  #readHeader(): RecordHeader {
    const draft: HeaderDraft = { key: undefined, value: undefined };
    this.#fields(headerFields, hintsOfHeader, 5, draft, this.#readHeaderField);
    const { key, value } = draft;
    if (key === undefined) throw invalidField(this.#path("key"), "is missing");
    if (value === undefined) throw invalidField(this.#path("value"), "is missing");
    return { key, value };
  }

  readonly #readHeaderField = (draft: HeaderDraft, field: number): void => {
    if (field === 1) draft.value = this.#part("value");
    else {
      this.#expect("string", "key", "a str");
      draft.key = this.#reader.span();
    }
  };

  #partition(): number {
    const partition = this.#wholeNumber("partition", partitionMax);
    const only = this.#context.partition;
    if (only === undefined || only === partition) return partition;
    throw invalidField(this.#path("partition"), `is ${partition}, and the path says ${only}`);
  }

  #wholeNumber(field: string, max: number): number {
    const kind = this.#reader.kind();
    if (kind === "float") throw invalidField(this.#path(field), "must be an integer, not a float", floatHint);
    if (kind !== "integer") throw this.#wrongType(field, "an integer", kind);
    return wholeNumber(this.#path(field), this.#reader.integer(), { min: 0, max });
  }

  /** The value of an option: a string, a number, or something that no option is. */
  #scalar(depth: number): unknown {
    const reader = this.#reader;
    const kind = reader.kind();
    if (kind === "string") return Buffer.from(reader.span()).toString();
    if (kind === "integer") return reader.integer();
    reader.skip(depth);
    return undefined;
  }
}
