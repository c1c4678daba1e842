// What Node's HTTP parser refuses before there is a request: answered as a problem, and the connection closes. Never 408, which
// clients repeat on their own: headers that take too long are a 400 like other nonsense.

import type { Socket } from "node:net";
import { BrokerError } from "../protocol/error-codes.ts";
import type { HttpContext } from "./http-context.ts";
import { headerBytesMax, headersTimeoutMs } from "./limits.ts";
import { problemMediaType, problemOf } from "./problem.ts";

export function clientErrorAnswer(error: Error & { code?: string }, socket: Socket, http: HttpContext): void {
  // A reset leaves nobody to answer; after the first byte of an answer another one would be read as part of it.
  if (error.code === "ECONNRESET" || !socket.writable || isAnswering(socket)) {
    socket.destroy();
    return;
  }
  const problem = problemOf(refusalOf(error), { requestId: http.newRequestId(), random: http.random, produce: false });
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

function isAnswering(socket: Socket): boolean {
  const response = (socket as Socket & { _httpMessage?: { headersSent: boolean } | null })._httpMessage;
  return response?.headersSent === true;
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
