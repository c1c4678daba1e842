// One write: the batches that waited, judged in order against what is remembered plus what this group has taken already,
// stamped with offsets and leader epoch, and handed over as chunks. Synchronous; nothing is remembered until it is written.

import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { type BatchHeader, stampBatch, stampLogAppendTime, viewOf } from "../protocol/record-batch.ts";
import { type ProducerBatch, type ProducerState, StagedProducers, type Verdict } from "./producer-state.ts";

export interface AppendInfo {
  readonly baseOffset: number;
  readonly lastOffset: number;
  /** The epoch it was appended in; for a duplicate the leader's present one. */
  readonly leaderEpoch: number;
  /** True when the batch was in the log already: the offsets are the first append's. */
  readonly duplicate: boolean;
}

/** A validated batch that waits for its turn. */
export interface PendingAppend {
  readonly batch: Uint8Array;
  /** As the producer sent it: base offset 0. */
  readonly header: BatchHeader;
  /** Append only if the first record gets this offset. */
  readonly expectedOffset: number | undefined;
  readonly resolve: (info: AppendInfo) => void;
  readonly reject: (error: BrokerError) => void;
}

export interface WriteGroupStart {
  readonly logEndOffset: number;
  readonly leaderEpoch: number;
  readonly producers: ProducerState;
  /** Set when the topic stamps records with the time of append. */
  readonly logAppendTime: number | undefined;
  readonly monotonicMs: number;
  readonly codecs: Codecs;
}

export class WriteGroup {
  readonly chunks: Uint8Array[] = [];
  /** Of the chunks, with the offsets they have in the log. */
  readonly headers: BatchHeader[] = [];
  bytes = 0;
  records = 0;
  endOffset: number;
  duplicates = 0;
  sequenceErrors = 0;
  readonly #start: WriteGroupStart;
  readonly #staged: StagedProducers;
  readonly #answers: { readonly pending: PendingAppend; readonly info: AppendInfo }[] = [];
  /** Answered whatever happens to the write: nothing of theirs is in it. */
  readonly #refusals: { readonly pending: PendingAppend; readonly error: BrokerError }[] = [];

  constructor(start: WriteGroupStart) {
    this.#start = start;
    this.#staged = new StagedProducers(start.producers, start.monotonicMs);
    this.endOffset = start.logEndOffset;
  }

  get isUntouched(): boolean {
    return this.#answers.length + this.#refusals.length === 0;
  }

  /** Takes the batch into the group, or notes the answer it gets without being written. */
  take(pending: PendingAppend): void {
    const verdict = this.#staged.judge(pending.header);
    if (verdict.kind === "duplicate") {
      this.#answerDuplicate(pending, verdict.batch);
      return;
    }
    const refusal = refusalOf(verdict, pending.header) ?? this.#unexpectedOffset(pending);
    if (refusal) {
      if (verdict.kind !== "accepted") this.sequenceErrors += 1;
      this.#refusals.push({ pending, error: refusal });
    } else this.#append(pending);
  }

  /** The group is written, and durable as far as the topic asks for it. */
  succeed(): void {
    for (const { pending, info } of this.#answers) pending.resolve(info);
    this.#refuse();
  }

  /** Remembers the producers' batches; call when the write has returned. */
  remember(): void {
    this.#staged.remember();
  }

  /** The write or its sync failed: what was handed over may be in the log or not. */
  fail(error: BrokerError): void {
    for (const { pending } of this.#answers) pending.reject(error);
    this.#refuse();
  }

  #refuse(): void {
    for (const { pending, error } of this.#refusals) pending.reject(error);
  }

  #append(pending: PendingAppend): void {
    const { batch, header } = pending;
    const { leaderEpoch, logAppendTime, codecs } = this.#start;
    const baseOffset = this.endOffset;
    if (logAppendTime !== undefined) stampLogAppendTime(batch, logAppendTime, codecs);
    stampBatch(viewOf(batch), 0, baseOffset, leaderEpoch);
    const stamped: BatchHeader = {
      ...header,
      baseOffset,
      lastOffset: baseOffset + header.lastOffsetDelta,
      partitionLeaderEpoch: leaderEpoch,
      maxTimestamp: logAppendTime ?? header.maxTimestamp,
    };
    this.#staged.stage(stamped);
    this.chunks.push(batch);
    this.headers.push(stamped);
    this.bytes += batch.byteLength;
    this.records += header.recordsCount;
    this.endOffset = stamped.lastOffset + 1;
    this.#answers.push({
      pending,
      info: { baseOffset, lastOffset: stamped.lastOffset, leaderEpoch, duplicate: false },
    });
  }

  #answerDuplicate(pending: PendingAppend, { firstOffset, lastOffset }: ProducerBatch): void {
    this.duplicates += 1;
    const info = { baseOffset: firstOffset, lastOffset, leaderEpoch: this.#start.leaderEpoch, duplicate: true };
    this.#answers.push({ pending, info });
  }

  #unexpectedOffset({ expectedOffset }: PendingAppend): BrokerError | undefined {
    if (expectedOffset === undefined || expectedOffset === this.endOffset) return undefined;
    return new BrokerError(
      "EXPECTED_OFFSET_MISMATCH",
      `the first record would get offset ${this.endOffset}, not ${expectedOffset}; read what is new, then decide again`,
      { fields: { logEndOffset: this.endOffset, expectedOffset } },
    );
  }
}

function refusalOf(verdict: Verdict, header: BatchHeader): BrokerError | undefined {
  switch (verdict.kind) {
    case "fenced":
      return new BrokerError(
        "INVALID_PRODUCER_EPOCH",
        `producer epoch ${header.producerEpoch} is fenced by ${verdict.currentEpoch}; stop, or go on with a larger epoch and sequence 0`,
        { fields: { currentEpoch: verdict.currentEpoch } },
      );
    case "outOfOrder":
      return new BrokerError(
        "OUT_OF_ORDER_SEQUENCE_NUMBER",
        `baseSequence ${header.baseSequence} does not follow; ${verdict.expectedSequence} is expected`,
        { fields: { expectedSequence: verdict.expectedSequence, currentEpoch: header.producerEpoch } },
      );
    case "keyReused":
      return new BrokerError(
        "IDEMPOTENCY_KEY_REUSED",
        `this key appended ${verdict.records} records before, now ${header.recordsCount} were sent; use a new key for a new request`,
        { fields: { records: verdict.records } },
      );
    default:
      return undefined;
  }
}
