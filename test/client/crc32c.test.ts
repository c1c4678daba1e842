// The client's own CRC-32C gives what the native one gives.

import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c } from "../../src/client/crc32c.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";

test("the check value of the algorithm", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array())).toBe(0);
});

test("any bytes, at any place in a buffer", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(9), (bytes, skipped) => {
      const part = bytes.subarray(Math.min(skipped, bytes.length));
      expect(crc32c(part)).toBe(nodeCodecs.crc32c(part));
    }),
  );
});
