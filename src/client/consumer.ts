// Reads records, for a group or a topic. What it promises stands in docs/client.md.

import type { Position, TopicPartitions } from "./admin-answers.ts";
import { asyncDispose } from "./async-dispose.ts";
import { type Codec, json, string } from "./codec.ts";
import { ConsumedRecord } from "./consumed-record.ts";
import { byTopic, ConsumerEmitter, type ConsumerEvents } from "./consumer-events.ts";
import type {
  Batch,
  ConsumerOptions,
  EachBatchOptions,
  EachRecordOptions,
  HandlerContext,
} from "./consumer-options.ts";
import type { Feed, FeedParts } from "./feed.ts";
import { GroupFeed } from "./group-feed.ts";
import { Handling, NotHandled } from "./handling.ts";
import type { HttpTransport } from "./http-transport.ts";
import { Inbox, type Taken } from "./inbox.ts";
import { KeyedRunner } from "./keyed-runner.ts";
import { MillraceError } from "./millrace-error.ts";
import type { Producer } from "./producer.ts";
import type { Sockets } from "./sockets.ts";
import type { TopicCache } from "./topic-cache.ts";
import { TopicFeed } from "./topic-feed.ts";
import { Change, changeWithin, linkSignals } from "./waiting.ts";
import { Watchdog } from "./watchdog.ts";

export interface ConsumerParts {
  readonly http: HttpTransport;
  readonly topics: TopicCache;
  readonly sockets: Sockets | undefined;
  readonly memberId: () => string;
  readonly rawProducer: () => Producer<Uint8Array, Uint8Array>;
  readonly onClose: () => void;
}

