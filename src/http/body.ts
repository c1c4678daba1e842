// Request bodies: read whole or as a stream, inflated if they are gzip, within the limits on size, on bytes in memory and on time.
// A client that is gone in the middle of its body is a ClientGoneError: nobody is left to answer.

import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { gunzipStream } from "../io/gzip.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { Deadline } from "./deadlines.ts";
import type { HttpContext } from "./http-context.ts";
import { bodyBaseMs, bodyMsPerMiB } from "./limits.ts";

export class ClientGoneError extends Error {
  override readonly name = "ClientGoneError";
  constructor() {
    super("the client closed the connection before the end of its body");
  }
}

const noBytes = Buffer.alloc(0);

/** True if the request says that it has a body. */
export function hasBody(request: FastifyRequest): boolean {
  const headers = request.headers;
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

/** The body as bytes. They stay in the budget until the answer has ended. */
export function readBody(http: HttpContext, request: FastifyRequest, reply: FastifyReply): Promise<Buffer> {
  const maxBytes = http.settings.maxBodyBytes;
  const gzipped = isGzip(request);
  const declared = Number(request.headers["content-length"] ?? Number.NaN);
  if (declared > maxBytes) throw bodyTooLarge(maxBytes);
  if (declared === 0) return Promise.resolve(noBytes);
  const reader = new WholeBody(http, request, maxBytes, gzipped || Number.isNaN(declared) ? undefined : declared);
  sendContinue(request, reply);
  return reader.read(gzipped);
}

/** The body as it arrives; its limits are the caller's to keep. */
export function openBody(request: FastifyRequest, reply: FastifyReply): Readable {
  const gzipped = isGzip(request);
  sendContinue(request, reply);
  return gzipped ? inflated(request.raw) : request.raw;
}

function sendContinue(request: FastifyRequest, reply: FastifyReply): void {
  if (request.state.awaitsContinue) reply.raw.writeContinue();
}

function isGzip(request: FastifyRequest): boolean {
  const encoding = request.headers["content-encoding"];
  if (encoding === undefined) return false;
  const name = encoding.trim().toLowerCase();
  if (name === "identity") return false;
  if (name === "gzip" || name === "x-gzip") return true;
  throw new BrokerError("UNSUPPORTED_MEDIA_TYPE", "the only Content-Encoding taken is gzip", {
    fields: { acceptEncoding: ["gzip"] },
  });
}

function inflated(raw: IncomingMessage): Readable {
  const stream = gunzipStream();
  raw.pipe(stream);
  // pipe() does not pass on that the source was cut off.
  raw.once("close", () => {
    if (!raw.readableEnded) stream.destroy(new ClientGoneError());
  });
  stream.once("close", () => raw.unpipe(stream));
  return stream;
}

export function bodyTooLarge(maxBytes: number): BrokerError {
  return new BrokerError("PAYLOAD_TOO_LARGE", `the body is larger than ${maxBytes} bytes`, {
    fields: { limit: { name: "maxBodyBytes", value: maxBytes } },
  });
}

export function bodyIdle(requestIdleMs: number): BrokerError {
  return new BrokerError("INVALID_REQUEST", `no byte of the body came for ${requestIdleMs} ms`, {
    fields: { limit: { name: "requestIdleMs", value: requestIdleMs } },
  });
}

/** zlib's errors are the client's fault; anything else means that the client is gone. */
export function bodyFailure(error: Error & { code?: unknown }): Error {
  if (error instanceof BrokerError || error instanceof ClientGoneError) return error;
  if (typeof error.code === "string" && error.code.startsWith("Z_")) {
    return new BrokerError("MALFORMED_BODY", "the body is not the gzip that its Content-Encoding says");
  }
  return new ClientGoneError();
}

class WholeBody implements Deadline {
  dueMs: number;
  readonly #http: HttpContext;
  readonly #request: FastifyRequest;
  readonly #maxBytes: number;
  /** Taken from the budget before the first byte came; undefined if the length is not known. */
  readonly #declared: number | undefined;
  readonly #wholeDueMs: number;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #bytes = 0;
  #settle: ((error: Error | undefined) => void) | undefined;

  constructor(http: HttpContext, request: FastifyRequest, maxBytes: number, declared: number | undefined) {
    this.#http = http;
    this.#request = request;
    this.#maxBytes = maxBytes;
    this.#declared = declared;
    if (declared !== undefined) this.#hold(declared);
    const nowMs = request.state.startedMs;
    this.#wholeDueMs = nowMs + bodyBaseMs + ((declared ?? maxBytes) / 2 ** 20) * bodyMsPerMiB;
    this.dueMs = nowMs + http.settings.requestIdleMs;
  }

  read(gzipped: boolean): Promise<Buffer> {
    const raw = this.#request.raw;
    const source = gzipped ? inflated(raw) : raw;
    this.#http.deadlines.add(this);
    return new Promise((resolve, reject) => {
      const onData = (chunk: Buffer) => this.#take(chunk);
      const onEnd = () => this.#settle?.(undefined);
      const onError = (error: Error) => this.#settle?.(bodyFailure(error));
      const onRawData = () => this.#heard();
      this.#settle = (error) => {
        this.#settle = undefined;
        this.#http.deadlines.remove(this);
        // The listeners stay: the message is this request's alone, and hearing nothing new is cheaper than taking them off.
        if (gzipped) raw.off("data", onRawData);
        if (error === undefined) resolve(this.#whole());
        else reject(error);
      };
      // A connection that is cut gives "error", so "close" would tell nothing more.
      source.on("data", onData).on("end", onEnd).on("error", onError);
      if (gzipped) raw.on("data", onRawData);
    });
  }

  expire(): void {
    const whole = this.dueMs >= this.#wholeDueMs;
    this.#settle?.(whole ? bodyTooSlow() : bodyIdle(this.#http.settings.requestIdleMs));
  }

  #heard(): void {
    this.dueMs = Math.min(this.#http.clock.monotonicMs() + this.#http.settings.requestIdleMs, this.#wholeDueMs);
  }

  #take(chunk: Buffer): void {
    if (this.#settle === undefined) return;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) {
      this.#settle?.(bodyTooLarge(this.#maxBytes));
      return;
    }
    if (this.#declared === undefined) {
      try {
        this.#hold(chunk.length);
      } catch (error) {
        this.#settle?.(error as BrokerError);
        return;
      }
    }
    if (this.#first === undefined) this.#first = chunk;
    else {
      this.#more ??= [this.#first];
      this.#more.push(chunk);
    }
    if (this.#bytes === this.#declared) this.#settle(undefined);
    else this.#heard();
  }

  #hold(bytes: number): void {
    this.#http.bodyBudget.take(bytes);
    this.#request.state.bytesHeld += bytes;
  }

  #whole(): Buffer {
    return this.#more === undefined ? (this.#first ?? noBytes) : Buffer.concat(this.#more, this.#bytes);
  }
}

function bodyTooSlow(): BrokerError {
  return new BrokerError(
    "INVALID_REQUEST",
    `the body took longer than ${bodyBaseMs} ms and ${bodyMsPerMiB} ms for each MiB`,
    {
      fields: { limit: { name: "bodyMs", value: bodyBaseMs } },
    },
  );
}
