// How keys and values become bytes and come back. null never reaches a codec: it is a missing key or a tombstone.

import { MillraceError } from "./millrace-error.ts";
import { unpackMsgpack } from "./msgpack-reader.ts";
import { packMsgpack } from "./msgpack-writer.ts";

/** Turns values into bytes and back. Both directions may throw; the client says of which record. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** JSON in UTF-8. The type is what the caller says it is; see validated() for proof. */
export function json<T = unknown>(): Codec<T> {
  return {
    encode(value) {
      const text: string | undefined = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`JSON cannot hold ${typeof value}`);
      return encoder.encode(text);
    },
    decode: (bytes) => JSON.parse(decoder.decode(bytes)) as T,
  };
}

/** Text in UTF-8. Bytes that are not UTF-8 fail to decode. */
export function string(): Codec<string> {
  return {
    encode(value) {
      if (typeof value !== "string") throw new TypeError(`a string was expected, not ${typeof value}`);
      if (/\p{Surrogate}/u.test(value)) throw new TypeError("the string holds a lone surrogate, which UTF-8 cannot");
      return encoder.encode(value);
    },
    decode: (bytes) => decoder.decode(bytes),
  };
}

/** Bytes as they are. */
export function bytes(): Codec<Uint8Array> {
  return {
    encode(value) {
      if (!(value instanceof Uint8Array)) throw new TypeError("a Uint8Array was expected");
      return value;
    },
    decode: (value) => value,
  };
}

/** Plain msgpack: smaller than JSON, and bytes stay bytes. Whole numbers beyond 2^53 come back as bigint. */
export function msgpack<T = unknown>(): Codec<T> {
  return { encode: packMsgpack, decode: (value) => unpackMsgpack(value) as T };
}

/** The part of https://standardschema.dev that the client uses. */
export interface StandardSchema<Input, Output> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a Standard Schema answers. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** Why a Standard Schema refuses a value. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * A codec whose values a Standard Schema (zod, valibot, arktype, …) checks, before they are written and after they were
 * read. Written is what the producer gave; read is what the schema makes of it. Schemas that validate asynchronously are refused.
 */
export function validated<Input, Output>(
  schema: StandardSchema<Input, Output>,
  codec: Codec<unknown> = json(),
): Codec<Output> & { encode(value: Input): Uint8Array } {
  const check = (value: unknown): Output => {
    const result = schema["~standard"].validate(value);
    if (result instanceof Promise) throw new TypeError("the schema validates asynchronously, which a codec cannot");
    if (result.issues !== undefined) throw new TypeError(result.issues.map(issueText).join("; "));
    return result.value;
  };
  return {
    encode(value: Input | Output) {
      check(value);
      return codec.encode(value);
    },
    decode: (value) => check(codec.decode(value)),
  };
}

function issueText({ message, path }: StandardIssue): string {
  if (path === undefined || path.length === 0) return message;
  const keys = path.map((part) => String(typeof part === "object" ? part.key : part));
  return `${keys.join(".")}: ${message}`;
}

/** Encodes a part of a record; what the codec throws becomes a MillraceError. */
export function encodePart<T>(codec: Codec<T>, value: T | null | undefined, part: "key" | "value"): Uint8Array | null {
  if (value === null || value === undefined) return null;
  try {
    return codec.encode(value);
  } catch (cause) {
    throw new MillraceError("ENCODE_FAILED", `the ${part} cannot be encoded: ${reason(cause)}`, { cause });
  }
}

/** Decodes a part of a record; `where` names it. */
export function decodePart<T>(codec: Codec<T>, value: Uint8Array | null, where: () => string): T | null {
  if (value === null) return null;
  try {
    return codec.decode(value);
  } catch (cause) {
    throw new MillraceError("DECODE_FAILED", `${where()} cannot be decoded: ${reason(cause)}`, { cause });
  }
}

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
