import { Buffer, isUtf8 } from "node:buffer";
import fc from "fast-check";
import { Unpackr } from "msgpackr";
import { describe, expect, test } from "vitest";
import {
  JsonPageWriter,
  LinesWriter,
  MsgpackPageWriter,
  serverSentEvent,
} from "../../../src/http/formats/page-writer.ts";
import { parseProduceJson } from "../../../src/http/formats/produce-json.ts";
import type { PartFormat } from "../../../src/http/formats/produce-options.ts";
import type { StoredRecord } from "../../../src/protocol/record.ts";

const bytes = (value: string | readonly number[] | null): Uint8Array | null =>
  value === null ? null : new Uint8Array(typeof value === "string" ? Buffer.from(value) : value);
const record = (fields: Partial<StoredRecord>): StoredRecord => ({
  offset: 5,
  timestamp: 1795255200000,
  key: null,
  value: null,
  headers: [],
  ...fields,
});
const style = (keyFormat: PartFormat = "string", valueFormat: PartFormat = "json") =>
  ({ keyFormat, valueFormat, lineBreaks: "kept" }) as const;

function pageText(records: readonly StoredRecord[], of: ReturnType<typeof style> = style(), sizeHint?: number): string {
  const page = new JsonPageWriter({}, of, sizeHint);
  for (const one of records) page.add(one);
  return page.finish({}).toString();
}
const beforeValue = '{"records":[{"offset":5,"timestamp":1795255200000,"key":null,"value":';
const shown = (value: string | readonly number[] | null, format: PartFormat = "json") =>
  pageText([record({ value: bytes(value) })], style("string", format)).slice(beforeValue.length, -3);

describe("a page as JSON", () => {
  test("is the head, the records, the tail", () => {
    const page = new JsonPageWriter({ topic: "orders", partition: 3 }, style());
    page.add(record({ offset: 0, timestamp: -1, key: bytes("k"), value: bytes('{"a":1.0}') }));
    page.add(record({ offset: 2 ** 53 - 1, headers: [{ key: bytes("h")!, value: bytes("v") }] }));
    expect(page.recordCount).toBe(2);
    expect(page.finish({ nextOffset: 7, caughtUp: true, reset: undefined }).toString()).toBe(
      '{"topic":"orders","partition":3,"records":[{"offset":0,"timestamp":-1,"key":"k","value":{"a":1.0}},' +
        '{"offset":9007199254740991,"timestamp":1795255200000,"key":null,"value":null,"headers":[{"key":"h","value":"v"}]}],' +
        '"nextOffset":7,"caughtUp":true}',
    );
  });

  test("without records, fields before or fields after", () => {
    expect(pageText([])).toBe('{"records":[]}');
  });

  test("topic and partition are told where asked for", () => {
    const page = new JsonPageWriter({}, style());
    page.add(record({}), 3, 'a"b');
    page.add(record({}), 0);
    const { records } = JSON.parse(page.finish({}).toString()) as { records: unknown[] };
    expect(records).toMatchObject([{ topic: 'a"b', partition: 3, offset: 5 }, { partition: 0 }]);
  });
});

test.each<[string | readonly number[] | null, PartFormat, string]>([
  [null, "json", "null"],
  [null, "base64", "null"],
  ['{"b":1e400,"a":"\\u00e9\\/"}', "json", '{"b":1e400,"a":"\\u00e9\\/"}'],
  [" [1,\n 2]\r\n", "json", " [1,\n 2]\r\n"],
  ["12", "json", "12"],
  ["null", "json", '"null","valueFormat":"string"'],
  [" null\n", "json", '" null\\n","valueFormat":"string"'],
  ["", "json", '"","valueFormat":"string"'],
  ["hello", "json", '"hello","valueFormat":"string"'],
  ['1},"x":{"y":1', "json", '"1},\\"x\\":{\\"y\\":1","valueFormat":"string"'],
  ["[".repeat(65) + "]".repeat(65), "json", `"${"[".repeat(65)}${"]".repeat(65)}","valueFormat":"string"`],
  ["[".repeat(64) + "]".repeat(64), "json", "[".repeat(64) + "]".repeat(64)],
  ["\ufeff1", "json", '"\ufeff1","valueFormat":"string"'],
  [[0x22, 0xff, 0x22], "json", '"Iv8i","valueFormat":"base64"'],
  ["null", "string", '"null"'],
  ['a"\\\u0000\u001f\n\r\t\b\f\u007fé\u2028', "string", '"a\\"\\\\\\u0000\\u001f\\n\\r\\t\\b\\f\u007fé\u2028"'],
  [[0xff], "string", '"/w==","valueFormat":"base64"'],
  ["hi", "base64", '"aGk="'],
  ["", "base64", '""'],
])("the value %j asked as %s", (value, format, expected) => {
  expect(shown(value, format)).toBe(expected);
});

