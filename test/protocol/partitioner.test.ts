import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { murmur2, partitionForKey } from "../../src/protocol/partitioner.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("partitioner", () => {
  // The vectors of Apache Kafka's UtilsTest.testMurmur2.
  test.each([
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
  ])("murmur2 of %s", (text, hash) => {
    expect(murmur2(bytes(text))).toBe(hash);
  });

  test("cuts the sign bit off instead of negating", () => {
    expect(partitionForKey(bytes("21"), 10)).toBe((-973932308 & 0x7fffffff) % 10);
    expect(partitionForKey(bytes("foobar"), 7)).toBe((2 ** 31 - 790332482) % 7);
  });

  test("any key has a partition", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 10_000 }), (key, count) => {
        const partition = partitionForKey(key, count);
        expect(Number.isInteger(partition) && partition >= 0 && partition < count).toBe(true);
      }),
    );
  });
});
