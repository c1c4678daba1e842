// One keep-alive HTTP/1.1 connection that costs as little as it can, so that the load generator is not what is measured: the
// request is bytes made beforehand, the answer is only looked at for its status and its end.

import { connect, type Socket } from "node:net";

const headEnd = Buffer.from("\r\n\r\n");
const receiveBytesUsual = 256 * 1024;
const lengthPattern = /\r\ncontent-length: (\d+)/i;

export interface Answer {
  readonly status: number;
  readonly bodyBytes: number;
  /** Of a refusal, or when wished: what it says. */
  readonly text?: string;
}

export interface ConnectionOptions {
  /** Less for thousands of connections. */
  readonly receiveBytes?: number;
  /** What the answers say is wanted, and not only that they came. */
  readonly wantsText?: boolean;
}

export class Connection {
  readonly #socket: Socket;
  readonly #wantsText: boolean;
  #head: Buffer | undefined;
  #status = 0;
  #bodyBytes = 0;
  #missing = -1;
  #text: string[] = [];
  #answered: ((answer: Answer) => void) | undefined;
  #failed: (error: Error) => void;

  private constructor(port: number, options: ConnectionOptions, opened: () => void, failed: (error: Error) => void) {
    const { receiveBytes = receiveBytesUsual, wantsText = false } = options;
    this.#wantsText = wantsText;
    this.#failed = failed;
    this.#socket = connect({
      port,
      host: "127.0.0.1",
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(receiveBytes),
        callback: (count, buffer) => this.#received(Buffer.from(buffer.buffer, buffer.byteOffset, count)),
      },
    });
    this.#socket.once("connect", opened);
    this.#socket.on("error", (error) => this.#failed(error));
    this.#socket.on("close", () => this.#failed(new Error("the server closed the connection")));
  }

  static open(port: number, options: ConnectionOptions = {}): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection: Connection = new Connection(port, options, () => resolve(connection), reject);
    });
  }

  /** One at a time. */
  send(request: Uint8Array, answered: (answer: Answer) => void, failed: (error: Error) => void): void {
    this.#answered = answered;
    this.#failed = failed;
    this.#socket.write(request);
  }

  ask(request: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => this.send(request, resolve, reject));
  }

  close(): void {
    this.#failed = () => {};
    this.#socket.destroy();
  }

  #received(chunk: Buffer): boolean {
    let body = chunk;
    if (this.#missing < 0) {
      const bytes = this.#head === undefined ? chunk : Buffer.concat([this.#head, chunk]);
      const end = bytes.indexOf(headEnd);
      if (end < 0) {
        this.#head = Buffer.from(bytes); // the receive buffer is used again
        return true;
      }
      this.#head = undefined;
      const head = bytes.toString("latin1", 0, end);
      this.#status = Number(head.slice(9, 12));
      this.#bodyBytes = Number(lengthPattern.exec(head)?.[1] ?? 0);
      this.#missing = this.#bodyBytes;
      body = bytes.subarray(end + headEnd.length);
    }
    if (this.#wantsText || this.#status >= 300) this.#text.push(body.toString());
    this.#missing -= body.length;
    if (this.#missing <= 0) this.#end();
    return true;
  }

  #end(): void {
    const { length } = this.#text;
    const answer = {
      status: this.#status,
      bodyBytes: this.#bodyBytes,
      ...(length > 0 && { text: this.#text.join("") }),
    };
    this.#missing = -1;
    this.#text = [];
    this.#answered?.(answer);
  }
}

export interface RequestSketch {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly contentType?: string;
  readonly accept?: string;
  readonly body?: Uint8Array;
}

export function requestBytes({ method, path, contentType, accept, body }: RequestSketch): Uint8Array {
  const head = [
    `${method} ${path} HTTP/1.1`,
    "host: 127.0.0.1",
    ...(accept === undefined ? [] : [`accept: ${accept}`]),
    ...(body === undefined ? [] : [`content-type: ${contentType}`, `content-length: ${body.length}`]),
  ];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body ?? Buffer.alloc(0)]);
}
