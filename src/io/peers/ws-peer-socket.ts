// A PeerSocket over a socket of `ws`, for both its ends.

import type { RawData, WebSocket } from "ws";
import type { PeerSocket, PeerSocketHandler } from "./peer-socket.ts";

const openState = 1;

export class WsPeerSocket implements PeerSocket {
  readonly #socket: WebSocket;
  readonly #written: () => void;

  /** The handler is given with `listen`, once it knows the socket. */
  constructor(socket: WebSocket, written: () => void) {
    this.#socket = socket;
    this.#written = written;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.#socket.readyState !== openState) return;
    const last = chunks.length - 1;
    for (const [index, chunk] of chunks.entries()) {
      if (index < last) this.#socket.send(chunk, { binary: true, fin: false });
      else this.#socket.send(chunk, { binary: true }, this.#written);
    }
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }
}

/** Tells the handler what comes; a text message is told as an empty one, which is malformed. */
export function listenTo(socket: WebSocket, handler: PeerSocketHandler): void {
  socket.on("open", () => handler.opened());
  socket.on("message", (data: RawData, isBinary: boolean) => handler.message(isBinary ? (data as Buffer) : nothing));
  socket.on("error", () => {}); // told by "close"
  socket.on("close", (code: number, reason: Buffer) => handler.closed(code, reason.toString()));
}

const nothing = new Uint8Array(0);
