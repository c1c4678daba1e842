import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeMsgpack } from "../../src/http/formats/msgpack-writer.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { partitionForKey } from "../../src/protocol/partitioner.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { bytes, json, msgpack, ndjson, recordBatch, TestServer, unpack } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ maxBodyBytes: 1_000_000, maxLineBytes: 2000, requestBytesInFlightMax: 1_500_000 });
});
afterAll(() => server.stop());

let topics = 0;
/** A topic of its own for each test. */
async function newTopic(partitionCount = 1, config: Record<string, unknown> = {}): Promise<string> {
  const name = `produce-${topics++}`;
  await server.createTopic(name, partitionCount, config);
  return name;
}
const toPartition = (topic: string, body: string | Buffer | object, headers?: Record<string, string>, query = "") =>
  server.post(`/v1/topics/${topic}/partitions/0/records${query}`, body, headers);
const toTopic = (topic: string, body: string | Buffer | object, headers?: Record<string, string>, query = "") =>
  server.post(`/v1/topics/${topic}/records${query}`, body, headers);
const batchOf = (...values: string[]) =>
  Buffer.from(
    encodeRecordBatch(
      values.map((value) => ({ key: null, value: Buffer.from(value), headers: [], timestamp: server.clock.nowMs() })),
      { codecs: nodeCodecs },
    ),
  );

describe("JSON to a partition", () => {
  test("answers where the batch is", async () => {
    const topic = await newTopic();
    const first = await toPartition(topic, { records: [{ key: "a", value: { n: 1 } }, { value: null }] });
    expect(first.json()).toEqual({ partition: 0, baseOffset: 0, lastOffset: 1, leaderEpoch: 0, duplicate: false });
    expect(first.headers["content-type"]).toBe("application/json");
    expect((await toPartition(topic, { records: [{ value: 3 }] })).json()).toMatchObject({
      baseOffset: 2,
      lastOffset: 2,
    });
  });

  test("values are kept as the very text that was sent", async () => {
    const topic = await newTopic();
    const text = '{ "b":1.0,\n"a":1e3, "big":12345678901234567890,"e":"\\u0041" }';
    await toPartition(topic, `{"records":[{"value":${text}}]}`);
    const page = await server.get(`/v1/topics/${topic}/partitions/0/records`);
    expect(page.body).toContain(`"value":${text}`);
    const raw = await server.get(`/v1/topics/${topic}/partitions/0/records?valueFormat=base64`);
    expect(Buffer.from(raw.json().records[0].value, "base64").toString()).toBe(text);
  });

  test("msgpack both ways, bytes as bin", async () => {
    const topic = await newTopic();
    const value = Buffer.from([0, 255, 1]);
    const body = encodeMsgpack({
      records: [{ key: Buffer.from("k"), value, headers: [{ key: "h", value: Buffer.from([7]) }] }],
    });
    const made = await toPartition(topic, body, { ...msgpack, accept: "application/msgpack" });
    expect(unpack(made.rawPayload)).toMatchObject({ baseOffset: 0, lastOffset: 0 });
    const page = await server.get(`/v1/topics/${topic}/partitions/0/records`, { accept: "application/msgpack" });
    const [record] = unpack(page.rawPayload).records;
    expect(record.value).toEqual(value);
    expect(record.key).toEqual(Buffer.from("k"));
    expect(record.headers[0].value).toEqual(Buffer.from([7]));
  });

  test("acks 0 is 202 without waiting", async () => {
    const topic = await newTopic();
    const answer = await toPartition(topic, { records: [{ value: 1 }], acks: 0 });
    expect(answer.statusCode).toBe(202);
    expect(answer.json()).toEqual({});
    expect((await toTopic(topic, { records: [{ value: 2 }], acks: 0 })).statusCode).toBe(202);
    expect(await server.valuesOf(topic)).toEqual([1, 2]);
  });

  test("acks 0: what is refused after the 202 is counted, and logged once a minute", async () => {
    const topic = await newTopic(2);
    const late = { value: 1, timestamp: 2 ** 52 };
    const refused = { records: [late, { ...late, partition: 1 }], acks: 0 };
    for (let time = 0; time < 3; time++) expect((await toTopic(topic, refused)).statusCode).toBe(202);
    const metrics = async () => (await server.get("/metrics")).body;
    expect(await metrics()).toContain('millrace_unwaited_records_refused_total{code="INVALID_TIMESTAMP"} 6\n');
    const told = () => server.warnings.filter((fields) => "code" in fields && fields.code === "INVALID_TIMESTAMP");
    expect(told()).toEqual([expect.objectContaining({ topic, records: 2 })]);
    await server.clock.advance(60_000);
    await toPartition(topic, { records: [late], acks: 0 });
    expect(told()).toEqual([expect.anything(), expect.objectContaining({ topic, records: 5 })]);
    expect(await server.valuesOf(topic)).toEqual([]);
  });

  test("acks 1 and all", async () => {
    const topic = await newTopic();
    for (const acks of [1, "all"])
      expect((await toPartition(topic, { records: [{ value: 1 }], acks })).statusCode).toBe(200);
    expect((await toPartition(topic, { records: [{ value: 1 }], acks: "1" })).statusCode).toBe(400);
  });

  test("a record above max.message.bytes is 413 with the limit", async () => {
    const topic = await newTopic(1, { "max.message.bytes": 1000 });
    const refused = await toPartition(topic, { records: [{ value: "x".repeat(1000) }] });
    expect(refused.json()).toMatchObject({
      status: 413,
      code: "MESSAGE_TOO_LARGE",
      maybeAppended: false,
      limit: { name: "max.message.bytes", value: 1000 },
    });
    expect(await server.valuesOf(topic)).toEqual([]);
  });

  test("unknown topic and partition are 404", async () => {
    const topic = await newTopic();
    for (const url of [
      `/v1/topics/nowhere/partitions/0/records`,
      `/v1/topics/${topic}/partitions/1/records`,
      "/v1/topics/nowhere/records",
    ]) {
      const refused = await server.post(url, { records: [{ value: 1 }] });
      expect(refused.json()).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION", maybeAppended: false });
    }
    for (const partition of ["-1", "x", "1.5", "00", "0x0", "99999999999", "%30"]) {
      const { statusCode } = await server.post(`/v1/topics/${topic}/partitions/${partition}/records`, {
        records: [{ value: 1 }],
      });
      expect(statusCode).toBe(partition === "%30" ? 200 : 400);
    }
  });

  test("options in the query are refused: the body says them", async () => {
    const topic = await newTopic();
    const refused = await toPartition(topic, { records: [{ value: 1 }] }, json, "?acks=1");
    expect(refused.json()).toMatchObject({ status: 400, unknown: ["acks"], maybeAppended: false });
  });
});

