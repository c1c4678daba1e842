import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, test } from "vitest";
import { parseJsonBody, parseMsgpackBody } from "../../../src/http/formats/body-values.ts";
import { encodeMsgpack } from "../../../src/http/formats/msgpack-writer.ts";
import { parseProduceMsgpack } from "../../../src/http/formats/produce-msgpack.ts";
import { BrokerError } from "../../../src/protocol/error-codes.ts";

const context = { partition: undefined, nowMs: 1795255200000 };
const partition3 = { partition: 3, nowMs: 1795255200000 };
const hex = (...parts: string[]) => Buffer.from(parts.join("").replaceAll(" ", ""), "hex");

function refusal(run: () => unknown): BrokerError {
  try {
    run();
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("a produce body", () => {
  test("has the fields of the JSON body, keys and values as bin or str", () => {
    const body = encodeMsgpack({
      acks: 1,
      records: [
        {
          key: "k",
          value: Buffer.from([0, 255]),
          headers: [
            { key: "h", value: Buffer.from("v") },
            { key: "n", value: null },
          ],
          timestamp: 2 ** 41,
          partition: 2,
        },
        { value: null },
      ],
      timeoutMs: 7,
    });
    const { records, options } = parseProduceMsgpack(body, context);
    expect(options).toMatchObject({ acks: 1, timeoutMs: 7, producer: undefined });
    expect(records.map((r) => [r.timestamp, r.partition])).toEqual([
      [2 ** 41, 2],
      [context.nowMs, undefined],
    ]);
    expect(Buffer.from(records[0]!.key!).toString()).toBe("k");
    expect([...records[0]!.value!]).toEqual([0, 255]);
    expect(
      records[0]!.headers.map((h) => [Buffer.from(h.key).toString(), h.value && Buffer.from(h.value).toString()]),
    ).toEqual([
      ["h", "v"],
      ["n", null],
    ]);
    expect([records[1]!.key, records[1]!.value]).toEqual([null, null]);
    expect(records[0]!.value!.buffer).toBe(body.buffer);
  });

  test("integers may take any width", () => {
    for (const one of [
      "01",
      "cc01",
      "cd0001",
      "ce00000001",
      "cf0000000000000001",
      "d001",
      "d10001",
      "d200000001",
      "d30000000000000001",
    ]) {
      const body = hex(
        "81 a7",
        Buffer.from("records").toString("hex"),
        "91 82 a5 76616c7565 c0 a9 74696d657374616d70",
        one,
      );
      expect(parseProduceMsgpack(body, context).records[0]!.timestamp).toBe(1);
    }
  });

  test.each<[object, string, RegExp]>([
    [{}, "records", /is missing/],
    [{ records: [] }, "records", /at least one/],
    [{ records: 1 }, "records", /must be an array, not integer/],
    [{ records: [{}] }, "records[0].value", /is missing/],
    [{ records: [{ value: 1 }] }, "records[0].value", /bin, str or nil, not integer/],
    [{ records: [{ value: null, timestamp: 1.5 }] }, "records[0].timestamp", /not a float/],
    [{ records: [{ value: null, timestamp: -1 }] }, "records[0].timestamp", /whole number/],
    [{ records: [{ value: null, partition: "1" }] }, "records[0].partition", /integer, not string/],
    [{ records: [{ value: null, headers: [{ key: "a" }] }] }, "records[0].headers[0].value", /is missing/],
    [{ records: [{ value: null, headers: [{ key: 1, value: null }] }] }, "records[0].headers[0].key", /a str/],
    [{ records: [{ value: null }], acks: 2 }, "acks", /"all", 1 or 0/],
    [{ records: [{ value: null }], acks: [1] }, "acks", /"all", 1 or 0/],
    [{ records: [{ value: null, partition: 2 }] }, "records[0].partition", /the path says 3/],
    [{ records: [{ value: null }], producerId: 1 }, "producerEpoch", /all or none/],
    [{ records: [{ value: null, vlaue: { a: [1] } }] }, "records[0].vlaue", /unknown field/],
    [{ records: [{ value: null }], valueFormat: "json" }, "valueFormat", /no formats/],
  ])("%j is refused", (body, path, detail) => {
    const error = refusal(() => parseProduceMsgpack(encodeMsgpack(body), partition3));
    expect([error.code, error.fields["path"]]).toEqual(["INVALID_REQUEST", path]);
    expect(error.message).toMatch(detail);
  });

  test("a field twice is refused", () => {
    const value = "a5 76616c7565";
    const error = refusal(() =>
      parseProduceMsgpack(hex("81 a7 7265636f726473 91 82", value, "c0", value, "c0"), context),
    );
    expect([error.code, error.fields["path"]]).toEqual(["INVALID_REQUEST", "records[0].value"]);
  });

  test("an integer that would be rounded is refused", () => {
    const body = hex("81 a7 7265636f726473 91 82 a5 76616c7565 c0 a9 74696d657374616d70 cf0020000000000001");
    expect(refusal(() => parseProduceMsgpack(body, context)).fields["path"]).toBe("records[0].timestamp");
  });
});

describe("other bodies", () => {
  const leaves = fc.oneof(fc.constantFrom(null, true, false, 0.5), fc.maxSafeInteger());
  // msgpackr sends what is beyond 32 bits as floats.
  const leavesOfMsgpackr = fc.oneof(fc.constantFrom(null, true, false, 0.5), fc.integer());
  const plain = (leaf: fc.Arbitrary<unknown>) =>
    fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.string({ unit: "binary" }),
        fc.uint8Array().map((b) => Buffer.from(b)),
        fc.array(tie("any")),
        fc.dictionary(
          fc.string().filter((s) => s !== "__proto__"),
          tie("any"),
          { noNullPrototype: true },
        ),
      ),
    })).any;

  test("come out as they were put in, packed by us or by msgpackr", () => {
    const packr = new Packr({ useRecords: false });
    fc.assert(
      fc.property(plain(leaves), plain(leavesOfMsgpackr), (ours, theirs) => {
        expect(parseMsgpackBody(encodeMsgpack(ours))).toEqual(ours);
        expect(parseMsgpackBody(packr.pack(theirs))).toEqual(theirs);
      }),
    );
  });

  test("JSON comes out as JSON.parse gives it", () => {
    const text = fc.json().filter((json) => !/\d{16}/.test(json) && !/\d[eE]/.test(json) && !json.includes("-0"));
    fc.assert(
      fc.property(text, (json) => {
        expect(parseJsonBody(Buffer.from(json))).toEqual(JSON.parse(json));
      }),
    );
    const spaced = ' { "a" : [ 1 , [ ] , { } , "\\u00e9" ] , "" : -0.5 } ';
    expect(parseJsonBody(Buffer.from(spaced))).toEqual({ a: [1, [], {}, "é"], "": -0.5 });
  });

  test.each([
    ['{"a":[1,1.0]}', "a[1]"],
    ['{"a":1e3}', "a"],
    ['{"a":-0}', "a"],
    ['{"a":9007199254740993}', "a"],
    ['{"a":1,"b":{"c":1,"\\u0063":1}}', "b.c"],
  ])("what can be read in two ways is refused: %s", (json, path) => {
    const error = refusal(() => parseJsonBody(Buffer.from(json)));
    expect([error.code, error.fields["path"]]).toEqual(["INVALID_REQUEST", path]);
  });

  test("a whole number as a float is refused", () => {
    const error = refusal(() => parseMsgpackBody(hex("81 a161 91 cb3ff0000000000000")));
    expect([error.code, error.fields["path"]]).toEqual(["INVALID_REQUEST", "a[0]"]);
    expect(error.message).toContain("integer");
  });

  test("any integer is a number", () => {
    expect(parseMsgpackBody(hex("93 cf0000000000000005 cf001fffffffffffff d3ffe0000000000001"))).toEqual([
      5,
      2 ** 53 - 1,
      -(2 ** 53 - 1),
    ]);
  });

  test.each([
    ["nothing", ""],
    ["a map without its values", "81"],
    ["an array of 2^32-1", "ddffffffff"],
    ["a map of 2^31", "df80000000"],
    ["a bin of 2^32-1", "c6ffffffff00"],
    ["a str cut short", "a3 6162"],
    ["a str that is not UTF-8", "a2 c328"],
    ["a length cut short", "da00"],
    ["two values", "0101"],
    ["0xc1", "c1"],
    ["a key that is an integer", "81 01 01"],
    ["a key that is bin", "81 c40161 01"],
    ["a key twice", "82 a161 01 a161 02"],
    ["a key twice, in two encodings", "82 a161 01 d90161 02"],
    ["the key __proto__", "81 a95f5f70726f746f5f5f 80"],
    ["2^53", "cf0020000000000000"],
    ["-2^53", "d3ffe0000000000000"],
    ["a float that is not a number", "cb7ff8000000000000"],
    ["a record definition of msgpackr", "d47240 92 a161 a162 01 02"],
    ["a RegExp of msgpackr", "c70478 92a161a0"],
    ["a timestamp", "d6ff5a4af6a5"],
    ["fixext 16", `d801${"00".repeat(16)}`],
    ["a bundle of strings (CVE-2023-52079)", "c7047000000000"],
  ])("%s is malformed", (_name, bytes) => {
    const error = refusal(() => parseMsgpackBody(hex(bytes)));
    expect(error.code).toBe("MALFORMED_BODY");
    expect(error.fields["position"]).toBeTypeOf("number");
  });

  test("64 levels pass, 65 and 5,000 do not, however deep they claim to be", () => {
    const nested = (depth: number) => hex("91".repeat(depth), "c0");
    expect(parseMsgpackBody(nested(64))).toHaveLength(1);
    for (const depth of [65, 5000, 1_000_000]) {
      expect(refusal(() => parseMsgpackBody(nested(depth))).fields["limit"]).toEqual({
        name: "msgpackDepthMax",
        value: 64,
      });
      const unknown = hex("81 a161", "91".repeat(depth), "c0");
      expect(refusal(() => parseProduceMsgpack(unknown, context)).fields["limit"]).toBeDefined();
    }
  });

  test("JSON is checked before it is parsed", () => {
    expect(parseJsonBody(Buffer.from(' {"a":[1,"é"]} '))).toEqual({ a: [1, "é"] });
    expect(refusal(() => parseJsonBody(Buffer.from("[".repeat(200_000)))).fields["limit"]).toBeDefined();
    for (const bad of ["", "{", "\ufeff{}", "{'a':1}"]) {
      expect(refusal(() => parseJsonBody(Buffer.from(bad))).code).toBe("MALFORMED_BODY");
    }
    expect(refusal(() => parseJsonBody(Buffer.from([0x22, 0xff, 0x22]))).fields["position"]).toBe(1);
  });
});

describe("whatever is sent, nothing but a BrokerError is thrown", () => {
  const seed = encodeMsgpack({
    records: [{ key: "a", value: Buffer.from("b"), headers: [{ key: "h", value: "v" }], timestamp: 1, partition: 0 }],
    acks: "all",
    timeoutMs: 30_000,
  });
  const mutated = fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { maxLength: 3 }).map((edits) => {
    const bytes = Buffer.from(seed);
    for (const [at, byte] of edits) bytes[at] = byte;
    return bytes;
  });
  const anyBytes = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b));

  test.each([
    ["produce", (bytes: Uint8Array) => parseProduceMsgpack(bytes, context)],
    ["other bodies", (bytes: Uint8Array) => parseMsgpackBody(bytes)],
  ])("%s", (_name, parse) => {
    let refused = 0;
    let parsed = 0;
    fc.assert(
      fc.property(fc.oneof(mutated, anyBytes), (bytes) => {
        try {
          parse(bytes);
          parsed += 1;
        } catch (error) {
          expect(error).toBeInstanceOf(BrokerError);
          refused += 1;
        }
      }),
      { numRuns: 5000 },
    );
    expect(Math.min(refused, parsed)).toBeGreaterThan(50);
  });
});
