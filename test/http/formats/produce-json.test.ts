import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseProduceJson, parseRecordJson } from "../../../src/http/formats/produce-json.ts";
import type { ParsedProduce, ProduceContext } from "../../../src/http/formats/produce-options.ts";
import { produceOptionsFromQuery } from "../../../src/http/formats/produce-options.ts";
import { BrokerError } from "../../../src/protocol/error-codes.ts";

const topic: ProduceContext = { partition: undefined, nowMs: 1795255200000 };
const partition3: ProduceContext = { partition: 3, nowMs: 1795255200000 };
const parse = (text: string | Uint8Array, context = topic): ParsedProduce =>
  parseProduceJson(Buffer.from(text as string), context);
const parseOne = (record: string, options = "") => parse(`{"records":[${record}]${options}}`).records[0]!;
const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString());

function refusal(run: () => unknown): BrokerError {
  try {
    run();
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

test("everything a topic request can say", () => {
  const body = `{"acks":1,"records":[
    {"key":"k","value":{"b":1.0,"a":[ 1e400 ]},"headers":[{"key":"h","value":"v"},{"key":"n","value":null}],
     "timestamp":5,"partition":2},
    {"value":null}], "timeoutMs":100,"keyFormat":"string","valueFormat":"json"}`;
  const { records, options } = parse(body);
  expect(options).toEqual({
    acks: 1,
    timeoutMs: 100,
    keyFormat: "string",
    valueFormat: "json",
    producer: undefined,
    expectedOffset: undefined,
  });
  expect(records).toHaveLength(2);
  expect(text(records[0]!.key)).toBe("k");
  expect(text(records[0]!.value)).toBe('{"b":1.0,"a":[ 1e400 ]}');
  expect(records[0]!.headers.map((h) => [text(h.key), text(h.value)])).toEqual([
    ["h", "v"],
    ["n", null],
  ]);
  expect([records[0]!.timestamp, records[0]!.partition]).toEqual([5, 2]);
  expect(records[1]).toEqual({ key: null, value: null, headers: [], timestamp: topic.nowMs, partition: undefined });
});

test("defaults", () => {
  expect(parse('{"records":[{"value":1}]}').options).toEqual({
    acks: "all",
    timeoutMs: 30_000,
    keyFormat: "string",
    valueFormat: "json",
    producer: undefined,
    expectedOffset: undefined,
  });
});

test("the partition route adds the producer and expectedOffset, and a record may repeat the partition", () => {
  const body = `{"records":[{"value":1,"partition":3}],"producerId":7,"producerEpoch":0,"baseSequence":2147483647,"expectedOffset":0}`;
  const { records, options } = parse(body, partition3);
  expect(records[0]!.partition).toBe(3);
  expect(options.producer).toEqual({ producerId: 7, producerEpoch: 0, baseSequence: 2147483647 });
  expect(options.expectedOffset).toBe(0);
});

describe("formats", () => {
  test("may stand after the records they are of", () => {
    expect(text(parseOne('{"value":"a\\nb"}', ',"valueFormat":"string"').value)).toBe("a\nb");
    expect(text(parseOne('{"key":{"a":1},"value":1}', ',"keyFormat":"json"').key)).toBe('{"a":1}');
    expect(text(parseOne('{"key":"YWI=","value":"AA=="}', ',"keyFormat":"base64","valueFormat":"base64"').key)).toBe(
      "ab",
    );
  });

  test("null is a missing key or a tombstone in every format", () => {
    for (const format of ["json", "string", "base64"]) {
      const record = parseOne('{"key":null,"value":null}', `,"keyFormat":"${format}","valueFormat":"${format}"`);
      expect([record.key, record.value]).toEqual([null, null]);
    }
  });

  test.each(["A", "AA", "AAA", "AA=", "A===", "AB==", "AAB=", "A A=", "AA==\\n", "-_==", "AAAA====", "=AAA"])(
    "%j is not base64",
    (base64) => {
      const error = refusal(() => parseOne(`{"value":"${base64}"}`, ',"valueFormat":"base64"'));
      expect([error.code, error.fields["path"]]).toEqual(["INVALID_REQUEST", "records[0].value"]);
    },
  );

  test("a slash may be escaped in base64", () => {
    expect(parseOne('{"value":"\\/\\/\\/\\/"}', ',"valueFormat":"base64"').value).toEqual(Buffer.from([255, 255, 255]));
  });

  test("any bytes go through base64", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const base64 = Buffer.from(bytes).toString("base64");
        expect(Buffer.from(parseOne(`{"value":"${base64}"}`, ',"valueFormat":"base64"').value!)).toEqual(
          Buffer.from(bytes),
        );
      }),
    );
  });

  test("the value is stored as the very text that was sent", () => {
    const pretty = fc.tuple(fc.jsonValue({ depthSize: "medium" }), fc.constantFrom(undefined, 1, "\t"));
    fc.assert(
      fc.property(pretty, fc.constantFrom("", " ", "\n", "\r\n\t"), ([value, indent], space) => {
        const sent = JSON.stringify(value, undefined, indent);
        const record = parseOne(`{"value":${space}${sent}${space},"key":"k"}`);
        expect(text(record.value)).toBe(value === null ? null : sent);
      }),
    );
  });
});

