import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { decodeRecords, encodeRecordBatch, type RecordToWrite } from "../../src/protocol/record.ts";
import {
  BatchCorruptError,
  batchHeaderBytes,
  hasValidCrc,
  readBatchHeader,
  stampBatch,
  stampLogAppendTime,
  viewOf,
  writeBatchHeader,
} from "../../src/protocol/record-batch.ts";

const limits = { decompressedBytesMax: 1 << 20 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const header = (batch: Uint8Array) => readBatchHeader(viewOf(batch), 0);
const decode = (batch: Uint8Array) => [...decodeRecords(batch, header(batch), nodeCodecs, limits)];
const encode = (records: readonly RecordToWrite[]) => encodeRecordBatch(records, { codecs: nodeCodecs });

const plain: RecordToWrite = { key: null, value: bytes("v"), headers: [], timestamp: 1_700_000_000_000 };

const content = fc.option(fc.uint8Array({ maxLength: 80 }), { nil: null });
const record: fc.Arbitrary<RecordToWrite> = fc.record({
  key: content,
  value: content,
  headers: fc.array(fc.record({ key: fc.uint8Array({ maxLength: 20 }), value: content }), { maxLength: 4 }),
  timestamp: fc.oneof(
    fc.integer({ min: 1_600_000_000_000, max: 1_900_000_000_000 }),
    fc.constantFrom(-1, 0, 2 ** 31, 2 ** 53 - 2),
  ),
});
const records = fc.array(record, { minLength: 1, maxLength: 20 });

/** A batch of our own with its record bytes replaced, and signed again. */
function withBody(body: Uint8Array, recordsCount: number, attributes = 0): Uint8Array {
  const batch = new Uint8Array(batchHeaderBytes + body.length);
  batch.set(body, batchHeaderBytes);
  const fields = { lastOffsetDelta: recordsCount - 1, baseTimestamp: 0, maxTimestamp: 0, producerId: -1n };
  writeBatchHeader(batch, { attributes, ...fields, producerEpoch: -1, baseSequence: -1, recordsCount }, nodeCodecs);
  return batch;
}

describe("encodeRecordBatch", () => {
  test("what is written is read again", () => {
    fc.assert(
      fc.property(records, (written) => {
        const batch = encode(written);
        const times = written.map((one) => one.timestamp);
        expect(hasValidCrc(batch, nodeCodecs)).toBe(true);
        expect(header(batch)).toMatchObject({
          baseOffset: 0,
          lastOffset: written.length - 1,
          sizeBytes: batch.length,
          partitionLeaderEpoch: -1,
          attributes: 0,
          baseTimestamp: times[0],
          maxTimestamp: Math.max(...times),
          producerId: -1n,
          producerEpoch: -1,
          baseSequence: -1,
          recordsCount: written.length,
        });
        expect(decode(batch)).toEqual(written.map((one, offset) => ({ ...one, offset })));
      }),
    );
  });

  test("the bytes of one record", () => {
    const batch = encode([{ ...plain, key: bytes("k"), headers: [{ key: bytes("h"), value: null }] }]);
    const body = Buffer.from(batch.subarray(batchHeaderBytes)).toString("hex");
    // length, attributes, timestamp delta, offset delta, key, value, headers: one, its key, its null value
    expect(body).toBe(["16", "00", "00", "00", "026b", "0276", "02", "0268", "01"].join(""));
  });

  test("carries the producer's id, epoch and sequence", () => {
    const options = { producerId: 2n ** 62n + 5n, producerEpoch: 3, baseSequence: 2 ** 31 - 1, codecs: nodeCodecs };
    const batch = encodeRecordBatch([plain], options);
    expect(header(batch)).toMatchObject({ producerId: 2n ** 62n + 5n, producerEpoch: 3, baseSequence: 2 ** 31 - 1 });
  });

  test("batches that share a buffer do not touch each other", () => {
    const batches = Array.from({ length: 500 }, (_, index) => encode([{ ...plain, value: bytes(`value ${index}`) }]));
    batches.forEach((batch, index) => {
      stampBatch(viewOf(batch), 0, index, 7);
      expect(new TextDecoder().decode(decode(batch)[0]!.value!)).toBe(`value ${index}`);
    });
    expect(batches.every((batch) => hasValidCrc(batch, nodeCodecs))).toBe(true);
  });

  test("a batch without records is refused", () => {
    expect(() => encode([])).toThrow(BrokerError);
  });

  test.each([[-2], [0.5], [Number.NaN], [2 ** 53], [Number.POSITIVE_INFINITY]])(
    "the timestamp %d is refused",
    (bad) => {
      const refused = expect.objectContaining({ code: "INVALID_TIMESTAMP", fields: { recordIndexes: [1] } });
      expect(() => encode([plain, { ...plain, timestamp: bad }])).toThrow(refused);
      expect(() => encode([{ ...plain, timestamp: bad }])).toThrow(BrokerError);
    },
  );

  test("a span of time that no delta can hold is refused", () => {
    expect(() =>
      encode([
        { ...plain, timestamp: -1 },
        { ...plain, timestamp: 2 ** 53 - 1 },
      ]),
    ).toThrow(BrokerError);
    const widest = [
      { ...plain, timestamp: 2 ** 53 - 2 },
      { ...plain, timestamp: -1 },
    ];
    expect(decode(encode(widest)).map((one) => one.timestamp)).toEqual([2 ** 53 - 2, -1]);
  });
});

describe("decodeRecords", () => {
  test("counts offsets from the stamped base offset", () => {
    const batch = encode([plain, plain]);
    stampBatch(viewOf(batch), 0, 2 ** 40, 1);
    expect(decode(batch).map((one) => one.offset)).toEqual([2 ** 40, 2 ** 40 + 1]);
  });

  test("gives every record of a LogAppendTime batch its one time", () => {
    const batch = encode([plain, { ...plain, timestamp: 5 }]);
    stampLogAppendTime(batch, 1_800_000_000_000, nodeCodecs);
    expect(decode(batch).map((one) => one.timestamp)).toEqual([1_800_000_000_000, 1_800_000_000_000]);
    expect(hasValidCrc(batch, nodeCodecs)).toBe(true);
  });

  test("keys and values are views into the batch", () => {
    const batch = new Uint8Array(encode([{ ...plain, key: bytes("key") }]));
    expect(decode(batch)[0]!.key!.buffer).toBe(batch.buffer);
  });

  test("inflates a compressed batch", () => {
    const written = [plain, { ...plain, value: bytes("w".repeat(500)) }];
    const batch = withBody(gzipSync(encode(written).subarray(batchHeaderBytes)), 2, 1);
    expect(decode(batch).map((one) => one.value)).toEqual(written.map((one) => one.value));
  });

  test("a batch that inflates to more than allowed is refused", () => {
    const batch = withBody(gzipSync(new Uint8Array(2 << 20)), 1, 1);
    expect(() => decode(batch)).toThrow(BatchCorruptError);
  });

  const one = encode([plain]).subarray(batchHeaderBytes);
  test.each<[string, number[], number]>([
    ["a record whose length runs past the end", [200, 1, ...one.subarray(1)], 1],
    ["a record with a negative length", [1, 0, 0, 0, 0, 0, 0, 0], 1],
    ["a record too short to be one", [10, 0, 0, 0, 1, 1], 1],
    ["a key longer than its record", [14, 0, 0, 0, 40, 1, 0, 0], 1],
    ["a key of length -2", [14, 0, 0, 0, 3, 1, 0, 0], 1],
    ["bytes after the last header", [14, 0, 0, 0, 1, 1, 0, 0], 1],
    ["a negative number of headers", [12, 0, 0, 0, 1, 1, 9], 1],
    ["more headers than bytes", [20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], 1],
    ["a null header key", [16, 0, 0, 0, 1, 1, 2, 1, 1], 1],
    ["bytes after the last record", [...one, 0], 1],
    ["fewer records than it says", [...one], 2],
    ["2^31 - 1 records in a few bytes", [...one], 2 ** 31 - 1],
    ["a varint of six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0], 1],
    ["an attribute codec that is not defined", [...one], -5],
  ])("%s is corrupt", (_, body, count) => {
    const batch = count === -5 ? withBody(Uint8Array.from(body), 1, 5) : withBody(Uint8Array.from(body), count);
    expect(() => decode(batch)).toThrow(BatchCorruptError);
  });

  test("random bytes are never anything worse than corrupt", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer(),
        fc.integer({ min: 0, max: 4 }),
        (body, count, codec) => {
          const batch = withBody(body, count, codec);
          try {
            decode(batch);
          } catch (error) {
            expect(error).toBeInstanceOf(BatchCorruptError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
