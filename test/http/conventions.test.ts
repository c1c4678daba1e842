import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorCodes } from "../../src/protocol/error-codes.ts";
import { json, TestServer, unpack } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({
    allowedOrigins: ["https://app.example"],
    allowedHosts: ["db.internal"],
    maxBodyBytes: 65_536,
  });
  await server.createTopic("t", 2);
  await server.produceNumbers("t", 1, 2, 3);
});
afterAll(() => server.stop());

const records = "/v1/topics/t/partitions/0/records";

describe("every answer", () => {
  test.each(["/v1/topics", "/nowhere", records, "/livez", "/docs", "/metrics"])(
    "%s carries the headers for intermediaries",
    async (url) => {
      const { headers } = await server.get(url);
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers.vary).toBe("Accept, Origin");
    },
  );

  test("keeps the caller's x-request-id, if it is one", async () => {
    const id = "a".repeat(128);
    expect((await server.get("/livez", { "x-request-id": id })).headers["x-request-id"]).toBe(id);
    for (const bad of ["a".repeat(129), "a b", "ä"]) {
      const { headers } = await server.get("/livez", { "x-request-id": bad });
      expect(headers["x-request-id"]).toMatch(/^[\x21-\x7e]{1,128}$/);
      expect(headers["x-request-id"]).not.toBe(bad);
    }
    const one = (await server.get("/livez")).headers["x-request-id"];
    expect((await server.get("/livez")).headers["x-request-id"]).not.toBe(one);
  });

  test("a problem carries the same requestId", async () => {
    const refused = await server.get("/v1/topics/nowhere", { "x-request-id": "mine" });
    expect(refused.json().requestId).toBe("mine");
  });
});

describe("problems", () => {
  test("are RFC 9457, JSON whatever is accepted, and link to the code's row in /docs", async () => {
    const refused = await server.get("/v1/topics/nowhere", { accept: "application/msgpack" });
    expect(refused.statusCode).toBe(404);
    expect(refused.headers["content-type"]).toBe("application/problem+json");
    const problem = refused.json();
    expect(problem).toMatchObject({
      type: "/docs#UNKNOWN_TOPIC_OR_PARTITION",
      status: 404,
      code: "UNKNOWN_TOPIC_OR_PARTITION",
      retriable: false,
    });
    expect(problem.maybeAppended).toBeUndefined();
    const docs = await server.get("/docs");
    for (const code of Object.keys(errorCodes)) expect(docs.body).toContain(`id="${code}"`);
  });

  test("503 carries Retry-After and retryAfterMs, with jitter", async () => {
    const waits = new Set<number>();
    for (let times = 0; times < 5; times++) {
      const refused = await server.post("/v1/topics", { name: "three", replicationFactor: 3 });
      const { retryAfterMs } = refused.json();
      waits.add(retryAfterMs);
      expect(Number(refused.headers["retry-after"])).toBe(Math.ceil(retryAfterMs / 1000));
    }
    expect(waits.size).toBeGreaterThan(1);
  });

  test("an unknown route is 404, a known one with another method 405 with Allow", async () => {
    expect((await server.get("/v1/nothing")).json()).toMatchObject({ status: 404, code: "ROUTE_NOT_FOUND" });
    expect((await server.get("/v1/topics/")).statusCode).toBe(404);
    expect((await server.get("//v1/topics")).statusCode).toBe(404);
    const refused = await server.ask({ method: "PUT", url: "/v1/topics/t" });
    expect(refused.json()).toMatchObject({ status: 405, code: "METHOD_NOT_ALLOWED" });
    expect(refused.headers.allow).toBe("DELETE, GET, HEAD, PATCH");
    expect((await server.ask({ method: "DELETE", url: "/v1/cluster" })).headers.allow).toBe("GET, HEAD");
  });

  test("a method that nobody knows here is 405 too, whatever else is said", async () => {
    for (const method of ["PUT", "TRACE", "QUERY", "PROPFIND"] as const) {
      const headers = method === "PUT" ? { "content-type": "nonsense" } : {};
      const answer = await server.http.app.inject({ method: method as "PUT", url: "/v1/topics", headers });
      expect(answer.statusCode).toBe(405);
      expect(answer.headers.allow).toBe("GET, HEAD, POST");
    }
    expect(
      (await server.ask({ method: "PUT", url: "/nowhere", headers: { "content-type": "nonsense" } })).statusCode,
    ).toBe(404);
  });

  test("OPTIONS names the methods", async () => {
    const answer = await server.ask({ method: "OPTIONS", url: records });
    expect(answer.statusCode).toBe(204);
    expect(answer.headers.allow).toBe("DELETE, GET, HEAD, POST");
    expect((await server.http.app.inject({ method: "OPTIONS", url: "/nowhere" })).statusCode).toBe(404);
  });

  test("a path that is not percent-encoded UTF-8 is 400", async () => {
    for (const url of ["/v1/topics/%zz", "/v1/topics/%ff"]) {
      const refused = await server.get(url);
      expect(refused.statusCode).toBe(400);
      expect(refused.headers["cache-control"]).toBe("no-store");
    }
  });

  test("a name that cannot be is no topic", async () => {
    for (const name of ["..%2f..%2fetc", "a%00b", "x".repeat(250), "x".repeat(5000), "__proto__", "constructor"]) {
      expect((await server.get(`/v1/topics/${name}`)).statusCode).toBe(404);
      expect((await server.get(`/v1/topics/${name}/records`)).statusCode).toBe(404);
      expect((await server.ask({ method: "DELETE", url: `/v1/topics/${name}` })).statusCode).toBe(404);
    }
  });

  test("HEAD is GET without the body", async () => {
    const head = await server.ask({ method: "HEAD", url: "/v1/topics" });
    expect(head.statusCode).toBe(200);
    expect(head.body).toBe("");
  });
});

