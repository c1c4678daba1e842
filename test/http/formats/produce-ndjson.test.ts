import { Buffer } from "node:buffer";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LineSplitter, NdjsonReader, type NdjsonRecords } from "../../../src/http/formats/produce-ndjson.ts";

const options = { partition: undefined, keyFormat: "string", valueFormat: "json" } as const;

/** Cuts a text at the given places. */
function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((start, i) => bytes.subarray(start, places[i] ?? bytes.length));
}

function readAll(reader: NdjsonReader, chunks: readonly Buffer[]) {
  const parts: NdjsonRecords[] = [...chunks.map((chunk) => reader.push(chunk, 1)), reader.end(1)];
  return {
    values: parts.flatMap((p) => p.records.map((r) => Buffer.from(r.value ?? []).toString())),
    lines: parts.flatMap((p) => p.lines),
    failure: parts.at(-1)!.failure,
  };
}
const read = (text: string, cuts: readonly number[] = []) =>
  readAll(new NdjsonReader(options), chunksOf(Buffer.from(text), cuts));

test("lines are those of a naive split, wherever the stream is cut", () => {
  const text = fc.array(fc.constantFrom("a", "é", "\n", "\r\n", "xyz"), { maxLength: 30 }).map((p) => p.join(""));
  fc.assert(
    fc.property(text, fc.array(fc.nat(100), { maxLength: 8 }), (whole, cuts) => {
      const splitter = new LineSplitter();
      const lines: string[] = [];
      for (const chunk of chunksOf(Buffer.from(whole), cuts)) {
        splitter.push(chunk, (line) => {
          lines.push(Buffer.from(line).toString());
          return true;
        });
      }
      const last = splitter.end();
      expect([...lines, last === undefined ? "" : Buffer.from(last).toString()]).toEqual(whole.split("\n"));
    }),
    { numRuns: 2000 },
  );
});

test("records, their lines and the failure do not depend on the chunks", () => {
  const line = fc.constantFrom('{"value":1}', '{"value":"é","key":"k"}', "", ' {"value":[ 2 ]} ', '{"valu":1}', "{");
  const text = fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n")), { maxLength: 8 }).map((l) => l.flat().join(""));
  fc.assert(
    fc.property(text, fc.array(fc.nat(200), { maxLength: 8 }), (whole, cuts) => {
      const [inOne, inMany] = [read(whole), read(whole, cuts)];
      expect(inMany.values).toEqual(inOne.values);
      expect(inMany.lines).toEqual(inOne.lines);
      expect(inMany.failure?.fields).toEqual(inOne.failure?.fields);
    }),
  );
});

test("empty lines are skipped but counted, CRLF is a line break, the last line needs none", () => {
  const { values, lines, failure } = read('\n{"value":1}\r\n\r\n\n{"value":2}');
  expect([values, lines, failure]).toEqual([["1", "2"], [2, 5], undefined]);
});

test("a bad line ends the reading; what came before it is given, what follows is not", () => {
  const { values, lines, failure } = read('{"value":1}\n\n{"value":2,"val":3}\n{"value":4}\n');
  expect([values, lines]).toEqual([["1"], [1]]);
  expect(failure).toMatchObject({ code: "INVALID_REQUEST", fields: { line: 3, path: "val", unknown: ["val"] } });
  const malformed = read('{"value":1}\n{"value":');
  expect(malformed.failure).toMatchObject({ code: "MALFORMED_BODY", fields: { line: 2, position: 9, column: 10 } });
});

test("bytes that are not UTF-8 fail their own line", () => {
  const body = Buffer.concat([Buffer.from('{"value":1}\n{"value":"'), Buffer.from([0xff]), Buffer.from('"}\n')]);
  const { values, failure } = readAll(new NdjsonReader(options), [body]);
  expect([values, failure?.fields["line"]]).toEqual([["1"], 2]);
});

test("a line may be as long as the limit and no longer, ended or not", () => {
  const line = (bytes: number) => `{"value":"${"x".repeat(bytes - 12)}"}`;
  const limited = () => new NdjsonReader({ ...options, lineBytesMax: 40 });
  expect(readAll(limited(), [Buffer.from(`${line(40)}\r\n`)]).values).toHaveLength(1);
  const cut = Buffer.from(`${line(40)}\r\n`);
  expect(readAll(limited(), [cut.subarray(0, 41), cut.subarray(41)]).values).toHaveLength(1);
  for (const text of [`{"value":1}\n${line(41)}\n`, `{"value":1}\n${"x".repeat(41)}`]) {
    const { values, failure } = readAll(limited(), [Buffer.from(text)]);
    expect(values).toEqual(["1"]);
    expect(failure).toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
      fields: { line: 2, limit: { name: "ndjsonLineBytesMax", value: 40 } },
    });
  }
});

test("whether a line has begun is known", () => {
  const reader = new NdjsonReader(options);
  expect(reader.insideLine).toBe(false);
  reader.push(Buffer.from('{"val'), 1);
  expect(reader.insideLine).toBe(true);
  reader.push(Buffer.from('ue":1}\n'), 1);
  expect(reader.insideLine).toBe(false);
});

test("a long line a byte at a time costs no more than its length", () => {
  const bytes = Buffer.from(`{"value":"${"x".repeat(1_000_000)}"}\n`);
  const chunks = Array.from({ length: Math.ceil(bytes.length / 100) }, (_, i) =>
    bytes.subarray(i * 100, i * 100 + 100),
  );
  expect(readAll(new NdjsonReader(options), chunks).values.find(Boolean)).toHaveLength(1_000_002);
});
