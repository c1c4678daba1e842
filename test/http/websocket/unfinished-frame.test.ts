// What an unfinished frame holds of the broker's memory, and that it gives all of it back.

import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { BodyBudget } from "../../../src/http/body-budget.ts";
import { UnfinishedFrame } from "../../../src/http/websocket/unfinished-frame.ts";

const KiB = 1024;

function frameOf(bytesMax: number) {
  const stream = new PassThrough();
  const budget = new BodyBudget(bytesMax, { set: () => {}, readFrom: () => {} } as never);
  let overloaded = 0;
  let endsWithin = false;
  // The receiver listens first, as in ws: it tells of a whole frame while the chunk that ends it is handed round.
  stream.on("data", () => {
    if (endsWithin) frame.ended();
  });
  const frame = new UnfinishedFrame(stream, budget, () => {
    overloaded += 1;
  });
  const chunk = (bytes: number, ends = false): void => {
    endsWithin = ends;
    stream.emit("data", Buffer.alloc(bytes));
  };
  return { budget, chunk, frame, overloaded: () => overloaded };
}

test("a large frame counts while it is not whole, and nothing of it after", () => {
  const { budget, chunk } = frameOf(1024 * KiB);
  chunk(63 * KiB);
  expect(budget.bytes).toBe(0);
  chunk(64 * KiB);
  expect(budget.bytes).toBe(127 * KiB);
  chunk(64 * KiB, true);
  expect(budget.bytes).toBe(0);
});

test("one that finds no memory is told of; what it held is given back when the socket has gone", () => {
  const { budget, chunk, frame, overloaded } = frameOf(100 * KiB);
  chunk(80 * KiB);
  chunk(80 * KiB);
  expect(overloaded()).toBe(1);
  frame.ended();
  expect(budget.bytes).toBe(0);
});