describe("queries", () => {
  test("an unknown parameter is refused with the nearest known one", async () => {
    const refused = await server.get(`${records}?maxRecord=3`);
    expect(refused.json()).toMatchObject({ status: 400, code: "INVALID_REQUEST", unknown: ["maxRecord"] });
    expect(refused.json().detail).toContain("maxRecords");
    expect((await server.get("/v1/cluster?a=1")).statusCode).toBe(400);
  });

  test("a parameter twice is refused", async () => {
    expect((await server.get(`${records}?offset=1&offset=2`)).json()).toMatchObject({
      status: 400,
      parameter: "offset",
    });
  });

  test("what is not percent-encoded UTF-8 is refused", async () => {
    expect((await server.get(`${records}?offset=%zz`)).statusCode).toBe(400);
    expect((await server.get(`${records}?offset=%ff`)).statusCode).toBe(400);
  });

  test.each(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"])(
    "%s is a precondition nobody implements: refused, not ignored",
    async (name) => {
      const refused = await server.ask({
        method: "POST",
        url: records,
        headers: { ...json, [name]: '"x"' },
        payload: '{"records":[{"value":9}]}',
      });
      expect(refused.json()).toMatchObject({ status: 400, unknown: [name], maybeAppended: false });
      expect(await server.valuesOf("t")).toEqual([1, 2, 3]);
    },
  );

  test("more than 100 headers are refused", async () => {
    const headers = Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`x-h${at}`, "1"]));
    expect((await server.get("/livez", headers)).json()).toMatchObject({
      status: 400,
      limit: { name: "requestHeadersMax", value: 100 },
    });
  });
});