describe("idempotent producers", () => {
  test("repeat, gap, old epoch, and how to find one's place", async () => {
    const topic = await newTopic();
    const made = await server.ask({ method: "POST", url: "/v1/producers" });
    expect(made.statusCode).toBe(201);
    const { producerId, producerEpoch } = made.json();
    expect(producerEpoch).toBe(0);
    const send = (baseSequence: number, epoch = 0) =>
      toPartition(topic, {
        records: [{ value: baseSequence }, { value: -baseSequence }],
        producerId,
        producerEpoch: epoch,
        baseSequence,
      });
    expect((await send(0)).json()).toMatchObject({ baseOffset: 0, duplicate: false });
    expect((await send(2)).json()).toMatchObject({ baseOffset: 2, duplicate: false });
    expect((await send(0)).json()).toEqual({
      partition: 0,
      baseOffset: 0,
      lastOffset: 1,
      leaderEpoch: 0,
      duplicate: true,
    });
    expect((await send(6)).json()).toMatchObject({
      status: 409,
      code: "OUT_OF_ORDER_SEQUENCE_NUMBER",
      expectedSequence: 4,
      maybeAppended: false,
    });
    expect((await send(0, 1)).json()).toMatchObject({ baseOffset: 4 });
    expect((await send(4, 0)).json()).toMatchObject({ status: 409, code: "INVALID_PRODUCER_EPOCH", currentEpoch: 1 });
    const url = `/v1/topics/${topic}/partitions/0/producers`;
    const known = { producerId, producerEpoch: 1, lastSequence: 1, lastTimestamp: server.clock.nowMs() };
    expect((await server.get(url)).json()).toEqual({ producers: [known] });
    expect((await server.get(`${url}?producerId=${producerId}`)).json()).toEqual({ producers: [known] });
    expect((await server.get(`${url}?producerId=${producerId + 1}`)).json()).toEqual({ producers: [] });
    expect((await server.get(`/v1/topics/${topic}/partitions/7/producers`)).statusCode).toBe(404);
  });

  test("ids are never given twice; a body is not needed and not ignored", async () => {
    const ids = new Set<number>();
    for (const body of ["{}", undefined, "{}"]) {
      const made = await server.ask({
        method: "POST",
        url: "/v1/producers",
        ...(body === undefined ? {} : { headers: json, payload: body }),
      });
      ids.add(made.json().producerId);
    }
    expect(ids.size).toBe(3);
    expect((await server.post("/v1/producers", { transactionalId: "x" })).json()).toMatchObject({
      status: 400,
      unknown: ["transactionalId"],
    });
  });

  test("producer fields half given are refused; on the topic route they are unknown", async () => {
    const topic = await newTopic();
    const whole = { producerId: 1, producerEpoch: 0, baseSequence: 0 };
    for (const missing of Object.keys(whole)) {
      const { [missing as keyof typeof whole]: _left, ...half } = whole;
      const refused = await toPartition(topic, { records: [{ value: 1 }], ...half });
      expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST", path: missing });
    }
    expect((await toTopic(topic, { records: [{ value: 1 }], ...whole })).statusCode).toBe(400);
    expect(await server.valuesOf(topic)).toEqual([]);
  });

  test("expectedOffset appends only there", async () => {
    const topic = await newTopic();
    const send = (expectedOffset: number, more = {}) =>
      toPartition(topic, { records: [{ value: expectedOffset }], expectedOffset, ...more });
    expect((await send(0)).statusCode).toBe(200);
    for (const wrong of [0, 2]) {
      expect((await send(wrong)).json()).toMatchObject({
        status: 412,
        code: "EXPECTED_OFFSET_MISMATCH",
        logEndOffset: 1,
        maybeAppended: false,
      });
    }
    const producer = { producerId: 77, producerEpoch: 0, baseSequence: 0 };
    expect((await send(1, producer)).json()).toMatchObject({ baseOffset: 1, duplicate: false });
    expect((await send(1, producer)).json()).toMatchObject({ baseOffset: 1, duplicate: true });
  });
});

