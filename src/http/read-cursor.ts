// A read on its way through one or several partitions: fetches stored batches, walks their records, remembers where to go on.
// It holds no records; a sink takes each one as it passes and says when it has enough.

import type { Broker, FetchedPartition } from "../broker/broker.ts";
import { CodecError } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { formatCursor, formatOffsetExpression, isOfTopic } from "../protocol/offset-expression.ts";
import type { StoredRecord } from "../protocol/record.ts";
import {
  BatchCorruptError,
  type BatchHeader,
  batchSizeAt,
  isControl,
  readBatchHeader,
  viewOf,
} from "../protocol/record-batch.ts";
import { RecordReader } from "../protocol/record-reader.ts";
import type { HttpContext } from "./http-context.ts";
import { type ReadPlan, resolvePlaces } from "./read-plan.ts";
import type { TopicCounters } from "./topic-metrics.ts";

/** Takes a record; false: no more. */
export type RecordSink = (record: StoredRecord, partition: number) => boolean;

export interface StepLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Reset {
  readonly from: number | string;
  readonly to: number | string;
}

/** An offset that was reset can be gone again before it is read, but not for ever. */
const resetsMax = 3;

export class ReadCursor {
  readonly plan: ReadPlan;
  /** By place in plan.partitions. */
  readonly #positions: number[];
  readonly #until: readonly number[] | undefined;
  readonly #broker: Broker;
  readonly #decodeLimits: { readonly decompressedBytesMax: number };
  readonly #counters: TopicCounters;
  /** As of the last fetch, by place in plan.partitions. */
  readonly #highWatermarks: number[];
  readonly #logStartOffsets: number[];
  /** Every partition's ends were seen once. */
  #looked = false;
  /** What offsetReset did since the last look. */
  #reset: Reset | undefined;
  /** Whose turn it is to be first: with limits the first gets most. */
  #turn = 0;

  private constructor(http: HttpContext, plan: ReadPlan, positions: number[], until: readonly number[] | undefined) {
    this.plan = plan;
    this.#positions = positions;
    this.#until = until;
    this.#broker = http.broker;
    this.#decodeLimits = { decompressedBytesMax: http.settings.decompressedBytesMax };
    this.#counters = http.topicMetrics.of(plan.topic.name);
    this.#highWatermarks = positions.map(() => 0);
    this.#logStartOffsets = positions.map(() => 0);
    this.#turn = Math.floor(http.random.fraction() * positions.length);
  }

  /** Resolves both ends. */
  static async open(http: HttpContext, plan: ReadPlan): Promise<ReadCursor> {
    const { broker } = http;
    const { from, topic, offsetReset } = plan;
    const foreign = !isOfTopic(from, topic.topicId);
    if (foreign && offsetReset === "error") {
      throw new BrokerError(
        "OFFSET_OUT_OF_RANGE",
        "this cursor is of another topic, or of an earlier one of this name",
      );
    }
    const start = foreign ? { kind: offsetReset as "earliest" | "latest" } : from;
    const positions = await resolvePlaces(broker, plan, start);
    const until = plan.until === undefined ? undefined : await resolvePlaces(broker, plan, plan.until);
    const cursor = new ReadCursor(http, plan, positions, until);
    if (foreign) cursor.#reset = { from: formatOffsetExpression(from), to: cursor.nextOffset };
    return cursor;
  }

  /** What to ask for to go on from here. */
  get nextOffset(): number | string {
    if (this.plan.single) return this.#positions[0]!;
    const offsets = new Map(this.plan.partitions.map((partition, at) => [partition, this.#positions[at]!]));
    return formatCursor(this.plan.topic.topicId, offsets);
  }

  /** Nothing is left before `until`. */
  get finished(): boolean {
    return this.#until?.every((until, at) => this.#positions[at]! >= until) ?? false;
  }

  /** Nothing more could be read at the last fetch. */
  get caughtUp(): boolean {
    return this.#positions.every((position, at) => position >= Math.min(this.#highWatermarks[at]!, this.#untilOf(at)));
  }

  /** Of the one partition. */
  get highWatermark(): number {
    return this.#highWatermarks[0]!;
  }
  get logStartOffset(): number {
    return this.#logStartOffsets[0]!;
  }

  takeReset(): Reset | undefined {
    const reset = this.#reset;
    this.#reset = undefined;
    return reset;
  }

  #untilOf(at: number): number {
    return this.#until?.[at] ?? Number.POSITIVE_INFINITY;
  }

  /** Fetches once and gives the sink what came. Resolves with how many records it took; may move on without any. */
  async step(limits: StepLimits, sink: RecordSink): Promise<number> {
    const fetched = await this.#fetch(limits);
    let left = limits.maxRecords;
    let full = false;
    for (let nth = 0; nth < fetched.length && left > 0 && !full; nth++) {
      const one = fetched[nth]!;
      // Those with little leave their share to those behind them.
      let share = Math.ceil(left / (fetched.length - nth));
      const before = share;
      this.#walk(one, (record, partition) => {
        if (!sink(record, partition)) full = true;
        share -= 1;
        return share > 0 && !full;
      });
      left -= before - share;
    }
    return limits.maxRecords - left;
  }

