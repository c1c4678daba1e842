import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { type BatchOrigin, type ProduceLimits, validateProducedBatch } from "../../src/protocol/batch-validation.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { decodeRecords } from "../../src/protocol/record.ts";
import { readBatchHeader, signBatch, viewOf } from "../../src/protocol/record-batch.ts";
import {
  at,
  body,
  bytes,
  changed,
  client,
  encode,
  hourMs,
  keyed,
  keyless,
  limits,
  nowMs,
  producer,
  refusedBatches,
  withBody,
} from "./refused-batches.ts";

const ourselves: BatchOrigin = { deep: false, reservedProducerIdsAllowed: true };

function refusal(run: () => unknown): BrokerError {
  try {
    run();
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

const check = (batch: Uint8Array, origin = client, more: Partial<ProduceLimits> = {}) =>
  validateProducedBatch(batch, { ...limits, ...more }, nodeCodecs, origin);

describe("what is refused", () => {
  test.each(refusedBatches)("$what: $code", (row) => {
    const batch = row.batch();
    const before = batch.slice();
    for (const deep of row.deep ? [true] : [true, false]) {
      const error = refusal(() => check(batch, { ...client, deep }, row.limits));
      expect(error.message).toMatch(row.detail);
      expect({ code: error.code, fields: error.fields }).toEqual({ code: row.code, fields: row.fields ?? {} });
      expect(error.maybeAppended).toBe(false);
    }
    expect(batch).toEqual(before);
  });

  test("the ids of Idempotency-Keys are the broker's own", () => {
    const batch = producer(2n ** 62n);
    expect(refusal(() => check(batch)).code).toBe("INVALID_RECORD");
    expect(check(batch, ourselves).producerId).toBe(2n ** 62n);
    expect(refusal(() => check(producer(2n ** 62n - 1n), ourselves)).code).toBe("INVALID_RECORD");
  });
});

describe("what is taken", () => {
  test.each([client, ourselves])("a plain batch, as %j", (origin) => {
    const batch = encode();
    expect(check(batch, origin)).toEqual(readBatchHeader(viewOf(batch), 0));
  });

  test.each<[string, Uint8Array]>([
    ["the largest producer id, epoch and sequence", producer(2n ** 53n - 1n, 32_766, 2 ** 31 - 1)],
    ["producer id 0", producer(0n)],
    ["zeros for epoch and sequence without a producer id", producer(-1n, 0, 0)],
    ["a leader epoch set by the client", changed((view) => view.setInt32(12, 7))],
    ["records without a time", encode([at(-1), at(-1)])],
    ["records at the edge of the future", encode([at(nowMs + hourMs)])],
    ["times that go back", encode([at(nowMs), at(nowMs - 5_000), at(0)])],
    ["keyless records", encode([keyless])],
    ["a tombstone", encode([{ ...keyed, value: null }])],
    ["gzip", withBody(gzipSync(body()), 1)],
  ])("%s", (_, batch) => {
    expect(check(batch).sizeBytes).toBe(batch.length);
  });

  test("a batch of exactly the largest size", () => {
    const batch = encode();
    expect(check(batch, client, { maxMessageBytes: batch.length, segmentBytes: batch.length })).toBeDefined();
  });

  test("any time, where the topic sets no bounds", () => {
    const open = { timestampAfterMaxMs: Number.POSITIVE_INFINITY, timestampBeforeMaxMs: Number.POSITIVE_INFINITY };
    expect(check(encode([at(2 ** 53 - 1), at(0)]), client, open).maxTimestamp).toBe(2 ** 53 - 1);
  });
});

describe("damage", () => {
  const base = encode([keyed, { ...keyless, headers: [{ key: bytes("h"), value: null }] }, at(nowMs - 70_000)]);
  const compressed = [1, 2, 3, 4].map((codec) => withBody(gzipSync(body()), codec));

  /** The batch is refused, or all its records can be read and are what the header says. */
  function refusedOrReadable(batch: Uint8Array): void {
    let header: ReturnType<typeof check>;
    try {
      header = check(batch);
    } catch (error) {
      expect(error).toBeInstanceOf(BrokerError);
      return;
    }
    const read = [...decodeRecords(batch, header, nodeCodecs, limits)];
    expect(read.map((one) => one.offset)).toEqual(read.map((_, index) => index));
    expect(read.length).toBe(header.recordsCount);
    expect(Math.max(...read.map((one) => one.timestamp))).toBe(header.maxTimestamp);
  }

  test("any one bit changed is refused, save in the leader epoch", () => {
    for (let bit = 0; bit < base.length * 8; bit++) {
      const at = bit >> 3;
      if (at >= 12 && at < 16) continue;
      const batch = base.slice();
      batch[at]! ^= 1 << (bit & 7);
      expect(() => check(batch), `bit ${bit}`).toThrow(BrokerError);
    }
  });

  test("every length a batch can be cut to is refused", () => {
    for (let length = 0; length < base.length; length++) {
      expect(() => check(base.slice(0, length)), `length ${length}`).toThrow(BrokerError);
    }
  });

  test("signed again after any change: refused, or readable as it says", () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        fc.constantFrom(base, ...compressed),
        fc.array(change, { minLength: 1, maxLength: 5 }),
        (original, changes) => {
          const batch = original.slice();
          for (const [at, byte] of changes) batch[at % batch.length] = byte;
          signBatch(batch, nodeCodecs);
          refusedOrReadable(batch);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("random bytes behind a legal header", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 4 }), (random, codec) =>
        refusedOrReadable(withBody(random, codec)),
      ),
      { numRuns: 500 },
    );
  });

  test("random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        expect(() => check(random)).toThrow(BrokerError);
      }),
    );
  });
});