describe("Idempotency-Key", () => {
  const keyed = (key: string) => ({ ...json, "idempotency-key": key });

  test("a repeat answers the first offsets with duplicate", async () => {
    const topic = await newTopic();
    const send = () => toPartition(topic, { records: [{ value: 1 }, { value: 2 }] }, keyed("order-1"));
    expect((await send()).json()).toMatchObject({ baseOffset: 0, duplicate: false });
    await toPartition(topic, { records: [{ value: 3 }] });
    expect((await send()).json()).toMatchObject({ baseOffset: 0, lastOffset: 1, duplicate: true });
    expect(await server.valuesOf(topic)).toEqual([1, 2, 3]);
    expect((await server.get(`/v1/topics/${topic}/partitions/0/producers`)).json().producers).toEqual([]);
  });

  test("another number of records under the key is 409", async () => {
    const topic = await newTopic();
    await toPartition(topic, { records: [{ value: 1 }] }, keyed("k"));
    const refused = await toPartition(topic, { records: [{ value: 1 }, { value: 2 }] }, keyed("k"));
    expect(refused.json()).toMatchObject({ status: 409, code: "IDEMPOTENCY_KEY_REUSED", maybeAppended: false });
  });

  test("on the topic route per partition; keyless records go where the key hashes", async () => {
    const topic = await newTopic(8);
    const records = [{ value: 1 }, { key: "a", value: 2 }, { value: 3 }, { partition: 5, value: 4 }];
    const keyless = partitionForKey(Buffer.from("request-9"), 8);
    const first = (await toTopic(topic, { records }, keyed("request-9"))).json().offsets;
    expect(first[0]).toEqual({ partition: keyless, offset: 0 });
    expect(first[2]).toEqual({ partition: keyless, offset: keyless === 5 ? 1 : first[2].offset });
    const again = (await toTopic(topic, { records }, keyed("request-9"))).json().offsets;
    expect(again).toEqual(first.map((offset: object) => ({ ...offset, duplicate: true })));
  });

  test("octet-stream and msgpack too; not NDJSON, not batches, not with a producerId", async () => {
    const topic = await newTopic();
    const key = { "idempotency-key": "once" };
    expect((await toPartition(topic, "raw", { ...bytes, ...key })).json()).toMatchObject({ duplicate: false });
    expect((await toPartition(topic, "raw", { ...bytes, ...key })).json()).toMatchObject({ duplicate: true });
    const packed = encodeMsgpack({ records: [{ value: Buffer.from("raw") }] });
    expect((await toPartition(topic, packed, { ...msgpack, ...key })).json()).toMatchObject({ duplicate: true });
    for (const [headers, body] of [
      [ndjson, '{"value":1}\n'],
      [recordBatch, batchOf("x")],
      [json, { records: [{ value: 1 }], producerId: 1, producerEpoch: 0, baseSequence: 0 }],
    ] as const) {
      expect((await toPartition(topic, body, { ...headers, ...key })).statusCode).toBe(400);
    }
    expect(await server.valuesOf(topic)).toHaveLength(1);
  });

  test.each(["", "a b", "ä", "x".repeat(129)])("the key %j is 400", async (key) => {
    const topic = await newTopic();
    expect((await toPartition(topic, { records: [{ value: 1 }] }, keyed(key))).statusCode).toBe(400);
    expect((await toPartition(topic, { records: [{ value: 1 }] }, keyed("x".repeat(128)))).statusCode).toBe(200);
  });
});

