// The handshake is judged as every request; what is no handshake is answered as a request.

import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestServer } from "../test-server.ts";
import { handshake, TestSocket } from "./test-socket.ts";

let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start({ allowedOrigins: ["https://app.example"], listen: "127.0.0.1:0" });
});
afterEach(async () => {
  await server.stop();
  expect(server.errors).toEqual([]);
});

describe("subprotocols", () => {
  test.each([
    [[], ""],
    [["millrace.v1.json"], "millrace.v1.json"],
    [["millrace.v1.msgpack"], "millrace.v1.msgpack"],
    [["graphql-ws", "millrace.v1.msgpack", "millrace.v1.json"], "millrace.v1.msgpack"],
  ])("%j is %j", async (asked, chosen) => {
    expect(await handshake(server, asked)).toEqual({ protocol: chosen });
  });

  test("none that is known is 400", async () => {
    const { status, problem } = await handshake(server, ["millrace.v2.json", "mqtt"]);
    expect(status).toBe(400);
    expect(problem).toMatchObject({
      code: "INVALID_REQUEST",
      subprotocols: ["millrace.v1.json", "millrace.v1.msgpack"],
    });
  });
});

describe("who may", () => {
  test("a foreign Origin is 403, before anything is done", async () => {
    const { status, problem } = await handshake(server, [], { origin: "https://evil.example" });
    expect([status, problem.code]).toEqual([403, "ORIGIN_NOT_ALLOWED"]);
  });
  test("an allowed Origin and the broker's own may", async () => {
    expect(await handshake(server, [], { origin: "https://app.example" })).toEqual({ protocol: "" });
    expect(await handshake(server, [], { origin: "http://localhost" })).toEqual({ protocol: "" });
  });
  test("a foreign Host is 403", async () => {
    const { status, problem } = await handshake(server, [], { host: "rebound.example" });
    expect([status, problem.code]).toEqual([403, "HOST_NOT_ALLOWED"]);
  });
  test("a query it does not know is 400", async () => {
    const response = await server.get("/v1/ws?token=x");
    expect(response.statusCode).toBe(400);
  });
});

test("a plain GET is 426, and a handshake on another route is answered by that route", async () => {
  const response = await server.get("/v1/ws");
  expect(response.statusCode).toBe(426);
  expect(response.headers["upgrade"]).toBe("websocket");
  expect(response.json().code).toBe("UPGRADE_REQUIRED");
});

/** What comes back over a real connection until it ends. */
async function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("latin1").on("data", (text) => {
      received += text;
    });
    socket.on("error", reject).on("close", () => resolve(received));
  });
}

describe("other offers", () => {
  test.each(["h2c", "websocket"])("a POST that offers %s is served as if it had not", async (offer) => {
    const port = Number(new URL(await server.http.listen()).port);
    await server.createTopic("t");
    const body = '{"records":[{"value":1}]}';
    const received = await exchange(
      port,
      `POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: ${offer}\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    expect(received).toContain("HTTP/1.1 200");
    expect(received).toContain('{"offsets":[{"partition":0,"offset":0}]}');
  });

  test("a handshake on a route that is none ends with the route's answer", async () => {
    const port = Number(new URL(await server.http.listen()).port);
    const received = await exchange(
      port,
      "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    expect(received).toContain("HTTP/1.1 200");
    expect(received).toContain('{"live":true}');
  });

  test("a version or a key that is none is 400", async () => {
    const port = Number(new URL(await server.http.listen()).port);
    const head = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    const version = await exchange(
      port,
      `${head}Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    expect(version).toContain("HTTP/1.1 400");
    expect(version).toContain("sec-websocket-version: 13");
    expect(await exchange(port, `${head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n`)).toContain(
      "HTTP/1.1 400",
    );
  });
});

test("an open socket is no request in flight, and is counted", async () => {
  const socket = await TestSocket.open(server, "msgpack");
  const during = (await server.get("/metrics")).body;
  expect(during).toContain("millrace_requests_in_flight 1\n"); // the look itself
  expect(during).toContain('millrace_websocket_sockets{subprotocol="millrace.v1.msgpack"} 1\n');
  expect(during).toContain('millrace_requests_total{api="openWebSocket",code="101"} 1\n');
  socket.close();
});