  /** The stored batches themselves, of one partition; up to `until`, and no batch after that which brings the last record allowed. */
  async stepRaw(limits: StepLimits, cut: boolean): Promise<Uint8Array> {
    const [one] = await this.#fetch(limits);
    if (one === undefined) return new Uint8Array(0);
    const at = 0;
    if (!cut) {
      this.#positions[at] = Math.max(this.#positions[at]!, one.nextOffset);
      return one.batches;
    }
    const view = viewOf(one.batches);
    let end = 0;
    let records = 0;
    while (end < one.batches.byteLength && records < limits.maxRecords) {
      const header = readBatchHeader(view, end);
      if (header.baseOffset >= this.#untilOf(at)) break;
      records += header.recordsCount;
      end += header.sizeBytes;
      this.#positions[at] = Math.min(header.lastOffset + 1, this.#untilOf(at));
    }
    return one.batches.subarray(0, end);
  }

  /** One answer for each partition that is not finished, none of them an error. */
  async #fetch(limits: StepLimits): Promise<readonly FetchedPartition[]> {
    for (let resets = 0; ; resets++) {
      const wanted = this.#wanted(false);
      const finished = wanted.length === 0;
      if (finished && this.#looked) return [];
      // Nothing to read, but an answer says where the log is, and a place that is not in it is refused.
      const fetched = await this.#broker.fetch(
        finished
          ? { partitions: this.#wanted(true), maxBytes: 1, minBytes: 0, waitMs: 0 }
          : { ...limits, partitions: wanted },
      );
      const failed = fetched.find(({ error }) => error !== undefined);
      if (failed === undefined) {
        this.#seen(fetched);
        return finished ? [] : fetched;
      }
      const error = failed.error!;
      if (error.code !== "OFFSET_OUT_OF_RANGE" || this.plan.offsetReset === "error" || resets === resetsMax)
        throw error;
      await this.#resetGone(fetched);
    }
  }

  /** Where to read: the partitions that are not finished, or all. */
  #wanted(all: boolean): { topic: string; partition: number; offset: number }[] {
    const { partitions, topic } = this.plan;
    const wanted = [];
    this.#turn += 1;
    for (let nth = 0; nth < partitions.length; nth++) {
      const at = (this.#turn + nth) % partitions.length;
      const offset = this.#positions[at]!;
      if (all || offset < this.#untilOf(at)) wanted.push({ topic: topic.name, partition: partitions[at]!, offset });
    }
    return wanted;
  }

  #seen(fetched: readonly FetchedPartition[]): void {
    this.#looked = true;
    for (const { partition, highWatermark, logStartOffset, batches } of fetched) {
      const at = this.plan.partitions.indexOf(partition);
      this.#highWatermarks[at] = highWatermark;
      this.#logStartOffsets[at] = logStartOffset;
      this.#counters.bytesOut.inc(batches.byteLength);
    }
  }

  async #resetGone(fetched: readonly FetchedPartition[]): Promise<void> {
    const { topic, partitions, offsetReset } = this.plan;
    const gone = fetched.filter(({ error }) => error?.code === "OFFSET_OUT_OF_RANGE").map(({ partition }) => partition);
    const kind = offsetReset as "earliest" | "latest";
    const places = await this.#broker.resolveOffsets(topic.name, gone, { kind });
    const from = this.#reset?.from ?? this.nextOffset;
    for (const { partition, offset } of places) this.#positions[partitions.indexOf(partition)] = offset;
    this.#reset = { from, to: this.nextOffset };
  }

  #walk({ partition, batches, nextOffset }: FetchedPartition, take: RecordSink): void {
    const at = this.plan.partitions.indexOf(partition);
    const until = this.#untilOf(at);
    const view = viewOf(batches);
    for (let start = 0; start < batches.byteLength; start += batchSizeAt(view, start)) {
      const header = readBatchHeader(view, start);
      if (header.lastOffset < this.#positions[at]! || isControl(header)) continue;
      const reader = this.#open(batches.subarray(start, start + header.sizeBytes), header);
      while (reader.next()) {
        const offset = reader.offset;
        if (offset < this.#positions[at]!) continue;
        if (offset >= until) {
          this.#positions[at] = until;
          return;
        }
        this.#positions[at] = offset + 1;
        if (!take(reader, partition)) return;
      }
    }
    this.#positions[at] = Math.min(nextOffset, until);
  }

  #open(batch: Uint8Array, header: BatchHeader): RecordReader {
    try {
      return RecordReader.open(batch, header, this.#broker.codecs, this.#decodeLimits);
    } catch (cause) {
      if (!(cause instanceof BatchCorruptError) && !(cause instanceof CodecError)) throw cause;
      const { baseOffset, lastOffset } = header;
      const detail = `the stored batch of offsets ${baseOffset} to ${lastOffset} cannot be read; offset=${lastOffset + 1} reads on behind it`;
      throw new BrokerError("KAFKA_STORAGE_ERROR", detail, { fields: { baseOffset, lastOffset }, cause });
    }
  }
}
