// What a leader sent, judged before anything of it is stored: it came over a wire, and what is stored must be what a leader has.

import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import {
  type BatchHeader,
  batchHeaderBytes,
  batchSizeAt,
  currentMagic,
  hasValidCrc,
  magicAt,
  readBatchHeader,
  viewOf,
} from "../protocol/record-batch.ts";

export interface ReplicaBounds {
  /** The offset the first batch must have; with gaps, or above. */
  readonly nextOffset: number;
  readonly mayHaveGaps: boolean;
  /** Of the batch before; −1: there is none. */
  readonly lastEpoch: number;
  /** In which the leader leads: no batch can be of a later one. */
  readonly leaderEpoch: number;
  readonly batchBytesMax: number;
}

/** The headers of the batches, which fill `bytes`. A CORRUPT_MESSAGE when one of them is not sound: then none is taken. */
export function soundReplicaBatches(bytes: Uint8Array, bounds: ReplicaBounds, codecs: Codecs): BatchHeader[] {
  const headers: BatchHeader[] = [];
  const view = viewOf(bytes);
  let { nextOffset, lastEpoch } = bounds;
  for (let at = 0; at < bytes.byteLength; ) {
    const unframed = faultOfFrame(view, at, bounds.batchBytesMax);
    if (unframed !== undefined) throw unsound(at, unframed);
    const header = readBatchHeader(view, at);
    const fault = hasValidCrc(bytes.subarray(at, at + header.sizeBytes), codecs)
      ? faultOfHeader(header, { ...bounds, nextOffset, lastEpoch })
      : "its CRC does not match its bytes";
    if (fault !== undefined) throw unsound(at, fault);
    headers.push(header);
    nextOffset = header.lastOffset + 1;
    lastEpoch = header.partitionLeaderEpoch;
    at += header.sizeBytes;
  }
  return headers;
}

/** The header of the first batch, if there is room for one; nothing of it is judged. */
export function firstHeader(bytes: Uint8Array): BatchHeader | undefined {
  return bytes.byteLength < batchHeaderBytes ? undefined : readBatchHeader(viewOf(bytes), 0);
}

function faultOfFrame(view: DataView, at: number, batchBytesMax: number): string | undefined {
  const left = view.byteLength - at;
  if (left < batchHeaderBytes) return `${left} bytes are too few for a batch`;
  if (magicAt(view, at) !== currentMagic) return `magic ${magicAt(view, at)} is not a record batch of version 2`;
  const size = batchSizeAt(view, at);
  if (size < batchHeaderBytes || size > left) return `it says it has ${size} bytes, there are ${left}`;
  if (size > batchBytesMax) return `it has ${size} bytes; one write holds ${batchBytesMax}`;
  return undefined;
}

function faultOfHeader(header: BatchHeader, bounds: ReplicaBounds): string | undefined {
  const { baseOffset, lastOffset, lastOffsetDelta, recordsCount, partitionLeaderEpoch } = header;
  const { nextOffset, mayHaveGaps, lastEpoch, leaderEpoch } = bounds;
  if (lastOffsetDelta < 0 || recordsCount < 0) return `it says it has ${recordsCount} records`;
  if (!Number.isSafeInteger(lastOffset + 1)) return `offset ${lastOffset} is too large`;
  if (mayHaveGaps ? baseOffset < nextOffset : baseOffset !== nextOffset)
    return `it begins at offset ${baseOffset} where ${nextOffset} is due`;
  if (partitionLeaderEpoch < Math.max(0, lastEpoch))
    return `it is of leader epoch ${partitionLeaderEpoch}, behind one of ${lastEpoch}`;
  if (partitionLeaderEpoch > leaderEpoch)
    return `it is of leader epoch ${partitionLeaderEpoch}, its sender leads in ${leaderEpoch}`;
  return undefined;
}

function unsound(at: number, fault: string): BrokerError {
  return new BrokerError("CORRUPT_MESSAGE", `what the leader sent is refused: the batch at byte ${at}: ${fault}`);
}
