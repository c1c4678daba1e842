import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeMsgpack } from "../../src/http/formats/msgpack-writer.ts";
import { json, msgpack, TestServer, unpack } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());

describe("create", () => {
  test("201 with a relative Location and the topic as described", async () => {
    const created = await server.post("/v1/topics", {
      name: "made",
      partitionCount: 2,
      config: { "retention.ms": 1000 },
    });
    expect(created.statusCode).toBe(201);
    expect(created.headers.location).toBe("/v1/topics/made");
    expect(created.json()).toMatchObject({
      name: "made",
      partitionCount: 2,
      internal: false,
      config: { "retention.ms": 1000 },
    });
    const described = await server.get("/v1/topics/made");
    expect(described.json()).toEqual(created.json());
    expect(described.json().effectiveConfig).toMatchObject({ "retention.ms": 1000, "flush.messages": 1 });
    expect(described.json().partitions).toHaveLength(2);
    expect(described.json().partitions[1]).toMatchObject({
      partition: 1,
      logStartOffset: 0,
      highWatermark: 0,
      logEndOffset: 0,
    });
  });

  test("one partition by default", async () => {
    expect((await server.post("/v1/topics", { name: "plain" })).json()).toMatchObject({ partitionCount: 1 });
  });

  test("may be repeated: 200 with the topic", async () => {
    await server.createTopic("again", 2);
    const repeated = await server.post("/v1/topics", { name: "again", partitionCount: 2 });
    expect(repeated.statusCode).toBe(200);
    expect(repeated.headers.location).toBeUndefined();
    expect((await server.post("/v1/topics", { name: "again" })).statusCode).toBe(200);
  });

  test("409 with the differences when it exists and differs", async () => {
    await server.createTopic("other", 2);
    const refused = await server.post("/v1/topics", { name: "other", partitionCount: 3 });
    expect(refused.statusCode).toBe(409);
    expect(refused.json()).toMatchObject({ code: "TOPIC_ALREADY_EXISTS", retriable: false });
    expect(refused.json().differences).toBeDefined();
  });

  test.each(["", ".", "..", "a/b", "a b", "a\u0000b", "ü", "x".repeat(250), "../../etc"])(
    "the name %j is 400",
    async (name) => {
      const refused = await server.post("/v1/topics", { name });
      expect(refused.statusCode).toBe(400);
      expect(refused.json().code).toBe("INVALID_TOPIC_EXCEPTION");
    },
  );

  test("a name of 249 bytes is a name, in paths too", async () => {
    const name = "x".repeat(249);
    expect((await server.post("/v1/topics", { name })).statusCode).toBe(201);
    expect((await server.get(`/v1/topics/${name}`)).statusCode).toBe(200);
    expect((await server.ask({ method: "DELETE", url: `/v1/topics/${name}` })).statusCode).toBe(204);
  });

  test("an unknown config is 400 INVALID_CONFIG", async () => {
    const refused = await server.post("/v1/topics", { name: "odd", config: { "retention.msec": 1 } });
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_CONFIG" });
  });

  test("numbers may be strings in configs", async () => {
    const created = await server.post("/v1/topics", { name: "text", config: { "retention.ms": "1000" } });
    expect(created.json().effectiveConfig["retention.ms"]).toBe(1000);
  });

  test("more replicas than brokers is 503, never fewer than asked", async () => {
    const refused = await server.post("/v1/topics", { name: "three", replicationFactor: 3 });
    expect(refused.json()).toMatchObject({
      status: 503,
      code: "INVALID_REPLICATION_FACTOR",
      available: 1,
      retriable: true,
    });
    expect(refused.headers["retry-after"]).toBeDefined();
  });

  test("unknown fields are refused with the nearest known name", async () => {
    const refused = await server.post("/v1/topics", { name: "typo", partitonCount: 3 });
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST", unknown: ["partitonCount"] });
    expect(refused.json().detail).toContain("partitionCount");
    expect((await server.get("/v1/topics/typo")).statusCode).toBe(404);
  });

  test.each([
    [{ name: 5 }, "name"],
    [{ name: null }, "name"],
    [{ name: "a", partitionCount: "5" }, "partitionCount"],
    [{ name: "a", partitionCount: 1.5 }, "partitionCount"],
    [{ name: "a", config: [] }, "config"],
    [{ name: "a", config: { "retention.ms": null } }, "config.retention.ms"],
    [{}, "name"],
  ])("%j is refused, nothing is coerced", async (body, path) => {
    const refused = await server.post("/v1/topics", body);
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST", path });
  });

  test.each([
    ['{"name":"whole","partitionCount":1.0}', "partitionCount"],
    ['{"name":"whole","config":{"retention.ms":1e6}}', "config.retention.ms"],
    ['{"name":"whole","name":"other"}', "name"],
  ])("%s is refused, nothing is guessed", async (body, path) => {
    const refused = await server.post("/v1/topics", body);
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST", path });
  });

  test("a body that is no object is refused", async () => {
    for (const body of ["[]", "null", "5", '"x"']) {
      expect((await server.post("/v1/topics", body)).json()).toMatchObject({ status: 400, code: "INVALID_REQUEST" });
    }
  });

  test("__proto__ is an unknown field like any other", async () => {
    const refused = await server.post("/v1/topics", '{"name":"p","__proto__":{"partitionCount":3}}');
    expect(refused.json()).toMatchObject({ status: 400, unknown: ["__proto__"] });
  });

  test("msgpack both ways", async () => {
    const payload = encodeMsgpack({ name: "packed", partitionCount: 3 });
    const created = await server.post("/v1/topics", payload, { ...msgpack, accept: "application/msgpack" });
    expect(created.statusCode).toBe(201);
    expect(created.headers["content-type"]).toBe("application/msgpack");
    expect(unpack(created.rawPayload)).toMatchObject({ name: "packed", partitionCount: 3 });
  });
});

