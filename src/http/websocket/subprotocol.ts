// The subprotocols, and the handshake's choice among them.

import { BrokerError } from "../../protocol/error-codes.ts";
import type { Encoding } from "./frame-parser.ts";

export const subprotocols = { json: "millrace.v1.json", msgpack: "millrace.v1.msgpack" } as const;
const known: readonly string[] = Object.values(subprotocols);

/** None asked is JSON. */
export const encodingOf = (subprotocol: string): Encoding =>
  subprotocol === subprotocols.msgpack ? "msgpack" : "json";

/** The first known one of those a client asks for, in its order; undefined if it asks for none. */
export function chooseSubprotocol(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const asked = header.split(",").map((name) => name.trim());
  const chosen = asked.find((name) => known.includes(name));
  if (chosen !== undefined) return chosen;
  throw new BrokerError("INVALID_REQUEST", `no such subprotocol; known are ${known.join(" and ")}`, {
    fields: { subprotocols: known },
  });
}
