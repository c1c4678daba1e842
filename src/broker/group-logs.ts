// __consumer_offsets as the coordinator sees it: made when the first group is, read batch by batch, appended to like any partition.

import type { Change, GroupLogs, GroupRecordLog } from "../consumer-groups/group-logs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { encodeRecordBatch, type RecordToWrite } from "../protocol/record.ts";
import { batchSizeAt, lastOffsetAt, readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import { RecordReader } from "../protocol/record-reader.ts";
import type { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { Topics } from "./topics.ts";

export const offsetsTopic = "__consumer_offsets";

/** Small segments are compacted, and so loaded, sooner. */
const offsetsTopicConfig = { "cleanup.policy": "compact", "segment.bytes": 100 * 1024 * 1024 };
/** Changes of one batch; a single larger one is a batch of its own. */
const batchBytesWanted = 256 * 1024;
/** What is read at once while a shard is loaded. */
const readBytes = 1024 * 1024;
/** For the in-sync replicas; a time-out means that the shard is loaded again. */
const commitTimeoutMs = 30_000;
const bytesPerRecordMax = 64;

export class OffsetsTopic implements GroupLogs {
  readonly #parts: BrokerParts;
  readonly #topics: Topics;
  #making: Promise<unknown> | undefined;

  constructor(parts: BrokerParts, topics: Topics) {
    this.#parts = parts;
    this.#topics = topics;
  }

  get exists(): boolean {
    return this.#parts.image.topic(offsetsTopic) !== undefined;
  }

  get shardCount(): number {
    return this.#parts.image.topic(offsetsTopic)?.partitionCount ?? this.#parts.settings.groupPartitionCount;
  }

  async open(shard: number): Promise<GroupRecordLog> {
    if (!this.exists || this.#making) await this.#make(); // known is not yet led: that is the last step of making it
    return new ShardLog(this.#parts, this.#parts.partitions.get(offsetsTopic, shard));
  }

  #make(): Promise<unknown> {
    this.#making ??= this.#topics
      .createInternal({
        name: offsetsTopic,
        partitionCount: this.#parts.settings.groupPartitionCount,
        config: offsetsTopicConfig,
      })
      .finally(() => {
        this.#making = undefined;
      });
    return this.#making;
  }
}

class ShardLog implements GroupRecordLog {
  readonly #parts: BrokerParts;
  readonly #partition: Partition;

  constructor(parts: BrokerParts, partition: Partition) {
    this.#parts = parts;
    this.#partition = partition;
  }

  async replay(take: (key: Uint8Array, value: Uint8Array | null) => void): Promise<void> {
    const { log } = this.#partition;
    const end = log.logEndOffset;
    if (end > log.highWatermark) await this.#partition.committed(end, commitTimeoutMs);
    for (let offset = log.logStartOffset; offset < end; ) {
      const batches = await this.#partition.read(offset, readBytes);
      if (batches.byteLength === 0) break; // compaction has left nothing behind this offset
      offset = this.#replayBatches(batches, take);
    }
  }

  async append(changes: readonly Change[]): Promise<void> {
    const { log } = this.#partition;
    const start = log.logEndOffset;
    try {
      await this.#appendInWaves(changes);
    } catch (error) {
      if (!(error instanceof BrokerError) || log.logEndOffset === start) throw error;
      // What came before the refused part is in the log: nobody may be told that nothing was done.
      throw new BrokerError(error.code, error.message, { fields: error.fields, maybeAppended: true, cause: error });
    }
  }

  async #appendInWaves(changes: readonly Change[]): Promise<void> {
    const timestamp = this.#parts.clock.nowMs();
    const { appendGroupBytesMax, appendQueueBytesMax } = this.#parts.settings;
    const waveBytesMax = Math.min(appendGroupBytesMax, appendQueueBytesMax);
    let wave: Uint8Array[] = [];
    let bytes = 0;
    for (const records of batchesOf(changes, timestamp, appendGroupBytesMax)) {
      const batch = encodeRecordBatch(records, { codecs: this.#parts.codecs });
      if (batch.byteLength > appendGroupBytesMax)
        throw new BrokerError("MESSAGE_TOO_LARGE", "a record of a group is too large for one write to the log");
      if (bytes + batch.byteLength > waveBytesMax) {
        await this.#appendTogether(wave);
        wave = [];
        bytes = 0;
      }
      wave.push(batch);
      bytes += batch.byteLength;
    }
    await this.#appendTogether(wave);
  }

  /** Not more than one write takes, or than may wait for the disk. Afterwards nothing is on its way, however it ended. */
  async #appendTogether(batches: readonly Uint8Array[]): Promise<void> {
    const options = { acks: "all", timeoutMs: commitTimeoutMs } as const;
    const outcomes = await Promise.allSettled(
      batches.map((batch) => this.#partition.append(batch, readBatchHeader(viewOf(batch), 0), options)),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** Gives where to go on. */
  #replayBatches(batches: Uint8Array, take: (key: Uint8Array, value: Uint8Array | null) => void): number {
    const { codecs, settings } = this.#parts;
    const view = viewOf(batches);
    let next = 0;
    for (let at = 0; at < batches.byteLength; at += batchSizeAt(view, at)) {
      const header = readBatchHeader(view, at);
      const reader = RecordReader.open(batches.subarray(at, at + header.sizeBytes), header, codecs, settings);
      while (reader.next()) {
        const { key } = reader;
        if (key) take(key, reader.value);
      }
      next = lastOffsetAt(view, at) + 1;
    }
    return next;
  }
}

/**
 * A batch is written whole or not at all, so no change is spread over two, unless it is larger than any batch may be: as when a
 * topic goes and takes along the offsets of very many groups, each of which may go alone.
 */
function batchesOf(changes: readonly Change[], timestamp: number, batchBytesMax: number): RecordToWrite[][] {
  const batches: RecordToWrite[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  const add = (records: Change, size: number) => {
    if (bytes + size > batchBytesWanted) {
      batches.push([]);
      bytes = 0;
    }
    bytes += size;
    const batch = batches.at(-1)!;
    for (const { key, value } of records) batch.push({ key, value, headers: [], timestamp });
  };
  for (const change of changes) {
    const size = change.reduce((sum, record) => sum + sizeOf(record), 0);
    if (size <= batchBytesMax) add(change, size);
    else for (const record of change) add([record], sizeOf(record));
  }
  return batches;
}

function sizeOf({ key, value }: Change[number]): number {
  return key.byteLength + (value?.byteLength ?? 0) + bytesPerRecordMax;
}