test.each(["%2e%2e%2fetc", "a%2fb", "a%00b", "%c3%a4", "a%20b", "x".repeat(250), "x".repeat(15_000)])(
  "no topic can have the name %s: in a path it is 404, whatever is asked",
  async (name) => {
    const before = await server.logEnds();
    const topic = `/v1/topics/${name}`;
    const body = JSON.stringify({ records: [{ value: 1 }] });
    const asked = [
      { method: "GET", url: topic },
      { method: "DELETE", url: topic },
      { method: "PATCH", url: topic, headers: json, payload: "{}" },
      { method: "GET", url: `${topic}/offsets` },
      { method: "GET", url: `${topic}/records` },
      { method: "GET", url: `${topic}/partitions/0/records` },
      { method: "GET", url: `${topic}/partitions/0/producers` },
      { method: "DELETE", url: `${topic}/partitions/0/records?before=0` },
      { method: "POST", url: `${topic}/records`, headers: json, payload: body },
      { method: "POST", url: `${topic}/partitions/0/records`, headers: json, payload: body },
    ] as const;
    for (const options of asked) {
      expect((await server.ask(options)).json()).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" });
    }
    expect(await server.logEnds()).toBe(before);
  },
);

describe("alter", () => {
  const patch = (name: string, body: object) =>
    server.ask({ method: "PATCH", url: `/v1/topics/${name}`, headers: json, payload: JSON.stringify(body) });

  test("sets configs and adds partitions; null restores a default", async () => {
    await server.createTopic("alter", 1, { "retention.ms": 5000, "segment.bytes": 1_000_000 });
    const altered = await patch("alter", { partitionCount: 3, config: { "retention.ms": null } });
    expect(altered.json()).toMatchObject({ partitionCount: 3, config: { "segment.bytes": 1_000_000 } });
    expect(altered.json().config["retention.ms"]).toBeUndefined();
    expect(altered.json().partitions).toHaveLength(3);
  });

  test("fewer partitions is 400", async () => {
    await server.createTopic("shrink", 3);
    expect((await patch("shrink", { partitionCount: 2 })).statusCode).toBe(400);
    expect((await server.get("/v1/topics/shrink")).json().partitionCount).toBe(3);
  });

  test("unknown topic is 404", async () => {
    expect((await patch("nowhere", {})).json()).toMatchObject({ status: 404, code: "UNKNOWN_TOPIC_OR_PARTITION" });
  });
});

