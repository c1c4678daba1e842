// The connections that other brokers have made to this one: how many there may be, one of each broker, and how they end. Only a broker
// that is given a PeerHandler has them.

import type { WebSocket } from "ws";
import { AssertionError } from "../../assert.ts";
import { isLoopbackAddress } from "../../io/peers/peer-hello.ts";
import { peerSocketsMax, strangerSocketsMax } from "../../io/peers/peer-limits.ts";
import { type PeerServing, PeerSession, type PeerSessionContext } from "../../io/peers/peer-session.ts";
import { listenTo, WsPeerSocket } from "../../io/peers/ws-peer-socket.ts";
import type { HttpContext } from "../http-context.ts";

export class PeerHub {
  readonly #context: PeerSessionContext;
  readonly #strangers = new Set<PeerSession>();
  readonly #known = new Map<number, PeerSession>();
  readonly #all = new Set<PeerSession>();
  #allEnded: (() => void) | undefined;
  #drained: Promise<void> | undefined;

  constructor(http: HttpContext, serving: PeerServing) {
    this.#context = {
      ...serving,
      clock: http.clock,
      random: http.random,
      frameBytesMax: http.settings.maxFrameBytes,
      admit: (session) => this.#admit(session),
      ended: (session) => this.#ended(session),
      bug: (error) => {
        http.logger.error({ err: error }, "a request of another broker met a bug");
        // A broken invariant stops the process, whoever asked.
        if (error instanceof AssertionError) {
          queueMicrotask(() => {
            throw error;
          });
        }
      },
    };
  }

  /** The handshake of the WebSocket is done. */
  opened(socket: WebSocket, remoteAddress: string | undefined): void {
    const session = new PeerSession(this.#context, new WsPeerSocket(socket, () => session.written()));
    this.#all.add(session);
    this.#strangers.add(session);
    listenTo(socket, session);
    if (this.#context.secret === "" && !isLoopbackAddress(remoteAddress)) session.fail("unauthenticated");
    else if (this.#strangers.size > strangerSocketsMax) session.fail("overloaded");
    if (this.#drained !== undefined) session.drain();
  }

  /** Resolves once all that runs is answered and every connection is closed. May be called again. */
  drain(): Promise<void> {
    this.#drained ??= new Promise((resolve) => {
      this.#allEnded = resolve;
      if (this.#all.size === 0) resolve();
      for (const session of this.#all) session.drain();
    });
    return this.#drained;
  }

  /** The grace of a shutdown is over. */
  terminate(): void {
    for (const session of this.#all) session.terminate();
  }

  /** A broker that connects again has lost its former connection, whether or not this side has noticed. */
  #admit(session: PeerSession): boolean {
    const { brokerId } = session.peer!;
    this.#strangers.delete(session);
    const former = this.#known.get(brokerId);
    if (former === undefined && this.#known.size >= peerSocketsMax) return false;
    this.#known.set(brokerId, session);
    former?.fail("replaced");
    return true;
  }

  #ended(session: PeerSession): void {
    this.#all.delete(session);
    this.#strangers.delete(session);
    const { peer } = session;
    if (peer !== undefined && this.#known.get(peer.brokerId) === session) this.#known.delete(peer.brokerId);
    if (this.#all.size === 0) this.#allEnded?.();
  }
}
