import { Buffer } from "node:buffer";
import fc from "fast-check";
import { Unpackr } from "msgpackr";
import { expect, test } from "vitest";
import { encodeMsgpack } from "../../../src/http/formats/msgpack-writer.ts";

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.integer({ min: -70_000, max: 70_000 }),
    // As in JSON, -0 is written as 0.
    fc.double({ noNaN: true }).filter((n) => !Object.is(n, -0)),
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
    fc.array(tie("any"), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ minLength: 1 }).filter((s) => s !== "__proto__"),
      tie("any"),
      { maxKeys: 20, noNullPrototype: true },
    ),
  ),
})).any;

test("msgpackr reads what was written", () => {
  fc.assert(
    fc.property(value, (written) => {
      expect(unpackr.unpack(encodeMsgpack(written))).toEqual(written);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  [0, "00"],
  [127, "7f"],
  [128, "cc80"],
  [256, "cd0100"],
  [65536, "ce00010000"],
  [2 ** 32 - 1, "ceffffffff"],
  [2 ** 32, "cf0000000100000000"],
  [2 ** 53 - 1, "cf001fffffffffffff"],
  [-1, "ff"],
  [-32, "e0"],
  [-33, "d0df"],
  [-129, "d1ff7f"],
  [-32769, "d2ffff7fff"],
  [-(2 ** 31) - 1, "d3ffffffff7fffffff"],
  [-(2 ** 53 - 1), "d3ffe0000000000001"],
  [-0, "00"],
  [0.5, "cb3fe0000000000000"],
])("%d is %s: never a float for an integer, never longer than needed", (number, hex) => {
  expect(encodeMsgpack(number).toString("hex")).toBe(hex);
});

test("long strings, arrays and maps take the wider headers", () => {
  for (const length of [31, 32, 255, 256, 65_535, 65_536]) {
    expect(unpackr.unpack(encodeMsgpack("x".repeat(length)))).toHaveLength(length);
    expect(unpackr.unpack(encodeMsgpack(Buffer.alloc(length)))).toHaveLength(length);
    expect(unpackr.unpack(encodeMsgpack(new Array(length).fill(1)))).toHaveLength(length);
  }
  const wide = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]));
  expect(unpackr.unpack(encodeMsgpack(wide))).toEqual(wide);
});

test("fields that are undefined are left out, as in JSON", () => {
  expect(encodeMsgpack({ a: 1, b: undefined }).toString("hex")).toBe("81a16101");
});
