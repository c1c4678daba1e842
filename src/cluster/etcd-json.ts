// How etcd's JSON gateway writes things: keys and values in base64, 64-bit numbers as strings, and nothing at all for what is
// zero, empty or false. Keys of the store stand below a prefix of their own, so that several clusters can share one etcd.

import { assert } from "../assert.ts";
import type { CheckedOperation } from "./checked-transaction.ts";
import type { Compare, StoredValue, WatchEvent } from "./metadata-store.ts";
import { frozenJson } from "./stored-json.ts";

export interface EtcdHeader {
  readonly cluster_id?: string;
  readonly revision?: string;
}

export interface EtcdKeyValue {
  readonly key: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
}

export interface EtcdEvent {
  readonly type?: "PUT" | "DELETE";
  readonly kv: EtcdKeyValue;
}

/** Some writer that is not this program put it there. */
export class ForeignValueError extends Error {
  override readonly name = "ForeignValueError";
}

const decoder = new TextDecoder("utf-8", { fatal: true });
const prefixPattern = /^[\x21-\x7e]{1,200}$/;

/** An int64 of the gateway; absent is 0. */
export function int64(text: string | undefined): number {
  const value = Number(text ?? 0);
  assert(Number.isSafeInteger(value), `etcd told the number ${text}`);
  return value;
}

export class EtcdKeys {
  readonly #prefix: string;

  constructor(prefix: string) {
    assert(prefixPattern.test(prefix), `not a key prefix: ${JSON.stringify(prefix)}`);
    this.#prefix = prefix;
  }

  encode(key: string): string {
    return base64(this.#prefix + key);
  }

  /** The key right after `encoded`. */
  after(encoded: string): string {
    return Buffer.concat([Buffer.from(encoded, "base64"), Uint8Array.of(0)]).toString("base64");
  }

  /** Where the keys that start with `prefix` end: keys are ASCII, so the last byte has a successor. */
  endOf(prefix: string): string {
    const bytes = Buffer.from(this.#prefix + prefix);
    bytes[bytes.length - 1]! += 1;
    return bytes.toString("base64");
  }

  compare(compare: Compare): object {
    const key = this.encode(compare.key);
    if ("modRevision" in compare)
      return { key, target: "MOD", result: "EQUAL", mod_revision: `${compare.modRevision}` };
    return { key, target: "CREATE", result: "EQUAL", create_revision: `${compare.createRevision}` };
  }

  operation(operation: CheckedOperation): object {
    const key = this.encode(operation.key);
    if (operation.kind === "delete") return { request_delete_range: { key } };
    const lease = operation.lease === undefined ? {} : { lease: `${operation.lease}` };
    return { request_put: { key, value: base64(operation.text), ...lease } };
  }

  stored(kv: EtcdKeyValue): StoredValue {
    const key = this.#keyOf(kv);
    return Object.freeze({
      key,
      value: jsonOf(kv, this.#prefix + key),
      createRevision: int64(kv.create_revision),
      modRevision: int64(kv.mod_revision),
    });
  }

  event(event: EtcdEvent): WatchEvent {
    if (event.type !== "DELETE") return { kind: "put", value: this.stored(event.kv) };
    return { kind: "delete", key: this.#keyOf(event.kv), revision: int64(event.kv.mod_revision) };
  }

  #keyOf(kv: EtcdKeyValue): string {
    const full = Buffer.from(kv.key, "base64").toString("latin1");
    assert(full.startsWith(this.#prefix), `etcd told of the key ${full}, which is outside of ${this.#prefix}`);
    return full.slice(this.#prefix.length);
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function jsonOf(kv: EtcdKeyValue, name: string): unknown {
  try {
    return frozenJson(decoder.decode(Buffer.from(kv.value ?? "", "base64")));
  } catch (error) {
    throw new ForeignValueError(`the value of ${name} in etcd is no JSON: something else wrote it`, { cause: error });
  }
}
