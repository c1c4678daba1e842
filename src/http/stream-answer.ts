// An answer that is written while it comes to be: waits for a slow reader, learns when the client is gone, ends when the broker stops.

import type { ServerResponse } from "node:http";
import type { OpenStream } from "./open-streams.ts";
import type { Exchange } from "./route.ts";

export class StreamAnswer implements OpenStream {
  readonly format: "sse" | "ndjson";
  readonly #exchange: Exchange;
  readonly #response: ServerResponse;
  readonly #notNeeded = new AbortController();
  #isClosed = false;
  #draining = false;
  #resume: (() => void) | undefined;

  /** From here on the answer is the stream's own: fastify sends nothing. */
  constructor(exchange: Exchange, format: "sse" | "ndjson", headers: Readonly<Record<string, string>>) {
    this.format = format;
    this.#exchange = exchange;
    this.#response = exchange.reply.raw;
    exchange.request.state.isStream = true;
    const standard = exchange.reply.getHeaders();
    exchange.reply.hijack();
    this.#response.on("close", this.#closed).on("drain", this.#drained);
    this.#response.writeHead(200, { ...standard, ...headers } as Record<string, string>);
    // Else they would wait for the first bytes, and a client that follows an empty log for its answer to begin.
    this.#response.flushHeaders();
    exchange.http.streams.opened(this);
  }

  /** Aborted when nobody needs the next page: the client is gone, or the broker drains. */
  get signal(): AbortSignal {
    return this.#notNeeded.signal;
  }
  /** The client has closed the connection. */
  get gone(): boolean {
    return this.#isClosed;
  }
  /** The broker's own flag counts too: from then on its fetches do not wait, and a loop around them would spin. */
  get draining(): boolean {
    return this.#draining || this.#exchange.http.broker.draining;
  }

  /** Resolves when the socket takes more, so that a slow reader holds back the log and not the broker's memory. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.gone || this.#response.write(bytes) || this.gone) return;
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
  }

  drain(): void {
    this.#draining = true;
    this.#notNeeded.abort();
  }

  /** Complete: nothing is missing. */
  end(): void {
    this.#response.end();
  }

  /** Not complete, and the client must see that. */
  breakOff(): void {
    this.#response.destroy();
  }

  readonly #closed = () => {
    this.#isClosed = true;
    this.#notNeeded.abort();
    this.#drained();
    this.#exchange.http.streams.ended(this);
  };
  readonly #drained = () => {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  };
}
