// A record on its way: what the user gave, as bytes, and the promise that waits for its place in the log.

import type { RecordToWrite } from "../protocol/record.ts";
import type { RecordHeader } from "../protocol/record-reader.ts";
import { type Codec, encodePart } from "./codec.ts";
import { MillraceError } from "./millrace-error.ts";

/** Headers of a record, by name; text goes as UTF-8. As pairs where a name comes twice. */
export type HeadersToSend =
  | Readonly<Record<string, string | Uint8Array | null>>
  | readonly (readonly [name: string, value: string | Uint8Array | null])[];

/** A record as a user sends it. */
export interface RecordToSend<K, V> {
  readonly topic: string;
  /** Decides the partition, unless `partition` does. */
  readonly key?: K | null;
  /** null is a tombstone: it deletes the key from a compacted topic. */
  readonly value: V | null;
  readonly headers?: HeadersToSend;
  /** Milliseconds since the epoch; now by default. */
  readonly timestamp?: number;
  readonly partition?: number;
}

/** Where a record is in the log. */
export interface SentRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** As it was sent. A topic with LogAppendTime keeps the broker's own instead. */
  readonly timestamp: number;
}

/** What a record takes beside its own bytes in a batch, at most, and roughly in memory. */
const overheadBytes = 64;

export class ProducedRecord {
  readonly topic: string;
  readonly record: RecordToWrite;
  /** Undefined: the key decides, or the producer. */
  readonly partition: number | undefined;
  readonly sizeBytes: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly sent: Promise<SentRecord>;
  isSettled = false;
  /** It is in a batch that was or will be sent, and cannot be taken back. */
  isTaken = false;
  /** Called once, when the record is in the log or never will be. */
  onSettled: (() => void) | undefined;
  #resolve!: (sent: SentRecord) => void;
  #reject!: (error: unknown) => void;

  constructor(topic: string, record: RecordToWrite, partition: number | undefined, deadlineMs: number) {
    this.topic = topic;
    this.record = record;
    this.partition = partition;
    this.deadlineMs = deadlineMs;
    this.sizeBytes = overheadBytes + (record.key?.length ?? 0) + (record.value?.length ?? 0);
    for (const { key, value } of record.headers) this.sizeBytes += key.length + (value?.length ?? 0) + 10;
    this.sent = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  resolve(partition: number, offset: number): void {
    if (this.isSettled) return;
    this.#settle();
    this.#resolve({ topic: this.topic, partition, offset, timestamp: this.record.timestamp });
  }

  reject(error: unknown): void {
    if (this.isSettled) return;
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.isSettled = true;
    this.onSettled?.();
  }
}

/** Encodes what the user gave. Throws a MillraceError. */
export function toWrite<K, V>(
  { key, value, headers, timestamp }: RecordToSend<K, V>,
  keyCodec: Codec<K>,
  valueCodec: Codec<V>,
  nowMs: number,
): RecordToWrite {
  if (value === undefined) throw new MillraceError("INVALID_ARGUMENT", "the value is undefined; a tombstone is null");
  if (timestamp !== undefined && !(Number.isSafeInteger(timestamp) && timestamp >= 0)) {
    throw new MillraceError("INVALID_ARGUMENT", `the timestamp ${timestamp} is no whole number of milliseconds`);
  }
  return {
    key: encodePart(keyCodec, key, "key"),
    value: encodePart(valueCodec, value, "value"),
    headers: headers === undefined ? noHeaders : encodeHeaders(headers),
    timestamp: timestamp ?? Math.floor(nowMs),
  };
}

const noHeaders: readonly RecordHeader[] = [];
const utf8 = new TextEncoder();

function encodeHeaders(headers: HeadersToSend): readonly RecordHeader[] {
  const pairs = Array.isArray(headers)
    ? (headers as readonly (readonly [string, string | Uint8Array | null])[])
    : Object.entries(headers);
  return pairs.map(([name, value]) => ({
    key: utf8.encode(name),
    value: typeof value === "string" ? utf8.encode(value) : value,
  }));
}
