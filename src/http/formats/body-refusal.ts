// How a body is refused: where it is not JSON or msgpack at all, where a field is not what the route takes, and which
// limit was met. `path` is a field's place as in records[3].key; a line of NDJSON has no prefix, its reader adds `line`.

import { nearestName } from "../../nearest-name.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { type JsonScanner, jsonDepthMax } from "./json-scanner.ts";

/** An answer names no more unknown fields than this. */
const unknownNamesMax = 10;

export function joinPath(parent: string, field: string): string {
  return parent === "" ? field : `${parent}.${field}`;
}

export function invalidField(path: string, reason: string, hint?: string): BrokerError {
  const what = path === "" ? "the body" : path;
  return new BrokerError("INVALID_REQUEST", `${what} ${reason}${hint === undefined ? "" : `: ${hint}`}`, {
    fields: { path, ...(hint === undefined ? {} : { hint }) },
  });
}

/** Fields that `parent` does not have. `hints` are for names that are a known misunderstanding. */
export function unknownFields(
  parent: string,
  names: readonly string[],
  known: readonly string[],
  hints: ReadonlyMap<string, string>,
): BrokerError {
  const first = names[0] ?? "";
  const nearest = nearestName(first, known);
  const others = known.length === 0 ? "there are none here" : `known are ${known.join(", ")}`;
  const hint = hints.get(first) ?? (nearest === undefined ? others : `did you mean ${nearest}?`);
  const where = parent === "" ? "" : ` in ${parent}`;
  return new BrokerError("INVALID_REQUEST", `unknown field ${JSON.stringify(first)}${where}: ${hint}`, {
    fields: { unknown: names.slice(0, unknownNamesMax), path: joinPath(parent, first), hint },
  });
}

/** `position` counts bytes from 0, line and column characters from 1. */
function placeOf(bytes: Uint8Array, position: number): { position: number; line: number; column: number } {
  let line = 1;
  let column = 1;
  for (let at = 0; at < position; at++) {
    const byte = bytes[at]!;
    if (byte === 0x0a) {
      line += 1;
      column = 1;
    } else if ((byte & 0xc0) !== 0x80) column += 1;
  }
  return { position, line, column };
}

export function malformedJson(scanner: JsonScanner): BrokerError {
  const { bytes, failurePosition } = scanner;
  const place = placeOf(bytes, failurePosition);
  const where = `at line ${place.line}, column ${place.column}`;
  if (scanner.failure === "depth") {
    return new BrokerError("MALFORMED_BODY", `JSON nests deeper than ${jsonDepthMax} ${where}`, {
      fields: { ...place, limit: { name: "jsonDepthMax", value: jsonDepthMax } },
    });
  }
  const byte = bytes[failurePosition];
  const found =
    byte === undefined
      ? "unexpected end"
      : byte < 0x20
        ? "unexpected control character"
        : byte < 0x7f
          ? `unexpected ${JSON.stringify(String.fromCharCode(byte))}`
          : "unexpected character";
  return new BrokerError("MALFORMED_BODY", `not legal JSON: ${found} ${where}`, { fields: place });
}

/** The body is not UTF-8, or has a byte order mark, which JSON does not have. */
export function notUtf8Json(bytes: Uint8Array): BrokerError {
  const place = placeOf(bytes, firstInvalidUtf8(bytes));
  return new BrokerError("MALFORMED_BODY", `JSON must be UTF-8: bad byte at position ${place.position}`, {
    fields: place,
  });
}

/** By way of TextDecoder's own judgement, halving: this runs once per refused body. */
function firstInvalidUtf8(bytes: Uint8Array): number {
  let low = 0;
  let high = bytes.length;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (isUtf8Prefix(bytes.subarray(0, middle))) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** True if the bytes can go on to be UTF-8: the last character may be cut short. */
function isUtf8Prefix(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
