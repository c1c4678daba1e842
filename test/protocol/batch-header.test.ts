// The header of a batch: what is written is read back, signed over everything that a leader does not stamp.

import { describe, expect, test } from "vitest";
import type { Codecs } from "../../src/protocol/codecs.ts";
import {
  batchHeaderBytes,
  type HeaderFields,
  hasValidCrc,
  incrementSequence,
  lastSequence,
  noProducerId,
  readBatchHeader,
  stampBatch,
  viewOf,
  writeBatchHeader,
} from "../../src/protocol/record-batch.ts";

/** Enough of a checksum to tell ranges of bytes apart. */
const codecs: Codecs = {
  crc32c: (bytes) => bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte + 1) >>> 0, 7),
  decompress: (_codec, bytes) => bytes,
};

const fields: HeaderFields = {
  attributes: 0,
  lastOffsetDelta: 4,
  baseTimestamp: 1_700_000_000_000,
  maxTimestamp: 1_700_000_000_009,
  producerId: 2n ** 62n + 5n,
  producerEpoch: 3,
  baseSequence: 2 ** 31 - 3,
  recordsCount: 5,
};

function batchOf(given: HeaderFields): Uint8Array {
  const batch = new Uint8Array(batchHeaderBytes + 20).fill(0xab);
  writeBatchHeader(batch, given, codecs);
  return batch;
}

describe("a batch header", () => {
  test("is read as it was written", () => {
    const header = readBatchHeader(viewOf(batchOf(fields)), 0);
    expect(header).toMatchObject({ ...fields, baseOffset: 0, lastOffset: 4, sizeBytes: batchHeaderBytes + 20 });
  });

  test("keeps a missing producer id apart from every real one", () => {
    expect(readBatchHeader(viewOf(batchOf({ ...fields, producerId: noProducerId })), 0).producerId).toBe(noProducerId);
  });

  test("carries the offset and epoch a leader stamps, up to 2^53 − 1, and stays signed", () => {
    const batch = batchOf(fields);
    stampBatch(viewOf(batch), 0, Number.MAX_SAFE_INTEGER - 4, 7);
    const header = readBatchHeader(viewOf(batch), 0);
    expect([header.baseOffset, header.lastOffset]).toEqual([Number.MAX_SAFE_INTEGER - 4, Number.MAX_SAFE_INTEGER]);
    expect(header.partitionLeaderEpoch).toBe(7);
    expect(hasValidCrc(batch, codecs)).toBe(true);
  });

  test("is not validly signed once any byte after the checksum has changed", () => {
    for (let position = 21; position < batchHeaderBytes + 20; position++) {
      const batch = batchOf(fields);
      batch[position] = (batch[position] ?? 0) ^ 1;
      expect(hasValidCrc(batch, codecs), `byte ${position}`).toBe(false);
    }
  });

  test("is signed from its attributes to its end", () => {
    const batch = batchOf(fields);
    expect(viewOf(batch).getUint32(17)).toBe(codecs.crc32c(batch.subarray(21)));
  });
});

describe("sequences", () => {
  test("wrap from 2^31 − 1 to 0", () => {
    expect(incrementSequence(2 ** 31 - 1, 1)).toBe(0);
    expect(lastSequence(readBatchHeader(viewOf(batchOf(fields)), 0))).toBe(1);
  });
});
