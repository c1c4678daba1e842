// A read on its way through one or several partitions: fetches stored batches, walks their records, remembers where to go on.
// It holds no records; a sink takes each one as it passes and says when it has enough.

import type { Broker, FetchedPartition } from "../broker/broker.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { formatCursor, formatOffsetExpression, isOfTopic } from "../protocol/offset-expression.ts";
import type { StoredRecord } from "../protocol/record.ts";
import { readBatchHeader, viewOf } from "../protocol/record-batch.ts";
import type { HttpContext } from "./http-context.ts";
import { type ReadPlan, resolvePlaces } from "./read-plan.ts";
import { RecordWalk, shareRecords, unreadableBatch } from "./record-walk.ts";
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
  readonly #records: RecordWalk;
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
    this.#records = new RecordWalk(http.broker.codecs, http.settings);
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
    return shareRecords(fetched, limits.maxRecords, (one, share) => {
      let taken = 0;
      let full = false;
      this.#walk(one, (record) => {
        full = !sink(record, one.partition);
        taken += 1;
        return taken < share && !full;
      });
      return { taken, full };
    });
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

  /** Records before a batch that cannot be read are given; the batch is refused when it comes first. */
  #walk(one: FetchedPartition, take: (record: StoredRecord) => boolean): void {
    const at = this.plan.partitions.indexOf(one.partition);
    const from = this.#positions[at]!;
    const { nextOffset, unreadable } = this.#records.run(one, { from, until: this.#untilOf(at) }, take);
    this.#positions[at] = nextOffset;
    if (unreadable === undefined || nextOffset > from) return;
    throw unreadableBatch(unreadable, `offset=${unreadable.lastOffset + 1}`);
  }
}
