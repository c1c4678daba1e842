// Where other brokers of the cluster connect. Not a part of the API: it stands in no document and is made for no browser.

import { peerPath, peerSubprotocol } from "../../io/peers/peer-route.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { mediaTypes } from "../media-type.ts";
import type { Route } from "../route.ts";

export const peerRoute: Route = {
  method: "GET",
  path: peerPath,
  operationId: "openPeer",
  tag: "Operation",
  summary: "For other brokers of the cluster",
  offers: [mediaTypes.json],
  answers: { 101: { description: "The connection is a WebSocket now; its first frame is a challenge." } },
  problems: ["UPGRADE_REQUIRED", "BROKER_SHUTTING_DOWN"],
  upgrade: "peer",
  handle: (exchange) => {
    exchange.reply.header("upgrade", "websocket").header("connection", "upgrade");
    throw new BrokerError("UPGRADE_REQUIRED", `this route is a WebSocket of ${peerSubprotocol}`);
  },
};
