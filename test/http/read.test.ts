import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { json, ndjson, TestServer, unpack } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  await server.createTopic("one");
  for (const start of [0, 5]) await server.produceNumbers("one", ...[0, 1, 2, 3, 4].map((n) => start + n));
  await server.createTopic("many", 3);
  for (let partition = 0; partition < 3; partition++) {
    const records = Array.from({ length: 4 }, (_, n) => ({ partition, value: partition * 10 + n }));
    await server.post("/v1/topics/many/records", { records });
  }
});
afterAll(() => server.stop());

const one = "/v1/topics/one/partitions/0/records";
const many = "/v1/topics/many/records";
const numbers = (page: { records: { value: number }[] }) => page.records.map(({ value }) => value);
const recordBatch = { accept: "application/vnd.kafka.record-batch" };

describe("a page of one partition", () => {
  test("begins at the earliest by default and says where to go on", async () => {
    const answer = await server.get(one);
    const page = answer.json();
    expect(page).toMatchObject({
      topic: "one",
      partition: 0,
      nextOffset: 10,
      caughtUp: true,
      logStartOffset: 0,
      highWatermark: 10,
    });
    expect(numbers(page)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(page.records[3]).toEqual({ offset: 3, timestamp: server.clock.nowMs(), key: null, value: 3 });
    expect(answer.headers).toMatchObject({ "next-offset": "10", "high-watermark": "10", "log-start-offset": "0" });
    expect(page.reset).toBeUndefined();
  });

  test.each([
    ["offset=3", [3, 4, 5, 6, 7, 8, 9]],
    ["offset=latest", []],
    ["offset=-2", [8, 9]],
    ["offset=-100", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["offset=@2026-01-01T00:00:00Z", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["offset=@2126-01-01T00:00:00Z", []],
    ["offset=2&until=4", [2, 3]],
    ["offset=2&until=2", []],
    ["until=-3", [0, 1, 2, 3, 4, 5, 6]],
    ["offset=-3&until=latest", [7, 8, 9]],
    ["offset=4&maxRecords=3", [4, 5, 6]],
    ["offset=4&maxBytes=1", [4]],
  ])("%s", async (query, expected) => {
    const answer = await server.get(`${one}?${query}`);
    expect(numbers(answer.json())).toEqual(expected);
    expect(answer.headers["next-offset"]).toBe(String(answer.json().nextOffset));
  });

  test("following nextOffset reads everything once", async () => {
    const read: number[] = [];
    let next = 0;
    for (let pages = 0; pages < 20; pages++) {
      const page = (await server.get(`${one}?offset=${next}&maxRecords=3`)).json();
      read.push(...numbers(page));
      next = page.nextOffset;
      expect(page.caughtUp).toBe(next === 10);
      if (page.caughtUp) break;
    }
    expect(read).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test.each([
    "-0",
    "x",
    "1.5",
    "1e3",
    "0x1",
    "9007199254740992",
    "01",
    "",
    "@",
    "@1700000000",
    "@2026-13-01T00:00:00Z",
    "0:1",
    "latest ",
    "-x",
  ])("offset=%s is 400", async (offset) => {
    const refused = await server.get(`${one}?offset=${encodeURIComponent(offset)}`);
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST", parameter: "offset" });
  });

  test.each([
    "maxRecords=0",
    "maxRecords=-1",
    "maxBytes=0",
    "maxBytes=17000000",
    "waitMs=-1",
    "minBytes=x",
    "keyFormat=hex",
    "offsetReset=none",
    "follow=true",
    "partitions=0",
  ])("%s is 400", async (query) => {
    expect((await server.get(`${one}?${query}`)).statusCode).toBe(400);
  });

  test("a page above the limit names it", async () => {
    expect((await server.get(`${one}?maxBytes=16777217`)).json().limit).toEqual({
      name: "maxPageBytes",
      value: 16_777_216,
    });
  });

  test("outside the log is 416 with where the log is", async () => {
    const refused = await server.get(`${one}?offset=11`);
    expect(refused.json()).toMatchObject({
      status: 416,
      code: "OFFSET_OUT_OF_RANGE",
      logStartOffset: 0,
      highWatermark: 10,
      logEndOffset: 10,
    });
    expect((await server.get(`${one}?offset=10`)).json()).toMatchObject({
      records: [],
      nextOffset: 10,
      caughtUp: true,
    });
    expect((await server.get(`${one}?offset=9007199254740991`)).statusCode).toBe(416);
  });

  test("offsetReset goes on elsewhere and says so", async () => {
    const earliest = (await server.get(`${one}?offset=99&offsetReset=earliest&maxRecords=1`)).json();
    expect(earliest).toMatchObject({ reset: { from: 99, to: 0 }, nextOffset: 1 });
    const latest = (await server.get(`${one}?offset=99&offsetReset=latest`)).json();
    expect(latest).toMatchObject({ reset: { from: 99, to: 10 }, nextOffset: 10, records: [] });
    expect((await server.get(`${one}?offset=3&offsetReset=latest`)).json().reset).toBeUndefined();
  });

  test("unknown topic and partition are 404", async () => {
    for (const url of [
      "/v1/topics/nowhere/records",
      "/v1/topics/nowhere/partitions/0/records",
      "/v1/topics/one/partitions/1/records",
    ]) {
      expect((await server.get(url)).json()).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" });
    }
  });

  test("msgpack: offsets as integers, no formats", async () => {
    const page = unpack((await server.get(one, { accept: "application/msgpack" })).rawPayload);
    expect(page).toMatchObject({ topic: "one", partition: 0, nextOffset: 10, caughtUp: true });
    expect(page.records[2]).toMatchObject({ offset: 2, key: null, value: Buffer.from("2") });
    expect((await server.get(`${one}?valueFormat=json`, { accept: "application/msgpack" })).statusCode).toBe(400);
  });

  test("bytes that do not fit the asked format name the one that was used", async () => {
    await server.createTopic("formats");
    for (const value of [Buffer.from("text"), Buffer.from([0xff, 0]), Buffer.from('{"a":1}'), Buffer.from("null")]) {
      await server.post("/v1/topics/formats/records", value, { "content-type": "application/octet-stream" });
    }
    const shown = async (format: string) =>
      (await server.get(`/v1/topics/formats/records?valueFormat=${format}`))
        .json()
        .records.map((r: { value: unknown; valueFormat?: string }) => [r.value, r.valueFormat]);
    expect(await shown("json")).toEqual([
      ["text", "string"],
      ["/wA=", "base64"],
      [{ a: 1 }, undefined],
      ["null", "string"],
    ]);
    expect(await shown("string")).toEqual([
      ["text", undefined],
      ["/wA=", "base64"],
      ['{"a":1}', undefined],
      ["null", undefined],
    ]);
  });
});

describe("waiting", () => {
  test("a page waits for records and comes as soon as there are", async () => {
    await server.createTopic("wait");
    const waiting = server.get("/v1/topics/wait/partitions/0/records?offset=latest&waitMs=30000");
    await server.clock.advance(1000);
    await server.produceNumbers("wait", 7);
    expect(numbers((await waiting).json())).toEqual([7]);
  });

  test("without any it comes empty after waitMs, which is lowered to the limit", async () => {
    let answered = false;
    const waiting = server.get(`${one}?offset=latest&waitMs=99999999`).then((answer) => {
      answered = true;
      return answer.json();
    });
    await server.clock.advance(54_000);
    expect(answered).toBe(false);
    await server.clock.advance(2_000);
    expect(await waiting).toMatchObject({ records: [], nextOffset: 10, caughtUp: true });
  });

  test("minBytes is waited for", async () => {
    await server.createTopic("min");
    const waiting = server.get("/v1/topics/min/partitions/0/records?minBytes=200&waitMs=30000");
    for (const n of [1, 2, 3, 4]) await server.produceNumbers("min", n);
    expect(numbers((await waiting).json()).length).toBeGreaterThan(1);
  });

  test("a page of several partitions waits for any of them", async () => {
    await server.createTopic("any", 3);
    const waiting = server.get("/v1/topics/any/records?waitMs=30000");
    await server.post("/v1/topics/any/partitions/2/records", { records: [{ value: 5 }] });
    expect((await waiting).json().records).toMatchObject([{ partition: 2, value: 5 }]);
  });

  test("a deleted topic ends the wait", async () => {
    await server.createTopic("doomed");
    const waiting = server.get("/v1/topics/doomed/records?waitMs=30000");
    await new Promise((resolve) => setImmediate(resolve));
    await server.ask({ method: "DELETE", url: "/v1/topics/doomed" });
    expect((await waiting).json()).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" });
  });
});

describe("several partitions", () => {
  test("records name theirs, nextOffset is a cursor that goes on", async () => {
    const answer = await server.get(many);
    const page = answer.json();
    expect(page.partition).toBeUndefined();
    expect(page.highWatermark).toBeUndefined();
    expect(page.caughtUp).toBe(true);
    expect(numbers(page).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]);
    for (const { partition, value } of page.records) expect(Math.floor(value / 10)).toBe(partition);
    expect(page.nextOffset).toMatch(/^[A-Za-z0-9_-]{8}\/0:4,1:4,2:4$/);
    expect(answer.headers["next-offset"]).toBe(page.nextOffset);
    expect((await server.get(`${many}?offset=${encodeURIComponent(page.nextOffset)}`)).json().records).toEqual([]);
  });

  test("partitions= chooses; a number fits one of them", async () => {
    expect(numbers((await server.get(`${many}?partitions=1`)).json())).toEqual([10, 11, 12, 13]);
    expect(numbers((await server.get(`${many}?partitions=1&offset=2`)).json())).toEqual([12, 13]);
    expect((await server.get(`${many}?offset=2`)).json()).toMatchObject({ status: 400, parameter: "offset" });
    expect(new Set(numbers((await server.get(`${many}?partitions=0,2&offset=-1`)).json()))).toEqual(new Set([3, 23]));
    for (const bad of ["", "x", "0,0", "-1", "0,", "1.5"])
      expect((await server.get(`${many}?partitions=${bad}`)).statusCode).toBe(400);
    expect((await server.get(`${many}?partitions=3`)).statusCode).toBe(404);
  });

  test("a partition that a cursor does not name begins at the earliest", async () => {
    expect(numbers((await server.get(`${many}?offset=0:3,2:4`)).json()).sort((a, b) => a - b)).toEqual([
      3, 10, 11, 12, 13,
    ]);
    expect((await server.get(`${many}?partitions=0&offset=1:3`)).statusCode).toBe(400);
    expect((await server.get(`${many}?offset=0:1,0:2`)).statusCode).toBe(400);
  });

  test("small pages read everything once, in order, and starve nobody", async () => {
    const read: { partition: number; value: number }[] = [];
    let next = "earliest";
    let pages = 0;
    for (; pages < 50; pages++) {
      const page = (await server.get(`${many}?maxRecords=4&offset=${encodeURIComponent(next)}`)).json();
      read.push(...page.records);
      next = page.nextOffset;
      if (pages === 0)
        expect(new Set(page.records.map(({ partition }: { partition: number }) => partition)).size).toBe(3);
      if (page.caughtUp) break;
    }
    for (const partition of [0, 1, 2]) {
      const values = read.filter((record) => record.partition === partition).map(({ value }) => value);
      expect(values).toEqual([0, 1, 2, 3].map((n) => partition * 10 + n));
    }
  });

  test("a cursor of another topic is 416, unless there is an offsetReset", async () => {
    await server.createTopic("twin", 3);
    const { nextOffset } = (await server.get(many)).json();
    const query = `offset=${encodeURIComponent(nextOffset)}`;
    expect((await server.get(`/v1/topics/twin/records?${query}`)).json()).toMatchObject({
      status: 416,
      code: "OFFSET_OUT_OF_RANGE",
    });
    const reset = (await server.get(`/v1/topics/twin/records?${query}&offsetReset=earliest`)).json();
    expect(reset.reset.from).toBe(nextOffset);
    expect(reset.nextOffset).toMatch(/\/0:0,1:0,2:0$/);
  });

  test("at most 256", async () => {
    await server.createTopic("wide", 257);
    const refused = await server.get("/v1/topics/wide/records");
    expect(refused.json()).toMatchObject({ status: 400, limit: { name: "maxPartitionsPerRead", value: 256 } });
    const chosen = Array.from({ length: 256 }, (_, partition) => partition).join(",");
    expect((await server.get(`/v1/topics/wide/records?partitions=${chosen}`)).statusCode).toBe(200);
  });
});

describe("HEAD", () => {
  const head = (url: string) => server.ask({ method: "HEAD", url });

  test("gives the place alone, at once", async () => {
    const answer = await head(`${one}?offset=-3&waitMs=50000`);
    expect(answer.statusCode).toBe(200);
    expect(answer.body).toBe("");
    expect(answer.headers).toMatchObject({ "next-offset": "7", "high-watermark": "10", "log-start-offset": "0" });
    expect((await head(one)).headers["next-offset"]).toBe("0");
    expect((await head(`${one}?offset=latest`)).headers["next-offset"]).toBe("10");
    expect((await head(`${one}?offset=4`)).headers["next-offset"]).toBe("4");
    expect((await head(`${many}?offset=latest`)).headers["next-offset"]).toMatch(/\/0:4,1:4,2:4$/);
    expect((await head(`${one}?offset=11`)).statusCode).toBe(416);
    expect((await head(`${one}?offset=11&offsetReset=latest`)).headers["next-offset"]).toBe("10");
    expect((await head("/v1/topics/nowhere/records")).statusCode).toBe(404);
  });
});

describe("record batches", () => {
  test("whole stored batches, which may begin before offset", async () => {
    const answer = await server.get(`${one}?offset=7`, recordBatch);
    expect(answer.headers["content-type"]).toBe("application/vnd.kafka.record-batch");
    expect(answer.headers["next-offset"]).toBe("10");
    expect(readBatchHeader(viewOf(answer.rawPayload), 0)).toMatchObject({ baseOffset: 5, lastOffset: 9 });
  });

  test("maxRecords and until cut between batches", async () => {
    const short = await server.get(`${one}?maxRecords=1`, recordBatch);
    expect(short.headers["next-offset"]).toBe("5");
    expect(readBatchHeader(viewOf(short.rawPayload), 0).sizeBytes).toBe(short.rawPayload.length);
    const until = await server.get(`${one}?until=3`, recordBatch);
    expect(until.headers["next-offset"]).toBe("3");
    expect((await server.get(`${one}?offset=latest`, recordBatch)).rawPayload).toHaveLength(0);
  });

  test("one partition only; no formats", async () => {
    expect((await server.get(many, recordBatch)).statusCode).toBe(406);
    expect((await server.get(`${one}?valueFormat=json`, recordBatch)).statusCode).toBe(400);
  });
});

describe("NDJSON", () => {
  const read = (url: string) => server.get(url, { accept: "application/x-ndjson" });
  const values = (body: string) =>
    body
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line).value);

  test("one record a line to the end as it was at the start", async () => {
    const answer = await read(one);
    expect(answer.headers["content-type"]).toBe("application/x-ndjson");
    expect(values(answer.body)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(answer.body.endsWith("\n")).toBe(true);
    expect(values((await read(many)).body)).toHaveLength(12);
    expect((await read(`${one}?offset=latest`)).body).toBe("");
  });

  test("until, maxRecords; more than a page", async () => {
    expect(values((await read(`${one}?offset=2&until=5`)).body)).toEqual([2, 3, 4]);
    expect(values((await read(`${one}?maxRecords=3`)).body)).toEqual([0, 1, 2]);
    await server.createTopic("long");
    const body = Array.from({ length: 3000 }, (_, n) => `{"value":${n}}\n`).join("");
    await server.post("/v1/topics/long/records", gzipSync(body), { ...ndjson, "content-encoding": "gzip" });
    expect(values((await read("/v1/topics/long/records")).body)).toEqual(Array.from({ length: 3000 }, (_, n) => n));
  });

  test("line breaks in a value become spaces", async () => {
    await server.createTopic("breaks");
    await server.post("/v1/topics/breaks/records", '{"records":[{"value":{\n"a":\r\n1}}]}', json);
    const { body } = await read("/v1/topics/breaks/records");
    expect(body.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(body).value).toEqual({ a: 1 });
  });

  test("an explicit end is waited for", async () => {
    await server.createTopic("until");
    const waiting = read("/v1/topics/until/partitions/0/records?until=2");
    await server.produceNumbers("until", 1);
    await server.produceNumbers("until", 2);
    expect(values((await waiting).body)).toEqual([1, 2]);
  });

  test("what is refused at the start is an ordinary problem", async () => {
    expect((await read(`${one}?offset=99`)).json()).toMatchObject({ status: 416 });
    expect((await read(`${one}?waitMs=5`)).statusCode).toBe(400);
  });
});

test("nothing above was a bug", () => expect(server.errors).toEqual([]));
