// Puts the pieces of messages together, several at once. Bounded: what has begun and is not whole counts by the length it will have.

import { MalformedFrameError, type Piece } from "./peer-frames.ts";
import { assemblingBytesMax } from "./peer-limits.ts";

interface Unfinished {
  readonly kind: Piece["kind"];
  readonly headBytes: number;
  readonly bytes: Uint8Array;
  filled: number;
}

export class MessageAssembly {
  readonly #unfinished = new Map<number, Unfinished>();
  #bytes = 0;

  /** The whole message if this was its last piece. A message that came in one piece is not copied. */
  add(piece: Piece): Uint8Array | undefined {
    const { id, position, totalBytes, bytes } = piece;
    if (position === 0) {
      if (this.#unfinished.has(id)) throw new MalformedFrameError(`message ${id} begins twice`);
      if (bytes.length === totalBytes) return bytes;
      if (this.#bytes + totalBytes > assemblingBytesMax) throw new MalformedFrameError("too much at once");
      this.#bytes += totalBytes;
      this.#unfinished.set(id, {
        kind: piece.kind,
        headBytes: piece.headBytes,
        bytes: new Uint8Array(totalBytes),
        filled: 0,
      });
    }
    const message = this.#unfinished.get(id);
    if (message === undefined) throw new MalformedFrameError(`message ${id} has no beginning`);
    const isNext = position === message.filled && totalBytes === message.bytes.length;
    if (!isNext || piece.kind !== message.kind || piece.headBytes !== message.headBytes) {
      throw new MalformedFrameError(`a piece does not follow what came of message ${id}`);
    }
    message.bytes.set(bytes, position);
    message.filled += bytes.length;
    if (message.filled < totalBytes) return undefined;
    this.drop(id);
    return message.bytes;
  }

  has(id: number): boolean {
    return this.#unfinished.has(id);
  }

  /** Nobody wants the rest of it. */
  drop(id: number): void {
    const message = this.#unfinished.get(id);
    if (message === undefined) return;
    this.#unfinished.delete(id);
    this.#bytes -= message.bytes.length;
  }
}
