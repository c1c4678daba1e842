import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { settled } from "../simulation/simulated-clock.ts";
import { StreamReader } from "./stream-reader.ts";
import { TestServer } from "./test-server.ts";

let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start();
  await server.createTopic("t");
  await server.produceNumbers("t", 0, 1, 2);
});
afterEach(async () => {
  await server.stop(); // ends every stream that is open
  expect(server.errors).toEqual([]);
});

const records = "/v1/topics/t/partitions/0/records";

async function events(url: string, headers: Record<string, string> = {}) {
  const response = await server.stream({ url, headers: { accept: "text/event-stream", ...headers } });
  const reader = new StreamReader(response.stream(), "\n\n");
  return { response, reader };
}
async function lines(url: string) {
  const response = await server.stream({ url, headers: { accept: "application/x-ndjson" } });
  const reader = new StreamReader(response.stream(), "\n");
  return { response, reader };
}
const values = (page: { records?: readonly { value: unknown }[] } | undefined) =>
  page?.records?.map(({ value }) => value);

describe("server-sent events", () => {
  test("headers: never stored, changed or buffered on the way", async () => {
    const { response } = await events(records, { "accept-encoding": "gzip" });
    expect(response.statusCode).toBe(200);
    expect(response.headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      "x-content-type-options": "nosniff",
      vary: "Accept, Origin",
    });
    expect(response.headers["content-encoding"]).toBeUndefined();
    expect(response.headers["x-request-id"]).toBeDefined();
  });

  test("retry first, then pages without an event name, with their nextOffset as id", async () => {
    const { reader } = await events(records);
    expect(await reader.event()).toEqual({ retry: 2000 });
    const first = await reader.event();
    expect(first).toMatchObject({
      id: "3",
      data: { topic: "t", partition: 0, nextOffset: 3, caughtUp: true, highWatermark: 3 },
    });
    expect(first?.event).toBeUndefined();
    expect(values(first?.data)).toEqual([0, 1, 2]);
    await server.produceNumbers("t", 3);
    expect(await reader.event()).toMatchObject({ id: "4", data: { records: [{ offset: 3, value: 3 }] } });
  });

  test("the first page comes at once, even if empty", async () => {
    const { reader } = await events(`${records}?offset=latest`);
    await reader.event();
    expect(await reader.event()).toMatchObject({ id: "3", data: { records: [], caughtUp: true } });
  });

  test("a comment every 15 s of silence", async () => {
    const { reader } = await events(`${records}?offset=latest`);
    await reader.event();
    await reader.event();
    const comment = reader.event();
    await server.clock.advance(15_000);
    expect(await comment).toEqual({ comment: true });
    const second = reader.event();
    await server.clock.advance(14_000);
    await server.produceNumbers("t", 9);
    expect(values((await second)?.data)).toEqual([9]);
  });

  test("Last-Event-ID wins over offset", async () => {
    const { reader } = await events(`${records}?offset=0`, { "last-event-id": "2" });
    await reader.event();
    expect(values((await reader.event())?.data)).toEqual([2]);
    const bad = await server.get(records, { accept: "text/event-stream", "last-event-id": "x" });
    expect(bad.statusCode).toBe(400);
  });

  test("several partitions: cursors as ids, which go on", async () => {
    await server.createTopic("m", 2);
    await server.post("/v1/topics/m/records", {
      records: [
        { partition: 0, value: 1 },
        { partition: 1, value: 2 },
      ],
    });
    const { reader } = await events("/v1/topics/m/records");
    await reader.event();
    const id = (await reader.event())!.id!;
    expect(id).toMatch(/\/0:1,1:1$/);
    await server.post("/v1/topics/m/records", { records: [{ partition: 1, value: 3 }] });
    const again = await events("/v1/topics/m/records", { "last-event-id": id });
    await again.reader.event();
    expect(values((await again.reader.event())?.data)).toEqual([3]);
  });

  test("until: ends there; nothing left before it is 204", async () => {
    const { reader } = await events(`${records}?until=5`);
    await reader.event();
    expect(values((await reader.event())?.data)).toEqual([0, 1, 2]);
    await server.produceNumbers("t", 3, 4, 5);
    const last = await reader.event();
    expect(last).toMatchObject({ id: "5" });
    expect(values(last?.data)).toEqual([3, 4]);
    expect(await reader.event()).toBeUndefined();
    const done = await server.get(`${records}?until=5`, { accept: "text/event-stream", "last-event-id": "5" });
    expect(done.statusCode).toBe(204);
    expect(done.body).toBe("");
  });

  test("maxRecords limits the whole stream", async () => {
    const { reader } = await events(`${records}?maxRecords=2`);
    await reader.event();
    expect(values((await reader.event())?.data)).toEqual([0, 1]);
    expect(await reader.event()).toBeUndefined();
  });

  test("line breaks in values do not break events", async () => {
    await server.post(records, '{"records":[{"value":{\n\n"a":\r\n1}}]}');
    const { reader } = await events(`${records}?offset=3`);
    await reader.event();
    expect(values((await reader.event())?.data)).toEqual([{ a: 1 }]);
  });

  test("what is refused at the start has its own status, unless it passes by itself", async () => {
    expect((await server.get(`${records}?offset=9`, { accept: "text/event-stream" })).json()).toMatchObject({
      status: 416,
    });
    expect((await server.get("/v1/topics/no/records", { accept: "text/event-stream" })).statusCode).toBe(404);
    await takeOffline("t");
    const { response, reader } = await events(records);
    expect(response.statusCode).toBe(200);
    const problem = await reader.event();
    expect(problem).toMatchObject({
      event: "problem",
      data: { status: 503, code: "KAFKA_STORAGE_ERROR", retriable: true },
    });
    expect(problem?.retry).toBeGreaterThan(0);
    expect(problem?.id).toBeUndefined();
    expect(await reader.event()).toBeUndefined();
  });

  test("a problem on the way is an event and ends the stream", async () => {
    const { reader } = await events(records);
    await reader.event();
    await reader.event();
    await server.ask({ method: "DELETE", url: "/v1/topics/t" });
    expect(await reader.event()).toMatchObject({
      event: "problem",
      data: { status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" },
    });
    expect(await reader.event()).toBeUndefined();
  });

  test("offsetReset is told in the page that used it", async () => {
    const { reader } = await events(`${records}?offset=9&offsetReset=earliest`);
    await reader.event();
    expect((await reader.event())?.data).toMatchObject({ reset: { from: 9, to: 0 }, nextOffset: 3 });
    await server.produceNumbers("t", 3);
    expect((await reader.event())?.data?.reset).toBeUndefined();
  });

  test("a Last-Event-ID that is none is refused by its name", async () => {
    const refused = await server.get(records, { accept: "text/event-stream", "last-event-id": "x" });
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST" });
    expect(refused.json().detail).toContain("Last-Event-ID");
  });

  test("what means nothing for a stream is refused", async () => {
    for (const query of ["waitMs=5", "minBytes=5", "follow=true"]) {
      expect((await server.get(`${records}?${query}`, { accept: "text/event-stream" })).statusCode).toBe(400);
    }
  });
});