test("a key has the same fall-backs under its own name", () => {
  const text = pageText([record({ key: bytes([0xff]), value: bytes("x") })]);
  expect(text).toContain('"key":"/w==","value":"x","keyFormat":"base64","valueFormat":"string"}');
  expect(pageText([record({ key: bytes("1") })], style("json"))).toContain('"key":1,"value":null}');
});

test("header values are strings, else base64 and said so; names are never a reason to fail", () => {
  const headers = [
    { key: bytes("a")!, value: bytes("é\n") },
    { key: bytes("b")!, value: bytes([0xff]) },
    { key: bytes([0xff])!, value: null },
  ];
  expect(pageText([record({ headers })])).toContain(
    '"headers":[{"key":"a","value":"é\\n"},{"key":"b","value":"/w==","valueFormat":"base64"},{"key":"\ufffd","value":null}]}',
  );
});

const part = fc.oneof(
  fc.constant(null),
  fc.uint8Array({ maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 60 }).map((s) => bytes(s)),
  fc.json().map((s) => bytes(s)),
  fc.jsonValue().map((v) => bytes(JSON.stringify(v, undefined, 1))),
);
const records = fc.array(
  fc.record({
    offset: fc.maxSafeNat(),
    timestamp: fc.oneof(fc.maxSafeNat(), fc.constant(-1)),
    key: part,
    value: part,
    headers: fc.array(fc.record({ key: fc.string({ unit: "binary" }).map((s) => bytes(s)!), value: part }), {
      maxLength: 2,
    }),
  }),
  { maxLength: 5 },
);
const formats = fc.constantFrom<PartFormat>("json", "string", "base64");

interface ShownPart {
  key: unknown;
  value: unknown;
  keyFormat?: PartFormat;
  valueFormat?: PartFormat;
}

/** The bytes that a part of a page stands for; for json, where parsing loses the text, the parsed value. */
function meaning(part: unknown, format: PartFormat): unknown {
  if (part === null) return null;
  return format === "json" ? { json: part } : Buffer.from(part as string, format === "base64" ? "base64" : "utf8");
}

test("any bytes in any format: the page is JSON, and says what was stored", () => {
  fc.assert(
    fc.property(records, formats, formats, fc.boolean(), (list, keyFormat, valueFormat, small) => {
      const page = JSON.parse(pageText(list, style(keyFormat, valueFormat), small ? 1 : undefined)) as {
        records: (ShownPart & { offset: number; timestamp: number; headers?: ShownPart[] })[];
      };
      expect(page.records).toHaveLength(list.length);
      page.records.forEach((got, i) => {
        const stored = list[i]!;
        expect([got.offset, got.timestamp]).toEqual([stored.offset, stored.timestamp]);
        for (const [name, asked, own] of [
          ["key", keyFormat, got.keyFormat],
          ["value", valueFormat, got.valueFormat],
        ] as const) {
          const format = own ?? asked;
          const raw = stored[name];
          const expected =
            raw === null
              ? null
              : format === "json"
                ? { json: JSON.parse(Buffer.from(raw).toString()) }
                : Buffer.from(raw);
          expect(meaning(got[name], format)).toEqual(expected);
        }
        const headers = (got.headers ?? []).map((h) => [h.key, meaning(h.value, h.valueFormat ?? "string")]);
        expect(headers).toEqual(
          stored.headers.map((h) => [Buffer.from(h.key).toString(), h.value === null ? null : Buffer.from(h.value)]),
        );
      });
    }),
    { numRuns: 500 },
  );
});

