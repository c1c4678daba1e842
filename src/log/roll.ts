// When a log begins a new segment, and what has to be on disk before it does. Rules: Apache Kafka, LogSegment.shouldRoll.

import type { BatchHeader } from "../protocol/record-batch.ts";
import type { LogContext } from "./log-context.ts";
import { writeProducerSnapshot } from "./producer-snapshot.ts";
import type { ProducerState } from "./producer-state.ts";
import { Segment } from "./segment.ts";
import type { TopicConfig } from "./topic-config.ts";

/** Offsets in a segment are relative to its base, as 32-bit numbers. */
const relativeOffsetMax = 2 ** 31 - 1;

/** Whether the batch of `header` has to begin a new segment when `groupBytes` go before it and it would end at `lastOffset`. */
export function mustRoll(
  active: Segment,
  config: TopicConfig,
  header: BatchHeader,
  groupBytes: number,
  lastOffset: number,
  nowMs: number,
): boolean {
  const size = active.sizeBytes + groupBytes;
  if (size === 0) return false;
  const timestamp = config.messageTimestampType === "LogAppendTime" ? nowMs : header.maxTimestamp;
  return (
    size + header.sizeBytes > config.segmentBytes ||
    lastOffset - active.baseOffset >= relativeOffsetMax ||
    active.ageMs(timestamp, nowMs) > config.segmentMs ||
    active.isIndexFull(config.segmentIndexBytes)
  );
}

/**
 * Writes what lets the next start do without a scan up to `endOffset`, the end of `active`: its indexes and the producers' state.
 * Durable but for the names: sync the directory.
 */
export async function writeSealFiles(
  context: LogContext,
  directory: string,
  active: Segment,
  producers: ProducerState,
  endOffset: number,
): Promise<void> {
  await active.writeIndexes();
  await writeProducerSnapshot(context.disk, directory, endOffset, producers, context.codecs);
}

/** Seals `active`, whose batches are synced, with all that goes with it, and makes the next segment; all durable when it returns. */
export async function beginNextSegment(
  context: LogContext,
  directory: string,
  active: Segment,
  producers: ProducerState,
  baseOffset: number,
): Promise<Segment> {
  await writeSealFiles(context, directory, active, producers, baseOffset);
  const next = await Segment.create(context, directory, baseOffset);
  await context.disk.syncDir(directory);
  active.seal();
  return next;
}
