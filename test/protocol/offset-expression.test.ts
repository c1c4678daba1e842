import fc from "fast-check";
import { expect, test } from "vitest";
import {
  formatCursor,
  formatOffsetExpression,
  isOfTopic,
  type OffsetExpression,
  offsetExpressionCharactersMax,
  parseOffsetExpression,
} from "../../src/protocol/offset-expression.ts";

const legal: [string, OffsetExpression][] = [
  ["earliest", { kind: "earliest" }],
  ["latest", { kind: "latest" }],
  ["0", { kind: "offset", offset: 0 }],
  ["9007199254740991", { kind: "offset", offset: 2 ** 53 - 1 }],
  ["-1", { kind: "last", count: 1 }],
  ["-500", { kind: "last", count: 500 }],
  ["@1795255200000", { kind: "timestamp", timestampMs: 1795255200000 }],
  ["@100000000000", { kind: "timestamp", timestampMs: 10 ** 11 }],
  ["@2026-11-21T10:00:00Z", { kind: "timestamp", timestampMs: 1795255200000 }],
  ["@2026-11-21t11:00:00+01:00", { kind: "timestamp", timestampMs: 1795255200000 }],
  ["@2026-11-21T11:00:00 01:00", { kind: "timestamp", timestampMs: 1795255200000 }],
  ["@2026-11-21T05:00:00-05:00", { kind: "timestamp", timestampMs: 1795255200000 }],
  ["@2026-11-21T10:00:00.25Z", { kind: "timestamp", timestampMs: 1795255200250 }],
  ["@2026-11-21T10:00:00.2500001Z", { kind: "timestamp", timestampMs: 1795255200251 }],
  ["@2016-12-31T23:59:60Z", { kind: "timestamp", timestampMs: 1483228800000 }],
  ["@1970-01-01T00:00:00Z", { kind: "timestamp", timestampMs: 0 }],
  ["0:43", { kind: "perPartition", offsets: new Map([[0, 43]]) }],
  [
    "7:1,0:43",
    {
      kind: "perPartition",
      offsets: new Map([
        [7, 1],
        [0, 43],
      ]),
    },
  ],
  ["AbC_-fGh/0:43", { kind: "perPartition", offsets: new Map([[0, 43]]), topicIdPrefix: "AbC_-fGh" }],
];

test.each(legal)("%s", (text, expression) => {
  expect(parseOffsetExpression(text)).toEqual(expression);
});

test.each([
  "",
  " 1",
  "1 ",
  "+1",
  "01",
  "1.0",
  "1e3",
  "0x10",
  "9007199254740992",
  "99999999999999999999",
  "-0",
  "-",
  "--1",
  "-1.5",
  "Latest",
  "end",
  "@",
  "@-1",
  "@abc",
  "@2026-11-21",
  "@2026-02-30T10:00:00Z",
  "@2026-13-01T10:00:00Z",
  "@2026-11-21T24:00:00Z",
  "@2026-11-21T10:00:00",
  "@1969-12-31T23:59:59Z",
  "@0050-01-01T00:00:00Z",
  "0:",
  ":1",
  "0:1,",
  "0:1,0:2",
  "0:-1",
  "-1:0",
  "0:1:2",
  "0:1;1:2",
  "2147483648:0",
  "short/0:1",
  "AbCdEfGhi/0:1",
  "AbCdEfGh/",
  "AbCdEfGh/5",
  "AbCdEfGh/earliest",
  "/0:1",
  "٣",
])("%j is refused", (text) => {
  const parsed = parseOffsetExpression(text);
  expect(parsed.kind).toBe("invalid");
  expect(parsed).toHaveProperty("reason", expect.stringMatching(/./));
});

test("seconds are taken for a mistake, and the hint can be used", () => {
  expect(parseOffsetExpression("@1795255200")).toEqual({
    kind: "invalid",
    reason: expect.stringContaining("seconds? write @1795255200000"),
  });
});

