// Pairs of peer sockets in memory, by the simulated clock: every message takes a moment, none is lost unless the line is cut.

import { PeerSession, type PeerSessionContext } from "../../../src/io/peers/peer-session.ts";
import type { PeerDialer, PeerSocket, PeerSocketHandler } from "../../../src/io/peers/peer-socket.ts";
import type { SimulatedClock } from "../../simulation/simulated-clock.ts";

const delayMs = 1;

/** One end. */
class MemorySocket implements PeerSocket {
  readonly #network: MemoryNetwork;
  handler: PeerSocketHandler | undefined;
  other: MemorySocket | undefined;
  bufferedBytes = 0;
  isClosed = false;

  constructor(network: MemoryNetwork) {
    this.#network = network;
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.isClosed) return;
    const bytes = Buffer.concat(chunks);
    this.#network.sent.push(bytes);
    this.bufferedBytes += bytes.length;
    this.#network.clock.setTimer(delayMs, () => {
      if (this.#network.isStuck) return;
      this.bufferedBytes -= bytes.length;
      if (this.isClosed) return;
      if (!this.#network.isCut && this.other?.isClosed === false) this.other.handler?.message(bytes);
      this.handler?.written();
    });
  }

  close(code: number, reason: string): void {
    this.#network.clock.setTimer(2 * delayMs, () => {
      if (this.#network.isCut) return;
      this.other?.gone(code, reason);
      this.gone(code, reason);
    });
  }

  terminate(): void {
    this.#network.clock.setTimer(delayMs, () => this.gone(1006, ""));
  }

  gone(code: number, reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler?.closed(code, reason);
  }
}

export class MemoryNetwork implements PeerDialer {
  readonly clock: SimulatedClock;
  /** What other brokers reach, by origin. */
  readonly listeners = new Map<string, PeerSessionContext>();
  readonly sessions: PeerSession[] = [];
  /** Every frame, in the order it was given to a socket. */
  readonly sent: Uint8Array[] = [];
  dials = 0;
  isCut = false;
  /** Sockets take what they are given, and write nothing. */
  isStuck = false;

  constructor(clock: SimulatedClock) {
    this.clock = clock;
  }

  dial(origin: string, handler: PeerSocketHandler): PeerSocket {
    this.dials += 1;
    const near = new MemorySocket(this);
    near.handler = handler;
    this.clock.setTimer(delayMs, () => {
      const listener = this.listeners.get(origin);
      if (this.isCut || near.isClosed) return;
      if (listener === undefined) {
        near.gone(1006, "");
        return;
      }
      const far = new MemorySocket(this);
      far.other = near;
      near.other = far;
      handler.opened();
      const session = new PeerSession(listener, far);
      far.handler = session;
      this.sessions.push(session);
    });
    return near;
  }
}
