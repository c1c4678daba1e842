// Batches that no leader may take, one for each cause, with what the refusal says; and how to make such batches.

import { gzipSync } from "node:zlib";
import { nodeCodecs } from "../../src/io/codecs.ts";
import type { BatchOrigin, ProduceLimits } from "../../src/protocol/batch-validation.ts";
import { encodeRecordBatch, type RecordToWrite } from "../../src/protocol/record.ts";
import { batchHeaderBytes, signBatch, stampBatch, viewOf } from "../../src/protocol/record-batch.ts";

export const nowMs = 1_700_000_000_000;
export const hourMs = 3_600_000;
export const limits: ProduceLimits = {
  maxMessageBytes: 1_048_588,
  segmentBytes: 1 << 30,
  timestampAfterMaxMs: hourMs,
  timestampBeforeMaxMs: Number.POSITIVE_INFINITY,
  compacted: false,
  decompressedBytesMax: 1 << 20,
  nowMs,
};
export const client: BatchOrigin = { deep: true, reservedProducerIdsAllowed: false };

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const keyed: RecordToWrite = { key: bytes("key"), value: bytes("value"), headers: [], timestamp: nowMs };
export const keyless: RecordToWrite = { ...keyed, key: null };
export const at = (timestamp: number): RecordToWrite => ({ ...keyed, timestamp });

export const encode = (records: readonly RecordToWrite[] = [keyed, keyed], producer: Partial<Producer> = {}) =>
  new Uint8Array(encodeRecordBatch(records, { ...producer, codecs: nodeCodecs }));
interface Producer {
  producerId: bigint;
  producerEpoch: number;
  baseSequence: number;
}
export const producer = (producerId: bigint, producerEpoch = 0, baseSequence = 0) =>
  encode([keyed], { producerId, producerEpoch, baseSequence });

/** A legal batch of two records with one thing changed, and signed again. */
export function changed(change: (view: DataView, batch: Uint8Array) => void, batch = encode()): Uint8Array {
  change(viewOf(batch), batch);
  signBatch(batch, nodeCodecs);
  return batch;
}
/** The same with bits of its attributes set. */
const attributes = (bits: number) => changed((view) => view.setInt16(21, bits));
/** The same, its records replaced by `body`. */
export function withBody(body: Uint8Array, bits = 0): Uint8Array {
  const batch = new Uint8Array(batchHeaderBytes + body.length);
  batch.set(encode().subarray(0, batchHeaderBytes));
  batch.set(body, batchHeaderBytes);
  return changed((view) => {
    view.setInt32(8, batch.length - 12);
    view.setInt16(21, bits);
  }, batch);
}
const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
export const body = (batch = encode()): Uint8Array => batch.slice(batchHeaderBytes);

export interface Refusal {
  readonly what: string;
  readonly batch: () => Uint8Array;
  readonly code: string;
  readonly detail: RegExp;
  readonly fields?: Record<string, unknown>;
  readonly limits?: Partial<ProduceLimits>;
  /** Found only by walking the records. */
  readonly deep?: true;
}

const frames: Refusal[] = [
  { what: "nothing", batch: () => new Uint8Array(0), code: "INVALID_RECORD", detail: /no record batch/ },
  { what: "60 bytes", batch: () => encode().slice(0, 60), code: "CORRUPT_MESSAGE", detail: /too few/ },
  { what: "a batch cut short", batch: () => encode().slice(0, -1), code: "CORRUPT_MESSAGE", detail: /there are/ },
  ...[-1, 0, 48, 2 ** 31 - 1, -(2 ** 31)].map(
    (size): Refusal => ({
      what: `batchLength ${size}`,
      batch: () => changed((view) => view.setInt32(8, size)),
      code: "CORRUPT_MESSAGE",
      detail: /says it has/,
    }),
  ),
  { what: "two batches", batch: () => join(encode(), encode()), code: "INVALID_RECORD", detail: /two batches/ },
  { what: "a byte more", batch: () => join(encode(), new Uint8Array(1)), code: "INVALID_RECORD", detail: /1 bytes/ },
  ...[0, 1, 3, -1].map(
    (magic): Refusal => ({
      what: `magic ${magic}`,
      batch: () => changed((view) => view.setInt8(16, magic)),
      code: "INVALID_RECORD",
      detail: /magic/,
    }),
  ),
  {
    what: "a message of Kafka 0.10",
    batch: () => {
      const message = new Uint8Array(64);
      viewOf(message).setInt32(8, 20);
      message[16] = 1;
      return message;
    },
    code: "INVALID_RECORD",
    detail: /magic 1/,
  },
  {
    what: "a batch above max.message.bytes",
    batch: () => encode(),
    limits: { maxMessageBytes: encode().length - 1 },
    code: "MESSAGE_TOO_LARGE",
    detail: /max.message.bytes/,
    fields: { limit: { name: "max.message.bytes", value: encode().length - 1 } },
  },
  {
    what: "a batch above segment.bytes",
    batch: () => encode(),
    limits: { segmentBytes: encode().length - 1 },
    code: "RECORD_LIST_TOO_LARGE",
    detail: /segment.bytes/,
    fields: { limit: { name: "segment.bytes", value: encode().length - 1 } },
  },
  {
    what: "a CRC off by one bit",
    batch: () => {
      const batch = encode();
      batch[20]! ^= 1;
      return batch;
    },
    code: "CORRUPT_MESSAGE",
    detail: /CRC/,
  },
];

