// The client's one WebSocket: opened when it is first wanted, shared by all, opened again after it broke. While none can
// be had everything goes over HTTP.

import type { ClientClock } from "./platform.ts";
import { SocketConnection } from "./socket-connection.ts";
import { type OpenWebSocket, subprotocol } from "./web-socket.ts";

/** After a failure HTTP serves for so long before another socket is tried. */
const retryAfterMs = 30_000;
const openTimeoutMs = 3_000;

export interface SocketsOptions {
  readonly urls: readonly string[];
  readonly open: OpenWebSocket;
  readonly token: (() => string | Promise<string>) | undefined;
  readonly clock: ClientClock;
}

export class Sockets {
  readonly #options: SocketsOptions;
  #current: Promise<SocketConnection | undefined> | undefined;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  /** Of the urls: where to try next. */
  #turn = 0;

  constructor(options: SocketsOptions) {
    this.#options = options;
  }

  /** An open connection; undefined if none can be had now. */
  get(): Promise<SocketConnection | undefined> {
    if (this.#current !== undefined) return this.#current;
    if (this.#options.clock.monotonicMs() < this.#notBeforeMs) return Promise.resolve(undefined);
    this.#current = this.#open();
    return this.#current;
  }

  async close(): Promise<void> {
    const connection = await this.#current;
    connection?.close();
  }

  async #open(): Promise<SocketConnection | undefined> {
    const { urls, open, token, clock } = this.#options;
    const base = urls[this.#turn % urls.length]!.replace(/\/+$/, "").replace(/^http/, "ws");
    try {
      // First: a socket that opens before anyone listens would never be heard.
      const shown = await token?.();
      const socket = open(`${base}/v1/ws`, subprotocol);
      const connection = await SocketConnection.open(socket, shown, clock, openTimeoutMs);
      connection.onEnd = ({ reconnectAfterMs, forGood }) => {
        this.#current = undefined;
        this.#turn++;
        this.#notBeforeMs = forGood ? Number.POSITIVE_INFINITY : clock.monotonicMs() + reconnectAfterMs;
      };
      if (connection.isOpen) return connection;
      throw new Error("it has ended already");
    } catch {
      // Whatever it was, HTTP will meet it too and tell.
      this.#current = undefined;
      this.#turn++;
      this.#notBeforeMs = this.#turn % urls.length === 0 ? clock.monotonicMs() + retryAfterMs : 0;
      return undefined;
    }
  }
}
