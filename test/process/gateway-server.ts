// A GatewayFront on a free loopback port: brokers of real processes take it for an etcd.

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import type { MetadataStore } from "../../src/cluster/metadata-store.ts";
import { GatewayFront } from "../cluster/gateway-front.ts";

export class GatewayServer {
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** The store stays the caller's to close. */
  static async start(store: MetadataStore): Promise<GatewayServer> {
    const front = new GatewayFront(store);
    const server = createServer((request, response) => {
      void (request.url === "/v3/watch" ? watch(front, request, response) : call(front, request, response));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new GatewayServer(server);
  }

  async end(): Promise<void> {
    const closed = once(this.#server.close(), "close");
    this.#server.closeAllConnections();
    await closed;
  }
}

async function call(front: GatewayFront, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { status, json } = await front.call(request.url ?? "", JSON.parse(Buffer.concat(chunks).toString()) as object);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
}

/** The request's body goes on while the answer already comes: each line of it is a message. */
async function watch(front: GatewayFront, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const ends: (() => void)[] = [];
  const lines = createInterface(request);
  for (const emitter of [request, lines]) emitter.on("error", () => {}); // cut by the client: told by the response
  response.on("close", () => {
    for (const end of ends) end();
  });
  response.writeHead(200, { "content-type": "application/json" });
  const send = (result: object) => void response.write(`${JSON.stringify({ result })}\n`);
  lines.on("line", async (line) => {
    const { create_request: create } = JSON.parse(line) as { create_request?: { range_end: string } };
    if (!create) send(await front.progress());
    else {
      const watch = await front.watch(create, send);
      if (response.closed) watch.cancel();
      else ends.push(() => watch.cancel());
    }
  });
}
