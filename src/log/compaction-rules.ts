// What compaction may touch, when it is due, and what it writes together. Rules: Apache Kafka, LogCleanerManager and Cleaner.

/** A sealed segment, as compaction sees it. */
export interface SealedSegment {
  readonly baseOffset: number;
  /** The first offset behind it. */
  readonly nextOffset: number;
  readonly sizeBytes: number;
}

/** How far compaction has looked at keys: reset to the log start when it is not in the log. */
export function firstDirtyOffset(
  cleanedTo: number | undefined,
  log: { logStartOffset: number; logEndOffset: number },
): number {
  const isInside = cleanedTo !== undefined && cleanedTo >= log.logStartOffset && cleanedTo <= log.logEndOffset;
  return isInside ? cleanedTo : log.logStartOffset;
}

/** The oldest segments, up to the first that reaches the high watermark or holds a record from after `youngestMs`. */
export async function cleanableSegments<S extends SealedSegment & { largestTimestamp(): Promise<number> }>(
  segments: readonly S[],
  highWatermark: number,
  youngestMs: number,
): Promise<S[]> {
  const cleanable: S[] = [];
  for (const segment of segments) {
    if (segment.nextOffset > highWatermark) break;
    if (Number.isFinite(youngestMs) && (await segment.largestTimestamp()) > youngestMs) break;
    cleanable.push(segment);
  }
  return cleanable;
}

/** The bytes of segments with offsets at or above `firstDirty`, as a part of all. */
export function dirtyRatio(segments: readonly SealedSegment[], firstDirty: number): number {
  const total = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const clean = segments.reduce((sum, segment) => sum + (segment.nextOffset <= firstDirty ? segment.sizeBytes : 0), 0);
  return total === 0 ? 0 : (total - clean) / total;
}

/** Neighbours that fit into one segment: by size, and by offsets, which are relative to its base as 32-bit numbers. */
export function groupsOf<S extends SealedSegment>(segments: readonly S[], segmentBytes: number): S[][] {
  const groups: S[][] = [];
  let bytes = 0;
  for (const segment of segments) {
    const group = groups.at(-1);
    const fits =
      group !== undefined &&
      bytes + segment.sizeBytes <= segmentBytes &&
      segment.nextOffset - group[0]!.baseOffset <= relativeOffsetMax;
    bytes = fits ? bytes + segment.sizeBytes : segment.sizeBytes;
    if (fits) group.push(segment);
    else groups.push([segment]);
  }
  return groups;
}

const relativeOffsetMax = 2 ** 31 - 1;
