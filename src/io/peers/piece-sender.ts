// What waits to be sent on one connection between brokers. Small messages go before large ones, large ones piece by piece in turn: an
// answer of many megabytes holds up no sign of life. The socket is given only as much as it soon can write.

import { type EncodedMessage, frameHeaderBytes, framePiece } from "./peer-frames.ts";
import { pieceBytesMax, smallMessageBytesMax, socketBufferedBytesMax } from "./peer-limits.ts";
import type { PeerSocket } from "./peer-socket.ts";

interface Sending {
  readonly message: EncodedMessage;
  position: number;
  begun: boolean;
}

export class PieceSender {
  readonly #socket: PeerSocket;
  readonly #pieceBytes: number;
  readonly #small: Sending[] = [];
  readonly #large: Sending[] = [];
  #queuedBytes = 0;

  /** `frameBytesMax`: of the other side. */
  constructor(socket: PeerSocket, frameBytesMax: number) {
    this.#socket = socket;
    this.#pieceBytes = Math.min(pieceBytesMax, frameBytesMax - frameHeaderBytes);
  }

  /** Not yet given to the socket. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get isEmpty(): boolean {
    return this.#small.length === 0 && this.#large.length === 0;
  }

  send(message: EncodedMessage): void {
    const lane = message.totalBytes <= smallMessageBytesMax ? this.#small : this.#large;
    lane.push({ message, position: 0, begun: false });
    this.#queuedBytes += message.totalBytes;
    this.pump();
  }

  /**
   * Takes out a message that was not wholly given to the socket: the other side cannot have acted on it. `begun` says whether it has
   * pieces of it. Undefined: all of it is on its way.
   */
  withdraw(id: number): { readonly begun: boolean } | undefined {
    for (const lane of [this.#small, this.#large]) {
      const index = lane.findIndex(({ message }) => message.id === id);
      if (index < 0) continue;
      const [sending] = lane.splice(index, 1);
      this.#queuedBytes -= sending!.message.totalBytes - sending!.position;
      return { begun: sending!.begun };
    }
    return undefined;
  }

  /** The socket has written. */
  pump(): void {
    while (this.#socket.bufferedBytes < socketBufferedBytesMax) {
      const lane = this.#small.length > 0 ? this.#small : this.#large;
      const sending = lane[0];
      if (sending === undefined) return;
      const { message, position } = sending;
      const length = Math.min(this.#pieceBytes, message.totalBytes - position);
      sending.position += length;
      sending.begun = true;
      this.#queuedBytes -= length;
      if (sending.position === message.totalBytes) lane.shift();
      else if (lane === this.#large) lane.push(lane.shift()!);
      this.#socket.send(framePiece(message, position, length));
    }
  }
}
