// What an HTTP answer means: a value, or a MillraceError.

import { MillraceError, type Problem } from "./millrace-error.ts";
import { unpackMsgpack } from "./msgpack-reader.ts";

/** Statuses that a proxy gives for a broker that may come back. */
const passingStatuses = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The value of a 2xx answer: parsed JSON or msgpack, or undefined without a body. Throws a MillraceError otherwise. */
export async function readAnswer(response: Response): Promise<unknown> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const mediaType = (response.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (!response.ok) throw refusal(response, mediaType, bytes);
  if (bytes.length === 0) return undefined;
  try {
    if (mediaType === "application/msgpack") return unpackMsgpack(bytes);
    if (mediaType === "application/json") return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw unexpected(response, "its body cannot be read", true, cause);
  }
  throw unexpected(response, `its body is ${mediaType || "of no type"}`, false);
}

function refusal(response: Response, mediaType: string, bytes: Uint8Array): MillraceError {
  const problem = mediaType === "application/problem+json" ? parseProblem(bytes) : undefined;
  if (problem === undefined) {
    return unexpected(response, "it is no answer of a broker", passingStatuses.has(response.status));
  }
  return problemError(problem, retryAfterMs(response, problem));
}

/** The error for a broker's problem, over HTTP or WebSocket. */
export function problemError(problem: Problem, retryAfterMs = problem.retryAfterMs): MillraceError {
  const { status } = problem;
  // 503 and the 4xx are surely not done, whatever the call.
  const maybeAppended = problem.maybeAppended ?? (status >= 500 && status !== 503);
  const { code, detail, retriable } = problem;
  return new MillraceError(code, detail, { retriable, status, problem, retryAfterMs, maybeAppended });
}

function parseProblem(bytes: Uint8Array): Problem | undefined {
  try {
    const body: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isProblem(body) ? body : undefined;
  } catch {
    return undefined;
  }
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== "object" || body === null) return false;
  const { code, status, retriable, detail } = body as Partial<Problem>;
  return (
    typeof code === "string" &&
    typeof status === "number" &&
    typeof retriable === "boolean" &&
    typeof detail === "string"
  );
}

function retryAfterMs(response: Response, problem: Problem): number | undefined {
  if (typeof problem.retryAfterMs === "number") return problem.retryAfterMs;
  return retryAfterHeaderMs(response);
}

function retryAfterHeaderMs({ headers }: Response): number | undefined {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

function unexpected(response: Response, why: string, retriable: boolean, cause?: unknown): MillraceError {
  const { status } = response;
  return new MillraceError("UNEXPECTED_ANSWER", `an answer with status ${status} makes no sense: ${why}`, {
    retriable,
    status,
    maybeAppended: true,
    retryAfterMs: retriable ? retryAfterHeaderMs(response) : undefined,
    cause,
  });
}