describe("to a topic", () => {
  test("by partition, by key as Kafka does, and keyless records together; offsets in the order sent", async () => {
    const topic = await newTopic(4);
    const records = [
      { key: "a", value: 1 },
      { value: 2 },
      { partition: 3, value: 3 },
      { key: "a", value: 4 },
      { value: 5 },
    ];
    const { offsets } = (await toTopic(topic, { records })).json();
    const a = partitionForKey(Buffer.from("a"), 4);
    expect(offsets.map(({ partition }: { partition: number }) => partition)).toEqual([
      a,
      offsets[1].partition,
      3,
      a,
      offsets[1].partition,
    ]);
    expect(offsets[3].offset).toBeGreaterThan(offsets[0].offset);
    expect(offsets[4].offset).toBeGreaterThan(offsets[1].offset);
    let at = 0;
    for (const { partition, offset } of offsets) {
      const page = await server.get(
        `/v1/topics/${topic}/partitions/${partition}/records?offset=${offset}&maxRecords=1`,
      );
      expect(page.json().records[0].value).toBe(records[at++]!.value);
    }
  });

  test("over time keyless records reach every partition", async () => {
    const topic = await newTopic(3);
    const used = new Set<number>();
    for (let request = 0; request < 40; request++) {
      const { offsets } = (await toTopic(topic, { records: [{ value: "x".repeat(5000) }] })).json();
      used.add(offsets[0].partition);
    }
    expect(used.size).toBe(3);
  });

  test("an unknown partition in one record refuses the whole request", async () => {
    const topic = await newTopic(2);
    const refused = await toTopic(topic, {
      records: [
        { partition: 0, value: 1 },
        { partition: 2, value: 2 },
      ],
    });
    expect(refused.json()).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION", maybeAppended: false });
    expect(await server.valuesOf(topic)).toEqual([]);
  });

  test("one batch that is too large refuses the whole request", async () => {
    const topic = await newTopic(2, { "max.message.bytes": 1000 });
    const refused = await toTopic(topic, {
      records: [
        { partition: 0, value: 1 },
        { partition: 1, value: "x".repeat(2000) },
      ],
    });
    expect(refused.json()).toMatchObject({ status: 413, code: "MESSAGE_TOO_LARGE" });
    expect(await server.valuesOf(topic)).toEqual([]);
  });

  test("a part that fails: the worst problem, and what became of each record", async () => {
    const topic = await newTopic(2);
    server.disk.failWhen((operation) => operation.kind === "sync" && operation.path.includes(`${topic}-1/`), {
      code: "EIO",
    });
    const refused = await toTopic(topic, {
      records: [
        { partition: 1, value: 1 },
        { partition: 0, value: 2 },
      ],
    });
    expect(refused.statusCode).toBe(504);
    expect(refused.json()).toMatchObject({
      code: "KAFKA_STORAGE_ERROR",
      maybeAppended: true,
      offsets: [
        { partition: 1, code: "KAFKA_STORAGE_ERROR", maybeAppended: true },
        { partition: 0, offset: 0 },
      ],
    });
    const offline = await toTopic(topic, {
      records: [
        { partition: 1, value: 1 },
        { partition: 0, value: 2 },
      ],
    });
    expect(offline.statusCode).toBe(503);
    // Who sends all of it again would double what partition 0 has.
    expect(offline.json()).toMatchObject({
      maybeAppended: true,
      offsets: [
        { partition: 1, maybeAppended: false },
        { partition: 0, offset: 1 },
      ],
    });
    expect(offline.headers["retry-after"]).toBeDefined();
    const alone = await server.post(`/v1/topics/${topic}/partitions/1/records`, { records: [{ value: 1 }] });
    expect(alone.json()).toMatchObject({
      status: 503,
      code: "KAFKA_STORAGE_ERROR",
      maybeAppended: false,
      retriable: true,
    });
  });

  test("internal topics and topics that are not there", async () => {
    expect((await toTopic("__consumer_offsets", { records: [{ value: 1 }] })).statusCode).toBeGreaterThanOrEqual(400);
    const auto = await TestServer.start({ autoCreateTopics: true });
    expect((await auto.post("/v1/topics/made-by-producing/records", { records: [{ value: 1 }] })).statusCode).toBe(200);
    await auto.stop();
  });
});

