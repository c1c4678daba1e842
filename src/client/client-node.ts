// `millrace/client` in Node: the same, with the WebSocket that Node 20 lacks.

import { WebSocket } from "ws";
import { Millrace as AnyMillrace, type MillraceOptions } from "./millrace.ts";
import type { WebSocketLike } from "./web-socket.ts";

export * from "./client.ts";

/** A client of one Millrace cluster. */
export class Millrace extends AnyMillrace {
  constructor(options: MillraceOptions) {
    super({
      // Its handlers are typed for its own events, which have all that ours need.
      webSocket: (url, protocol) => new WebSocket(url, protocol) as unknown as WebSocketLike,
      ...options,
    });
  }
}
