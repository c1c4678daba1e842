// A produce request of one record a line, appended in chunks while it arrives. One chunk is in the log before the next is read on:
// so the answer can say exactly how many lines are, and a sender that is faster than the disk is held back by its own socket.

import type { Readable } from "node:stream";
import type { TopicInfo } from "../broker/broker.ts";
import type { ProducedBatch } from "../broker/produce.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { incrementSequence } from "../protocol/record-batch.ts";
import { bodyFailure, ClientGoneError, openBody } from "./body.ts";
import type { Deadline } from "./deadlines.ts";
import { NdjsonReader, type NdjsonRecords } from "./formats/produce-ndjson.ts";
import type { ParsedRecord, ProduceOptions } from "./formats/produce-options.ts";
import { chunkBytesMax, chunkLinesMax, chunkSilenceMs, ndjsonLineMs } from "./limits.ts";
import type { OpenStream } from "./open-streams.ts";
import { encodeShare, offsetsOf, type PartitionShare, shareOut, worstFailure } from "./produce-batches.ts";
import type { Exchange } from "./route.ts";

export async function produceLines(
  exchange: Exchange,
  topic: TopicInfo,
  partition: number | undefined,
  options: ProduceOptions,
): Promise<void> {
  const { request, reply, http } = exchange;
  request.state.isStream = true;
  const stream = new ProduceStream(exchange, openBody(request, reply), topic, partition, options);
  http.streams.opened(stream);
  try {
    await stream.run();
  } finally {
    stream.close();
    http.streams.ended(stream);
  }
  exchange.answer(options.acks === 0 ? 202 : 200, options.acks === 0 ? {} : { appended: stream.appended });
}

