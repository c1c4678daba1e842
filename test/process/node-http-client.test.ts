// The HTTP client against servers on loopback: which failures say that the request was never sent, and that streams go both ways.

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import type { HttpFailure } from "../../src/io/http-client.ts";
import { NodeHttpClient } from "../../src/io/node-http-client.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function client(): NodeHttpClient {
  const made = new NodeHttpClient({ connectMsMax: 500 });
  open.push(() => made.close());
  return made;
}

const to = (origin: string) => ({ origin, path: "/p", headers: { "content-type": "application/json" }, body: "{}" });
const never = () => new AbortController().signal;

test("any whole answer is an answer", async () => {
  const origin = await listening(
    createServer((request, response) => {
      response.statusCode = 503;
      request.pipe(response);
    }),
  );
  const answer = await client().post(to(origin), 10, never());
  expect([answer.status, Buffer.from(answer.body).toString()]).toEqual([503, "{}"]);
});

test("a refused connection says that nothing was sent", async () => {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await once(server.close(), "close");
  const http = client();
  await expect(http.post(to(`http://127.0.0.1:${port}`), 10, never())).rejects.toMatchObject({ kind: "notSent" });
  const ended = new Promise((resolve) => {
    http.openStream(to(`http://127.0.0.1:${port}`), { opened() {}, bytes() {}, ended: resolve });
  });
  expect(await ended).toMatchObject({ kind: "notSent" });
});

test("a server that does not speak TLS was sent nothing", async () => {
  const origin = await listening(createServer((_, response) => response.end()));
  const secure = to(origin.replace("http:", "https:"));
  await expect(client().post(secure, 10, never())).rejects.toMatchObject({ kind: "notSent" });
});

test("cut, half and late answers leave it in doubt, and the request is sent once", async () => {
  let requests = 0;
  const origin = await listening(
    createServer((request, response) => {
      requests++;
      if (request.url === "/cut") request.socket.destroy();
      if (request.url === "/half") {
        response.writeHead(200, { "content-length": "10" });
        response.write("12345", () => request.socket.destroy());
      }
    }),
  );
  const http = client();
  for (const path of ["/cut", "/half"])
    await expect(http.post({ ...to(origin), path }, 100, never())).rejects.toMatchObject({ kind: "noAnswer" });
  const aborting = new AbortController();
  const late = http.post({ ...to(origin), path: "/late" }, 100, aborting.signal);
  await vi.waitFor(() => expect(requests).toBe(3));
  aborting.abort();
  await expect(late).rejects.toMatchObject({ name: "HttpFailure", kind: "noAnswer" });
  expect(requests).toBe(3);
});

test("an answer beyond the limit is cut off", async () => {
  const origin = await listening(createServer((_, response) => response.end("x".repeat(1_000))));
  await expect(client().post(to(origin), 999, never())).rejects.toMatchObject({ kind: "tooLong" });
  expect((await client().post(to(origin), 1_000, never())).body).toHaveLength(1_000);
});

test("a stream goes both ways until either side ends it", async () => {
  const heard: string[] = [];
  let closed = 0;
  const origin = await listening(
    createServer((request, response) => {
      response.writeHead(201);
      request.on("data", (chunk) => {
        heard.push(String(chunk));
        if (String(chunk) === "bye") response.end("over");
        else response.write(`got ${chunk}`);
      });
      request.on("error", () => {});
      response.on("close", () => closed++);
    }),
  );
  const http = client();
  const told: unknown[] = [];
  const handler = {
    opened: (status: number) => told.push(status),
    bytes: (chunk: Uint8Array) => told.push(Buffer.from(chunk).toString()),
    ended: (failure: HttpFailure | undefined) => told.push(failure?.kind ?? "ended"),
  };
  const stream = http.openStream(to(origin), handler);
  expect(told).toEqual([]);
  await vi.waitFor(() => expect(told).toEqual([201, "got {}"]));
  stream.write("more");
  await vi.waitFor(() => expect(told.at(-1)).toBe("got more"));
  stream.write("bye");
  await vi.waitFor(() => expect(told.slice(-2)).toEqual(["over", "ended"]));
  expect(heard).toEqual(["{}", "more", "bye"]);

  told.length = 0;
  const other = http.openStream(to(origin), handler);
  await vi.waitFor(() => expect(told).toHaveLength(2));
  other.close();
  await vi.waitFor(() => expect(closed).toBe(2));
  expect(told).toEqual([201, "got {}"]);
});

test("a stream that is cut says so", async () => {
  const origin = await listening(
    createServer((request, response) => {
      response.write("begun");
      request.on("data", () => request.socket.destroy());
    }),
  );
  const ended = new Promise((resolve) => {
    client().openStream(to(origin), { opened() {}, bytes() {}, ended: resolve });
  });
  expect(await ended).toMatchObject({ kind: "noAnswer" });
});