test("JSON that was produced comes back as the same text", () => {
  const json = fc.tuple(fc.jsonValue(), fc.constantFrom(undefined, 2)).map(([v, i]) => JSON.stringify(v, undefined, i));
  fc.assert(
    fc.property(
      json.filter((text) => text !== "null"),
      (text) => {
        const body = Buffer.from(`{"records":[{"value":${text}}]}`);
        const [produced] = parseProduceJson(body, { partition: undefined, nowMs: 1795255200000 }).records;
        expect(pageText([record({ value: produced!.value })])).toContain(`"value":${text}}]}`);
      },
    ),
  );
});

describe("lines", () => {
  test("each record is one line, whatever the stored JSON looks like", () => {
    fc.assert(
      fc.property(records, formats, formats, (list, keyFormat, valueFormat) => {
        const writer = new LinesWriter({ keyFormat, valueFormat });
        for (const one of list) writer.add(one);
        const lines = writer.take().toString().split("\n");
        expect(lines.pop()).toBe("");
        expect(lines.map((line) => (JSON.parse(line) as { offset: number }).offset)).toEqual(list.map((r) => r.offset));
        for (const line of lines) expect(line).not.toContain("\r");
      }),
    );
  });

  test("line breaks between tokens become spaces, and what was taken is not written again", () => {
    const writer = new LinesWriter({ keyFormat: "string", valueFormat: "json" });
    writer.add(record({ value: bytes('[1,\r\n2,"\\n"]\n') }));
    const first = writer.take();
    expect(first.toString()).toBe('{"offset":5,"timestamp":1795255200000,"key":null,"value":[1,  2,"\\n"] }\n');
    writer.add(record({}), 1, "t");
    expect(writer.take().toString()).toBe(
      '{"topic":"t","partition":1,"offset":5,"timestamp":1795255200000,"key":null,"value":null}\n',
    );
    expect(writer.take()).toHaveLength(0);
    expect(first.toString()).toContain('"offset":5');
  });
});

test("a page as a server-sent event is one line of data", () => {
  const page = new JsonPageWriter({ topic: "t" }, { ...style(), lineBreaks: "spaces" });
  page.add(record({ value: bytes("[\n1\r]") }));
  const event = serverSentEvent({ id: "6", data: page.finish({ nextOffset: 6 }) });
  expect(event.toString()).toBe(
    'id: 6\ndata: {"topic":"t","records":[{"offset":5,"timestamp":1795255200000,"key":null,"value":[ 1 ]}],"nextOffset":6}\n\n',
  );
  expect(serverSentEvent({ retryMs: 2000 }).toString()).toBe("retry: 2000\n\n");
  expect(serverSentEvent({ event: "problem", data: Buffer.from("{}") }).toString()).toBe(
    "event: problem\ndata: {}\n\n",
  );
});

describe("a page as msgpack", () => {
  const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

  test("is the same with bytes as bin", () => {
    fc.assert(
      fc.property(records, fc.boolean(), (list, small) => {
        const page = new MsgpackPageWriter({ topic: "t", partition: 70_000 }, small ? 1 : undefined);
        for (const one of list) page.add(one, 3);
        const got = unpackr.unpack(page.finish({ nextOffset: 2 ** 40, caughtUp: false, reset: undefined })) as object;
        expect(got).toEqual({
          topic: "t",
          partition: 70_000,
          records: list.map((r) => ({
            partition: 3,
            offset: r.offset,
            timestamp: r.timestamp,
            key: r.key === null ? null : Buffer.from(r.key),
            value: r.value === null ? null : Buffer.from(r.value),
            ...(r.headers.length === 0
              ? {}
              : {
                  headers: r.headers.map((h) => ({
                    key: Buffer.from(h.key).toString(),
                    value: h.value === null ? null : Buffer.from(h.value),
                  })),
                }),
          })),
          nextOffset: 2 ** 40,
          caughtUp: false,
        });
      }),
    );
  });

  test("offsets and timestamps are uint64 whatever their value, so that each has one type", () => {
    const page = new MsgpackPageWriter({});
    page.add(record({ offset: 1, timestamp: 2 }));
    expect(page.finish({}).toString("hex")).toContain(
      "a66f6666736574cf0000000000000001a974696d657374616d70cf0000000000000002",
    );
  });
});

test("the samples above do hold bytes that are not UTF-8", () => {
  expect(fc.sample(part, 200).some((p) => p !== null && !isUtf8(p))).toBe(true);
});