const refusals: [string, string, string, RegExp][] = [
  // body, path, what the detail says
  ["[]", "", "", /the body must be an object, not an array/],
  ["1", "", "", /must be an object, not a number/],
  ["{}", "", "records", /is missing/],
  ['{"records":{}}', "", "records", /must be an array, not an object/],
  ['{"records":[]}', "", "records", /at least one/],
  ['{"records":[1]}', "", "records[0]", /must be an object, not a number/],
  ['{"records":[{"value":1},{}]}', "", "records[1].value", /is missing/],
  ['{"records":[{"value":1,"value":2}]}', "", "records[0].value", /twice/],
  ['{"records":[{"value":1,"v\\u0061lue":2}]}', "", "records[0].value", /twice/],
  ['{"records":[{"value":1}],"records":[]}', "", "records", /twice/],
  ['{"records":[{"key":1,"value":1}]}', "", "records[0].key", /must be a string or null, not a number/],
  ['{"records":[{"value":1,"timestamp":-1}]}', "", "records[0].timestamp", /whole number/],
  ['{"records":[{"value":1,"timestamp":"1"}]}', "", "records[0].timestamp", /whole number/],
  ['{"records":[{"value":1,"timestamp":1.5}]}', "", "records[0].timestamp", /whole number/],
  ['{"records":[{"value":1,"timestamp":null}]}', "", "records[0].timestamp", /whole number/],
  ['{"records":[{"value":1,"timestamp":9007199254740992}]}', "", "records[0].timestamp", /2\^53-1/],
  ['{"records":[{"value":1,"partition":2147483648}]}', "", "records[0].partition", /2147483647/],
  ['{"records":[{"value":1,"partition":-0}]}', "", "records[0].partition", /whole number/],
  ['{"records":[{"value":1,"headers":{}}]}', "", "records[0].headers", /must be an array, not an object: \[/],
  ['{"records":[{"value":1,"headers":[{"key":"a"}]}]}', "", "records[0].headers[0].value", /is missing/],
  ['{"records":[{"value":1,"headers":[{"value":"a"}]}]}', "", "records[0].headers[0].key", /is missing/],
  ['{"records":[{"value":1,"headers":[{"key":1,"value":"a"}]}]}', "", "records[0].headers[0].key", /must be a string/],
  ['{"records":[{"value":1,"headers":[{"key":"a","value":1}]}]}', "", "records[0].headers[0].value", /string or null/],
  ['{"records":[{"key":"\\ud800","value":1}]}', "", "records[0].key", /surrogate/],
  ['{"records":[{"value":1}],"acks":-1}', "", "acks", /"all", 1 or 0/],
  ['{"records":[{"value":1}],"acks":"1"}', "", "acks", /"all", 1 or 0/],
  ['{"records":[{"value":1}],"timeoutMs":1000000000000}', "", "timeoutMs", /600000/],
  ['{"records":[{"value":1}],"timeoutMs":true}', "", "timeoutMs", /whole number/],
  ['{"records":[{"value":1}],"valueFormat":"avro"}', "", "valueFormat", /json, string or base64/],
  ['{"records":[{"value":1}],"producerId":1}', "p", "producerEpoch", /all or none/],
  ['{"records":[{"value":1}],"producerId":1,"producerEpoch":0}', "p", "baseSequence", /all or none/],
  ['{"records":[{"value":1}],"producerId":1,"producerEpoch":32767,"baseSequence":0}', "p", "producerEpoch", /32766/],
  ['{"records":[{"value":1,"partition":2}]}', "p", "records[0].partition", /the path says 3/],
];

test.each(refusals)("%s is refused", (body, scope, path, detail) => {
  const error = refusal(() => parse(body, scope === "p" ? partition3 : topic));
  expect([error.code, error.fields["path"]]).toEqual(["INVALID_REQUEST", path]);
  expect(error.message).toMatch(detail);
});

test.each([
  ['{"records":[{"value":1,"vlaue":2,"x\\u0041":3}]}', ["vlaue", "xA"], "records[0].vlaue"],
  ['{"records":[{"value":1}],"ack":1}', ["ack"], "ack"],
  ['{"records":[{"value":1,"__proto__":{}}]}', ["__proto__"], "records[0].__proto__"],
  ['{"records":[{"value":1,"headers":[{"key":"a","value":"b","c":1}]}],"z":1}', ["c"], "records[0].headers[0].c"],
  ['{"records":[{"value":1,"headers":[]}],"z":1}', ["z"], "z"],
])("unknown fields of %s are named", (body, unknown, path) => {
  const error = refusal(() => parse(body));
  expect(error.code).toBe("INVALID_REQUEST");
  expect(error.fields).toMatchObject({ unknown, path, hint: expect.any(String) });
});

test("well-known misunderstandings get a hint", () => {
  const hint = (body: string) => refusal(() => parse(body)).fields["hint"];
  expect(hint('{"records":[{"value":1,"offset":2}]}')).toMatch(/expectedOffset/);
  expect(hint('{"records":[{"value":1}],"producerId":2}')).toMatch(/partitions/);
  expect(hint('{"key":"a","value":1}')).toMatch(/records/);
  expect(hint('{"records":[{"value":1,"vale":2}]}')).toBe("did you mean value?");
});

test.each([
  ["", 0, 1, 1],
  ['{"records":[{"value":1}]}x', 25, 1, 26],
  ['{"records":[\n{"value":1},\n]}', 26, 3, 1],
  ['{"records":[{"value":"é",}]}', 26, 1, 26],
  ['{"records":[{"value":1}],}', 25, 1, 26],
  ['{"records":[{"key":x,"value":1}]}', 19, 1, 20],
  ['{"records":[{"key":', 19, 1, 20],
  ['\ufeff{"records":[]}', 0, 1, 1],
])("%j is malformed at byte %i", (body, position, line, column) => {
  const error = refusal(() => parse(body));
  expect(error.code).toBe("MALFORMED_BODY");
  expect(error.fields).toEqual({ position, line, column });
});

test("bytes that are not UTF-8 are refused at the first bad one", () => {
  const error = refusal(() => parse(Buffer.concat([Buffer.from('{"é":"'), Buffer.from([0xe2, 0x82, 0x22])])));
  expect(error.code).toBe("MALFORMED_BODY");
  expect(error.fields["position"]).toBe(9);
});

test("200,000 levels are refused quickly, and a value may nest 64", () => {
  const error = refusal(() => parse(`{"records":[{"value":${"[".repeat(200_000)}`));
  expect(error.fields).toMatchObject({ limit: { name: "jsonDepthMax", value: 64 } });
  expect(parseOne(`{"value":${"[".repeat(64)}${"]".repeat(64)}}`).value).toHaveLength(128);
});

test("a line is one record", () => {
  const formats = { keyFormat: "string", valueFormat: "json" } as const;
  expect(text(parseRecordJson(Buffer.from(' {"value":[1]} '), topic, formats).value)).toBe("[1]");
  expect(refusal(() => parseRecordJson(Buffer.from('{"value":1,"key":2}'), topic, formats)).fields["path"]).toBe("key");
});

test("options as query parameters", () => {
  const options = (query: Record<string, string>, scope: "topic" | "partition" = "partition") =>
    produceOptionsFromQuery(new Map(Object.entries(query)), scope);
  expect(
    options({
      acks: "0",
      timeoutMs: "5",
      valueFormat: "string",
      producerId: "1",
      producerEpoch: "2",
      baseSequence: "3",
    }),
  ).toEqual({
    acks: 0,
    timeoutMs: 5,
    keyFormat: "string",
    valueFormat: "string",
    producer: { producerId: 1, producerEpoch: 2, baseSequence: 3 },
    expectedOffset: undefined,
  });
  expect(options({ acks: "all" }).acks).toBe("all");
  for (const query of [
    { acks: "2" },
    { timeoutMs: "1e3" },
    { timeoutMs: "" },
    { producerId: "1" },
    { keyFormat: "x" },
  ]) {
    expect(refusal(() => options(query as unknown as Record<string, string>)).code).toBe("INVALID_REQUEST");
  }
});

test("nothing but a BrokerError is thrown, whatever is sent", () => {
  const seed =
    '{"records":[{"key":"a","value":{"b":[1,"c\\u00e9"]},"headers":[{"key":"h","value":"AA==","valueFormat":"base64"}],"timestamp":1,"partition":0}],"acks":"all","timeoutMs":1}';
  const pieces = [
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1",
    "-",
    "\\",
    "\\ud800",
    "records",
    "value",
    "true",
    "\u0000",
  ];
  const edits = fc.array(fc.tuple(fc.nat(200), fc.nat(4), fc.constantFrom(...pieces)), { maxLength: 4 });
  let refused = 0;
  let parsed = 0;
  fc.assert(
    fc.property(edits, fc.boolean(), (list, onPartition) => {
      const body = list.reduce((s, [at, cut, piece]) => s.slice(0, at) + piece + s.slice(at + cut), seed);
      try {
        parse(body, onPartition ? partition3 : topic);
        parsed += 1;
        JSON.parse(body);
      } catch (error) {
        expect(error).toBeInstanceOf(BrokerError);
        expect(["MALFORMED_BODY", "INVALID_REQUEST"]).toContain((error as BrokerError).code);
        refused += 1;
      }
    }),
    { numRuns: 5000 },
  );
  expect(Math.min(refused, parsed)).toBeGreaterThan(50);
});