test("a cursor has at most 256 partitions and the longest one is not too long", () => {
  const pairs = (count: number) =>
    Array.from({ length: count }, (_, i): [number, number] => [2 ** 31 - 1 - i, 2 ** 53 - 1]);
  const longest = formatCursor("AbCdEfGhIjKlMnOpQrStUv", new Map(pairs(256)));
  expect(longest.length).toBeLessThanOrEqual(offsetExpressionCharactersMax);
  expect(parseOffsetExpression(longest).kind).toBe("perPartition");
  expect(
    parseOffsetExpression(
      new Array(257)
        .fill(0)
        .map((_, i) => `${i}:0`)
        .join(","),
    ).kind,
  ).toBe("invalid");
  expect(parseOffsetExpression("1".repeat(1_000_000)).kind).toBe("invalid");
});

test("a cursor is of the topic it was made on", () => {
  const cursor = formatCursor(
    "AbCdEfGhIjKlMnOpQrStUv",
    new Map([
      [1, 2],
      [0, 43],
    ]),
  );
  expect(cursor).toBe("AbCdEfGh/0:43,1:2");
  const parsed = parseOffsetExpression(cursor) as OffsetExpression;
  expect(isOfTopic(parsed, "AbCdEfGhIjKlMnOpQrStUv")).toBe(true);
  expect(isOfTopic(parsed, "ZbCdEfGhIjKlMnOpQrStUv")).toBe(false);
  expect(isOfTopic({ kind: "latest" }, "ZbCdEfGhIjKlMnOpQrStUv")).toBe(true);
});

const natural = fc.maxSafeNat();
const expressions: fc.Arbitrary<OffsetExpression> = fc.oneof(
  fc.constant<OffsetExpression>({ kind: "earliest" }),
  fc.constant<OffsetExpression>({ kind: "latest" }),
  natural.map((offset): OffsetExpression => ({ kind: "offset", offset })),
  natural.filter((n) => n > 0).map((count): OffsetExpression => ({ kind: "last", count })),
  fc.integer({ min: 0, max: 8.64e15 }).map((timestampMs): OffsetExpression => ({ kind: "timestamp", timestampMs })),
  fc
    .tuple(
      fc.uniqueArray(fc.tuple(fc.nat(2 ** 31 - 1), natural), { minLength: 1, maxLength: 20, selector: ([p]) => p }),
      fc.option(fc.stringMatching(/^[A-Za-z0-9_-]{8}$/), { nil: undefined }),
    )
    .map(
      ([pairs, prefix]): OffsetExpression =>
        prefix === undefined
          ? { kind: "perPartition", offsets: new Map(pairs) }
          : { kind: "perPartition", offsets: new Map(pairs), topicIdPrefix: prefix },
    ),
);

test("what is formatted parses to the same", () => {
  fc.assert(
    fc.property(expressions, (e) => {
      expect(parseOffsetExpression(formatOffsetExpression(e))).toEqual(e);
    }),
  );
});

test("any instant as a RFC 3339 time is that instant", () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date(0), max: new Date("9999-12-31T23:59:59.999Z"), noInvalidDate: true }),
      (date) => {
        expect(parseOffsetExpression(`@${date.toISOString()}`)).toEqual({
          kind: "timestamp",
          timestampMs: date.getTime(),
        });
      },
    ),
  );
});

test("no text throws, and what parses is in bounds", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[-@0-9:,/TZ. +a-f]{0,40}$/),
    expressions.map(formatOffsetExpression).chain((t) => fc.nat(t.length).map((n) => t.slice(0, n) + t.slice(n + 1))),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const parsed = parseOffsetExpression(text);
      if (parsed.kind === "offset") expect(Number.isSafeInteger(parsed.offset) && parsed.offset >= 0).toBe(true);
      if (parsed.kind === "last") expect(Number.isSafeInteger(parsed.count) && parsed.count > 0).toBe(true);
      if (parsed.kind === "timestamp") expect(Number.isSafeInteger(parsed.timestampMs)).toBe(true);
      if (parsed.kind === "perPartition") expect(parsed.offsets.size).toBeGreaterThan(0);
    }),
    { numRuns: 2000 },
  );
});
