// Whatever is sent: a 4xx problem, and the logs end where they ended before.

import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeMsgpack } from "../../src/http/formats/msgpack-writer.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { signBatch, viewOf } from "../../src/protocol/record-batch.ts";
import { bytes, json, msgpack, ndjson, recordBatch, TestServer } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  await server.createTopic("t", 2);
  await server.createTopic("small", 1, { "max.message.bytes": 1000 });
  await server.produceNumbers("t", 1);
});
afterAll(() => server.stop());

const records = "/v1/topics/t/partitions/0/records";

interface Refused {
  readonly status?: number;
  readonly code?: string;
  readonly contains?: string;
}

async function refused(
  url: string,
  payload: string | Buffer,
  headers: Record<string, string>,
  expected: Refused = {},
): Promise<void> {
  const before = await server.logEnds();
  const answer = await server.post(url, payload, headers);
  expect(answer.statusCode, answer.body).toBeGreaterThanOrEqual(400);
  expect(answer.statusCode, answer.body).toBeLessThan(500);
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  const problem = answer.json();
  if (url.endsWith("records")) expect(problem.maybeAppended).toBe(false);
  if (expected.status !== undefined) expect(problem.status, answer.body).toBe(expected.status);
  if (expected.code !== undefined) expect(problem.code, answer.body).toBe(expected.code);
  if (expected.contains !== undefined) expect(problem.detail).toContain(expected.contains);
  expect(answer.body.length).toBeLessThan(5000);
  expect(await server.logEnds()).toBe(before);
}

const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;

describe("JSON", () => {
  test.each<[string, string, Refused]>([
    ["cut", '{"records":[{"value":1}', { code: "MALFORMED_BODY" }],
    ["empty", "", {}],
    ["no JSON", "hello", { code: "MALFORMED_BODY" }],
    ["two texts", '{"records":[{"value":1}]}{}', { code: "MALFORMED_BODY" }],
    ["NaN", '{"records":[{"value":NaN}]}', { code: "MALFORMED_BODY" }],
    ["a comment", '{"records":[/*x*/{"value":1}]}', { code: "MALFORMED_BODY" }],
    ["a byte order mark", '\ufeff{"records":[{"value":1}]}', { code: "MALFORMED_BODY" }],
    ["an array", '[{"value":1}]', { code: "INVALID_REQUEST" }],
    ["null", "null", { code: "INVALID_REQUEST" }],
    ["no records", "{}", { code: "INVALID_REQUEST" }],
    ["zero records", '{"records":[]}', {}],
    ["records that are no list", '{"records":{"value":1}}', { code: "INVALID_REQUEST" }],
    ["a record that is no object", '{"records":[1]}', { code: "INVALID_REQUEST" }],
    ["no value", '{"records":[{"key":"a"}]}', { code: "INVALID_REQUEST", contains: "value" }],
    ["an unknown field", '{"records":[{"value":1}],"ack":1}', { code: "INVALID_REQUEST", contains: "acks" }],
    ["an unknown field of a record", '{"records":[{"value":1,"ofset":1}]}', { code: "INVALID_REQUEST" }],
    ["__proto__", '{"records":[{"value":1,"__proto__":{"partition":1}}]}', { code: "INVALID_REQUEST" }],
    ["a field twice", '{"records":[{"value":1,"value":2}]}', { code: "INVALID_REQUEST" }],
    ["a key that is no string", '{"records":[{"key":1,"value":1}]}', { code: "INVALID_REQUEST" }],
    ["a timestamp that is no number", '{"records":[{"value":1,"timestamp":"now"}]}', { code: "INVALID_REQUEST" }],
    ["a negative timestamp", '{"records":[{"value":1,"timestamp":-5}]}', {}],
    ["a timestamp beyond 2^53", '{"records":[{"value":1,"timestamp":9007199254740993}]}', {}],
    ["a timestamp far ahead", '{"records":[{"value":1,"timestamp":9007199254740991}]}', { code: "INVALID_TIMESTAMP" }],
    ["a partition on the partition route", '{"records":[{"value":1,"partition":1}]}', {}],
    ["base64 that is not", '{"records":[{"value":"a"}],"valueFormat":"base64"}', { code: "INVALID_REQUEST" }],
    ["base64url", '{"records":[{"value":"_-_-"}],"valueFormat":"base64"}', { code: "INVALID_REQUEST" }],
    ["a lone surrogate", '{"records":[{"key":"\\ud800","value":1}]}', {}],
    ["an unknown format", '{"records":[{"value":1}],"valueFormat":"hex"}', { code: "INVALID_REQUEST" }],
    ["a time-out of 10^12", '{"records":[{"value":1}],"timeoutMs":1000000000000}', { code: "INVALID_REQUEST" }],
    ["a negative time-out", '{"records":[{"value":1}],"timeoutMs":-1}', { code: "INVALID_REQUEST" }],
    [
      "an epoch beyond int16",
      '{"records":[{"value":1}],"producerId":1,"producerEpoch":2147483648,"baseSequence":0}',
      {},
    ],
    ["a negative sequence", '{"records":[{"value":1}],"producerId":1,"producerEpoch":0,"baseSequence":-1}', {}],
    [
      "a producerId beyond 2^53",
      '{"records":[{"value":1}],"producerId":9007199254740993,"producerEpoch":0,"baseSequence":0}',
      {},
    ],
    ["a negative expectedOffset", '{"records":[{"value":1}],"expectedOffset":-1}', { code: "INVALID_REQUEST" }],
    ["a huge expectedOffset", '{"records":[{"value":1}],"expectedOffset":9007199254740991}', { status: 412 }],
    [
      "200,000 levels in a value",
      `{"records":[{"value":${deep(200_000)}}]}`,
      { code: "MALFORMED_BODY", contains: "64" },
    ],
    ["65 levels in a value", `{"records":[{"value":${deep(65)}}]}`, { code: "MALFORMED_BODY" }],
    ["200,000 levels where an option is", `{"records":[{"value":1}],"acks":${deep(200_000)}}`, {}],
    ["headers that are no list", '{"records":[{"value":1,"headers":{"a":"b"}}]}', { code: "INVALID_REQUEST" }],
    ["a header without a key", '{"records":[{"value":1,"headers":[{"value":"b"}]}]}', { code: "INVALID_REQUEST" }],
  ])("%s", async (_what, body, expected) => {
    await refused(records, body, json, expected);
  });

  test("invalid UTF-8", async () => {
    await refused(records, Buffer.from('{"records":[{"value":"\xff"}]}', "latin1"), json, { code: "MALFORMED_BODY" });
  });

  test("the same on routes without records", async () => {
    for (const body of ["", "{", deep(200_000), '{"name":"a"}x', Buffer.from('{"name":"\xff"}', "latin1")]) {
      await refused("/v1/topics", body, json, { status: 400 });
    }
  });
});

