// The connections of a server that stops. Node takes one for idle as soon as its answer was handed over, and cuts off what a slow
// reader has not got yet; here no connection is closed while one of them still sends.

import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Clock, Timer } from "../io/clock.ts";

/** How often a broker that stops looks for connections that have become idle. */
const lookMs = 20;

export class Connections {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #timer: Timer | undefined;

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    const closeIdle = server.closeIdleConnections.bind(server);
    // close() of Node and of fastify call it too.
    server.closeIdleConnections = () => {
      for (const socket of this.#sockets) if (socket.writableLength > 0) return;
      closeIdle();
    };
  }

  /** A connection whose answer had begun when the stop came was not told to close: it is closed once it is idle. */
  closeIdle(clock: Clock): void {
    this.#timer = clock.setTimer(lookMs, () => {
      this.#server.closeIdleConnections();
      this.closeIdle(clock);
    });
  }

  stopLooking(): void {
    this.#timer?.cancel();
  }
}
