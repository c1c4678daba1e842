// The broker's real WebSocket without a port: client and broker are the ends of a pair of streams, which the test can cut.

import { type Duplex, duplexPair } from "node:stream";
import { WebSocket } from "ws";
import type { OpenWebSocket, WebSocketLike } from "../../src/client/web-socket.ts";
import type { ClientWorld } from "./client-world.ts";

export class StreamSockets {
  /** The clients' ends, in the order they were opened. */
  readonly streams: Duplex[] = [];
  /** False: handshakes fail. */
  isUp = true;
  /** Nothing gets through any more, and nobody is told. */
  isMute = false;
  readonly #world: ClientWorld;

  constructor(world: ClientWorld) {
    this.#world = world;
    world.hasSockets = true;
  }

  readonly open: OpenWebSocket = this.opener(() => false);

  /** One that fails while `isDown`. */
  opener(isDown: () => boolean): OpenWebSocket {
    return (_url, protocol) => this.#open(protocol, !isDown());
  }

  #open(protocol: string, isUp: boolean): WebSocketLike {
    const [near, far] = duplexPair();
    near.on("close", () => far.destroy()).on("error", () => {});
    far.on("close", () => near.destroy()).on("error", () => {});
    this.#watch(near);
    this.#watch(far);
    this.streams.push(near);
    if (this.isUp && isUp) this.#world.server.http.app.server.emit("connection", far);
    else far.destroy();
    const options = { createConnection: () => near, perMessageDeflate: false };
    const made = new WebSocket("ws://localhost/v1/ws", protocol, options as ConstructorParameters<typeof WebSocket>[2]);
    return made as unknown as WebSocketLike;
  }

  /** Every connection breaks, whatever was on its way. */
  cut(): void {
    for (const stream of this.streams.splice(0)) stream.destroy();
  }

  #watch(stream: Duplex): void {
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = ((...args: unknown[]) => {
      if (this.isMute) return true;
      this.#world.moved();
      return write(...args);
    }) as typeof stream.write;
  }
}