const headers: Refusal[] = [
  ...[7, 11, 15].map(
    (bit): Refusal => ({
      what: `attribute bit ${bit}`,
      batch: () => attributes(1 << bit),
      code: "INVALID_RECORD",
      detail: /not defined/,
    }),
  ),
  ...[5, 6, 7].map(
    (codec): Refusal => ({
      what: `codec ${codec}`,
      batch: () => attributes(codec),
      code: "UNSUPPORTED_COMPRESSION_TYPE",
      detail: /no compression codec/,
    }),
  ),
  { what: "the bit of LogAppendTime", batch: () => attributes(8), code: "INVALID_TIMESTAMP", detail: /LogAppendTime/ },
  { what: "a transactional batch", batch: () => attributes(16), code: "INVALID_REQUEST", detail: /transactions/ },
  { what: "a control batch", batch: () => attributes(32), code: "INVALID_RECORD", detail: /control/ },
  { what: "a delete horizon", batch: () => attributes(64), code: "INVALID_RECORD", detail: /horizon/ },
  {
    what: "a base offset",
    batch: () => changed((view) => stampBatch(view, 0, 1, -1)),
    code: "INVALID_RECORD",
    detail: /base offset/,
  },
  {
    what: "a base offset of 2^63 - 1",
    batch: () => changed((view) => view.setBigInt64(0, 2n ** 63n - 1n)),
    code: "INVALID_RECORD",
    detail: /base offset/,
  },
  ...[-1, 0, 1, 3, 2 ** 31 - 1, -(2 ** 31)].map(
    (count): Refusal => ({
      what: `a record count of ${count}`,
      batch: () => changed((view) => view.setInt32(57, count)),
      code: "INVALID_RECORD",
      detail: /records/,
    }),
  ),
  {
    what: "more records than the bytes can hold",
    batch: () =>
      changed((view) => {
        view.setInt32(57, 2 ** 31 - 1);
        view.setInt32(23, 2 ** 31 - 2);
      }),
    code: "INVALID_RECORD",
    detail: /do not fit/,
  },
  { what: "producer id -2", batch: () => producer(-2n), code: "INVALID_RECORD", detail: /no producer id/ },
  { what: "producer id -2^63", batch: () => producer(-(2n ** 63n)), code: "INVALID_RECORD", detail: /no producer id/ },
  { what: "producer id 2^53", batch: () => producer(2n ** 53n), code: "INVALID_RECORD", detail: /no producer id/ },
  {
    what: "producer id 2^62 - 1",
    batch: () => producer(2n ** 62n - 1n),
    code: "INVALID_RECORD",
    detail: /no producer/,
  },
  { what: "producer epoch -1", batch: () => producer(1n, -1), code: "INVALID_RECORD", detail: /epoch/ },
  { what: "producer epoch 32767", batch: () => producer(1n, 32_767), code: "INVALID_RECORD", detail: /epoch/ },
  { what: "sequence -1 of a producer", batch: () => producer(1n, 0, -1), code: "INVALID_RECORD", detail: /sequence/ },
  ...[-2n, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n].flatMap((time): Refusal[] =>
    [27, 35].map((field) => ({
      what: `${field === 27 ? "baseTimestamp" : "maxTimestamp"} ${time}`,
      batch: () => changed((view) => view.setBigInt64(field, time)),
      code: "INVALID_TIMESTAMP",
      detail: /timestamp of the batch/,
    })),
  ),
];

