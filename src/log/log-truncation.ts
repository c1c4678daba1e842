// Cuts the files of a log at a batch, so that a crash leaves a shorter log, never one with a hole: the segments behind go first, the
// last before the others, then the end of the one that holds the cut. What the cut leaves behind in indexes, epochs and snapshots
// is the recovery's to put right.

import type { DiskFile } from "../io/disk.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { scanBatches } from "./batch-scan.ts";
import { SegmentCorruptError } from "./batch-walk.ts";
import { segmentFileName } from "./file-names.ts";
import type { LogContext } from "./log-context.ts";
import type { Segment } from "./segment.ts";

export interface Cut {
  /** The one to be cut, then those behind it. */
  readonly segments: readonly Segment[];
  /** Bytes that the first of them keeps. */
  readonly sizeBytes: number;
  /** Where the log ends then. */
  readonly endOffset: number;
}

/** Before the first batch of `segments` that reaches `offset`; the first of them holds it, if any does. */
export async function findCut(context: LogContext, segments: readonly Segment[], offset: number): Promise<Cut> {
  const segment = segments[0]!;
  const file = await context.disk.open(segment.path);
  try {
    // The batch at this place begins before `offset`, so that the one before the cut is seen too.
    const near = offset > segment.baseOffset ? await segment.positionBefore(offset - 1) : 0;
    let found = near > 0 ? await walkTo(context, file, near, segment, offset) : undefined;
    if (found?.endOffset === undefined) found = await walkTo(context, file, 0, segment, offset); // an index may say anything
    if (found.bad) throw new SegmentCorruptError(`${segment.path}: at byte ${found.position}: ${found.bad}`);
    return { segments, sizeBytes: found.position, endOffset: found.endOffset ?? segment.baseOffset };
  } finally {
    await file.close();
  }
}

const reached = "it reaches the offset";

/** Where the batch begins that reaches `offset`, and where the one before it ends: undefined when none was met, or what was met is not sound. */
async function walkTo(
  { codecs }: LogContext,
  file: DiskFile,
  from: number,
  segment: Segment,
  offset: number,
): Promise<{ position: number; endOffset: number | undefined; bad: string | undefined }> {
  let endOffset: number | undefined;
  const visit = (header: BatchHeader) => {
    if (header.lastOffset >= offset) return reached;
    endOffset = header.lastOffset + 1;
    return undefined;
  };
  const { position, bad } = await scanBatches(file, from, segment.sizeBytes, visit, codecs);
  const isSound = bad === undefined || bad === reached;
  return { position, endOffset: isSound ? endOffset : undefined, bad: isSound ? undefined : bad };
}

/** Durable when it returns. Nobody reads the segments any more. */
export async function cutFiles({ disk }: LogContext, directory: string, { segments, sizeBytes }: Cut): Promise<void> {
  const [cut, ...behind] = segments;
  for (const segment of behind.toReversed()) await segment.remove();
  for (const kind of [".index", ".timeindex"] as const) {
    const path = `${directory}/${segmentFileName(cut!.baseOffset, kind)}`;
    if (await disk.stat(path)) await disk.removeFile(path);
  }
  await disk.syncDir(directory); // before the cut: a segment that comes back must follow on the one before it
  const file = await disk.open(cut!.path);
  try {
    await file.truncate(sizeBytes);
    await file.sync();
  } finally {
    await file.close();
  }
}
