// What a consumer can be told, and what it hands to handlers.

import type { Codec } from "./codec.ts";
import type { ConsumedRecord } from "./consumed-record.ts";
import type { DeadLetterOptions } from "./dead-letter.ts";
import type { GroupSource } from "./group-source.ts";
import type { TopicSource } from "./topic-feed.ts";

/** How a consumer behaves, whatever it reads; every field has a default. */
export interface ConsumerBehaviour<K = string, V = unknown> {
  /** string() by default. */
  readonly key?: Codec<K>;
  /** json() by default. */
  readonly value?: Codec<V>;
  /** Bytes of records that may be fetched ahead of what is handled. 8 MiB by default. */
  readonly bufferBytesMax?: number;
  /** The largest page. 1 MiB by default. */
  readonly pageBytesMax?: number;
  /** Records of a page at most. 5000 by default. */
  readonly pageRecordsMax?: number;
  /** How long the broker waits for records before it answers without. 25 s by default. */
  readonly waitMs?: number;
  /** A record that is longer than this in its handler is told by the event "stalled". 30 s by default. */
  readonly stallAfterMs?: number;
  /** How long close() waits for handlers. 30 s by default. */
  readonly closeTimeoutMs?: number;
}

/** With `group` a share of topics, without it a topic. */
export type ConsumerOptions<K = string, V = unknown> = ConsumerBehaviour<K, V> & (GroupSource | TopicSource);

/** Given to a handler beside its record. */
export interface HandlerContext {
  /** Aborted when the work is in vain: the partition was lost, or close() has waited long enough. */
  readonly signal: AbortSignal;
}

/** How eachRecord goes about it. */
export interface EachRecordOptions<K, V> {
  /** So many records are handled at once; of one key never more than one, and in order. 1 by default. */
  readonly concurrency?: number;
  /** What to do with a record whose handler throws. Without it eachRecord ends with that error. */
  readonly deadLetter?: DeadLetterOptions<K, V>;
  /** Ends eachRecord, once the handlers that run have ended. */
  readonly signal?: AbortSignal;
}

/** Records of one partition, in order. */
export interface Batch<K = string, V = unknown> {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly ConsumedRecord<K, V>[];
}

/** How eachBatch goes about it. */
export interface EachBatchOptions {
  /** So many batches are handled at once, each of another partition. 1 by default. */
  readonly concurrency?: number;
  /** 500 by default. */
  readonly batchRecordsMax?: number;
  /** Ends eachBatch, once the handlers that run have ended. */
  readonly signal?: AbortSignal;
}
