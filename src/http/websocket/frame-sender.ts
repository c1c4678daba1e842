// The one way out of a socket. It knows how much the other side has not read: deliveries stop above a limit and go on when it has read,
// answers are sent all the same until a larger limit says that nobody reads at all. What is sent in one turn leaves in one write.

import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import {
  sharedBytesMin,
  socketAnswerBytesMax,
  socketBufferedBytesLow,
  socketBufferedBytesMax,
} from "./socket-limits.ts";

export interface SenderListener {
  /** What was held back can go on. */
  drained(): void;
  /** Answers pile up: nobody reads. */
  unread(): void;
}

const openState = 1;

export class FrameSender {
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  readonly #listener: SenderListener;
  readonly #whole: { readonly binary: boolean };
  readonly #first: { readonly binary: boolean; readonly fin: false };
  #waiting = false;
  #corked = false;

  constructor(socket: WebSocket, stream: Duplex, binary: boolean, listener: SenderListener) {
    this.#socket = socket;
    this.#stream = stream;
    this.#listener = listener;
    this.#whole = { binary };
    this.#first = { binary, fin: false };
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** True: nothing more for now; the listener hears when it can go on. */
  isFull(): boolean {
    if (this.bufferedBytes < socketBufferedBytesMax) return false;
    this.#waiting = true;
    return true;
  }

  send(frame: Buffer): void {
    if (this.#socket.readyState !== openState) return;
    this.#cork();
    this.#socket.send(frame, this.#whole, this.#written);
    if (this.bufferedBytes > socketAnswerBytesMax) this.#listener.unread();
  }

  /** One message of a head and a body that others may be sending too. */
  sendShared(head: Buffer, body: Uint8Array): void {
    if (this.#socket.readyState !== openState) return;
    this.#cork();
    if (body.byteLength < sharedBytesMin) {
      this.#socket.send(Buffer.concat([head, body]), this.#whole, this.#written);
      return;
    }
    this.#socket.send(head, this.#first);
    this.#socket.send(body, this.#whole, this.#written);
  }

  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    process.nextTick(this.#uncork);
  }

  readonly #uncork = (): void => {
    this.#corked = false;
    this.#stream.uncork();
  };

  readonly #written = (): void => {
    if (!this.#waiting || this.bufferedBytes > socketBufferedBytesLow) return;
    this.#waiting = false;
    this.#listener.drained();
  };
}
