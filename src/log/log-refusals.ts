// What a log answers when it cannot do what it was asked for.

import { DiskError } from "../io/disk.ts";
import type { Logger } from "../io/logger.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { DamagedBatchError } from "./batch-walk.ts";

export interface LogState {
  readonly deleted: boolean;
  /** Why the log is offline; undefined while it is not. */
  readonly offline: string | undefined;
}

/** For a log that takes nothing any more: deleted, offline, or closing. */
export function refusalOf(name: string, { deleted, offline }: LogState, maybeAppended: boolean): BrokerError {
  if (deleted) return new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `${name} was deleted`, { maybeAppended });
  if (offline === undefined)
    return new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down", { maybeAppended });
  const detail = `${name} is offline until the broker restarts: ${offline}`;
  return new BrokerError("KAFKA_STORAGE_ERROR", detail, { maybeAppended });
}

/** Whether a read failed for want of something that may be there again soon; nothing speaks against the file then. */
function isShortage(error: unknown): boolean {
  return error instanceof DiskError && ["EMFILE", "ENFILE", "ENOMEM"].includes(error.code);
}

/** For a failed read that says nothing against the rest of the log; undefined when it does. */
export function readRefusal(name: string, error: unknown, logger: Logger): BrokerError | undefined {
  if (isShortage(error))
    return new BrokerError("KAFKA_STORAGE_ERROR", `${name} cannot be read at the moment`, { cause: error });
  if (!(error instanceof DamagedBatchError)) return undefined;
  const { baseOffset, lastOffset } = error;
  logger.error(
    { err: error, partition: name, baseOffset, lastOffset },
    "a stored batch is damaged; the rest of the log can be read",
  );
  const detail = `the stored batch of offsets ${baseOffset} to ${lastOffset} of ${name} is damaged; offset=${lastOffset + 1} reads on behind it`;
  return new BrokerError("KAFKA_STORAGE_ERROR", detail, { fields: { baseOffset, lastOffset }, cause: error });
}

export interface LogBounds {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
}

export function outOfRangeError(name: string, offset: number, bounds: LogBounds): BrokerError {
  const { logStartOffset, highWatermark, logEndOffset } = bounds;
  const detail = `offset ${offset} is not in ${name}: it holds ${logStartOffset} to ${logEndOffset}`;
  return new BrokerError("OFFSET_OUT_OF_RANGE", detail, { fields: { logStartOffset, highWatermark, logEndOffset } });
}
