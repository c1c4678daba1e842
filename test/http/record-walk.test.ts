// Walks over fetched batches: in however many steps it is done, every record comes once and in order, and gaps are passed.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { FetchedPartition } from "../../src/broker/fetch.ts";
import { RecordWalk, shareRecords } from "../../src/http/record-walk.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { batchHeaderBytes, stampBatch, viewOf } from "../../src/protocol/record-batch.ts";

const walk = new RecordWalk(nodeCodecs, { decompressedBytesMax: 1 << 20 });
const nothing = { topic: "t", partition: 0, logStartOffset: 0, highWatermark: 1000, logEndOffset: 1000 };

/** Batches of `counts` records, with `gaps` before each. */
function fetched(batches: readonly { readonly count: number; readonly gap: number }[]): FetchedPartition {
  let nextOffset = 0;
  const made = batches.map(({ count, gap }) => {
    const record = { key: null, value: Buffer.from("v"), headers: [], timestamp: 1_700_000_000_000 };
    const batch = encodeRecordBatch(
      Array.from({ length: count }, () => record),
      { codecs: nodeCodecs },
    );
    stampBatch(viewOf(batch), 0, nextOffset + gap, 0);
    nextOffset += gap + count;
    return batch;
  });
  return { ...nothing, batches: Buffer.concat(made), nextOffset };
}

const shapes = fc.array(fc.record({ count: fc.integer({ min: 1, max: 5 }), gap: fc.nat({ max: 3 }) }), {
  maxLength: 6,
});

/** Every offset that a walk in steps of up to `step` records gives. */
function offsetsOf(
  one: FetchedPartition,
  from: number,
  until: number,
  step: number,
): { offsets: number[]; end: number } {
  const offsets: number[] = [];
  let next = from;
  for (let before = -1; before !== next; ) {
    before = next;
    let taken = 0;
    next = walk.run(one, { from: next, until }, ({ offset }) => {
      offsets.push(offset);
      taken += 1;
      return taken < step;
    }).nextOffset;
  }
  return { offsets, end: next };
}

test("in steps of any size it gives what it gives at once, within its range", () => {
  fc.assert(
    fc.property(shapes, fc.nat(30), fc.nat(40), fc.integer({ min: 1, max: 7 }), (batches, from, length, step) => {
      const one = fetched(batches);
      const until = from + length;
      const whole = offsetsOf(one, from, until, Number.POSITIVE_INFINITY);
      expect(offsetsOf(one, from, until, step)).toEqual(whole);
      let offset = 0;
      const all = batches.flatMap(({ count, gap }) => {
        offset += gap;
        return Array.from({ length: count }, () => offset++);
      });
      expect(whole.offsets).toEqual(all.filter((each) => each >= from && each < until));
      expect(whole.end).toBe(Math.max(from, Math.min(one.nextOffset, until)));
    }),
  );
});

test("it stops in front of a batch that cannot be read, having given what is before it", () => {
  const one = fetched([
    { count: 2, gap: 0 },
    { count: 3, gap: 1 },
    { count: 1, gap: 0 },
  ]);
  const second = fetched([{ count: 2, gap: 0 }]).batches.length;
  one.batches.fill(0xff, second + batchHeaderBytes, second + batchHeaderBytes + 9);
  const offsets: number[] = [];
  const take = ({ offset }: { readonly offset: number }) => offsets.push(offset) > 0;
  const until = Number.POSITIVE_INFINITY;
  const walked = walk.run(one, { from: 0, until }, take);
  expect(walked).toMatchObject({ nextOffset: 2, unreadable: { baseOffset: 3, lastOffset: 5 } });
  expect(walk.run(one, { from: 6, until }, take)).toEqual({ nextOffset: 7 });
  expect(offsets).toEqual([0, 1, 6]);
});

test("what one partition leaves over goes to those behind it, and never more than all is taken", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), fc.nat(60), (counts, max) => {
      const partitions = counts.map((_, partition) => ({
        ...nothing,
        partition,
        batches: Buffer.alloc(0),
        nextOffset: 0,
      }));
      const taken = counts.map(() => 0);
      const sum = shareRecords(partitions, max, ({ partition }, share) => {
        taken[partition] = Math.min(share, counts[partition]!);
        return { taken: taken[partition], full: false };
      });
      expect(sum).toBe(taken.reduce((all, each) => all + each, 0));
      expect(sum).toBeLessThanOrEqual(max);
      const fair = Math.floor(max / Math.max(1, counts.length));
      for (const [partition, count] of counts.entries())
        expect(taken[partition]).toBeGreaterThanOrEqual(Math.min(fair, count));
    }),
  );
});
