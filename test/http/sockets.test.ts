// What only a real connection shows: slow, cut and smuggled requests, answers before the end of a body, clients that go away.
// Over loopback, with the broker's time in the test's hands.

import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { clientErrorAnswer } from "../../src/http/client-error.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { TestServer } from "./test-server.ts";

let server: TestServer;
let port: number;
const connections: Connection[] = [];

beforeEach(async () => {
  server = await TestServer.start({ listen: "127.0.0.1:0" });
  port = Number(new URL(await server.http.listen()).port);
  await server.createTopic("t");
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.socket.destroy();
  await server.stop();
  expect(server.errors).toEqual([]);
});

/** One connection, and all that came over it. */
class Connection {
  readonly socket: Socket;
  received = "";
  closed = false;
  reset = false;

  constructor() {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text: string) => {
      this.received += text;
    });
    this.socket.on("error", () => {
      this.reset = true;
    });
    this.socket.on("close", () => {
      this.closed = true;
    });
    connections.push(this);
  }

  send(text: string | Buffer): this {
    if (!this.socket.destroyed) this.socket.write(text);
    return this;
  }

  /** The body of the first answer. */
  get body(): Record<string, unknown> {
    return JSON.parse(this.received.slice(this.received.indexOf("\r\n\r\n") + 4)) as Record<string, unknown>;
  }
  get status(): number {
    return Number(this.received.slice(9, 12));
  }
}

