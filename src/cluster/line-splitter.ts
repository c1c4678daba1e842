// Cuts a stream of bytes into lines of UTF-8 text. A line is held in pieces until it is whole, and never beyond its limit.

const newline = 10;

export class LineTooLongError extends Error {
  override readonly name = "LineTooLongError";
}

export class LineSplitter {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The lines that end in this chunk, without empty ones. */
  *push(chunk: Uint8Array): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#add(chunk.subarray(start, end));
      start = end + 1;
      const line = this.rest();
      if (line !== "") yield line;
    }
    this.#add(chunk.subarray(start));
  }

  /** What came after the last line's end. */
  rest(): string {
    const whole = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    return this.#decoder.decode(whole);
  }

  #add(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#bytesMax) throw new LineTooLongError(`a line of more than ${this.#bytesMax} bytes`);
    if (piece.length > 0) this.#pieces.push(piece);
  }
}
