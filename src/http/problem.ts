// What a client reads when something was refused: RFC 9457 bodies, made from a BrokerError by the one table of codes.

import type { Random } from "../io/random.ts";
import { BrokerError, type ErrorCode, errorCodes } from "../protocol/error-codes.ts";

export const problemMediaType = "application/problem+json";

/** Codes that have another status on some route than in the table. */
export type OwnStatuses = Readonly<Partial<Record<ErrorCode, number>>>;

export interface Problem {
  readonly status: number;
  /** Seconds for the Retry-After header, if the status has one. */
  readonly retryAfter: string | undefined;
  readonly body: string;
}

/** How long a client should wait, before jitter, by status. */
const retryBaseMs: ReadonlyMap<number, number> = new Map([
  [429, 250],
  [503, 1_000],
  [504, 1_000],
]);

export interface ProblemContext {
  readonly requestId: string;
  readonly random: Random;
  /** A problem of a produce says whether it may be in the log. */
  readonly produce: boolean;
  /** Of the route, where they differ from the table. */
  readonly ownStatuses?: OwnStatuses | undefined;
}

/** A write in doubt is 504 whatever its code. */
export function statusOf(error: BrokerError, ownStatuses: OwnStatuses = {}): number {
  return error.maybeAppended ? 504 : (ownStatuses[error.code] ?? errorCodes[error.code].httpStatus);
}

/** Where /docs explains a code; relative, so that it holds behind any proxy. */
export const problemType = (code: ErrorCode): string => `/docs#${code}`;

export function problemOf(error: BrokerError, context: ProblemContext): Problem {
  const { status, body, retryAfterMs } = problemFields(error, context);
  const seconds = retryAfterMs === undefined ? undefined : String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  return { status, retryAfter: seconds, body: JSON.stringify(body) };
}

/** The body of a problem before it is written. */
export function problemFields(
  error: BrokerError,
  context: ProblemContext,
): { status: number; body: object; retryAfterMs: number | undefined } {
  const info = errorCodes[error.code];
  const status = statusOf(error, context.ownStatuses);
  const baseMs = retryBaseMs.get(status);
  const retryAfterMs = baseMs === undefined ? undefined : Math.round(baseMs * (0.5 + context.random.fraction()));
  const body = {
    type: problemType(error.code),
    title: info.title,
    status,
    detail: error.message,
    code: error.code,
    retriable: info.retriable,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    requestId: context.requestId,
    ...(context.produce ? { maybeAppended: error.maybeAppended } : {}),
    ...error.fields,
  };
  return { status, body, retryAfterMs };
}

/** A bug: the client learns its request id, the operator the rest. */
export function unexpected(cause: unknown): BrokerError {
  return new BrokerError("UNKNOWN_SERVER_ERROR", "the broker met a bug; its log has more under this requestId", {
    cause,
  });
}
