// What goes through a codec comes back, and what cannot is refused.

import fc from "fast-check";
import { Packr, Unpackr } from "msgpackr";
import { describe, expect, test } from "vitest";
import { bytes, json, msgpack, type StandardSchema, string, validated } from "../../src/client/codec.ts";
import { unpackMsgpack } from "../../src/client/msgpack-reader.ts";
import { packMsgpack } from "../../src/client/msgpack-writer.ts";

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** msgpackr renames the key __proto__ and gives 0 for -0; ours do neither, as the test above shows. */
const forMsgpackr = fc
  .jsonValue({ noUnicodeString: false })
  .map((value) => JSON.stringify(value))
  .filter((text) => !text.includes("__proto__"))
  .map((text) => JSON.parse(text));
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }),
    fc.string({ unit: "grapheme" }),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(fc.string({ unit: "grapheme" }), tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value;

describe("msgpack", () => {
  test("what is packed is unpacked", () => {
    fc.assert(
      fc.property(plain, (value) => {
        expect(unpackMsgpack(packMsgpack(value))).toEqual(value);
      }),
    );
  });

  test("msgpackr reads ours, we read msgpackr's", () => {
    fc.assert(
      fc.property(forMsgpackr, (value) => {
        expect(unpackr.unpack(packMsgpack(value))).toEqual(value);
        const theirs = packr.pack(value); // which has no -0
        expect(unpackMsgpack(theirs)).toEqual(unpackr.unpack(theirs));
      }),
    );
  });

  test.for([0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 100_000])("text, bytes and lists of length %i", (length) => {
    const value = ["x".repeat(length), new Uint8Array(length).fill(7), new Array(length).fill(1)];
    expect(unpackMsgpack(packMsgpack(value))).toEqual(value);
  });

  test("whole numbers are integers, in the fewest bytes", () => {
    const sizes = [0, -32, 127, 128, -33, 255, 256, 65_536, -32_769, 2 ** 32, 2 ** 53 - 1, -(2 ** 53) + 1];
    expect(sizes.map((value) => packMsgpack(value).length)).toEqual([1, 1, 1, 2, 2, 2, 3, 5, 5, 9, 9, 9]);
    expect(unpackMsgpack(packMsgpack(2n ** 64n - 1n))).toBe(2n ** 64n - 1n);
    expect(unpackMsgpack(packMsgpack(-(2n ** 63n)))).toBe(-(2n ** 63n));
    expect(() => packMsgpack(2n ** 64n)).toThrow("64 bits");
  });

  test("any bytes are a value or a DECODE_FAILED, and no key reaches a prototype", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (input) => {
        try {
          unpackMsgpack(input);
        } catch (error) {
          expect(error).toMatchObject({ name: "MillraceError", code: "DECODE_FAILED" });
        }
      }),
      { numRuns: 2000 },
    );
    const made = unpackMsgpack(packr.pack(new Map([["__proto__", { polluted: true }]]))) as object;
    expect(Object.getPrototypeOf(made)).toBe(Object.prototype);
    expect(Object.keys(made)).toEqual(["__proto__"]);
  });

  test("nesting has an end, both ways", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => packMsgpack(loop)).toThrow("nests deeper");
    expect(() => unpackMsgpack(new Uint8Array(100).fill(0x91))).toThrow("nests deeper");
  });

  test("values pack as JSON would write them", () => {
    const value = { at: new Date(0), left: undefined, run: () => 1, bytes: Uint8Array.of(1) };
    expect(msgpack().decode(msgpack().encode(value))).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      bytes: Uint8Array.of(1),
    });
  });
});

describe("the others", () => {
  test("json", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(json().decode(json().encode(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    expect(() => json().encode(undefined)).toThrow("undefined");
    expect(() => json().decode(Uint8Array.of(0x22, 0xff, 0x22))).toThrow();
  });

  test("string", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        expect(string().decode(string().encode(value))).toBe(value);
      }),
    );
    expect(string().decode(string().encode("\ufeffmark"))).toBe("\ufeffmark");
    expect(() => string().encode("\ud800")).toThrow("surrogate");
    expect(() => string().encode(5 as unknown as string)).toThrow("number");
    expect(() => string().decode(Uint8Array.of(0xff))).toThrow();
  });

  test("bytes are not copied", () => {
    const value = Uint8Array.of(1, 2);
    expect(bytes().decode(bytes().encode(value))).toBe(value);
    expect(() => bytes().encode("text" as unknown as Uint8Array)).toThrow("Uint8Array");
  });

  const positive: StandardSchema<{ total: number | string }, { total: number }> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => {
        const total = Number((value as { total?: unknown })?.total);
        return total > 0 ? { value: { total } } : { issues: [{ message: "must be positive", path: ["total"] }] };
      },
    },
  };

  test("a schema checks both ways, and what is read is what it makes of it", () => {
    const codec = validated(positive);
    expect(codec.decode(codec.encode({ total: "12" }))).toEqual({ total: 12 });
    expect(() => codec.encode({ total: -1 })).toThrow("total: must be positive");
    expect(() => codec.decode(json().encode({}))).toThrow("total: must be positive");
    expect(validated(positive, msgpack()).encode({ total: 1 })).toEqual(packMsgpack({ total: 1 }));
  });

  test("a schema that wants to wait is refused", () => {
    const slow: StandardSchema<number, number> = {
      "~standard": { version: 1, vendor: "test", validate: async () => ({ value: 1 }) },
    };
    expect(() => validated(slow).encode(1)).toThrow("asynchronously");
  });
});