/** Lets sockets do their work until something is so. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 4000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error("this never came to be");
    await settled();
  }
}

async function metric(name: string): Promise<number> {
  const { body } = await server.get("/metrics");
  return Number(new RegExp(`^${name.replace(/[{}"]/g, "\\$&")} (.*)$`, "m").exec(body)?.[1]);
}

const path = "/v1/topics/t/partitions/0/records";
const post = (headers: string) => `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n`;
const ends = () => server.logEnds();

describe("slow bodies", () => {
  test("a pause of 10 s is 400 with the limit; the rest is waited for 5 s and no longer", async () => {
    const connection = new Connection().send(`${post("content-type: application/json\r\ncontent-length: 100")}{"rec`);
    await until(async () => (await metric("millrace_request_bytes_in_flight")) === 100);
    await server.clock.advance(9_000);
    expect(connection.received).toBe("");
    await server.clock.advance(2_000);
    await until(() => connection.received.includes("requestIdleMs"));
    expect(connection.status).toBe(400);
    expect(connection.body).toMatchObject({
      code: "INVALID_REQUEST",
      maybeAppended: false,
      limit: { name: "requestIdleMs", value: 10_000 },
    });
    expect(connection.closed).toBe(false);
    await server.clock.advance(7_000);
    await until(() => connection.closed);
    expect(await metric("millrace_request_bytes_in_flight")).toBe(0);
    expect(await ends()).toBe("t-0:0");
  });

  test("a byte a second is cut when the whole takes too long", async () => {
    const connection = new Connection().send(`${post("content-type: application/json\r\ncontent-length: 1000")}{`);
    await until(async () => (await metric("millrace_request_bytes_in_flight")) === 1000);
    for (let second = 0; second < 33 && connection.received === ""; second++) {
      connection.send(" ");
      for (let turn = 0; turn < 5; turn++) await settled();
      await server.clock.advance(1_000);
    }
    await until(() => connection.received !== "");
    expect(connection.status).toBe(400);
    expect(connection.body).toMatchObject({ detail: expect.stringContaining("30000 ms") });
  });

  test("a body that is cut changes nothing", async () => {
    const cut = new Connection().send(
      `${post("content-type: application/json\r\ncontent-length: 1000")}{"records":[{"value":1}`,
    );
    await until(async () => (await metric("millrace_request_bytes_in_flight")) === 1000);
    cut.socket.destroy();
    await until(async () => (await metric("millrace_request_bytes_in_flight")) === 0);
    const half = new Connection().send(
      `${post("content-type: application/json\r\ntransfer-encoding: chunked")}17\r\n{"records":[{"value":1}\r\n`,
    );
    half.socket.end();
    await until(() => half.closed);
    expect(await ends()).toBe("t-0:0");
  });

  test("headers that take too long are never 408", () => {
    let text = "";
    const socket = { writable: true, end: (answer: string) => (text = answer), destroySoon() {}, destroy() {} };
    const error = Object.assign(new Error("late"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
    const context = { newRequestId: () => "id", random: { fraction: () => 0 } };
    clientErrorAnswer(
      error,
      socket as unknown as Socket,
      context as unknown as Parameters<typeof clientErrorAnswer>[2],
      undefined,
    );
    expect(text).toMatch(/^HTTP\/1.1 400 /);
    expect(text).toContain("connection: close");
    expect(text).toContain('"limit":{"name":"headersTimeoutMs"');
  });
});

describe("what is no legal request", () => {
  test.each([
    ["length and chunks", post("content-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked")],
    ["two lengths", post("content-type: application/json\r\ncontent-length: 5\r\ncontent-length: 6")],
    ["a negative length", post("content-length: -1")],
    ["an unknown coding", post("transfer-encoding: xchunked")],
    ["a folded header", post("x-a: b\r\n c")],
    ["bare line feeds", `POST ${path} HTTP/1.1\nHost: localhost\n\n`],
    ["a NUL in a header", post("x-a: b\0c")],
    ["no HTTP", "hello\r\n\r\n"],
    ["headers that are too large", post(`x-a: ${"x".repeat(17_000)}`)],
    ["a bad chunk size", `${post("content-type: application/json\r\ntransfer-encoding: chunked")}zz\r\n`],
  ])("%s: 400, a problem where nothing was answered yet, and the connection closes", async (_what, request) => {
    const connection = new Connection().send(`${request}GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => connection.closed);
    expect(connection.received).not.toContain('"live"');
    if (connection.received !== "") {
      expect(connection.status).toBe(400);
      expect(connection.received.toLowerCase()).toContain("connection: close");
    }
    expect(await ends()).toBe("t-0:0");
  });

  test("in the middle of a body of records: whether any may be in the log", async () => {
    const begun = (type: string) => post(`content-type: ${type}\r\ntransfer-encoding: chunked`);
    const lines = new Connection().send(`${begun("application/x-ndjson")}c\r\n{"value":1}\n\r\n`);
    await until(async () => {
      await server.clock.advance(20);
      return (await ends()) === "t-0:1";
    });
    lines.send("zz\r\n");
    await until(() => lines.closed);
    expect(lines.body).toMatchObject({ status: 400, code: "INVALID_REQUEST", maybeAppended: true });
    const whole = new Connection().send(`${begun("application/json")}1\r\n{\r\nzz\r\n`);
    await until(() => whole.closed);
    expect(whole.body).toMatchObject({ status: 400, code: "INVALID_REQUEST", maybeAppended: false });
    expect(await ends()).toBe("t-0:1");
  });

  test("behind a request that waits for its answer: nothing that could be taken for the answer", async () => {
    const wait = `GET ${path}?waitMs=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const connection = new Connection().send(wait);
    await until(async () => (await metric("millrace_requests_in_flight")) === 2);
    connection.send("nonsense\r\n\r\n");
    await until(() => connection.closed);
    expect(connection.received).toBe("");
  });

  test("no Host", async () => {
    const connection = new Connection().send("GET /livez HTTP/1.1\r\n\r\n");
    await until(() => connection.closed);
    expect(connection.status).toBe(400);
  });
});

describe("gzip bodies", () => {
  const begun = (type: string, length: number) =>
    post(`content-type: ${type}\r\ncontent-encoding: gzip\r\ncontent-length: ${length}`);

  test.each([
    ["application/json", '{"records":[{"value":1}]}', { baseOffset: 0 }],
    ["application/x-ndjson", '{"value":1}\n', { appended: 1 }],
  ])("%s", async (type, text, answer) => {
    const body = gzipSync(text);
    const connection = new Connection().send(begun(type, body.length)).send(body);
    await until(() => connection.received !== "");
    expect(connection.status).toBe(200);
    expect(connection.body).toMatchObject(answer);
  });

  test.each(["application/json", "application/x-ndjson"])(
    "%s that is not gzip, or is cut short, is 400",
    async (type) => {
      const text = type.endsWith("/json") ? '{"records":[{"value":1}]}' : '{"value":1}\n';
      for (const body of [Buffer.from("nope"), gzipSync(text).subarray(0, -10)]) {
        const connection = new Connection().send(begun(type, body.length)).send(body);
        await until(() => connection.received !== "");
        expect(connection.body).toMatchObject({ status: 400, code: "MALFORMED_BODY", maybeAppended: false });
      }
    },
  );

  test.each(["application/json", "application/x-ndjson"])(
    "%s whose client goes away leaves nothing behind",
    async (type) => {
      const connection = new Connection()
        .send(begun(type, 1000))
        .send(gzipSync('{"records":[{"value":1}]}').subarray(0, 20));
      await until(async () => (await metric("millrace_requests_in_flight")) === 2);
      connection.socket.destroy();
      await until(async () => (await metric("millrace_requests_in_flight")) === 1);
      expect(await metric("millrace_request_bytes_in_flight")).toBe(0);
      expect(await ends()).toBe("t-0:0");
    },
  );
});

describe("answers before the end of a body", () => {
  const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const ndjson = post("content-type: application/x-ndjson\r\ntransfer-encoding: chunked");

  test("lines are appended after 20 ms of silence, though the body goes on", async () => {
    const connection = new Connection().send(ndjson + chunk('{"value":1}\n{"val'));
    await until(async () => (await metric('millrace_streams{format="ndjson-produce"}')) === 1);
    await until(async () => {
      await server.clock.advance(20);
      return (await ends()) === "t-0:1";
    });
    connection.send(`${chunk('ue":2}\n')}0\r\n\r\n`);
    await until(() => connection.received !== "");
    expect(connection.body).toEqual({ appended: 2 });
  });

  test("silence between lines is fine, a line that was begun must end in 30 s", async () => {
    const connection = new Connection().send(ndjson + chunk('{"value":1}\n'));
    await until(async () => {
      await server.clock.advance(20);
      return (await ends()) === "t-0:1";
    });
    await server.clock.advance(3_600_000);
    expect(connection.received).toBe("");
    connection.send(chunk('{"value"'));
    await until(async () => (await metric("millrace_request_bytes_in_flight")) > 0);
    await server.clock.advance(32_000);
    await until(() => connection.received !== "");
    expect(connection.status).toBe(400);
    expect(connection.body).toMatchObject({ appended: 1, limit: { name: "ndjsonLineMs" }, maybeAppended: false });
  });

  test("the client sees why it failed while it still sends, and is cut 5 s later", async () => {
    const connection = new Connection().send(ndjson + chunk('{"value":1}\n{bad}\n'));
    await until(() => connection.received !== "");
    expect(connection.body).toMatchObject({ status: 400, appended: 1, line: 2 });
    for (let more = 0; more < 20; more++) connection.send(chunk(`{"value":${more}}\n`.repeat(1000)));
    for (let turn = 0; turn < 20; turn++) await settled();
    expect(connection.closed).toBe(false);
    await server.clock.advance(7_000);
    await until(() => connection.closed);
    expect(await ends()).toBe("t-0:1");
  });

  test("a body that ends in time leaves the connection to the next request", async () => {
    const connection = new Connection().send(`${ndjson}${chunk("{bad}\n")}`);
    await until(() => connection.received !== "");
    connection.send("0\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => connection.received.includes('"live":true'));
  });

  test("100 Continue is for those whose body is wanted", async () => {
    const body = '{"records":[{"value":1}]}';
    const wanted = new Connection().send(
      post(`content-type: application/json\r\ncontent-length: ${body.length}\r\nexpect: 100-continue`),
    );
    await until(() => wanted.received.startsWith("HTTP/1.1 100 "));
    wanted.send(body);
    await until(() => wanted.received.includes("HTTP/1.1 200 "));
    const large = new Connection().send(
      post("content-type: application/json\r\ncontent-length: 99999999\r\nexpect: 100-continue"),
    );
    await until(() => large.received !== "");
    expect(large.status).toBe(413);
    expect(large.received).not.toContain("HTTP/1.1 100");
  });

  test("on shutdown the answer says how many lines are in the log", async () => {
    const connection = new Connection().send(ndjson + chunk('{"value":1}\n{"value":2}\n'));
    await until(async () => {
      await server.clock.advance(20);
      return (await ends()) === "t-0:2";
    });
    const stopped = server.http.stop(5000);
    await until(() => connection.received !== "");
    expect(connection.status).toBe(503);
    expect(connection.body).toMatchObject({
      code: "BROKER_SHUTTING_DOWN",
      appended: 2,
      maybeAppended: false,
      retriable: true,
    });
    connection.socket.destroy();
    await stopped;
  });
});

describe("connections", () => {
  test("stay open for 75 s", async () => {
    const connection = new Connection().send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await until(() => connection.received.includes('"live"'));
    expect(connection.received).toContain("Keep-Alive: timeout=75");
  });

  test("1,000 pipelined requests are answered in order", async () => {
    const body = '{"records":[{"value":1}]}';
    const one = `${post(`content-type: application/json\r\ncontent-length: ${body.length}`)}${body}`;
    const connection = new Connection().send(one.repeat(1000));
    await until(() => connection.received.split('"baseOffset":').length === 1001);
    const offsets = [...connection.received.matchAll(/"baseOffset":(\d+)/g)].map(([, offset]) => Number(offset));
    expect(offsets).toEqual(Array.from({ length: 1000 }, (_, at) => at));
  });

  test("a client that goes away ends its wait", async () => {
    const before = server.clock.timersPending;
    const connection = new Connection().send(`GET ${path}?waitMs=50000 HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => server.clock.timersPending > before);
    connection.socket.destroy();
    await until(() => server.clock.timersPending === before);
  });

  test("a client that goes away ends its stream", async () => {
    const connection = new Connection().send(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`,
    );
    await until(() => connection.received.includes("data: "));
    expect(await metric('millrace_streams{format="sse"}')).toBe(1);
    connection.socket.destroy();
    await until(async () => (await metric('millrace_streams{format="sse"}')) === 0);
  });

  test("a client that does not read holds back the log, and then gets all of it", async () => {
    const value = "x".repeat(900_000);
    for (let n = 0; n < 20; n++) await server.post(path, { records: [{ key: String(n), value }] });
    const connection = new Connection();
    connection.socket.pause();
    connection.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n`);
    const out = () => metric('millrace_bytes_total{topic="t",direction="out"}');
    await until(async () => (await out()) > 0);
    let read = -1;
    for (let now = await out(); now !== read; now = await out()) {
      read = now;
      for (let turn = 0; turn < 200; turn++) await settled();
    }
    expect(read).toBeLessThan(15 * 900_000);
    connection.socket.resume();
    await until(() => connection.received.endsWith("0\r\n\r\n"));
    expect([...connection.received.matchAll(/"key":"(\d+)"/g)].map(([, key]) => Number(key))).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    );
  });
});

describe("a shutdown cuts what hangs, after its grace", () => {
  const value = "x".repeat(900_000);
  const get = (accept: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\n\r\n`;

  test.each([
    ["a stream that is not read", get("application/x-ndjson")],
    ["events that are not read", get("text/event-stream")],
    ["a page that is not read", get("application/json").replace(path, `${path}?maxBytes=16000000`)],
    ["a body that does not come", `${post("content-type: application/json\r\ncontent-length: 100")}{`],
  ])("%s", async (_what, request) => {
    for (let n = 0; n < 20; n++) await server.post(path, { records: [{ value }] });
    const connection = new Connection();
    connection.socket.pause();
    connection.send(request);
    await until(async () => (await metric("millrace_requests_in_flight")) === 2);
    for (let turn = 0; turn < 50; turn++) await settled(); // what fits the socket is written
    let stopped = false;
    const stop = server.http.stop(5_000).then(() => {
      stopped = true;
    });
    await server.clock.advance(4_900);
    for (let turn = 0; turn < 50; turn++) await settled();
    expect(stopped).toBe(false);
    await server.clock.advance(200);
    await stop;
    expect(server.warnings).toContainEqual({ graceMs: 5_000 });
    await server.broker.close(); // in order, though somebody was cut off
  });

  test("a page that is read late comes whole", async () => {
    for (let n = 0; n < 15; n++) await server.post(path, { records: [{ value }] });
    const connection = new Connection();
    connection.socket.pause();
    connection.send(get("application/json").replace(path, `${path}?maxBytes=16000000`));
    await until(async () => (await metric("millrace_requests_in_flight")) === 2);
    for (let turn = 0; turn < 50; turn++) await settled();
    const stop = server.http.stop(5_000);
    await server.clock.advance(100);
    connection.socket.resume();
    await until(async () => {
      await server.clock.advance(20);
      return connection.closed;
    });
    await stop;
    expect(connection.body["records"]).toHaveLength(15);
    expect(server.warnings).toEqual([]);
  });

  test("nothing hangs: at once, and nothing is said", async () => {
    const connection = new Connection().send(get("text/event-stream"));
    await until(() => connection.received.includes("data: "));
    const stop = server.http.stop(5_000);
    await until(() => connection.closed);
    await server.clock.advance(100);
    await stop;
    expect(server.warnings).toEqual([]);
  });
});
