// Which segments a log may let go of, oldest first. Apache Kafka's order: below the log start, by size, by time (KAFKA-12177).

import type { TopicConfig } from "./topic-config.ts";

export interface RetentionSegment {
  readonly sizeBytes: number;
  /** The first offset behind it. */
  readonly nextOffset: number;
  /** −1 when none of its records has one. */
  readonly largestTimestamp: number;
}

export interface RetentionRules {
  /** −1: no limit. */
  readonly retentionMs: number;
  /** −1: no limit. */
  readonly retentionBytes: number;
}

/** What the topic's config asks for; a topic that is only compacted keeps all segments. */
export function retentionRules({ cleanupPolicy, retentionMs, retentionBytes }: TopicConfig): RetentionRules {
  return cleanupPolicy.delete ? { retentionMs, retentionBytes } : { retentionMs: -1, retentionBytes: -1 };
}

/**
 * How many of the oldest segments are due. Never one that holds an offset at or above the high watermark. The active segment
 * counts too: if all are due the caller rolls first, so that one segment always stays.
 */
export function dueSegments(
  segments: readonly RetentionSegment[],
  rules: RetentionRules,
  bounds: { logStartOffset: number; highWatermark: number; nowMs: number },
): number {
  let total = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  let due = 0;
  for (const segment of segments) {
    const bySize = rules.retentionBytes >= 0 && total - segment.sizeBytes >= rules.retentionBytes;
    const byTime =
      rules.retentionMs >= 0 &&
      segment.largestTimestamp >= 0 &&
      bounds.nowMs - segment.largestTimestamp > rules.retentionMs;
    const belowStart = segment.nextOffset <= bounds.logStartOffset;
    if (segment.sizeBytes === 0 || segment.nextOffset > bounds.highWatermark) break;
    if (!belowStart && !bySize && !byTime) break;
    total -= segment.sizeBytes;
    due += 1;
  }
  return due;
}
