// The PeerDialer of the machine: the client of `ws`.

import { WebSocket } from "ws";
import { frameHeaderBytes } from "./peer-frames.ts";
import { pieceBytesMax } from "./peer-limits.ts";
import { peerPath, peerSubprotocol } from "./peer-route.ts";
import type { PeerDialer, PeerSocket, PeerSocketHandler } from "./peer-socket.ts";
import { listenTo, WsPeerSocket } from "./ws-peer-socket.ts";

export interface NodePeerDialerOptions {
  /** PEM texts. Without `ca` the certificate authorities of the system's Node are trusted. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

export class NodePeerDialer implements PeerDialer {
  readonly #options: NodePeerDialerOptions;

  constructor(options: NodePeerDialerOptions = {}) {
    this.#options = options;
  }

  dial(origin: string, handler: PeerSocketHandler): PeerSocket {
    const url = `${origin.replace(/^http/, "ws")}${peerPath}`;
    const socket = new WebSocket(url, peerSubprotocol, {
      ...this.#options.tls,
      perMessageDeflate: false,
      maxPayload: pieceBytesMax + frameHeaderBytes,
      followRedirects: false,
    });
    listenTo(socket, handler);
    return new WsPeerSocket(socket, () => handler.written());
  }
}