class ProduceStream implements OpenStream, Deadline {
  readonly format = "ndjson-produce";
  /** When the line that has begun must have ended. */
  dueMs = Number.POSITIVE_INFINITY;
  /** Records of this request that are in the log. */
  appended = 0;
  readonly #exchange: Exchange;
  readonly #source: Readable;
  readonly #topic: TopicInfo;
  readonly #partition: number | undefined;
  readonly #options: ProduceOptions;
  readonly #reader: NdjsonReader;
  #records: ParsedRecord[] = [];
  #lines: number[] = [];
  /** Of the chunk being gathered. */
  #bytes = 0;
  /** Of the pieces that the line which has begun lies in. */
  #lineBytes = 0;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(
    exchange: Exchange,
    source: Readable,
    topic: TopicInfo,
    partition: number | undefined,
    options: ProduceOptions,
  ) {
    this.#exchange = exchange;
    this.#source = source;
    this.#topic = topic;
    this.#partition = partition;
    this.#options = options;
    const { keyFormat, valueFormat } = options;
    const lineBytesMax = exchange.http.settings.maxLineBytes;
    this.#reader = new NdjsonReader({ partition, keyFormat, valueFormat, lineBytesMax });
    source.on("readable", this.#wakeUp).on("end", this.#end).on("error", this.#fail);
    exchange.request.raw.on("close", this.#gone);
    exchange.http.deadlines.add(this);
  }

  readonly #wakeUp = () => this.#wake?.();
  readonly #end = () => {
    this.#ended = true;
    this.#wake?.();
  };
  readonly #fail = (error: Error) => {
    this.#failure ??= bodyFailure(error);
    this.#wake?.();
  };
  readonly #gone = () => {
    if (!this.#ended && !this.#exchange.request.raw.readableEnded) this.#fail(new ClientGoneError());
  };

  /** Shutdown: what came so far is appended, then the client is told to go on elsewhere. */
  drain(): void {
    this.#fail(new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down"));
  }

  expire(): void {
    this.#fail(
      new BrokerError("INVALID_REQUEST", `a line took longer than ${ndjsonLineMs} ms`, {
        fields: { limit: { name: "ndjsonLineMs", value: ndjsonLineMs } },
      }),
    );
  }

  close(): void {
    const source = this.#source;
    source.off("readable", this.#wakeUp).off("end", this.#end);
    this.#exchange.request.raw.off("close", this.#gone);
    this.#exchange.http.deadlines.remove(this);
    if (source !== this.#exchange.request.raw) source.destroy();
  }

  /** Resolves when every line is in the log; rejects with the answer's problem. */
  async run(): Promise<void> {
    const { clock } = this.#exchange.http;
    for (;;) {
      const next = await this.#next();
      if (next === "silence") await this.#appendAll();
      else if (next === "end") {
        this.#take(this.#reader.end(clock.nowMs()));
        return await this.#finish(undefined);
      } else if (next === "failure") return await this.#finish(this.#failure);
      else {
        try {
          this.#hold(next.length);
        } catch (error) {
          return await this.#finish(error as BrokerError);
        }
        const read = this.#reader.push(next, clock.nowMs());
        this.#bytes += next.length;
        if (read.lines.length > 0) this.#startLine(next.length);
        else {
          if (this.#lineBytes === 0) this.#startLine(0);
          this.#lineBytes += next.length;
        }
        const failure = this.#take(read);
        if (failure !== undefined) return await this.#finish(failure);
        if (this.#lines.length >= chunkLinesMax || (this.#bytes >= chunkBytesMax && this.#lines.length > 0)) {
          await this.#appendAll();
        }
      }
    }
  }

  /** Appends what is left; then, if there is one, the failure is the answer. */
  async #finish(failure: Error | undefined): Promise<void> {
    if (failure instanceof ClientGoneError) throw failure;
    await this.#appendAll();
    if (failure === undefined) return;
    throw failure instanceof BrokerError ? this.#withProgress(failure) : failure;
  }

  #take({ records, lines, failure }: NdjsonRecords): BrokerError | undefined {
    for (const record of records) this.#records.push(record);
    for (const line of lines) this.#lines.push(line);
    if (failure !== undefined) this.#failure = failure;
    return failure;
  }

  async #next(): Promise<Buffer | "end" | "silence" | "failure"> {
    for (;;) {
      if (this.#failure !== undefined) return "failure";
      const chunk = this.#source.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#ended) return "end";
      if (!(await this.#waitForMore())) return "silence";
    }
  }

  /** False when lines wait and nothing came for a while. */
  #waitForMore(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer =
        this.#lines.length === 0
          ? undefined
          : this.#exchange.http.clock.setTimer(chunkSilenceMs, () => {
              this.#wake = undefined;
              resolve(false);
            });
      this.#wake = () => {
        this.#wake = undefined;
        timer?.cancel();
        resolve(true);
      };
    });
  }

  async #appendAll(): Promise<void> {
    const records = this.#records;
    const lines = this.#lines;
    this.#records = [];
    this.#lines = [];
    for (let start = 0; start < records.length; start += chunkLinesMax) {
      await this.#append(records.slice(start, start + chunkLinesMax), lines.slice(start, start + chunkLinesMax));
    }
    this.#bytes = 0;
    // The time the disk took is not the sender's.
    this.#startLine(this.#lineBytes);
    const state = this.#exchange.request.state;
    this.#exchange.http.bodyBudget.give(state.bytesHeld - this.#lineBytes);
    state.bytesHeld = this.#lineBytes;
  }

  /** A line that has begun in the last `bytes` has its whole time from now on. */
  #startLine(bytes: number): void {
    const { insideLine } = this.#reader;
    this.#lineBytes = insideLine ? bytes : 0;
    this.dueMs = insideLine ? this.#exchange.http.clock.monotonicMs() + ndjsonLineMs : Number.POSITIVE_INFINITY;
  }

  async #append(records: readonly ParsedRecord[], lines: readonly number[]): Promise<void> {
    const { broker, topicMetrics } = this.#exchange.http;
    const { acks, timeoutMs } = this.#options;
    try {
      const shares = this.#shares(records);
      const batches = shares.map((share) => this.#batch(records, share));
      const outcomes = await broker.produce({ topic: this.#topic.name, acks, timeoutMs, batches, encodedHere: true });
      const counters = topicMetrics.of(this.#topic.name);
      outcomes.forEach((outcome, at) => {
        if (outcome.kind !== "appended" || outcome.duplicate) return;
        counters.recordsProduced.inc(shares[at]!.indexes.length);
        counters.bytesIn.inc(batches[at]!.batch.byteLength);
      });
      const worst = worstFailure(outcomes);
      if (worst === undefined) {
        this.appended += records.length;
        return;
      }
      const offsets = offsetsOf(records.length, shares, outcomes);
      const firstMissing = offsets.findIndex(({ offset }) => offset === undefined);
      const more = offsets.some(
        ({ offset, maybeAppended }, at) => at > firstMissing && (offset !== undefined || maybeAppended),
      );
      this.appended += firstMissing;
      throw new BrokerError(worst.code, worst.message, {
        fields: { ...worst.fields, line: lines[firstMissing], ...(more ? { maybeAppended: true } : {}) },
        maybeAppended: worst.maybeAppended,
        cause: worst,
      });
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      throw this.#withProgress(error, lines[0]);
    }
  }

  #shares(records: readonly ParsedRecord[]): readonly PartitionShare[] {
    if (this.#partition !== undefined)
      return [{ partition: this.#partition, indexes: records.map((_, index) => index) }];
    const keyless = this.#exchange.http.sticky.next(this.#topic.partitionCount, this.#bytes);
    return shareOut(records, this.#topic, keyless);
  }

  #batch(records: readonly ParsedRecord[], share: PartitionShare): ProducedBatch {
    const { producer, expectedOffset } = this.#options;
    const identity = producer && {
      producerId: BigInt(producer.producerId),
      producerEpoch: producer.producerEpoch,
      baseSequence: incrementSequence(producer.baseSequence, this.appended),
    };
    const batch = encodeShare(records, share, identity, this.#exchange.http.broker.codecs);
    return this.appended === 0 && expectedOffset !== undefined ? { ...batch, expectedOffset } : batch;
  }

  /** How far the request got goes with every refusal. */
  #withProgress(error: BrokerError, line?: number): BrokerError {
    return new BrokerError(error.code, error.message, {
      fields: { ...(line === undefined ? {} : { line }), ...error.fields, appended: this.appended },
      maybeAppended: error.maybeAppended,
      cause: error,
    });
  }

  #hold(bytes: number): void {
    this.#exchange.http.bodyBudget.take(bytes);
    this.#exchange.request.state.bytesHeld += bytes;
  }
}
