// One partition of a producer. One request is in flight; what comes meanwhile is the next batch. The rule that never
// doubles (docs/client.md) lives here: a batch is encoded once and sent until there is a definite answer; after an answer
// that leaves doubt the lane goes on under a higher epoch, which fences what is still on its way.

import { CodecError } from "../protocol/codecs.ts";
import { encodeRecordBatch } from "../protocol/record.ts";
import { batchHeaderBytes, incrementSequence } from "../protocol/record-batch.ts";
import { crc32c } from "./crc32c.ts";
import { MillraceError } from "./millrace-error.ts";
import type { ClientClock } from "./platform.ts";
import type { ProduceTransport } from "./produce-transport.ts";
import type { ProducedRecord } from "./produced-record.ts";
import type { ProducerIdentity, ProducerPlace } from "./producer-identity.ts";
import type { RetryNews, RetryPolicy } from "./retry.ts";

export interface LaneParts {
  readonly transport: ProduceTransport;
  /** Undefined: not idempotent, so nothing that may be in the log is sent again. */
  readonly identity: ProducerIdentity | undefined;
  readonly retry: RetryPolicy;
  readonly clock: ClientClock;
  readonly acks: "all" | 1;
  readonly batchBytesMax: number;
  readonly batchRecordsMax: number;
  /** Aborted when the producer gives up all that it holds. */
  readonly signal: AbortSignal;
  readonly onRetry: (news: RetryNews) => void;
  /** What was known of the topic does not hold any more. */
  readonly onTopicChanged: (topic: string) => void;
}

/** Records whose deadlines are so near to each other are given up together. */
const togetherMs = 1_000;
const tooLargeCodes = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "PAYLOAD_TOO_LARGE"]);

const codecs = {
  crc32c,
  decompress(): never {
    throw new CodecError("corrupt", "a producer does not decompress");
  },
};

export class PartitionLane {
  readonly topic: string;
  readonly partition: number;
  /** Called when a batch is taken: keyless records may gather elsewhere from now on. */
  onTake: (() => void) | undefined;
  readonly #parts: LaneParts;
  #queue: ProducedRecord[] = [];
  #busy = false;
  #batchBytesMax: number;
  #place: ProducerPlace | undefined;

