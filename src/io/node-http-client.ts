// The HttpClient of the machine, over undici. It has no time-outs but the one for making a connection: the caller's signal ends
// a call. Streams have connections of their own, so that they never keep a call waiting.

import { PassThrough, type Readable } from "node:stream";
import { Agent, buildConnector, request as send } from "undici";
import {
  type HttpAnswer,
  type HttpClient,
  HttpFailure,
  type HttpRequest,
  type HttpStream,
  type HttpStreamHandler,
} from "./http-client.ts";

export interface NodeHttpClientOptions {
  /** A server that accepts no connection for this long is taken for dead. */
  readonly connectMsMax?: number;
  /** Calls at once to one server; more wait. Streams are not counted. */
  readonly connectionsMax?: number;
  /** PEM texts. Without `ca` the certificate authorities of the system's Node are trusted. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

const connectMsMaxDefault = 1_000;
const connectionsMaxDefault = 32;
/** A connection without a call is kept this long. */
const idleMsMax = 30_000;

/** Tells a connection that was never made from one that was cut. */
class NotConnectedError extends Error {
  override readonly name = "NotConnectedError";
}

export class NodeHttpClient implements HttpClient {
  readonly #calls: Agent;
  readonly #streams: Agent;

  constructor(options: NodeHttpClientOptions = {}) {
    const connect = connector(options);
    const common = { connect, pipelining: 1, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: idleMsMax };
    this.#calls = new Agent({ ...common, connections: options.connectionsMax ?? connectionsMaxDefault });
    this.#streams = new Agent(common);
  }

  async post(request: HttpRequest, answerBytesMax: number, signal: AbortSignal): Promise<HttpAnswer> {
    const { origin, path, headers, body } = request;
    try {
      const answer = await send(`${origin}${path}`, { method: "POST", headers, body, signal, dispatcher: this.#calls });
      return { status: answer.statusCode, body: await wholeBody(answer.body, answerBytesMax) };
    } catch (error) {
      throw failureOf(error);
    }
  }

  openStream(request: HttpRequest, handler: HttpStreamHandler): HttpStream {
    const body = new PassThrough();
    body.on("error", () => {}); // told through the answer
    body.write(request.body);
    let isOpen = true;
    const aborting = new AbortController();
    const end = (failure: HttpFailure | undefined) => {
      if (!isOpen) return;
      isOpen = false;
      body.destroy();
      aborting.abort();
      handler.ended(failure);
    };
    void this.#answerTo(request, body, aborting.signal)
      .then(async (answer) => {
        answer.body.on("error", () => {}); // told by the iteration, if it still goes on
        if (isOpen) handler.opened(answer.statusCode);
        for await (const chunk of answer.body) {
          if (!isOpen) return;
          handler.bytes(chunk as Uint8Array);
        }
        end(undefined);
      })
      .catch((error: unknown) => end(failureOf(error)));
    return {
      write: (text) => {
        if (isOpen) body.write(text);
      },
      close: () => {
        isOpen = false;
        body.destroy();
        aborting.abort();
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#streams.destroy()]);
  }

  async #answerTo(request: HttpRequest, body: Readable, signal: AbortSignal) {
    const { origin, path, headers } = request;
    // "Connection: close" (reset): a Go server that may reuse the connection reads a body to its end before it answers.
    const options = { method: "POST", headers, body, signal, reset: true, dispatcher: this.#streams } as const;
    return send(`${origin}${path}`, options);
  }
}

function connector(options: NodeHttpClientOptions): buildConnector.connector {
  const { ca, cert, key } = options.tls ?? {};
  const connect = buildConnector({
    timeout: options.connectMsMax ?? connectMsMaxDefault,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  });
  return (target, callback) =>
    connect(target, (...result) => {
      const [error] = result;
      if (error === null) callback(...result);
      else callback(new NotConnectedError(error.message, { cause: error }), null);
    });
}

async function wholeBody(body: Readable, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > bytesMax) throw new HttpFailure("tooLong", `the answer is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function failureOf(error: unknown): HttpFailure {
  if (error instanceof HttpFailure) return error;
  const { message } = error as Error;
  return new HttpFailure(error instanceof NotConnectedError ? "notSent" : "noAnswer", message, error);
}
