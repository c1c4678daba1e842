// What Node's HTTP parser refuses, before there is a request or in the middle of its body: answered as a problem, and the connection
// closes. Never 408, which clients repeat on their own: headers that take too long are a 400 like other nonsense.

import type { Socket } from "node:net";
import { BrokerError } from "../protocol/error-codes.ts";
import type { HttpContext } from "./http-context.ts";
import { headerBytesMax, headersTimeoutMs } from "./limits.ts";
import { problemMediaType, problemOf } from "./problem.ts";

/** The request whose answer a connection waits for. */
export interface CurrentRequest {
  readonly id: string;
  /** Its body has not ended and its answer has not begun: what the parser met is in its body. */
  readonly isInBody: boolean;
  readonly isProduce: boolean;
  /** What came of its body before may be appended already. */
  readonly isStream: boolean;
}

export function clientErrorAnswer(
  error: Error & { code?: string },
  socket: Socket,
  http: HttpContext,
  current: CurrentRequest | undefined,
): void {
  // A reset leaves nobody to answer; a request that came whole would take this answer for its own, or for a part of its own.
  if (error.code === "ECONNRESET" || !socket.writable || current?.isInBody === false) {
    socket.destroy();
    return;
  }
  const problem = problemOf(current === undefined ? refusalOf(error) : badBody(current), {
    requestId: current?.id ?? http.newRequestId(),
    random: http.random,
    produce: current?.isProduce === true,
  });
  const head = [
    `HTTP/1.1 ${problem.status} Bad Request`,
    `content-type: ${problemMediaType}`,
    `content-length: ${Buffer.byteLength(problem.body)}`,
    "cache-control: no-store",
    "x-content-type-options: nosniff",
    "vary: Accept, Origin",
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${problem.body}`, () => socket.destroySoon());
}

function badBody({ isProduce, isStream }: CurrentRequest): BrokerError {
  return new BrokerError("INVALID_REQUEST", "the chunks of the body are not legal HTTP/1.1", {
    fields: isProduce && isStream ? { maybeAppended: true } : {},
  });
}

function refusalOf(error: Error & { code?: string }): BrokerError {
  if (error.code === "HPE_HEADER_OVERFLOW") {
    return new BrokerError("INVALID_REQUEST", "the headers are too large", {
      fields: { limit: { name: "headerBytesMax", value: headerBytesMax } },
    });
  }
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new BrokerError("INVALID_REQUEST", "the headers took too long", {
      fields: { limit: { name: "headersTimeoutMs", value: headersTimeoutMs } },
    });
  }
  return new BrokerError("INVALID_REQUEST", "this is not a legal HTTP/1.1 request");
}
