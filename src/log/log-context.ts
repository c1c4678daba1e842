// What every partition's log is given: the doors to the outside, the broker's limits, and who watches.

import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Logger } from "../io/logger.ts";
import type { Codecs } from "../protocol/codecs.ts";
import type { DiskGuard } from "./disk-guard.ts";
import type { IndexMemory } from "./index-memory.ts";
import type { ProducerLimits } from "./producer-state.ts";

/** The broker settings the log goes by; src/config.ts explains each. */
export interface LogSettings extends ProducerLimits {
  readonly appendQueueBytesMax: number;
  readonly appendGroupBytesMax: number;
  readonly fileDeleteDelayMs: number;
}

/** Told of what the log does; for metrics. Called on the hot path: must be cheap and must not throw. */
export interface LogObserver {
  groupWritten(batches: number, bytes: number, milliseconds: number): void;
  synced(milliseconds: number): void;
  duplicateBatch(): void;
  sequenceError(): void;
  tornTailCut(bytes: number): void;
  /** Segments of so many bytes were put in the place of others. */
  compacted(bytesBefore: number, bytesAfter: number): void;
}

export const silentObserver: LogObserver = {
  groupWritten() {},
  synced() {},
  duplicateBatch() {},
  sequenceError() {},
  tornTailCut() {},
  compacted() {},
};

export interface LogContext {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly codecs: Codecs;
  readonly logger: Logger;
  readonly observer: LogObserver;
  readonly settings: LogSettings;
  readonly indexMemory: IndexMemory;
  readonly diskGuard: Pick<DiskGuard, "low" | "refusal">;
}

export interface LogIdentity {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** The partition's folder. */
  readonly directory: string;
}

/** Told, synchronously and in order, when the log has moved on; must not throw. */
export interface LogListener {
  /** logEndOffset or flushedOffset have risen. */
  advanced(): void;
  wentOffline(): void;
}

/** The data folder's checkpoints: durable, with every partition's offsets at the time of the call or later, when they return. */
export interface Checkpoints {
  /** Recovery points, high watermarks and log starts. */
  writeAll(): Promise<void>;
  writeLogStarts(): Promise<void>;
  /** How far each log is compacted. */
  writeCleaned(): Promise<void>;
}
