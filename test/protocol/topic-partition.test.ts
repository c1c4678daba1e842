import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatTopicId,
  isInternalTopic,
  isLegalTopicName,
  newTopicId,
  parsePartitionFolderName,
  parseTopicId,
  partitionFolderName,
  partitionMax,
} from "../../src/protocol/topic-partition.ts";

const nameCharacters = [..."abcXYZ019._-"];
const legalName = fc
  .string({ unit: fc.constantFrom(...nameCharacters), minLength: 1, maxLength: 249 })
  .filter((name) => name !== "." && name !== "..");

describe("topic names", () => {
  test.each(["a", "orders", "a.b_c-D9", "...", "__consumer_offsets", "x".repeat(249)])("%s is legal", (name) => {
    expect(isLegalTopicName(name)).toBe(true);
  });

  test.each(["", ".", "..", "x".repeat(250), "a/b", "../../etc", "a\0b", "a b", "é", "a\n", "\na", "a:b", "😀"])(
    "%j is not",
    (name) => {
      expect(isLegalTopicName(name)).toBe(false);
    },
  );

  test("two underscores mark an internal topic", () => {
    expect(isInternalTopic("__consumer_offsets")).toBe(true);
    expect(isInternalTopic("_mine")).toBe(false);
    expect(isInternalTopic("a__b")).toBe(false);
  });
});

describe("partition folders", () => {
  test("a name gives back what it was made of", () => {
    fc.assert(
      fc.property(legalName, fc.integer({ min: 0, max: partitionMax }), (topic, partition) => {
        expect(parsePartitionFolderName(partitionFolderName(topic, partition))).toEqual({ topic, partition });
      }),
    );
  });

  test.each([
    "",
    "-",
    "-0",
    "a",
    "a-",
    "a-01",
    "a-+1",
    "a- 1",
    "a-1x",
    "a-2147483648",
    "a-1e3",
    ".-0",
    "..-1",
    "a/b-1",
  ])("%j is none", (folder) => {
    expect(parsePartitionFolderName(folder)).toBeUndefined();
  });
});

describe("topic ids", () => {
  const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 });

  test("are base64url of their bytes, and read back", () => {
    fc.assert(
      fc.property(uuid, (bytes) => {
        const text = formatTopicId(bytes);
        expect(text).toBe(Buffer.from(bytes).toString("base64url"));
        expect(parseTopicId(text)).toEqual(bytes);
      }),
    );
  });

  test("new ones are random UUIDs that do not begin with a dash", () => {
    fc.assert(
      fc.property(uuid, fc.boolean(), (random, dash) => {
        if (dash) random[0] = 0xf8 | (random[0]! & 3);
        const before = random.slice();
        const text = newTopicId(random);
        const bytes = parseTopicId(text)!;
        expect(text).not.toMatch(/^-/);
        expect([bytes[6]! >> 4, bytes[8]! >> 6]).toEqual([4, 2]);
        expect(bytes.subarray(9)).toEqual(random.subarray(9, 16));
        expect(random).toEqual(before);
      }),
    );
  });

  test.each(["", "A".repeat(21), "A".repeat(23), `${"A".repeat(21)}B`, `${"A".repeat(21)}=`, `+${"A".repeat(21)}`])(
    "%j is none",
    (text) => {
      expect(parseTopicId(text)).toBeUndefined();
    },
  );
});
