// What the log tells of its work, as metrics. The log knows only the calls, not this file.

import type { Metrics } from "./metrics.ts";

export interface LogMetrics {
  groupWritten(batches: number, bytes: number, milliseconds: number): void;
  synced(milliseconds: number): void;
  duplicateBatch(): void;
  sequenceError(): void;
  tornTailCut(bytes: number): void;
  compacted(bytesBefore: number, bytesAfter: number): void;
}

export function logMetrics(metrics: Metrics): LogMetrics {
  const appendSeconds = metrics.histogram("millrace_log_append_seconds", {});
  const fsyncSeconds = metrics.histogram("millrace_log_fsync_seconds", {});
  const groupBatches = metrics.histogram("millrace_append_group_batches", {});
  const groupBytes = metrics.histogram("millrace_append_group_bytes", {});
  const duplicates = metrics.counter("millrace_duplicate_batches_total", {});
  const sequenceErrors = metrics.counter("millrace_sequence_errors_total", {});
  const truncated = metrics.counter("millrace_truncated_bytes_total", {});
  const compactedFrom = metrics.counter("millrace_compaction_bytes_total", { stage: "before" });
  const compactedTo = metrics.counter("millrace_compaction_bytes_total", { stage: "after" });
  return {
    groupWritten(batches, bytes, milliseconds) {
      appendSeconds.observe(milliseconds / 1000);
      groupBatches.observe(batches);
      groupBytes.observe(bytes);
    },
    synced: (milliseconds) => fsyncSeconds.observe(milliseconds / 1000),
    duplicateBatch: () => duplicates.inc(),
    sequenceError: () => sequenceErrors.inc(),
    tornTailCut: (bytes) => truncated.inc(bytes),
    compacted(bytesBefore, bytesAfter) {
      compactedFrom.inc(bytesBefore);
      compactedTo.inc(bytesAfter);
    },
  };
}
