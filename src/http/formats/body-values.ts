// Bodies of the routes that carry no records, as plain values for their schemas to judge. What is malformed, too deep or
// ambiguous is refused before a value is made of it.

import { Buffer, isUtf8 } from "node:buffer";
import { createRequire } from "node:module";
import type { Unpackr } from "msgpackr";
import { malformedJson, notUtf8Json } from "./body-refusal.ts";
import { JsonScanner } from "./json-scanner.ts";
import { MsgpackReader } from "./msgpack-reader.ts";

export function parseJsonBody(body: Uint8Array): unknown {
  if (!isUtf8(body)) throw notUtf8Json(body);
  const scanner = new JsonScanner(body);
  if (!scanner.isWhole()) throw malformedJson(scanner);
  return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
}

const require = createRequire(import.meta.url);
/** Loaded with the first such body: the start does not wait for it. */
let unpackr: Unpackr | undefined;

// By itself it would take extensions (live RegExp and Error objects among them), give integers as bigint, rename keys and
// overflow the stack: the reader has refused all that when it gets to work.
function makeUnpackr(): Unpackr {
  const msgpackr = require("msgpackr") as typeof import("msgpackr");
  return new msgpackr.Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
}

export function parseMsgpackBody(body: Uint8Array): unknown {
  const reader = new MsgpackReader(body);
  reader.skip(0);
  reader.endOfBody();
  unpackr ??= makeUnpackr();
  return unpackr.unpack(body);
}