describe("delete", () => {
  test("204 without a body; the name is free at once", async () => {
    await server.createTopic("gone");
    const { topicId } = (await server.get("/v1/topics/gone")).json();
    const deleted = await server.ask({ method: "DELETE", url: "/v1/topics/gone" });
    expect(deleted.statusCode).toBe(204);
    expect(deleted.body).toBe("");
    expect((await server.get("/v1/topics/gone")).statusCode).toBe(404);
    await server.createTopic("gone");
    expect((await server.get("/v1/topics/gone")).json().topicId).not.toBe(topicId);
  });

  test("unknown topic is 404", async () => {
    expect((await server.ask({ method: "DELETE", url: "/v1/topics/nowhere" })).statusCode).toBe(404);
  });
});

describe("list", () => {
  test("sorted by name, by prefix, in pages", async () => {
    for (const name of ["list-b", "list-a", "list-c"]) await server.createTopic(name);
    const names = async (query: string) => {
      const { topics, next } = (await server.get(`/v1/topics?prefix=list-${query}`)).json();
      return [topics.map(({ name }: { name: string }) => name), next];
    };
    expect(await names("")).toEqual([["list-a", "list-b", "list-c"], undefined]);
    const [first, next] = await names("&limit=2");
    expect(first).toEqual(["list-a", "list-b"]);
    expect(await names(`&limit=2&after=${next}`)).toEqual([["list-c"], undefined]);
  });

  test("internal topics are hidden unless asked for", async () => {
    expect((await server.get("/v1/topics?internal=true")).statusCode).toBe(200);
    expect((await server.get("/v1/topics?internal=perhaps")).statusCode).toBe(400);
  });

  test.each(["limit=0", "limit=x", "limit=1.5", "limit=-1", "limit=0x10", "limit=1e3"])("%s is 400", async (query) => {
    expect((await server.get(`/v1/topics?${query}`)).json()).toMatchObject({ status: 400, parameter: "limit" });
  });
});

describe("offsets", () => {
  test("where an expression points in every partition", async () => {
    await server.createTopic("at", 2);
    await server.produceNumbers("at", 1, 2, 3);
    const offsets = async (query: string) => (await server.get(`/v1/topics/at/offsets${query}`)).json().offsets;
    expect((await offsets("")).map(({ offset }: { offset: number }) => offset)).toEqual([3, 0]);
    const [zero, one] = await offsets("?at=earliest");
    expect(zero).toMatchObject({ partition: 0, offset: 0, logStartOffset: 0, highWatermark: 3, logEndOffset: 3 });
    expect(zero.timestamp).toBe(server.clock.nowMs());
    expect(one.timestamp).toBeNull();
    expect((await offsets("?at=-2")).map(({ offset }: { offset: number }) => offset)).toEqual([1, 0]);
    expect((await offsets(`?at=@${server.clock.nowMs() + 1}`))[0].offset).toBe(3);
    expect((await server.get("/v1/topics/at/offsets?at=soon")).statusCode).toBe(400);
    expect((await server.get("/v1/topics/nowhere/offsets")).statusCode).toBe(404);
  });

  test("@ with seconds is refused and says so", async () => {
    const refused = await server.get("/v1/topics/at/offsets?at=@1700000000");
    expect(refused.statusCode).toBe(400);
    expect(refused.json().detail).toContain("seconds?");
  });
});

describe("deleting records", () => {
  const remove = (query: string) =>
    server.ask({ method: "DELETE", url: `/v1/topics/cut/partitions/0/records${query}` });

  test("moves the log's start", async () => {
    await server.createTopic("cut");
    await server.produceNumbers("cut", 1, 2, 3, 4);
    expect((await remove("?before=2")).json()).toEqual({ logStartOffset: 2 });
    expect(await server.valuesOf("cut")).toEqual([3, 4]);
    const gone = await server.get("/v1/topics/cut/partitions/0/records?offset=0");
    expect(gone.json()).toMatchObject({
      status: 416,
      code: "OFFSET_OUT_OF_RANGE",
      logStartOffset: 2,
      highWatermark: 4,
      logEndOffset: 4,
    });
    expect((await remove("?before=5")).statusCode).toBe(416);
    expect((await remove("?before=latest")).json()).toEqual({ logStartOffset: 4 });
  });

  test.each(["", "?before=", "?before=-1", "?before=earliest", "?before=9007199254740992"])(
    "%s is 400",
    async (query) => {
      expect((await remove(query)).statusCode).toBe(400);
    },
  );
});
