// Calls over HTTP: one attempt, or attempts until a deadline over several brokers in turn. Whatever goes wrong comes out
// as a MillraceError that says whether trying again can help and whether the call may have happened all the same.

import { readAnswer } from "./http-answer.ts";
import { abortedError, MillraceError } from "./millrace-error.ts";
import type { ClientClock } from "./platform.ts";
import type { RetryNews, RetryPolicy } from "./retry.ts";
import { linkSignals } from "./waiting.ts";

/** What the client passes to `fetch` beside the address. */
export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
  readonly cache: "no-store";
  readonly credentials: "omit";
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

/** What the client needs of `fetch`. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

export interface HttpCall {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** From /v1 on, without a query; names in it are encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** An object goes as JSON, bytes as `contentType`. */
  readonly body?: object | Uint8Array;
  readonly contentType?: string;
  /** How the answer should come. JSON by default. */
  readonly accept?: "application/json" | "application/msgpack";
  readonly signal?: AbortSignal | undefined;
  /** How long the broker may take on purpose (long polls), beyond the time for a request. */
  readonly waitMs?: number;
}

export interface RepeatedCall extends HttpCall {
  /** How long attempts may go on. The client's requestTimeoutMs by default. */
  readonly deadlineInMs?: number;
  readonly onRetry?: (news: RetryNews) => void;
}

export interface HttpTransportOptions {
  readonly urls: readonly string[];
  readonly fetch: Fetch;
  readonly token: (() => string | Promise<string>) | undefined;
  readonly clock: ClientClock;
  readonly retry: RetryPolicy;
  readonly requestTimeoutMs: number;
}

export class HttpTransport {
  readonly clock: ClientClock;
  readonly retry: RetryPolicy;
  readonly requestTimeoutMs: number;
  readonly #urls: readonly string[];
  readonly #fetch: Fetch;
  readonly #token: (() => string | Promise<string>) | undefined;
  /** Of #urls: where the last call succeeded, or the one after where it failed. */
  #current = 0;

  constructor({ urls, fetch, token, clock, retry, requestTimeoutMs }: HttpTransportOptions) {
    this.#urls = urls.map((url) => url.replace(/\/+$/, ""));
    this.#fetch = fetch;
    this.#token = token;
    this.clock = clock;
    this.retry = retry;
    this.requestTimeoutMs = requestTimeoutMs;
  }

  /** Attempts until one succeeds, one is refused for good, or the deadline passes. */
  call(call: RepeatedCall): Promise<unknown> {
    const deadlineMs = this.clock.monotonicMs() + (call.deadlineInMs ?? this.requestTimeoutMs);
    const loop = { deadlineMs, signal: call.signal, onRetry: call.onRetry };
    return this.retry.run(loop, (attempt) => this.once(call, attempt, deadlineMs));
  }

  /** One attempt. `attempt` from 1; it ends at `deadlineMs` of the monotonic clock. */
  async once(call: HttpCall, attempt = 1, deadlineMs = Number.POSITIVE_INFINITY): Promise<unknown> {
    const at = this.#current;
    try {
      return await this.#attempt(this.#urls[at]!, call, deadlineMs);
    } catch (error) {
      if (!(error instanceof MillraceError) || !error.retriable) throw error;
      if (this.#current === at) this.#current = (at + 1) % this.#urls.length;
      // The next attempt goes to another broker, which did not ask us to wait.
      throw attempt % this.#urls.length === 0 ? error : withoutDelay(error);
    }
  }

  async #attempt(base: string, call: HttpCall, deadlineMs: number): Promise<unknown> {
    if (call.signal?.aborted) throw abortedError(call.signal);
    const timeoutMs = Math.min(this.requestTimeoutMs + (call.waitMs ?? 0), deadlineMs - this.clock.monotonicMs());
    const linked = linkSignals(call.signal);
    const timer = this.clock.setTimer(timeoutMs, () => linked.abort());
    try {
      const init = await this.#init(call, linked.signal);
      const response = await this.#fetch(`${base}${call.path}${queryText(call.query)}`, init);
      return await readAnswer(response);
    } catch (error) {
      if (error instanceof MillraceError) throw error;
      if (call.signal?.aborted) throw abortedError(call.signal).withDoubt(true);
      throw connectionError(error, linked.signal.aborted ? timeoutMs : undefined);
    } finally {
      timer.cancel();
      linked.release();
    }
  }

  async #init({ method, body, contentType, accept }: HttpCall, signal: AbortSignal): Promise<FetchInit> {
    const headers: Record<string, string> = { accept: accept ?? "application/json" };
    const token = await this.#token?.();
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    const init: FetchInit = { method, headers, signal, cache: "no-store", credentials: "omit" };
    if (body === undefined) return init;
    headers["content-type"] = contentType ?? "application/json";
    return { ...init, body: body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) };
  }
}

function queryText(query: HttpCall["query"]): string {
  const parts = Object.entries(query ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value!)}`);
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

/** Of Node's fetch: no byte of the request has left. A browser does not tell. */
const notConnected = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function connectionError(cause: unknown, timeoutMs: number | undefined): MillraceError {
  const options = { retriable: true, cause } as const;
  if (timeoutMs !== undefined) {
    const message = `no answer came within ${Math.round(timeoutMs)} ms`;
    return new MillraceError("CONNECTION_FAILED", message, { ...options, maybeAppended: true });
  }
  const inner = cause instanceof Error ? (cause.cause as { readonly code?: unknown } | undefined) : undefined;
  const code = typeof inner?.code === "string" ? inner.code : undefined;
  const why = code ?? (cause instanceof Error ? cause.message : String(cause));
  const maybeAppended = code === undefined || !notConnected.has(code);
  return new MillraceError("CONNECTION_FAILED", `the broker cannot be reached: ${why}`, { ...options, maybeAppended });
}

function withoutDelay(error: MillraceError): MillraceError {
  const { retriable, maybeAppended, status, problem, cause } = error;
  return new MillraceError(error.code, error.message, { retriable, maybeAppended, status, problem, cause });
}
