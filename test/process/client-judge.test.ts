// The judge of the clients finds each kind of broken promise.

import { describe, expect, test } from "vitest";
import { judgeClients, type LoggedRecord, SeenRecords } from "./client-judge.ts";

const log: LoggedRecord[] = ["a.1", "a.2", "b.1"].map((text, offset) => ({
  partition: 0,
  offset,
  key: text.slice(0, 1),
  text,
}));
const told = () => new Map(log.map(({ text, partition, offset }) => [text, { partition, offset }]));

function seen(...offsets: readonly number[]): SeenRecords {
  const all = new SeenRecords();
  for (const offset of offsets) all.add("one", 0, offset);
  return all;
}

test("nothing is wrong with what is right, and a repeat is counted", () => {
  const repeated = seen(0, 1, 0, 1, 2);
  expect(judgeClients(log, told(), repeated)).toEqual([]);
  expect(repeated.repeated).toBe(2);
});

describe("found is", () => {
  test.each([
    ["a doubled record", [...log, { ...log[0]!, offset: 3 }], seen(0, 1, 2, 3), /doubled: a\.1/],
    ["a lost record", log.slice(0, 2), seen(0, 1), /b\.1 was told to be at 0:2/],
    ["a moved record", log.map((one) => ({ ...one, offset: one.offset + 1 })), seen(0, 1, 2, 3), /told to be at/],
    ["another order of a key", [log[1]!, log[0]!, log[2]!], seen(0, 1, 2), /out of order/],
    ["a record that nobody sent", [...log, { ...log[0]!, offset: 3, text: "c.1" }], seen(0, 1, 2, 3), /not sent/],
    ["a record that was not seen", log, seen(0, 1), /not seen/],
    ["a skipped record", log, seen(0, 2), /skipped/],
    ["a gap in what is seen again", log, seen(0, 1, 2, 0, 2), /gap/],
  ] as const)("%s", (_what, records, given, expected) => {
    expect(judgeClients(records, told(), given).join("\n")).toMatch(expected);
  });
});