describe("types", () => {
  test.each([
    ["text/plain", "curl --json"],
    ["application/x-www-form-urlencoded", "curl --json"],
    ["application/xml", "not taken"],
    ["application/json; charset=utf-16", "no content type"],
    ["nonsense", "no content type"],
    ["", ""],
  ])("a body of %j is 415 and says what is taken", async (contentType, hint) => {
    const refused = await server.ask({
      method: "POST",
      url: records,
      headers: { "content-type": contentType },
      payload: '{"records":[{"value":9}]}',
    });
    expect(refused.json()).toMatchObject({ status: 415, code: "UNSUPPORTED_MEDIA_TYPE", maybeAppended: false });
    expect(refused.json().detail).toContain(hint);
    expect(await server.valuesOf("t")).toEqual([1, 2, 3]);
  });

  test("a body without a content type is 415 with accepts", async () => {
    const refused = await server.ask({ method: "POST", url: "/v1/topics", payload: Buffer.from('{"name":"x"}') });
    expect(refused.json()).toMatchObject({ status: 415, accepts: ["application/json", "application/msgpack"] });
  });

  test("utf-8 may be said", async () => {
    const made = await server.post(
      "/v1/topics",
      { name: "utf8" },
      { "content-type": "application/json; charset=UTF-8" },
    );
    expect(made.statusCode).toBe(201);
  });

  test("Accept decides; what cannot be given is 406 and nothing is done", async () => {
    const refused = await server.post("/v1/topics", { name: "never" }, { ...json, accept: "text/html" });
    expect(refused.json()).toMatchObject({
      status: 406,
      code: "NOT_ACCEPTABLE",
      available: ["application/json", "application/msgpack"],
    });
    expect((await server.get("/v1/topics/never")).statusCode).toBe(404);
    const preferred = await server.get("/v1/cluster", { accept: "application/json;q=0.5, application/msgpack" });
    expect(unpack(preferred.rawPayload).version).toBe("0.0.0");
    const browser = await server.get("/v1/cluster", { accept: "text/html,application/xhtml+xml,*/*;q=0.8" });
    expect(browser.headers["content-type"]).toBe("application/json");
    expect((await server.get("/v1/cluster", { accept: "application/json;q=0, text/csv" })).statusCode).toBe(406);
  });

  test("gzip bodies are taken, limits count inflated bytes", async () => {
    const gzip = { ...json, "content-encoding": "gzip" };
    const made = await server.post("/v1/topics", gzipSync('{"name":"zipped"}'), gzip);
    expect(made.statusCode).toBe(201);
    const bomb = gzipSync(Buffer.alloc(1_000_000, 0x20));
    expect((await server.post("/v1/topics", bomb, gzip)).json()).toMatchObject({
      status: 413,
      limit: { name: "maxBodyBytes", value: 65_536 },
    });
    for (const broken of [Buffer.from("not gzip"), gzipSync('{"name":"cut"}').subarray(0, 20)]) {
      expect((await server.post("/v1/topics", broken, gzip)).json()).toMatchObject({
        status: 400,
        code: "MALFORMED_BODY",
      });
    }
    const other = await server.post("/v1/topics", '{"name":"br"}', { ...json, "content-encoding": "br" });
    expect(other.statusCode).toBe(415);
    expect(
      (await server.post("/v1/topics", '{"name":"identity"}', { ...json, "content-encoding": "identity" })).statusCode,
    ).toBe(201);
  });

  test("a page is gzip if the client asks for it by name", async () => {
    await server.createTopic("large");
    await server.post("/v1/topics/large/partitions/0/records", { records: [{ value: "x".repeat(5000) }] });
    const url = "/v1/topics/large/records";
    const zipped = await server.http.app.inject({ url, headers: { "accept-encoding": "br, gzip;q=0.5" } });
    expect(zipped.headers["content-encoding"]).toBe("gzip");
    expect(JSON.parse(gunzipSync(zipped.rawPayload).toString()).records).toHaveLength(1);
    for (const encoding of ["br", "gzip;q=0", "identity"]) {
      expect((await server.get(url, { "accept-encoding": encoding })).headers["content-encoding"]).toBeUndefined();
    }
  });

  test("a body beyond the limit is 413 before it is read", async () => {
    const refused = await server.post("/v1/topics", "x".repeat(65_537));
    expect(refused.json()).toMatchObject({
      status: 413,
      code: "PAYLOAD_TOO_LARGE",
      limit: { name: "maxBodyBytes", value: 65_536 },
    });
    const exact = `{"name":"exact"${" ".repeat(65_536 - 16)}}`;
    expect(exact).toHaveLength(65_536);
    expect((await server.post("/v1/topics", exact)).statusCode).toBe(201);
  });
});

