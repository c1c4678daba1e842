// The one error class of the client.

/** RFC 9457, as the broker sends it; more fields name what was met. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly retriable: boolean;
  readonly retryAfterMs?: number;
  readonly requestId?: string;
  readonly maybeAppended?: boolean;
  readonly [field: string]: unknown;
}

/** The codes of errors that no broker sent. All others are those of the broker's /docs. */
export const clientErrorCodes = {
  ABORTED: "The caller's signal was aborted.",
  BUFFER_FULL: "The producer holds as many bytes or waiting calls as it may.",
  CLOSED: "The producer, consumer or client is closed.",
  CONNECTION_FAILED: "No broker could be reached, or the connection broke.",
  DECODE_FAILED: "The codec cannot read these bytes.",
  ENCODE_FAILED: "The codec cannot write this value.",
  INVALID_ARGUMENT: "The call itself is wrong.",
  TIMED_OUT: "The deadline passed; cause is what the last attempt met.",
  UNEXPECTED_ANSWER: "What answered does not speak the protocol: most likely a proxy, or another service.",
} as const satisfies Record<string, string>;

/** A code of clientErrorCodes. */
export type ClientErrorCode = keyof typeof clientErrorCodes;

/** What a MillraceError is made of beside its code and message. */
export interface MillraceErrorOptions {
  readonly retriable?: boolean;
  readonly maybeAppended?: boolean;
  readonly status?: number | undefined;
  readonly problem?: Problem | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** Everything that the client rejects with, but what a user's own handler or codec threw (which is then the cause). */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  /** The broker's code (`UNKNOWN_TOPIC_OR_PARTITION`), or one of clientErrorCodes. */
  readonly code: string;
  /** Trying again can succeed. The client has already tried as long as it may. */
  readonly retriable: boolean;
  /** Of a produce: false means that the record is surely not in the log. */
  readonly maybeAppended: boolean;
  /** Of the HTTP answer, if there was one. */
  readonly status: number | undefined;
  /** The broker's own words, if it was the broker that refused. */
  readonly problem: Problem | undefined;
  /** How long the broker asked to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, options: MillraceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retriable = options.retriable ?? false;
    this.maybeAppended = options.maybeAppended ?? options.problem?.maybeAppended ?? false;
    this.status = options.status;
    this.problem = options.problem;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The same, known or not known to be in the log. */
  withDoubt(maybeAppended: boolean): MillraceError {
    if (maybeAppended === this.maybeAppended) return this;
    const { retriable, status, problem, retryAfterMs } = this;
    const same = { retriable, status, problem, retryAfterMs, maybeAppended, cause: this.cause };
    return new MillraceError(this.code, this.message, same);
  }
}

/** What an aborted signal rejects with; its reason is the cause. */
export function abortedError(signal: AbortSignal): MillraceError {
  return new MillraceError("ABORTED", "the call was aborted", { cause: signal.reason });
}