describe("octet-stream", () => {
  test("one record: the body, ?key=, and record-header- headers", async () => {
    const topic = await newTopic();
    const value = createHash("sha256").update("x").digest();
    const made = await toPartition(topic, value, { ...bytes, "record-header-trace": "abc" }, "?key=k%C3%BC");
    expect(made.json()).toMatchObject({ baseOffset: 0, lastOffset: 0 });
    const [record] = (await server.get(`/v1/topics/${topic}/records?valueFormat=base64`)).json().records;
    expect(record).toMatchObject({
      key: "kü",
      value: value.toString("base64"),
      headers: [{ key: "trace", value: "abc" }],
    });
  });

  test("an empty body is an empty value; without key= there is no key", async () => {
    const topic = await newTopic();
    await toPartition(topic, "", bytes);
    const [record] = (await server.get(`/v1/topics/${topic}/records?valueFormat=string`)).json().records;
    expect(record).toMatchObject({ key: null, value: "" });
  });

  test("options in the query", async () => {
    const topic = await newTopic(2);
    expect((await toPartition(topic, "a", bytes, "?acks=0")).statusCode).toBe(202);
    expect((await toPartition(topic, "b", bytes, "?expectedOffset=5")).statusCode).toBe(412);
    expect((await toPartition(topic, "b", bytes, "?valueFormat=json")).statusCode).toBe(400);
    expect((await toTopic(topic, "b", bytes, "?key=a&acks=all&timeoutMs=1000")).json().offsets).toHaveLength(1);
    expect((await toTopic(topic, "b", bytes, "?producerId=1")).statusCode).toBe(400);
    expect((await toPartition(topic, "b", bytes, "?producerId=1")).json()).toMatchObject({
      status: 400,
      path: "producerEpoch",
    });
  });
});

