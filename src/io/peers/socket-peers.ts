// The Peers of a broker that others reach over WebSockets.

import type { PeerLinkContext } from "./peer-connection.ts";
import { isLoopbackAddress } from "./peer-hello.ts";
import { PeerLink } from "./peer-link.ts";
import { type PeerCallOptions, PeerFailure, type PeerMessage, type Peers } from "./peers.ts";

export interface SocketPeersOptions extends PeerLinkContext {
  /** Where a broker listens for others, as it said when it registered: "http://host:port". */
  originOf(brokerId: number): string | undefined;
}

export class SocketPeers implements Peers {
  readonly #options: SocketPeersOptions;
  readonly #links = new Map<number, PeerLink>();
  #closed = false;

  constructor(options: SocketPeersOptions) {
    this.#options = options;
  }

  async request(
    brokerId: number,
    method: string,
    message: PeerMessage,
    options: PeerCallOptions,
  ): Promise<PeerMessage> {
    if (this.#closed) throw new PeerFailure("notSent", "the broker is shutting down");
    return this.#linkTo(brokerId).request(method, message, options);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  #linkTo(brokerId: number): PeerLink {
    let link = this.#links.get(brokerId);
    if (link === undefined) {
      link = new PeerLink(this.#options, brokerId, () => this.#origin(brokerId));
      this.#links.set(brokerId, link);
    }
    return link;
  }

  /** Without a secret only brokers on the same machine are trusted. */
  #origin(brokerId: number): string | undefined {
    const origin = this.#options.originOf(brokerId);
    if (origin === undefined || this.#options.secret !== "") return origin;
    return isLoopbackAddress(new URL(origin).hostname) ? origin : undefined;
  }
}
