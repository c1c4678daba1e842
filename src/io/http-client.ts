// HTTP calls to another server: one port, so that what uses it can be tested without a network. Says for every failure
// whether the request can have reached the server; that a call without an answer may have been carried out is the caller's worry.

export interface HttpRequest {
  /** "http://host:port" or "https://host:port". */
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Why no whole answer came. */
export type HttpFailureKind =
  /** No connection was made: the server surely never saw the request. */
  | "notSent"
  /** Cut, aborted, or not HTTP: the server may have carried it out. */
  | "noAnswer"
  /** The answer is longer than asked for. */
  | "tooLong";

export class HttpFailure extends Error {
  override readonly name = "HttpFailure";
  readonly kind: HttpFailureKind;
  constructor(kind: HttpFailureKind, detail: string, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/** Calls come in this order: opened once, bytes any number of times, ended once; ended alone if there was no answer. */
export interface HttpStreamHandler {
  opened(status: number): void;
  bytes(chunk: Uint8Array): void;
  /** Without a failure the server has ended its answer. */
  ended(failure: HttpFailure | undefined): void;
}

export interface HttpStream {
  /** More of the request's body, while the answer already comes. */
  write(text: string): void;
  /** Ends both directions; no call of the handler comes after this. */
  close(): void;
}

export interface HttpClient {
  /** Any whole answer, whatever its status; rejects with HttpFailure alone. Sends the request at most once. */
  post(request: HttpRequest, answerBytesMax: number, signal: AbortSignal): Promise<HttpAnswer>;
  /** A request whose body stays open, beginning with `request.body`. No call of the handler comes before this returns. */
  openStream(request: HttpRequest, handler: HttpStreamHandler): HttpStream;
  /** Cuts what is under way. */
  close(): Promise<void>;
}