/** Made by `millrace.consumer()`. Consume it in one way at a time: `for await`, eachRecord or eachBatch. */
export class Consumer<K = string, V = unknown> implements AsyncDisposable, AsyncIterable<ConsumedRecord<K, V>> {
  readonly #codecs: { readonly key: Codec<K>; readonly value: Codec<V> };
  readonly #parts: ConsumerParts;
  readonly #inbox: Inbox;
  readonly #feed: Feed;
  readonly #events = new ConsumerEmitter();
  readonly #watchdog: Watchdog;
  readonly #closeTimeoutMs: number;
  /** No new record is begun. */
  readonly #closing = new AbortController();
  /** Handlers are waited for no more. */
  readonly #hurry = new AbortController();
  readonly #handling: Handling<K, V>;
  #isConsumed = false;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(options: ConsumerOptions<K, V>, parts: ConsumerParts) {
    this.#codecs = { key: options.key ?? (string() as unknown as Codec<K>), value: options.value ?? json<V>() };
    this.#parts = parts;
    this.#inbox = new Inbox(options.bufferBytesMax ?? 8 * 1024 * 1024);
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 30_000;
    const { http, topics } = parts;
    this.#watchdog = new Watchdog(
      http.clock,
      options.stallAfterMs ?? 30_000,
      ({ topic, partition, offset }, runningMs) =>
        this.#events.emit("stalled", { topic, partition, offset, runningMs }),
    );
    this.#handling = new Handling({
      retry: http.retry,
      watchdog: this.#watchdog,
      hurry: this.#hurry.signal,
      rawProducer: parts.rawProducer,
    });
    const feedParts: FeedParts = {
      http,
      inbox: this.#inbox,
      events: this.#events,
      maxBytes: options.pageBytesMax ?? 1024 * 1024,
      maxRecords: options.pageRecordsMax ?? 5000,
      waitMs: options.waitMs ?? 25_000,
    };
    this.#feed =
      "group" in options
        ? new GroupFeed(options, options.memberId ?? parts.memberId(), feedParts, topics, parts.sockets)
        : new TopicFeed(options, feedParts, topics, parts.sockets);
  }

  /** What this consumer has now, without what is about to leave it. */
  get assignment(): readonly TopicPartitions[] {
    return byTopic(this.#inbox.partitions.filter(({ state }) => state === "active"));
  }

  /** Where each partition would go on: after what is handled without a gap. */
  get positions(): readonly Position[] {
    return this.#inbox.partitions.flatMap(({ topic, partition, progress, fetchPosition, waiting }) => {
      const nextOffset = progress.position ?? (waiting === 0 && progress.isIdle ? fetchPosition : undefined);
      return nextOffset === undefined ? [] : [{ topic, partition, nextOffset }];
    });
  }

  /** Listens to an event; returns the way to stop. */
  on<Name extends keyof ConsumerEvents>(name: Name, listener: (event: ConsumerEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** One record after the other. A record is handled when the next is asked for; leaving the loop puts the last one back. */
  [Symbol.asyncIterator](): AsyncGenerator<ConsumedRecord<K, V>, void, undefined> {
    return this.#iterate();
  }

  async *#iterate(): AsyncGenerator<ConsumedRecord<K, V>, void, undefined> {
    this.#begin();
    let taken: Taken | undefined;
    try {
      for (taken = await this.#next(this.#closing.signal); taken; taken = await this.#next(this.#closing.signal)) {
        const { inbox, record, mark } = taken;
        const watched = { topic: inbox.topic, partition: inbox.partition, offset: record.offset };
        this.#watchdog.begin(watched);
        try {
          yield this.#record(taken);
        } finally {
          this.#watchdog.end(watched);
        }
        inbox.progress.finish(mark);
        taken = undefined;
        this.#feed.progressed(inbox);
      }
    } finally {
      if (taken !== undefined) this.#putBack([taken]);
      this.#isConsumed = false;
    }
  }

  /**
   * Handles every record, several keys at once if `concurrency` is above 1. Resolves when the signal is aborted, the
   * consumer is closed, or `until` is reached; rejects with what a handler threw, unless there is a dead letter topic.
   */
  async eachRecord(
    handle: (record: ConsumedRecord<K, V>, context: HandlerContext) => unknown,
    options: EachRecordOptions<K, V> = {},
  ): Promise<void> {
    const concurrency = concurrencyOf(options);
    this.#begin();
    const stop = linkSignals(this.#closing.signal, options.signal);
    let failure: { readonly error: unknown } | undefined;
    const runner = new KeyedRunner(concurrency, async (taken) => {
      try {
        await this.#handling.record(taken, this.#record(taken), handle, options.deadLetter);
        this.#feed.progressed(taken.inbox);
      } catch (error) {
        const isFailure = !(error instanceof NotHandled);
        if (isFailure) failure ??= { error };
        // Now: the next record of this key must not begin before the loop hears of it.
        this.#putBack(isFailure ? [taken, ...runner.stop()] : [taken]);
      }
    });
    try {
      while (!stop.signal.aborted && failure === undefined) {
        if (runner.isFull) await changeWithin(runner.changed, this.#clock, Number.POSITIVE_INFINITY, stop.signal);
        else {
          const taken = this.#inbox.take();
          if (taken !== undefined) runner.add(taken);
          else if (this.#inbox.isEnded && runner.isIdle) break;
          else await this.#untilArrived(runner.changed, stop.signal);
        }
      }
    } finally {
      this.#putBack(runner.stop());
      while (!runner.isIdle) await runner.changed.next();
      stop.release();
      this.#isConsumed = false;
    }
    if (failure !== undefined) throw failure.error;
  }

  /** The same with batches, each of one partition; a batch is handled as a whole. */
  async eachBatch(
    handle: (batch: Batch<K, V>, context: HandlerContext) => unknown,
    options: EachBatchOptions = {},
  ): Promise<void> {
    const { signal, batchRecordsMax = 500 } = options;
    const concurrency = concurrencyOf(options);
    this.#begin();
    const stop = linkSignals(this.#closing.signal, signal);
    const changed = new Change();
    let running = 0;
    let failure: { readonly error: unknown } | undefined;
    const run = async (taken: readonly Taken[]): Promise<void> => {
      const { inbox } = taken[0]!;
      running++;
      inbox.isHeld = true;
      try {
        const records = taken.map((each) => this.#record(each));
        await this.#handling.batch(taken, records, handle);
        this.#feed.progressed(inbox);
      } catch (error) {
        this.#putBack(taken);
        if (!(error instanceof NotHandled)) failure ??= { error };
      } finally {
        inbox.isHeld = false;
        running--;
        changed.tell();
      }
    };
    try {
      while (!stop.signal.aborted && failure === undefined) {
        const taken = running < concurrency ? this.#inbox.takeBatch(batchRecordsMax) : [];
        if (taken.length > 0) void run(taken);
        else if (this.#inbox.isEnded && running === 0) break;
        else await this.#untilArrived(changed, stop.signal);
      }
    } finally {
      while (running > 0) await changed.next();
      stop.release();
      this.#isConsumed = false;
    }
    if (failure !== undefined) throw failure.error;
  }

  /**
   * Commits: a record (and all before it), positions, or, without an argument, all that is handled. Resolves when it is
   * durable. Rejects if the partition has gone to another member.
   */
  async commit(
    what?: ConsumedRecord<K, V> | readonly Position[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const positions =
      what === undefined
        ? this.#inbox.partitions.flatMap(({ topic, partition, progress: { position } }) =>
            position === undefined ? [] : [{ topic, partition, nextOffset: position }],
          )
        : what instanceof ConsumedRecord
          ? [{ topic: what.topic, partition: what.partition, nextOffset: what.offset + 1 }]
          : what;
    if (positions.length > 0) await this.#feed.commit(positions, signal);
  }

  /** Gives no more records of these partitions, or of all, until resume(). What is being handled goes on. */
  pause(partitions?: readonly TopicPartitions[]): void {
    this.#setPaused(partitions, true);
  }

  /** Ends pause(). */
  resume(partitions?: readonly TopicPartitions[]): void {
    this.#setPaused(partitions, false);
  }

  /** Goes on from another place in a partition this consumer has. In a group that place is what is committed next. */
  seek({ topic, partition, nextOffset }: Position): void {
    const inbox = this.#inbox.get(topic, partition);
    if (inbox === undefined || inbox.state !== "active") {
      throw new MillraceError("INVALID_ARGUMENT", `this consumer does not have ${topic}-${partition} now`);
    }
    this.#inbox.clear(inbox);
    inbox.version++;
    inbox.fetchPosition = nextOffset;
    inbox.progress.moveTo(nextOffset);
    this.#feed.refetch();
  }

  /** Begins nothing more, waits for handlers, commits what is handled and leaves the group. */
  close({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const hurry = (): void => this.#hurry.abort("closed");
    if (signal?.aborted) hurry();
    signal?.addEventListener("abort", hurry, { once: true });
    this.#closed ??= this.#close();
    return this.#closed.finally(() => signal?.removeEventListener("abort", hurry));
  }

  /** close() */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort("closed");
    const timer = this.#clock.setTimer(this.#closeTimeoutMs, () => this.#hurry.abort("closed"));
    try {
      await this.#feed.stop();
      while (!this.#handling.isIdle && !this.#hurry.signal.aborted) {
        await changeWithin(this.#handling.ended, this.#clock, Number.POSITIVE_INFINITY, this.#hurry.signal);
      }
      await this.#feed.leave();
      await this.#handling.close();
    } finally {
      timer.cancel();
      this.#watchdog.stop();
      this.#parts.onClose();
    }
  }

  get #clock() {
    return this.#parts.http.clock;
  }

  #begin(): void {
    if (this.#closed !== undefined) throw new MillraceError("CLOSED", "the consumer is closed");
    if (this.#isConsumed) throw new MillraceError("INVALID_ARGUMENT", "this consumer is being consumed already");
    this.#isConsumed = true;
    this.#feed.start();
  }

  /** The next record; undefined when there will be none. */
  async #next(signal: AbortSignal): Promise<Taken | undefined> {
    while (!signal.aborted) {
      const taken = this.#inbox.take();
      if (taken !== undefined) return taken;
      if (this.#inbox.isEnded) return undefined;
      await changeWithin(this.#inbox.arrived, this.#clock, Number.POSITIVE_INFINITY, signal);
    }
    return undefined;
  }

  /** Until there may be something to take, or `changed`. */
  async #untilArrived(changed: Change, signal: AbortSignal): Promise<void> {
    const either = linkSignals(signal);
    void changed.next().then(() => either.abort("changed")); // a reason of its own: without one each would be a DOMException with a stack
    await changeWithin(this.#inbox.arrived, this.#clock, Number.POSITIVE_INFINITY, either.signal);
    either.release();
  }

  #record({ inbox, record }: Taken): ConsumedRecord<K, V> {
    return new ConsumedRecord(inbox.topic, inbox.partition, record, this.#codecs);
  }

  #putBack(taken: readonly Taken[]): void {
    if (taken.length === 0) return;
    this.#inbox.putBack(taken);
    for (const inbox of new Set(taken.map((each) => each.inbox))) this.#feed.progressed(inbox);
  }

  #setPaused(partitions: readonly TopicPartitions[] | undefined, isPaused: boolean): void {
    const chosen =
      partitions === undefined
        ? this.#inbox.partitions
        : partitions.flatMap(({ topic, partitions: numbers }) =>
            numbers.flatMap((partition) => this.#inbox.get(topic, partition) ?? []),
          );
    for (const inbox of chosen) inbox.isPaused = isPaused;
    this.#inbox.arrived.tell();
    this.#feed.refetch();
  }
}

function concurrencyOf({ concurrency = 1 }: { readonly concurrency?: number }): number {
  if (Number.isInteger(concurrency) && concurrency > 0) return concurrency;
  throw new MillraceError("INVALID_ARGUMENT", `concurrency is ${concurrency}, not a whole number above 0`);
}