  constructor(topic: string, partition: number, parts: LaneParts) {
    this.topic = topic;
    this.partition = partition;
    this.#parts = parts;
    this.#batchBytesMax = parts.batchBytesMax;
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  /** The topic's own limit, as it is known now. */
  limitBatches(maxMessageBytes: number): void {
    this.#batchBytesMax = Math.min(this.#parts.batchBytesMax, maxMessageBytes);
  }

  push(record: ProducedRecord): void {
    this.#queue.push(record);
    if (this.#busy) return;
    this.#busy = true;
    // After the calls of this turn, so that a burst is one batch.
    queueMicrotask(() => void this.#drain());
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const records = this.#take();
      if (records.length > 0) await this.#deliver(records);
    }
    this.#busy = false;
  }

  /** The next batch's records. What was given up or came too late is left out. */
  #take(): ProducedRecord[] {
    this.onTake?.();
    const nowMs = this.#parts.clock.monotonicMs();
    const records: ProducedRecord[] = [];
    let sizeBytes = batchHeaderBytes;
    let taken = 0;
    for (const record of this.#queue) {
      if (!record.isSettled && record.deadlineMs <= nowMs) record.reject(tooLate());
      if (!record.isSettled) {
        if (records.length > 0 && sizeBytes + record.sizeBytes > this.#batchBytesMax) break;
        if (records.length >= this.#parts.batchRecordsMax) break;
        records.push(record);
        record.isTaken = true;
        sizeBytes += record.sizeBytes;
      }
      taken++;
    }
    this.#queue = taken === this.#queue.length ? [] : this.#queue.slice(taken);
    return records;
  }

  async #deliver(records: readonly ProducedRecord[]): Promise<void> {
    const delivery = { inDoubt: false };
    try {
      const baseOffset = await this.#send(records, delivery);
      if (this.#place !== undefined) {
        const nextSequence = incrementSequence(this.#place.nextSequence, records.length);
        this.#place = { ...this.#place, nextSequence };
      }
      for (const [at, record] of records.entries()) record.resolve(this.partition, baseOffset + at);
    } catch (cause) {
      const error =
        cause instanceof MillraceError ? cause : new MillraceError("ENCODE_FAILED", String(cause), { cause });
      if (delivery.inDoubt) this.#raise();
      else if (this.#savedSome(records, error)) return;
      if (error.code === "UNKNOWN_TOPIC_OR_PARTITION") this.#parts.onTopicChanged(this.topic);
      const told = error.withDoubt(delivery.inDoubt);
      for (const record of records) record.reject(told);
    }
  }

  /** The offset of the first record. `delivery.inDoubt`: an attempt may have appended the batch, and none said so. */
  #send(records: readonly ProducedRecord[], delivery: { inDoubt: boolean }): Promise<number> {
    const { retry, identity, transport, acks, signal, onRetry } = this.#parts;
    const deadlineMs = firstDeadlineMs(records);
    let batch: Uint8Array | undefined;
    return retry.run({ deadlineMs, signal, onRetry }, async (attempt) => {
      if (identity !== undefined) this.#place ??= await identity.begin(deadlineMs, attempt);
      batch ??= this.#encode(records);
      const { topic, partition } = this;
      const recordsCount = records.length;
      try {
        return await transport.produce({ topic, partition, batch, recordsCount, acks, attempt, deadlineMs, signal });
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
        delivery.inDoubt ||= error.maybeAppended;
        if (delivery.inDoubt) throw identity === undefined ? final(error) : error;
        if (!this.#beginsAgain(error)) throw error;
        batch = undefined;
        throw again(error);
      }
    });
  }

  #encode(records: readonly ProducedRecord[]): Uint8Array {
    const place = this.#place;
    return encodeRecordBatch(
      records.map(({ record }) => record),
      place === undefined
        ? { codecs }
        : {
            codecs,
            producerId: place.producerId,
            producerEpoch: place.producerEpoch,
            baseSequence: place.nextSequence,
          },
    );
  }

  /** The batch is surely not in the log, but only since the broker judges our place otherwise: it gets a new one. */
  #beginsAgain({ code }: MillraceError): boolean {
    if (code === "OUT_OF_ORDER_SEQUENCE_NUMBER") this.#raise();
    else if (code === "INVALID_PRODUCER_EPOCH") this.#place = this.#parts.identity?.renewed();
    else return false;
    return true;
  }

  #raise(): void {
    if (this.#place !== undefined) this.#place = this.#parts.identity?.raised(this.#place);
  }

  /** After a refusal of the whole batch: smaller batches, or a batch without the records at fault, may pass. */
  #savedSome(records: readonly ProducedRecord[], error: MillraceError): boolean {
    if (records.length < 2) return false;
    if (error.code === "TIMED_OUT") return this.#savedLater(records, error);
    if (tooLargeCodes.has(error.code)) {
      const sizeBytes = records.reduce((sum, record) => sum + record.sizeBytes, 0);
      this.#batchBytesMax = Math.floor(Math.min(this.#batchBytesMax, sizeBytes) / 2);
      this.#parts.onTopicChanged(this.topic);
      this.#putBack(records);
      return true;
    }
    const indexes: unknown = error.problem?.["recordIndexes"];
    if (!Array.isArray(indexes) || indexes.length === 0 || indexes.length >= records.length) return false;
    for (const index of indexes) records[index as number]?.reject(error);
    this.#putBack(records);
    return true;
  }

  /** The deadline was that of the oldest: who was sent later has time left. */
  #savedLater(records: readonly ProducedRecord[], error: MillraceError): boolean {
    const dueMs = firstDeadlineMs(records) + togetherMs;
    const due = records.filter((record) => record.deadlineMs <= dueMs);
    if (due.length === records.length) return false;
    for (const record of due) record.reject(error.withDoubt(false));
    this.#putBack(records);
    return true;
  }

  #putBack(records: readonly ProducedRecord[]): void {
    const left = records.filter((record) => !record.isSettled);
    for (const record of left) record.isTaken = false;
    this.#queue = [...left, ...this.#queue];
  }
}

const firstDeadlineMs = (records: readonly ProducedRecord[]): number =>
  records.reduce((first, { deadlineMs }) => Math.min(first, deadlineMs), Number.POSITIVE_INFINITY);

function tooLate(): MillraceError {
  return new MillraceError("TIMED_OUT", "the deadline passed before the record could be sent", { retriable: true });
}

const again = (error: MillraceError): MillraceError =>
  new MillraceError(error.code, error.message, { retriable: true, problem: error.problem, status: error.status });

function final(error: MillraceError): MillraceError {
  const { code, message, problem, status, maybeAppended, cause } = error;
  return new MillraceError(code, message, { retriable: false, problem, status, maybeAppended, cause });
}