describe("record batches", () => {
  test("exactly one, appended as it is", async () => {
    const topic = await newTopic();
    const batch = batchOf("1", "2");
    expect((await toPartition(topic, batch, recordBatch)).json()).toMatchObject({ baseOffset: 0, lastOffset: 1 });
    const back = await server.get(`/v1/topics/${topic}/partitions/0/records`, {
      accept: "application/vnd.kafka.record-batch",
    });
    // All but base offset, length and leader epoch: those are outside the CRC.
    expect(back.rawPayload.subarray(16)).toEqual(batch.subarray(16));
  });

  test.each([
    ["a bad CRC", (batch: Buffer) => batch.fill(batch[70]! ^ 1, 70, 71), "CORRUPT_MESSAGE"],
    ["two batches", (batch: Buffer) => Buffer.concat([batch, batchOf("2")]), "INVALID_RECORD"],
    ["a cut batch", (batch: Buffer) => batch.subarray(0, -1), "CORRUPT_MESSAGE"],
    ["no bytes", () => Buffer.alloc(0), "INVALID_RECORD"],
    ["noise", () => Buffer.alloc(100, 7), "CORRUPT_MESSAGE"],
    ["another magic", (batch: Buffer) => batch.fill(1, 16, 17), "INVALID_RECORD"],
  ])("%s is 400 and changes nothing", async (_what, change, code) => {
    const topic = await newTopic();
    const refused = await toPartition(topic, change(batchOf("first", "second")), recordBatch);
    expect(refused.json()).toMatchObject({ status: 400, code, maybeAppended: false });
    expect(await server.valuesOf(topic)).toEqual([]);
  });

  test("not on the topic route; expectedOffset in the query", async () => {
    const topic = await newTopic();
    expect((await toTopic(topic, batchOf("1"), recordBatch)).statusCode).toBe(415);
    expect((await toPartition(topic, batchOf("1"), recordBatch, "?expectedOffset=1")).statusCode).toBe(412);
    expect((await toPartition(topic, batchOf("1"), recordBatch, "?expectedOffset=0")).statusCode).toBe(200);
    expect((await toPartition(topic, batchOf("1"), recordBatch, "?producerId=1")).statusCode).toBe(400);
  });
});

