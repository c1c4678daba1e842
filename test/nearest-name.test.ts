// Which known name a mistyped one is taken for, and when none is offered.

import { expect, test } from "vitest";
import { nearestName } from "../src/nearest-name.ts";

const known = ["retention.ms", "retention.bytes", "segment.ms", "segment.bytes", "autoCreateTopics", "cleanup.policy"];

test.each([
  ["retention.sm", "retention.ms"],
  ["retentionMs", "retention.ms"],
  ["RETENTION_BYTES", "retention.bytes"],
  ["segmnet.bytes", "segment.bytes"],
  ["auto-create-topic", "autoCreateTopics"],
  ["cleanup.policies", "cleanup.policy"],
  ["segment.ms", "segment.ms"],
])("%s is near %s", (name, expected) => {
  expect(nearestName(name, known)).toBe(expected);
});

test.each(["zzz", "", "x", "compression.type", "retention.ms".repeat(6)])("nothing is near %j", (name) => {
  expect(nearestName(name, known)).toBeUndefined();
});

test("of two equally near names the first is taken, a nearer one wins wherever it stands", () => {
  expect(nearestName("cat", ["bat", "rat"])).toBe("bat");
  expect(nearestName("offset", ["offsets", "reset", "offset"])).toBe("offset");
});

test("a swap of neighbours is one edit", () => {
  expect(nearestName("abc", ["bac"])).toBe("bac");
  expect(nearestName("abc", ["cba"])).toBeUndefined();
});
