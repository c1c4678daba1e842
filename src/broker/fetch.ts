// Fetch: whole stored batches below the high watermark. Nothing is decoded here. A fetch that finds less than minBytes waits for
// the high watermarks of its partitions; appends wake it, nothing polls.

import { BrokerError } from "../protocol/error-codes.ts";
import { batchSizeAt, lastOffsetAt, viewOf } from "../protocol/record-batch.ts";
import type { OffsetWaiter } from "../replication/offset-waiters.ts";
import type { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { Draining } from "./draining.ts";

export interface FetchRequest {
  readonly partitions: readonly { readonly topic: string; readonly partition: number; readonly offset: number }[];
  /** Of all partitions together; the first batch comes even if it is larger. */
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly waitMs: number;
  /** Ends the wait: the answer is what is there. */
  readonly signal?: AbortSignal | undefined;
}

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  /** Why nothing could be read; the other partitions are not held up. */
  readonly error?: BrokerError;
  /** Whole batches; the first may begin before the asked offset. */
  readonly batches: Uint8Array;
  /** Where to go on when all of `batches` is used. */
  readonly nextOffset: number;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
}

const nothing = new Uint8Array(0);

export async function fetch(
  parts: BrokerParts,
  request: FetchRequest,
  draining: Draining,
): Promise<readonly FetchedPartition[]> {
  const deadlineMs = parts.clock.monotonicMs() + request.waitMs;
  for (;;) {
    const fetched = await readAll(parts, request);
    const bytes = fetched.reduce((sum, { batches }) => sum + batches.byteLength, 0);
    const leftMs = deadlineMs - parts.clock.monotonicMs();
    const ended = draining.begun || request.signal?.aborted || leftMs <= 0;
    // Failed, or full: what is left over did not fit.
    const settled = fetched.some(({ error, nextOffset, highWatermark }) => error || nextOffset < highWatermark);
    if (bytes >= request.minBytes || ended || settled) return fetched;
    await moreToRead(parts, fetched, leftMs, draining, request.signal);
  }
}

/** Reads the partitions in turn until maxBytes are used up. */
async function readAll(parts: BrokerParts, request: FetchRequest): Promise<FetchedPartition[]> {
  const fetched: FetchedPartition[] = [];
  let left = request.maxBytes;
  for (const { topic, partition, offset } of request.partitions) {
    const one = await readOne(
      parts,
      topic,
      partition,
      offset,
      left,
      fetched.every(({ batches }) => batches.byteLength === 0),
    );
    left -= one.batches.byteLength;
    fetched.push(one);
  }
  return fetched;
}

async function readOne(
  parts: BrokerParts,
  topic: string,
  number: number,
  offset: number,
  bytesMax: number,
  isFirst: boolean,
): Promise<FetchedPartition> {
  let partition: Partition | undefined;
  try {
    partition = parts.partitions.get(topic, number);
    // Also where there is nothing to read: a reader that has caught up must not wait on a partition that takes nothing.
    if (partition.log.offline !== undefined) throw offlineError(topic, number, partition.log.offline);
    // Taken before the read: what is read below this bound stays true whatever is appended meanwhile.
    const { highWatermark } = partition;
    const wanted = offset < highWatermark && (bytesMax > 0 || isFirst);
    if (offset < partition.log.logStartOffset || offset > partition.log.logEndOffset)
      throw partition.log.outOfRange(offset);
    const batches = wanted ? await partition.read(offset, bytesMax) : nothing;
    const cut = !isFirst && batches.byteLength > bytesMax ? nothing : batches;
    // Compaction has left nothing below the high watermark: there is nothing to come back for.
    const next = wanted && batches.byteLength === 0 ? highWatermark : offset;
    return result(topic, number, partition, highWatermark, cut, next);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return { ...result(topic, number, partition, partition?.highWatermark ?? -1, nothing, offset), error };
  }
}

function offlineError(topic: string, partition: number, reason: string): BrokerError {
  return new BrokerError(
    "KAFKA_STORAGE_ERROR",
    `${topic}-${partition} is offline until the broker restarts: ${reason}`,
  );
}

function result(
  topic: string,
  partition: number,
  from: Partition | undefined,
  highWatermark: number,
  batches: Uint8Array,
  offset: number,
): FetchedPartition {
  return {
    topic,
    partition,
    batches,
    nextOffset: batches.byteLength === 0 ? offset : endOf(batches),
    logStartOffset: from?.log.logStartOffset ?? -1,
    highWatermark,
    logEndOffset: from?.log.logEndOffset ?? -1,
  };
}

/** The offset behind the last batch. */
function endOf(batches: Uint8Array): number {
  const view = viewOf(batches);
  let last = 0;
  for (let at = 0; at < batches.byteLength; at += batchSizeAt(view, at)) last = at;
  return lastOffsetAt(view, last) + 1;
}

/** Resolves when a partition has something above what was fetched, when time is up, when it is told to end, or when one fails. */
export function moreToRead(
  { clock, partitions }: BrokerParts,
  fetched: readonly FetchedPartition[],
  waitMs: number,
  draining: Draining,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve) => {
    const waiting: { partition: Partition; waiter: OffsetWaiter }[] = [];
    const end = () => {
      timer.cancel();
      for (const { partition, waiter } of waiting) partition.waiters.remove(waiter);
      draining.remove(end);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.setTimer(waitMs, end);
    draining.add(end);
    signal?.addEventListener("abort", end);
    for (const { topic, partition: number, nextOffset } of fetched) {
      const partition = partitions.find(topic, number);
      if (!partition || partition.highWatermark > nextOffset) return end();
      const waiter = { offset: nextOffset + 1, done: end };
      partition.waiters.add(waiter);
      waiting.push({ partition, waiter });
    }
  });
}