describe("msgpack", () => {
  const nested = (levels: number) => Buffer.concat([Buffer.alloc(levels, 0x91), Buffer.of(0xc0)]);

  test.each<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["cut", encodeMsgpack({ records: [{ value: Buffer.from("abc") }] }).subarray(0, -2)],
    ["bytes behind it", Buffer.concat([encodeMsgpack({ records: [{ value: Buffer.from("a") }] }), Buffer.of(0)])],
    ["5,000 levels", nested(5000)],
    ["65 levels", nested(65)],
    ["a length of 2^32−1", Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ["a map of 2^32−1", Buffer.of(0xdf, 0xff, 0xff, 0xff, 0xff)],
    ["an extension", Buffer.of(0xd4, 0x01, 0x00)],
    ["a timestamp extension", Buffer.of(0xd6, 0xff, 0, 0, 0, 0)],
    ["msgpackr's records", Buffer.of(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01)],
    ["__proto__", encodeMsgpack(JSON.parse('{"records":[{"value":"a"}],"__proto__":{"acks":0}}'))],
    ["a float where an integer is wanted", encodeMsgpack({ records: [{ value: "a", timestamp: 1.5 }] })],
    ["the never used type", Buffer.of(0xc1)],
    ["a key that is a number", encodeMsgpack({ records: [{ key: 5, value: "a" }] })],
    ["no map", encodeMsgpack([1, 2])],
  ])("%s", async (_what, body) => {
    await refused(records, body, msgpack, { status: 400 });
    await refused("/v1/topics", body, msgpack, { status: 400 });
  });
});

describe("NDJSON", () => {
  test.each([["{"], ["[]"], ['{"value":1}{"value":2}'], [`{"value":${deep(200_000)}}`], ['{"value":1,"acks":0}']])(
    "%.40s",
    async (line) => {
      await refused(records, `${line}\n`, ndjson);
    },
  );

  test("a line above the limit", async () => {
    await refused(records, `{"value":"${"x".repeat(8 * 1024 * 1024)}"}\n`, ndjson, {
      status: 413,
      code: "PAYLOAD_TOO_LARGE",
    });
  });

  test("a line above the limit that never ends", async () => {
    const pieces = Array.from({ length: 160 }, () => Buffer.alloc(65_536, 0x20));
    const answer = await server.ask({ method: "POST", url: records, headers: ndjson, payload: Readable.from(pieces) });
    expect(answer.json()).toMatchObject({ status: 413, appended: 0, line: 1, limit: { name: "ndjsonLineBytesMax" } });
  });
});

