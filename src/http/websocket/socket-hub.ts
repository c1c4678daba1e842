// The open WebSockets of a broker: what they share, and how all of them end when it shuts down.

import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { HttpContext } from "../http-context.ts";
import { RecordWalk } from "../record-walk.ts";
import { PartitionFeeds } from "./partition-feed.ts";
import { SocketSession } from "./socket-session.ts";
import { encodingOf } from "./subprotocol.ts";

export class SocketHub {
  readonly #http: HttpContext;
  readonly #feeds: PartitionFeeds;
  readonly #sessions = new Set<SocketSession>();
  #allEnded: (() => void) | undefined;
  #drained: Promise<void> | undefined;

  constructor(http: HttpContext) {
    this.#http = http;
    const walk = new RecordWalk(http.broker.codecs, http.settings);
    const bug = (error: unknown) => http.logger.error({ err: error }, "a read for WebSocket subscribers met a bug");
    this.#feeds = new PartitionFeeds((topic) => ({
      broker: http.broker,
      walk,
      bytesOut: http.topicMetrics.of(topic).bytesOut,
      bug,
    }));
    http.metrics.gauge("millrace_websocket_buffered_bytes", {}).readFrom(() => {
      let bytes = 0;
      for (const { sender } of this.#sessions) bytes += sender.bufferedBytes;
      return bytes;
    });
  }

  /** The handshake is done. `stream` is what the socket writes to. */
  opened(socket: WebSocket, stream: Duplex, requestId: string): void {
    const { socketMetrics } = this.#http;
    const sockets = socketMetrics.sockets(socket.protocol);
    sockets.inc();
    const session = new SocketSession(
      {
        http: this.#http,
        feeds: this.#feeds,
        requestId,
        ended: (ended, reason) => {
          this.#sessions.delete(ended);
          sockets.dec();
          socketMetrics.closed(reason);
          if (this.#sessions.size === 0) this.#allEnded?.();
        },
      },
      socket,
      stream,
      encodingOf(socket.protocol),
    );
    this.#sessions.add(session);
    if (this.#drained !== undefined) void session.goAway();
  }

  /** Sends everyone away; resolves once all sockets are closed. May be called again. */
  drain(): Promise<void> {
    this.#drained ??= new Promise((resolve) => {
      this.#allEnded = resolve;
      if (this.#sessions.size === 0) resolve();
      for (const session of this.#sessions) void session.goAway();
    });
    return this.#drained;
  }

  /** The grace of a shutdown is over. */
  terminate(): void {
    for (const session of this.#sessions) session.terminate();
  }
}