describe("browsers", () => {
  const ask = (headers: Record<string, string>, method: "GET" | "POST" | "OPTIONS" = "GET") =>
    server.ask({
      method,
      url: method === "POST" ? "/v1/topics" : "/v1/cluster",
      headers,
      ...(method === "POST" ? { payload: '{"name":"evil"}' } : {}),
    });

  test("the broker's own origin may, others not, before anything is done", async () => {
    expect((await ask({ origin: "http://localhost:8082", host: "localhost:8082" })).statusCode).toBe(200);
    expect((await ask({ origin: "http://LOCALHOST", host: "localhost:80" })).statusCode).toBe(200);
    for (const origin of [
      "http://localhost:8083",
      "https://evil.example",
      "null",
      "",
      "file://",
      "http://localhost:8082.evil.example",
    ]) {
      const refused = await ask({ ...json, origin, host: "localhost:8082" }, "POST");
      expect(refused.json()).toMatchObject({ status: 403, code: "ORIGIN_NOT_ALLOWED" });
      expect(refused.headers["access-control-allow-origin"]).toBeUndefined();
    }
    expect((await server.get("/v1/topics/evil")).statusCode).toBe(404);
  });

  test("allowed origins get CORS", async () => {
    const answer = await ask({ origin: "https://app.example" });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers["access-control-allow-origin"]).toBe("https://app.example");
    const exposed = String(answer.headers["access-control-expose-headers"]);
    for (const name of [
      "next-offset",
      "high-watermark",
      "log-start-offset",
      "location",
      "retry-after",
      "x-request-id",
    ]) {
      expect(exposed).toContain(name);
    }
    expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
    const refused = await server.get("/v1/topics/nowhere", { origin: "https://app.example" });
    expect(refused.headers["access-control-allow-origin"]).toBe("https://app.example");
  });

  test("preflight", async () => {
    const headers = {
      origin: "https://app.example",
      "access-control-request-method": "GET",
      "access-control-request-headers": "content-type,idempotency-key",
    };
    const allowed = await ask(headers, "OPTIONS");
    expect(allowed.statusCode).toBe(204);
    expect(allowed.headers["access-control-allow-methods"]).toContain("GET");
    expect(allowed.headers["access-control-allow-headers"]).toBe("content-type,idempotency-key");
    expect((await ask({ ...headers, origin: "https://evil.example" }, "OPTIONS")).statusCode).toBe(403);
  });

  test.each([
    "localhost",
    "localhost:8082",
    "127.0.0.1:8082",
    "127.8.8.8",
    "[::1]:8082",
    "db.internal:8082",
    "x.localhost",
  ])("the Host %s is served on a loopback listener", async (host) => {
    expect((await ask({ host })).statusCode).toBe(200);
  });

  test.each(["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8082", "10.0.0.1", "1270.0.0.1"])(
    "the Host %s is not",
    async (host) => {
      expect((await ask({ host })).json()).toMatchObject({ status: 403, code: "HOST_NOT_ALLOWED" });
    },
  );
});

describe("a listener for others", () => {
  test("serves any Host", async () => {
    const open = await TestServer.start({ listen: "0.0.0.0:0" });
    expect((await open.get("/livez", { host: "broker.example" })).statusCode).toBe(200);
    await open.stop();
  });
});

describe("operation", () => {
  test("the discovery document", async () => {
    const { clusterId, features, brokers, limits } = (await server.get("/v1/cluster")).json();
    expect(clusterId).toHaveLength(22);
    expect(features).toContain("idempotency-key");
    expect(brokers).toHaveLength(1);
    expect(limits).toMatchObject({
      maxBodyBytes: 65_536,
      maxPageBytes: 16_777_216,
      maxWaitMs: 55_000,
      maxPartitionsPerRead: 256,
      idempotencyWindowMs: 600_000,
    });
    // What a topic's max.message.bytes may be.
    const config = (value: number) => ({ config: { "max.message.bytes": value } });
    const made = await server.post("/v1/topics", { name: "largest", ...config(limits.maxRecordBytes) });
    expect(made.statusCode).toBe(201);
    const beyond = await server.post("/v1/topics", { name: "larger", ...config(limits.maxRecordBytes + 1) });
    expect(beyond.json()).toMatchObject({ status: 400, code: "INVALID_CONFIG" });
  });

  test("livez, readyz, and why", async () => {
    expect((await server.get("/livez")).json()).toEqual({ live: true });
    expect((await server.get("/readyz")).json()).toEqual({ ready: true });
    expect((await server.get("/readyz?verbose")).json()).toEqual({ ready: true, reasons: [] });
  });

  test("metrics in the text format, by operation and code", async () => {
    const { headers, body } = await server.get("/metrics", {
      accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1",
    });
    expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(body).toMatch(/millrace_requests_total\{api="createTopic",code="201"\} \d+/);
    expect(body).toContain('millrace_records_produced_total{topic="t"} 3');
    expect(body).toContain("millrace_requests_in_flight 1");
    expect(body).toContain("nodejs_eventloop_lag_seconds");
  });

  test("a deleted topic's series go", async () => {
    await server.createTopic("counted");
    await server.produceNumbers("counted", 1);
    expect((await server.get("/metrics")).body).toContain('topic="counted"');
    await server.ask({ method: "DELETE", url: "/v1/topics/counted" });
    expect((await server.get("/metrics")).body).not.toContain('topic="counted"');
  });

  test("/docs loads nothing from elsewhere", async () => {
    const { headers, body } = await server.get("/docs");
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
    expect(body).not.toMatch(/<script|src=|url\(/);
  });
});

test("nothing above was a bug", () => expect(server.errors).toEqual([]));