describe("record batches", () => {
  const batch = () =>
    Buffer.from(
      encodeRecordBatch([{ key: null, value: Buffer.from("value"), headers: [], timestamp: server.clock.nowMs() }], {
        codecs: nodeCodecs,
      }),
    );
  const changed = (change: (view: DataView, bytes: Buffer) => void, signed = true) => {
    const made = batch();
    change(viewOf(made), made);
    if (signed) signBatch(made, nodeCodecs);
    return made;
  };

  test.each<[string, () => Buffer]>([
    ["a bad CRC", () => changed((view) => view.setUint8(70, 1), false)],
    ["a count of −1", () => changed((view) => view.setInt32(57, -1))],
    ["a count of 0", () => changed((view) => view.setInt32(57, 0))],
    ["a count of 2^31−1", () => changed((view) => view.setInt32(57, 2 ** 31 - 1))],
    ["a lastOffsetDelta that is not count − 1", () => changed((view) => view.setInt32(23, 5))],
    ["a length of 0", () => changed((view) => view.setInt32(8, 0))],
    ["a negative length", () => changed((view) => view.setInt32(8, -1))],
    ["a length of 2^31−1", () => changed((view) => view.setInt32(8, 2 ** 31 - 1))],
    ["magic 1", () => changed((view) => view.setInt8(16, 1))],
    ["magic 3", () => changed((view) => view.setInt8(16, 3))],
    ["an unknown codec", () => changed((view) => view.setInt16(21, 7))],
    ["a codec that it is not", () => changed((view) => view.setInt16(21, 1))],
    ["reserved attributes", () => changed((view) => view.setInt16(21, 0x80))],
    ["a control batch", () => changed((view) => view.setInt16(21, 0x20))],
    ["a transaction", () => changed((view) => view.setInt16(21, 0x10))],
    ["a producer without a sequence", () => changed((view) => view.setBigInt64(43, 5n))],
    [
      "an id that stands for an Idempotency-Key",
      () =>
        changed((view) => {
          view.setBigInt64(43, 2n ** 62n + 5n);
          view.setInt16(51, 0);
          view.setInt32(53, 0);
        }),
    ],
    ["a record length beyond the end", () => changed((_view, made) => made.fill(0x7e, 61, 62))],
    ["a record length that is no varint", () => changed((_view, made) => made.fill(0xff, 61, 70))],
    [
      "a maxTimestamp in ten years",
      () => changed((view) => view.setBigInt64(35, BigInt(server.clock.nowMs()) + 315_360_000_000n)),
    ],
  ])("%s", async (_what, make) => {
    await refused(records, make(), recordBatch);
  });

  test("a decompression bomb", async () => {
    const bomb = gzipSync(Buffer.alloc(80 * 1024 * 1024));
    const made = Buffer.concat([batch().subarray(0, 61), bomb]);
    viewOf(made).setInt16(21, 1);
    viewOf(made).setInt32(8, made.length - 12);
    signBatch(made, nodeCodecs);
    await refused(records, made, recordBatch);
  });
});

describe("sizes", () => {
  test("a record larger than max.message.bytes, in every form", async () => {
    const url = "/v1/topics/small/partitions/0/records";
    const large = "x".repeat(2000);
    await refused(url, `{"records":[{"value":"${large}"}]}`, json, { status: 413, code: "MESSAGE_TOO_LARGE" });
    await refused(url, encodeMsgpack({ records: [{ value: large }] }), msgpack, { status: 413 });
    await refused(url, `{"value":"${large}"}\n`, ndjson, { status: 413 });
    await refused(url, large, bytes, { status: 413 });
    await refused("/v1/topics/small/records", `{"records":[{"value":"${large}"}]}`, json, { status: 413 });
  });

  test("a body above the limit", async () => {
    const body = Buffer.alloc(33 * 1024 * 1024, 0x20);
    await refused(records, body, json, { status: 413, code: "PAYLOAD_TOO_LARGE" });
    const chunked = await server.ask({
      method: "POST",
      url: records,
      headers: bytes,
      payload: Readable.from(Array.from({ length: 34 }, () => body.subarray(0, 1024 * 1024))),
    });
    expect(chunked.json()).toMatchObject({
      status: 413,
      limit: { name: "maxBodyBytes", value: 33_554_432 },
      maybeAppended: false,
    });
  });

  test("a gzip bomb", async () => {
    await refused(
      records,
      gzipSync(Buffer.alloc(100 * 1024 * 1024)),
      { ...json, "content-encoding": "gzip" },
      { status: 413 },
    );
  });

  test("10,001 records are not too many", async () => {
    const body = JSON.stringify({ records: Array.from({ length: 10_001 }, () => ({ value: 1 })) });
    expect((await server.post("/v1/topics/t/partitions/1/records", body)).json()).toMatchObject({ lastOffset: 10_000 });
  });
});

describe("what clients send by default", () => {
  test.each(["application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "multipart/form-data; boundary=x"])(
    "%s",
    async (type) => {
      await refused(
        records,
        '{"records":[{"value":1}]}',
        { "content-type": type },
        { status: 415, contains: "application/json" },
      );
    },
  );

  test("nothing at all", async () => {
    await refused(records, '{"records":[{"value":1}]}', {}, { status: 415 });
  });
});

test("nothing above was a bug", () => expect(server.errors).toEqual([]));
