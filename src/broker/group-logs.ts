// __consumer_offsets as the coordinator sees it: made when the first group is, read batch by batch, appended to like any partition.

import type { GroupLogs, GroupRecordLog } from "../consumer-groups/group-logs.ts";
import type { EncodedGroupRecord } from "../consumer-groups/group-records.ts";
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
/** Records of one batch; a single larger one is a batch of its own. */
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

  async append(records: readonly EncodedGroupRecord[]): Promise<void> {
    const { codecs, clock } = this.#parts;
    const timestamp = clock.nowMs();
    const appends = batchesOf(records, timestamp).map((batchRecords) => {
      const batch = encodeRecordBatch(batchRecords, { codecs });
      if (batch.byteLength > this.#parts.settings.appendGroupBytesMax)
        throw new BrokerError("MESSAGE_TOO_LARGE", "a group's assignment is too large for one write to the log");
      return { batch, header: readBatchHeader(viewOf(batch), 0) };
    });
    // Handed over in one go, so that nothing comes between them.
    const options = { acks: "all", timeoutMs: commitTimeoutMs } as const;
    await Promise.all(appends.map(({ batch, header }) => this.#partition.append(batch, header, options)));
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

function batchesOf(records: readonly EncodedGroupRecord[], timestamp: number): RecordToWrite[][] {
  const batches: RecordToWrite[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { key, value } of records) {
    const size = key.byteLength + (value?.byteLength ?? 0) + bytesPerRecordMax;
    if (bytes + size > batchBytesWanted) {
      batches.push([]);
      bytes = 0;
    }
    bytes += size;
    batches.at(-1)!.push({ key, value, headers: [], timestamp });
  }
  return batches;
}
