// A refusal on its way between brokers: the BrokerError of the one that refused, with its code, message and fields.

import { BrokerError, type ErrorCode, errorCodes } from "../../protocol/error-codes.ts";
import { MalformedFrameError } from "./peer-frames.ts";

export function refusalHead(error: BrokerError): object {
  const { code, message, fields, maybeAppended } = error;
  return { code, message, fields, maybeAppended };
}

export function refusalOf(head: unknown): BrokerError {
  const { code, message, fields, maybeAppended } = (head ?? {}) as Partial<Record<string, unknown>>;
  if (typeof code !== "string" || typeof message !== "string") throw new MalformedFrameError("a refusal says not why");
  if (typeof fields !== "object" || fields === null) throw new MalformedFrameError("a refusal without fields");
  // A code of a later version says nothing about what was done.
  const known = Object.hasOwn(errorCodes, code);
  return new BrokerError(known ? (code as ErrorCode) : "UNKNOWN_SERVER_ERROR", message, {
    fields: fields as Readonly<Record<string, unknown>>,
    maybeAppended: maybeAppended === true || !known,
  });
}