const rules: Refusal[] = [
  {
    what: "a record too far in the future",
    batch: () => encode([keyed, at(nowMs + hourMs + 1), at(nowMs + hourMs)]),
    code: "INVALID_TIMESTAMP",
    detail: /^1 records lie outside/,
    fields: { recordIndexes: [1] },
  },
  {
    what: "records too old",
    batch: () => encode([keyed, at(nowMs - 1_000), at(nowMs - 1_001), at(5), at(-1)]),
    limits: { timestampBeforeMaxMs: 1_000 },
    code: "INVALID_TIMESTAMP",
    detail: /^2 records lie outside/,
    fields: { recordIndexes: [2, 3] },
  },
  {
    what: "null keys on a compacted topic",
    batch: () => encode([keyless, keyed, keyless]),
    limits: { compacted: true },
    code: "INVALID_RECORD",
    detail: /no key/,
    fields: { recordIndexes: [0, 2] },
  },
  {
    what: "200 null keys on a compacted topic, of which 100 are named",
    batch: () => encode(new Array<RecordToWrite>(200).fill(keyless)),
    limits: { compacted: true },
    code: "INVALID_RECORD",
    detail: /200 records/,
    fields: { recordIndexes: Array.from({ length: 100 }, (_, index) => index) },
  },
];

const second = body().length / 2;
const records: Refusal[] = [
  {
    what: "an offset delta out of order",
    batch: () => changed((_, batch) => (batch[batchHeaderBytes + 3] = 2)),
    detail: /offset delta 1/,
    fields: { recordIndexes: [0] },
  },
  {
    what: "the same offset delta twice",
    batch: () => changed((_, batch) => (batch[batchHeaderBytes + second + 3] = 0)),
    detail: /offset delta 0/,
    fields: { recordIndexes: [1] },
  },
  {
    what: "record attributes",
    batch: () => changed((_, batch) => (batch[batchHeaderBytes + second + 1] = 1)),
    detail: /attributes/,
    fields: { recordIndexes: [1] },
  },
  {
    what: "a record longer than the batch",
    batch: () => changed((_, batch) => (batch[batchHeaderBytes + second] = 100)),
    detail: /length 50/,
    fields: { recordIndexes: [1] },
  },
  {
    what: "a key longer than its record",
    batch: () => changed((_, batch) => (batch[batchHeaderBytes + 4] = 126)),
    detail: /key has the length 63/,
    fields: { recordIndexes: [0] },
  },
  { what: "bytes after the last record", batch: () => withBody(join(body(), new Uint8Array(3))), detail: /3 bytes/ },
  {
    what: "a latest time its records do not have",
    batch: () => changed((view) => view.setBigInt64(35, BigInt(nowMs + 1))),
    detail: /latest time/,
  },
  {
    what: "a latest time of ten years ahead",
    batch: () => changed((view) => view.setBigInt64(35, BigInt(nowMs) + 315_576_000_000n)),
    detail: /latest time/,
  },
  { what: "gzip that is none", batch: () => withBody(body(), 1), detail: /cannot be inflated/ },
  { what: "gzip cut short", batch: () => withBody(gzipSync(body()).subarray(0, -6), 1), detail: /cannot be inflated/ },
  {
    what: "a batch in a batch",
    batch: () => withBody(gzipSync(encode()), 1),
    detail: /length/,
    fields: { recordIndexes: [0] },
  },
  ...([2, 3, 4] as const).map((codec) => ({
    what: `codec ${codec} over plain records`,
    batch: () => withBody(body(), codec),
    detail: /cannot be inflated/,
  })),
].map((one): Refusal => ({ code: "INVALID_RECORD", deep: true, ...one }));
records.push(
  {
    what: "a gzip bomb",
    batch: () => withBody(gzipSync(new Uint8Array(2 << 20)), 1),
    code: "MESSAGE_TOO_LARGE",
    detail: /more than/,
    fields: { limit: { name: "decompressedBytesMax", value: 1 << 20 } },
    deep: true,
  },
  {
    what: "a record before 1970",
    batch: () => {
      const batch = encode([at(10), at(8)]);
      return changed((_, bytes) => (bytes[batchHeaderBytes + second + 2] = 2 * 20 - 1), batch);
    },
    code: "INVALID_TIMESTAMP",
    detail: /^1 records lie outside/,
    fields: { recordIndexes: [1] },
    deep: true,
  },
);

export const refusedBatches: readonly Refusal[] = [...frames, ...headers, ...rules, ...records];
