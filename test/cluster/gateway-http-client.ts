// An HttpClient whose other end is a GatewayFront in this process: no port, and no time passes.

import type { HttpAnswer, HttpClient, HttpRequest, HttpStream, HttpStreamHandler } from "../../src/io/http-client.ts";
import type { GatewayFront } from "./gateway-front.ts";

export class GatewayHttpClient implements HttpClient {
  readonly #front: GatewayFront;
  readonly #streams = new Set<HttpStream>();

  constructor(front: GatewayFront) {
    this.#front = front;
  }

  async post({ path, body }: HttpRequest): Promise<HttpAnswer> {
    const { status, json } = await this.#front.call(path, JSON.parse(body) as object);
    return { status, body: Buffer.from(JSON.stringify(json)) };
  }

  openStream(request: HttpRequest, handler: HttpStreamHandler): HttpStream {
    let isOpen = true;
    const send = (result: object) => {
      if (isOpen) handler.bytes(Buffer.from(`${JSON.stringify({ result })}\n`));
    };
    const { create_request } = JSON.parse(request.body) as { create_request: { range_end: string } };
    const watching = Promise.resolve().then(() => {
      if (isOpen) handler.opened(200);
      return this.#front.watch(create_request, send);
    });
    const stream = {
      write: () => void this.#front.progress().then(send),
      close: () => {
        isOpen = false;
        this.#streams.delete(stream);
        void watching.then((watch) => watch.cancel());
      },
    };
    this.#streams.add(stream);
    return stream;
  }

  async close(): Promise<void> {
    for (const stream of [...this.#streams]) stream.close();
  }
}
