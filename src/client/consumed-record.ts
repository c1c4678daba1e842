// A record as it was read. Key and value are decoded when they are asked for, so that a record nobody can decode fails
// where it is handled, like any other.

import { type Codec, decodePart } from "./codec.ts";

/** A header of a record. */
export interface ConsumedHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** As the broker sends it. */
export interface FetchedRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly ConsumedHeader[];
}

/** What a record takes in memory, roughly. */
export function fetchedBytes({ key, value, headers }: FetchedRecord): number {
  let size = 128 + (key?.length ?? 0) + (value?.length ?? 0);
  if (headers !== undefined) for (const each of headers) size += 64 + each.key.length + (each.value?.length ?? 0);
  return size;
}

const noHeaders: readonly ConsumedHeader[] = [];
const utf8 = new TextDecoder();

/** A record, given to whoever consumes it. */
export class ConsumedRecord<K = string, V = unknown> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** As they are stored. */
  readonly keyBytes: Uint8Array | null;
  /** As they are stored; null is a tombstone. */
  readonly valueBytes: Uint8Array | null;
  readonly headers: readonly ConsumedHeader[];
  readonly #codecs: { readonly key: Codec<K>; readonly value: Codec<V> };
  #key: K | null | undefined;
  #value: V | null | undefined;

  /** @internal */
  constructor(
    topic: string,
    partition: number,
    record: FetchedRecord,
    codecs: { readonly key: Codec<K>; readonly value: Codec<V> },
  ) {
    this.topic = topic;
    this.partition = partition;
    this.offset = record.offset;
    this.timestamp = record.timestamp;
    this.keyBytes = record.key;
    this.valueBytes = record.value;
    this.headers = record.headers ?? noHeaders;
    this.#codecs = codecs;
  }

  /** Throws a MillraceError (`DECODE_FAILED`) if the codec cannot read the bytes. null: the record has no key. */
  get key(): K | null {
    this.#key ??= decodePart(this.#codecs.key, this.keyBytes, () => `the key of ${this.#where}`);
    return this.#key;
  }

  /** Throws a MillraceError (`DECODE_FAILED`) if the codec cannot read the bytes. null: a tombstone. */
  get value(): V | null {
    this.#value ??= decodePart(this.#codecs.value, this.valueBytes, () => `the value of ${this.#where}`);
    return this.#value;
  }

  /** The text of the last header of this name; undefined if there is none. */
  header(name: string): string | undefined {
    const value = this.headers.findLast(({ key }) => key === name)?.value;
    return value === undefined || value === null ? undefined : utf8.decode(value);
  }

  get #where(): string {
    return `${this.topic}-${this.partition}@${this.offset}`;
  }
}
