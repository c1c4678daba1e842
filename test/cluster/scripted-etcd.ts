// An HttpClient without a network: a test says what each call meets, and speaks for the other end of each stream.

import {
  type HttpAnswer,
  type HttpClient,
  HttpFailure,
  type HttpRequest,
  type HttpStream,
  type HttpStreamHandler,
} from "../../src/io/http-client.ts";

export interface ScriptedCall {
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: bodies of many shapes, looked into by tests
  readonly body: any;
}

/** What a call meets: an answer, a failure, or nothing, ever. */
export type Meets =
  | { readonly status?: number; readonly json?: object; readonly text?: string }
  | HttpFailure
  | "silence";

export const cut = () => new HttpFailure("noAnswer", "other side closed");
export const notSent = () => new HttpFailure("notSent", "connect ECONNREFUSED");
export const refusal = (code: number, message: string, status = 503): Meets => ({
  status,
  json: { error: message, message, code },
});

export class ScriptedEtcd implements HttpClient {
  readonly calls: ScriptedCall[] = [];
  readonly streams: ScriptedStream[] = [];
  meet: (call: ScriptedCall) => Meets;
  isClosed = false;

  constructor(meet: (call: ScriptedCall) => Meets) {
    this.meet = meet;
  }

  callsOf(path: string): ScriptedCall[] {
    return this.calls.filter((call) => call.path === path);
  }

  async post(request: HttpRequest, answerBytesMax: number, signal: AbortSignal): Promise<HttpAnswer> {
    const call = { ...request, body: JSON.parse(request.body) as unknown };
    this.calls.push(call);
    const meets = this.meet(call);
    if (meets === "silence")
      return new Promise((_, reject) => {
        const aborted = () => reject(new HttpFailure("noAnswer", "aborted"));
        if (signal.aborted) aborted();
        else signal.addEventListener("abort", aborted);
      });
    if (meets instanceof HttpFailure) throw meets;
    const body = Buffer.from(meets.text ?? JSON.stringify(meets.json));
    if (body.length > answerBytesMax) throw new HttpFailure("tooLong", "the answer is too long");
    return { status: meets.status ?? 200, body };
  }

  openStream(request: HttpRequest, handler: HttpStreamHandler): HttpStream {
    const stream = new ScriptedStream(request, handler);
    this.streams.push(stream);
    return stream;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

export class ScriptedStream implements HttpStream {
  readonly origin: string;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly created: any;
  /** What came after the first message. */
  readonly written: unknown[] = [];
  isClosed = false;
  readonly #handler: HttpStreamHandler;
  #isOpened = false;

  constructor(request: HttpRequest, handler: HttpStreamHandler) {
    this.origin = request.origin;
    this.headers = request.headers;
    this.created = (JSON.parse(request.body) as { create_request: unknown }).create_request;
    this.#handler = handler;
  }

  write(text: string): void {
    this.written.push(JSON.parse(text));
  }

  close(): void {
    this.isClosed = true;
  }

  /** Sends results, each a line. */
  send(...results: object[]): void {
    this.bytes(Buffer.from(results.map((result) => `${JSON.stringify({ result })}\n`).join("")));
  }

  bytes(bytes: Uint8Array, status = 200): void {
    if (this.isClosed) return;
    if (!this.#isOpened) this.#handler.opened(status);
    this.#isOpened = true;
    this.#handler.bytes(bytes);
  }

  end(failure?: HttpFailure): void {
    if (!this.isClosed) this.#handler.ended(failure);
    this.isClosed = true;
  }
}
