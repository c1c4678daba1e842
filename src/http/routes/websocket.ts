// Where a connection becomes a WebSocket. What is said on it is in /asyncapi.json.

import { BrokerError } from "../../protocol/error-codes.ts";
import { mediaTypes } from "../media-type.ts";
import type { Route } from "../route.ts";

export function webSocketRoutes(): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/v1/ws",
      operationId: "openWebSocket",
      tag: "Operation",
      summary: "Open a WebSocket: many subscriptions and produces on one connection",
      description:
        "The handshake of RFC 6455, with the subprotocol millrace.v1.json (text frames; also when none is asked for) or millrace.v1.msgpack (binary frames, bytes as bytes); another one is 400. The frames are described in /asyncapi.json.",
      requestHeaders: {
        "Sec-WebSocket-Protocol": {
          description: "millrace.v1.json or millrace.v1.msgpack; of several the first that is known.",
          schema: { type: "string" },
        },
      },
      offers: [mediaTypes.json],
      answers: { 101: { description: "The connection is a WebSocket now; its first frame is ready." } },
      problems: ["UPGRADE_REQUIRED", "BROKER_SHUTTING_DOWN"],
      upgrade: "client",
      handle: (exchange) => {
        exchange.reply.header("upgrade", "websocket").header("connection", "upgrade");
        throw new BrokerError("UPGRADE_REQUIRED", "this route is a WebSocket: it takes a handshake, not a plain GET");
      },
    },
  ];
}