describe("NDJSON", () => {
  const lines = (count: number, from = 0) =>
    Array.from({ length: count }, (_, at) => `{"value":${from + at}}\n`).join("");

  test("any number of lines, appended in chunks", async () => {
    const topic = await newTopic();
    expect((await toPartition(topic, lines(1200), ndjson)).json()).toEqual({ appended: 1200 });
    expect(await server.valuesOf(topic)).toEqual(Array.from({ length: 1200 }, (_, at) => at));
  });

  test("blank lines, CRLF, and no line break at the end", async () => {
    const topic = await newTopic();
    expect((await toPartition(topic, '\n{"value":1}\r\n\r\n{"value":2}', ndjson)).json()).toEqual({ appended: 2 });
    expect((await toPartition(topic, "", ndjson)).json()).toEqual({ appended: 0 });
    expect(await server.valuesOf(topic)).toEqual([1, 2]);
  });

  test("to a topic, by key", async () => {
    const topic = await newTopic(3);
    const body = Array.from({ length: 30 }, (_, at) => `{"key":"k${at % 5}","value":${at}}\n`).join("");
    expect((await toTopic(topic, body, ndjson)).json()).toEqual({ appended: 30 });
    const { records } = (await server.get(`/v1/topics/${topic}/records?maxRecords=1000`)).json();
    for (const { key, partition } of records) expect(partition).toBe(partitionForKey(Buffer.from(key), 3));
    expect(records).toHaveLength(30);
  });

  test("a bad line: what came before is in the log, and the answer says how much and which", async () => {
    const topic = await newTopic();
    for (const [bad, status] of [
      ["{bad", 400],
      ['{"key":1}', 400],
      ['{"value":1,"vlaue":2}', 400],
      ["x".repeat(3000), 413],
    ] as const) {
      const before = (await server.valuesOf(topic)).length;
      const refused = await toPartition(topic, `${lines(3)}${bad}\n${lines(2)}`, ndjson);
      expect(refused.json()).toMatchObject({ status, appended: 3, line: 4, maybeAppended: false });
      expect(await server.valuesOf(topic)).toHaveLength(before + 3);
    }
  });

  test("a chunk that cannot be appended: where, and nothing after it", async () => {
    const topic = await newTopic(2);
    const refused = await toTopic(topic, `${lines(2)}{"partition":9,"value":1}\n`, ndjson);
    expect(refused.json()).toMatchObject({ status: 404, appended: 0, line: 1 });
  });

  test("baseSequence counts from the first line; a repeat can skip ahead by expectedSequence", async () => {
    const topic = await newTopic();
    const query = (baseSequence: number) => `?producerId=9&producerEpoch=0&baseSequence=${baseSequence}`;
    expect((await toPartition(topic, lines(700), ndjson, query(0))).json()).toEqual({ appended: 700 });
    const repeated = await toPartition(topic, lines(900), ndjson, query(0));
    // The first 500 lines make the batch that is remembered; what follows them does not fit any.
    expect(repeated.json()).toMatchObject({
      status: 409,
      code: "OUT_OF_ORDER_SEQUENCE_NUMBER",
      expectedSequence: 700,
      maybeAppended: false,
    });
    expect((await toPartition(topic, lines(200, 700), ndjson, query(700))).json()).toEqual({ appended: 200 });
    expect(await server.valuesOf(topic)).toEqual(Array.from({ length: 900 }, (_, at) => at));
  });

  test("expectedOffset is for the first line", async () => {
    const topic = await newTopic();
    expect((await toPartition(topic, lines(600), ndjson, "?expectedOffset=1")).json()).toMatchObject({
      status: 412,
      appended: 0,
      line: 1,
    });
    expect((await toPartition(topic, lines(600), ndjson, "?expectedOffset=0")).json()).toEqual({ appended: 600 });
  });

  test("more than the largest body, and more than may be in flight", async () => {
    const topic = await newTopic();
    const line = `{"value":"${"x".repeat(1900)}"}\n`;
    const pieces = Array.from({ length: 100 }, () => Buffer.from(line.repeat(20)));
    const url = `/v1/topics/${topic}/partitions/0/records`;
    const answer = await server.ask({ method: "POST", url, headers: ndjson, payload: Readable.from(pieces) });
    expect(answer.json()).toEqual({ appended: 2000 });
  });

  test("acks 0", async () => {
    const topic = await newTopic();
    const answer = await toPartition(topic, lines(3), ndjson, "?acks=0");
    expect(answer.statusCode).toBe(202);
    expect(answer.json()).toEqual({});
  });

  test("formats are in the query", async () => {
    const topic = await newTopic();
    expect(
      (await toPartition(topic, '{"key":"YQ==","value":"text"}', ndjson, "?keyFormat=base64&valueFormat=string"))
        .statusCode,
    ).toBe(200);
    const [record] = (await server.get(`/v1/topics/${topic}/records?valueFormat=string`)).json().records;
    expect(record).toMatchObject({ key: "a", value: "text" });
    expect((await toPartition(topic, lines(1), ndjson, "?key=a")).statusCode).toBe(400);
  });
});

describe("bytes in flight", () => {
  test("are bounded over all requests: refused before the body is read", async () => {
    const small = await TestServer.start({ requestBytesInFlightMax: 1_048_576, maxBodyBytes: 1_048_576 });
    await small.createTopic("t");
    // Held by a body that says its length and does not come.
    const waiting = small.http.app.inject({
      method: "POST",
      url: "/v1/topics/t/records",
      headers: { ...json, "content-length": "1000000" },
      payload: endless(),
    });
    await new Promise((resolve) => setImmediate(resolve));
    const refused = await small.post("/v1/topics/t/records", { records: [{ value: "x".repeat(100_000) }] });
    expect(refused.json()).toMatchObject({
      status: 429,
      code: "THROTTLING_QUOTA_EXCEEDED",
      maybeAppended: false,
      retriable: true,
      limit: { name: "requestBytesInFlightMax" },
    });
    expect(refused.headers["retry-after"]).toBeDefined();
    await small.clock.advance(20_000);
    expect((await waiting).json()).toMatchObject({
      status: 400,
      limit: { name: "requestIdleMs", value: 10_000 },
      maybeAppended: false,
    });
    expect((await small.post("/v1/topics/t/records", { records: [{ value: "x".repeat(100_000) }] })).statusCode).toBe(
      200,
    );
    await small.stop();
  });
});

/** A body that begins and never ends. */
function endless(): Readable {
  return new Readable({ read() {} });
}

test("nothing above was a bug", () => expect(server.errors.filter((fields) => "requestId" in fields)).toEqual([]));