describe("NDJSON that follows", () => {
  test("for ever, with an empty line every 15 s of silence", async () => {
    const { reader } = await lines(`${records}?follow=true&offset=1`);
    expect(JSON.parse((await reader.next())!)).toMatchObject({ offset: 1, value: 1 });
    expect(JSON.parse((await reader.next())!)).toMatchObject({ offset: 2 });
    const silence = reader.next();
    await server.clock.advance(15_000);
    expect(await silence).toBe("");
    await server.produceNumbers("t", 7);
    expect(JSON.parse((await reader.next())!)).toMatchObject({ value: 7 });
  });

  test("is broken off, not ended, when it cannot go on", async () => {
    const { reader } = await lines(`${records}?follow=true&offset=latest`);
    const next = reader.next();
    await settled();
    await server.ask({ method: "DELETE", url: "/v1/topics/t" });
    await expect(next).rejects.toThrow();
  });
});

describe("shutdown", () => {
  test("readiness goes first, waits end empty, streams are told where to go on", async () => {
    const { reader } = await events(`${records}?offset=latest`);
    await reader.event();
    await reader.event();
    const following = await lines(`${records}?follow=true&offset=latest`);
    const line = following.reader.next();
    const waiting = server.get(`${records}?offset=latest&waitMs=50000`);
    await settled();
    const stopped = server.http.stop(10_000);
    const page = await waiting;
    expect(page.json()).toMatchObject({ records: [], nextOffset: 3 });
    expect(page.headers.connection).toBe("close");
    const farewell = await reader.event();
    expect(farewell?.retry).toBeGreaterThanOrEqual(0);
    expect(farewell?.retry).toBeLessThanOrEqual(5000);
    expect(await reader.event()).toBeUndefined();
    await expect(line).rejects.toThrow();
    await stopped;
  });

  test("while it drains: not ready, produces are refused", async () => {
    server.broker.drain();
    expect((await server.get("/readyz?verbose=true")).json()).toEqual({
      ready: false,
      reasons: ["the broker is shutting down"],
    });
    const refused = await server.post(records, { records: [{ value: 1 }] });
    expect(refused.json()).toMatchObject({
      status: 503,
      code: "BROKER_SHUTTING_DOWN",
      maybeAppended: false,
      retriable: true,
    });
  });
});

/** The next sync of the topic's partition fails, and with it the partition. */
async function takeOffline(topic: string): Promise<void> {
  server.disk.failWhen((operation) => operation.kind === "sync" && operation.path.includes(`/${topic}-0/`), {
    code: "EIO",
  });
  const refused = await server.post(`/v1/topics/${topic}/partitions/0/records`, { records: [{ value: 1 }] });
  expect(refused.json()).toMatchObject({ status: 504, code: "KAFKA_STORAGE_ERROR", maybeAppended: true });
  server.errors.length = 0;
}
