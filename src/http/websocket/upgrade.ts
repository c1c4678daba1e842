// From an HTTP request to a WebSocket. The request is judged by the hooks that judge every request; only then is the connection upgraded.
// A request that offers some other protocol, as curl --http2 and Java's client do with every request, is answered in HTTP/1.1 as if it
// had not: that is what an offer means.

import { EventEmitter } from "node:events";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import fastifyWebsocket from "@fastify/websocket";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { WebSocket } from "ws";
import { peerSubprotocol } from "../../io/peers/peer-route.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import type { HttpContext } from "../http-context.ts";
import { originRefused } from "../origin.ts";
import type { Route } from "../route.ts";
import type { PeerHub } from "./peer-hub.ts";
import type { SocketHub } from "./socket-hub.ts";
import { bufferedChunksMax, closeCodes, messageFragmentsMax } from "./socket-limits.ts";
import { chooseSubprotocol } from "./subprotocol.ts";

/** Requests that ask for a WebSocket, on any path: their answer ends the connection, unless it is the handshake. */
const asking = new WeakSet<object>();

/** Those of them that other brokers make, once judged. */
const peerHandshakes = new WeakSet<object>();

export const asksForWebSocket = (request: FastifyRequest): boolean => asking.has(request.raw);

/** Registers the plugin, so that routes with `upgrade` may be added after it. */
export function registerWebSockets(app: FastifyInstance, http: HttpContext, drained: () => Promise<void>): void {
  const upgrades = new EventEmitter();
  app.server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.method === "GET" && request.headers.upgrade?.toLowerCase() === "websocket") {
      asking.add(request);
      upgrades.emit("upgrade", request, socket, head);
    } else answerPlainly(app.server, request, socket, head);
  });
  app.register(fastifyWebsocket, {
    options: {
      server: upgrades as unknown as Server,
      maxPayload: http.settings.maxFrameBytes,
      perMessageDeflate: false,
      maxFragments: messageFragmentsMax,
      maxBufferedChunks: bufferedChunksMax,
      clientTracking: false,
      handleProtocols: (_asked: Set<string>, request: IncomingMessage) =>
        (peerHandshakes.has(request)
          ? peerSubprotocol
          : chooseSubprotocol(request.headers["sec-websocket-protocol"])) ?? false,
    },
    preClose: (done: () => void) => {
      void drained().then(() => done());
    },
    errorHandler: (error, socket) => {
      if (socket.readyState !== socket.OPEN) return; // the other side broke the protocol: its close code is on the way
      http.logger.error({ err: error }, "a WebSocket met a bug");
      const { code, reason } = closeCodes.bug;
      socket.close(code, reason);
    },
  });
}

/** Throws what is wrong with a handshake that was let through to the route. */
export function judgeHandshake(
  http: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  kind: Route["upgrade"],
): void {
  const { headers } = request.raw;
  if (headers["sec-websocket-version"] !== "13") {
    reply.header("sec-websocket-version", "13");
    throw new BrokerError("INVALID_REQUEST", "Sec-WebSocket-Version must be 13");
  }
  if (!/^[+/0-9A-Za-z]{22}==$/.test(headers["sec-websocket-key"] ?? "")) {
    throw new BrokerError("INVALID_REQUEST", "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  if (kind === "peer") judgePeer(request.raw);
  else chooseSubprotocol(headers["sec-websocket-protocol"]);
  if (http.draining) throw new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
}

/** A page of a browser never gets as far as the secret, whatever origins are allowed. */
function judgePeer(request: IncomingMessage): void {
  const { headers } = request;
  if (headers.origin !== undefined) throw originRefused();
  if (headers["sec-websocket-protocol"]?.trim() !== peerSubprotocol) {
    throw new BrokerError("INVALID_REQUEST", `other brokers ask for the subprotocol ${peerSubprotocol} alone`);
  }
  peerHandshakes.add(request);
}

export type Opened = (socket: WebSocket, request: FastifyRequest, kind: Route["upgrade"]) => void;

/** The handshake is done: the socket is nobody's request any more. */
export function upgraded(sockets: SocketHub, peers: PeerHub | undefined, ...handshake: Parameters<Opened>): void {
  const [socket, { raw, id, state }, kind] = handshake;
  const stream = raw.socket;
  state.upgraded?.();
  if (kind === "peer") peers?.opened(socket, stream.remoteAddress);
  else sockets.opened(socket, stream, id);
}

const hopByHop = new Set(["upgrade", "http2-settings"]);

/** Gives the request back to the server without its offer. */
function answerPlainly(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at]!;
    const value = request.rawHeaders[at + 1]!;
    if (hopByHop.has(name.toLowerCase())) continue;
    if (name.toLowerCase() !== "connection") lines.push(`${name}: ${value}`);
    else {
      const kept = value.split(",").filter((token) => !hopByHop.has(token.trim().toLowerCase()));
      if (kept.length > 0) lines.push(`${name}: ${kept.join(",")}`);
    }
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]));
  server.emit("connection", socket);
}
