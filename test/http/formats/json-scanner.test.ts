import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonScanner, jsonDepthMax } from "../../../src/http/formats/json-scanner.ts";
import { decodeJsonString, jsonInteger, loneSurrogate } from "../../../src/http/formats/json-string.ts";

const scan = (text: string | Uint8Array): JsonScanner => new JsonScanner(Buffer.from(text as string));
const accepts = (text: string): boolean => scan(text).isWhole();

const isText = (text: string): boolean => Buffer.from(text).toString() === text;

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function nesting(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce((deepest: number, inner) => Math.max(deepest, nesting(inner)), 0);
}

// Pieces that make a mutation land on something that matters.
const pieces = [
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  " ",
  "\n",
  "\t",
  "\r",
  "\f",
  "0",
  "-",
  "+",
  ".",
  "e",
  "E",
  "1",
];
pieces.push("\\u", "\\ud800", "\\u12", "true", "fals", "null", "NaN", "\u0000", "\u001f", "\u007f", "\u00a0", "\ufeff");
pieces.push("x".repeat(40), '"k":', "é", "\u2028", "01", "1e5", "/*a*/", "'", "\\x", '\\"', "\\/");

const texts = fc.oneof(
  fc.json({ maxDepth: 6 }),
  fc.jsonValue({ maxDepth: 5 }).map((value) => JSON.stringify(value, undefined, 2)),
  fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join("")),
  fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map((parts) => `"${parts.join("")}"`),
);
const mutated = fc
  .tuple(texts, fc.array(fc.tuple(fc.nat(1000), fc.nat(3), fc.constantFrom(...pieces)), { maxLength: 3 }))
  .map(([text, edits]) =>
    edits.reduce((edited, [place, removed, piece]) => {
      const at = place % (edited.length + 1);
      return edited.slice(0, at) + piece + edited.slice(at + removed);
    }, text),
  )
  // What cannot be UTF-8 cannot be sent; JSON.parse of the replaced text would be another text.
  .map((text) => Buffer.from(text).toString());

test("accepts exactly what JSON.parse accepts, up to the depth limit", () => {
  let accepted = 0;
  fc.assert(
    fc.property(mutated, (text) => {
      const legal = parses(text);
      accepted += legal ? 1 : 0;
      expect(accepts(text)).toBe(legal && nesting(JSON.parse(text)) <= jsonDepthMax);
    }),
    { numRuns: 10_000 },
  );
  expect(accepted).toBeGreaterThan(1000);
});

test("every cut of a legal text is refused at its end, and no byte after the cut is looked at", () => {
  const text = Buffer.from(
    '{"a":[1,-2.5e+3,"x\\u00e9\\n",true,false,null,{}],"a long name that is not short at all":""}',
  );
  for (let length = 0; length < text.length; length++) {
    const scanner = new JsonScanner(text.subarray(0, length));
    expect(scanner.isWhole()).toBe(false);
    expect(scanner.failurePosition).toBe(length);
  }
});

test.each([
  ['{"a":1,}', 7],
  ["[1,]", 3],
  ["[1 2]", 3],
  ['{"a" 1}', 5],
  ["{a:1}", 1],
  ["\ufeff1", 0],
  ["01", 1],
  ["1.", 2],
  ["-x", 1],
  ["1e+", 3],
  ["nul", 3],
  ["nulL", 3],
  ['"\t"', 1],
  [`"${"x".repeat(100)}\n"`, 101],
  [`"${"x".repeat(100)}\\q"`, 102],
  ['"\\u12G4"', 5],
  ["1 x", 2],
  ["", 0],
])("%j fails at byte %i", (text, position) => {
  const scanner = scan(text);
  expect(scanner.isWhole()).toBe(false);
  expect([scanner.failure, scanner.failurePosition]).toEqual(["syntax", position]);
});

describe("depth", () => {
  const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${"}]".repeat(depth / 2)}`;

  test("64 pass, 65 do not", () => {
    expect(accepts(nested(64))).toBe(true);
    expect(accepts(`[${nested(64)}]`)).toBe(false);
    expect(accepts("[".repeat(64) + "]".repeat(64))).toBe(true);
  });

  test("200,000 levels are refused at the 65th", () => {
    const scanner = scan("[".repeat(200_000));
    expect(scanner.isWhole()).toBe(false);
    expect([scanner.failure, scanner.failurePosition]).toEqual(["depth", 64]);
  });
});

test("a reset scanner knows nothing of the text before", () => {
  const scanner = scan(`"${"x".repeat(50)}\\n${"x".repeat(50)}"`);
  expect(scanner.isWhole()).toBe(true);
  scanner.reset(Buffer.from(`"${"y".repeat(80)}\\n\\"${"y".repeat(80)}"`));
  expect(scanner.isWhole()).toBe(true);
  scanner.reset(Buffer.from(`"${"y".repeat(80)}\u0001"`));
  expect(scanner.isWhole()).toBe(false);
});

describe("strings", () => {
  const decode = (json: string) => {
    const bytes = Buffer.from(json);
    const scanner = new JsonScanner(bytes);
    expect(scanner.skipString(0)).toBe(bytes.length);
    return decodeJsonString(bytes, 0, bytes.length, scanner.escaped);
  };
  const decodedText = (json: string) => Buffer.from(decode(json)).toString();

  test("decode to what JSON.parse gives, as UTF-8", () => {
    const anyEscape = fc.oneof(
      fc.string({ unit: "binary", maxLength: 3 }),
      fc.constantFrom("\\n", "\\/", '\\"', "\\\\", "\\b", "\\f", "\\r", "\\t", "\\u0000", "\\u00E9", "\\u20ac"),
      fc.constantFrom("\\ud83d\\ude00", "\\uDBFF\\uDFFF", "x".repeat(40)),
    );
    const json = fc
      .array(anyEscape, { maxLength: 10 })
      .map((parts) => `"${parts.map((p) => (p.startsWith("\\") ? p : JSON.stringify(p).slice(1, -1))).join("")}"`)
      .filter((text) => isText(JSON.parse(text) as string));
    fc.assert(
      fc.property(json, (text) => {
        expect(decodedText(text)).toBe(JSON.parse(text));
      }),
      { numRuns: 2000 },
    );
  });

  test("a string without escapes is not copied", () => {
    const bytes = Buffer.from('"abc"');
    expect((decodeJsonString(bytes, 0, 5, false) as Uint8Array).buffer).toBe(bytes.buffer);
  });

  test.each(["\\ud800", "\\udc00", "\\ud800x", "\\ud800\\n", "\\ud800\\ud800", "\\ud83d\\u0041", "a\\udbff"])(
    "a lone surrogate is no text: %s",
    (inner) => {
      expect(decode(`"${inner}"`)).toBe(loneSurrogate);
    },
  );
});

test("integers are exact or refused", () => {
  const read = (text: string) => jsonInteger(Buffer.from(text), 0, text.length);
  for (const n of [0, 7, -7, 2 ** 31, 2 ** 32 + 1, 2 ** 53 - 1, -(2 ** 53 - 1)]) expect(read(String(n))).toBe(n);
  for (const text of ["-", "-0", "1.0", "1e3", "1E3", "9007199254740992", "9007199254740993", "99999999999999999999"]) {
    expect(read(text)).toBeNaN();
  }
});
