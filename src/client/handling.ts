// Runs users' handlers: watched, told when their work is in vain, tried again and given to the dead letters if asked to.

import type { ConsumedRecord } from "./consumed-record.ts";
import type { Batch, HandlerContext } from "./consumer-options.ts";
import { type DeadLetterOptions, HandlerFailure, sendDeadLetter, withAttempts } from "./dead-letter.ts";
import type { PartitionInbox, Taken } from "./inbox.ts";
import type { Producer } from "./producer.ts";
import type { RetryPolicy } from "./retry.ts";
import { Change, linkSignals } from "./waiting.ts";
import type { Watchdog } from "./watchdog.ts";

/** The record was not handled, and nobody's handler failed: it goes back. */
export class NotHandled extends Error {
  override readonly name = "NotHandled";
}

export interface HandlingParts {
  readonly retry: RetryPolicy;
  readonly watchdog: Watchdog;
  /** Aborted when handlers are waited for no more. */
  readonly hurry: AbortSignal;
  readonly rawProducer: () => Producer<Uint8Array, Uint8Array>;
}

export class Handling<K, V> {
  /** A handler has ended, and what comes of it was noted. */
  readonly ended = new Change();
  readonly #parts: HandlingParts;
  #running = 0;
  #deadLetters: Producer<Uint8Array, Uint8Array> | undefined;

  constructor(parts: HandlingParts) {
    this.#parts = parts;
  }

  get isIdle(): boolean {
    return this.#running === 0;
  }

  /** Resolves once the record is handled, or is a dead letter. Rejects with NotHandled or with what the handler threw. */
  async record(
    { inbox, mark }: Taken,
    record: ConsumedRecord<K, V>,
    handle: (record: ConsumedRecord<K, V>, context: HandlerContext) => unknown,
    deadLetter: DeadLetterOptions<K, V> | undefined,
  ): Promise<void> {
    if (inbox.state !== "active") throw new NotHandled();
    await this.#watched(record, inbox, async (signal) => {
      try {
        await withAttempts(() => handle(record, { signal }), deadLetter?.attempts ?? 1, this.#parts.retry, signal);
      } catch (error) {
        // Called off: what the handler made of that is nobody's failure.
        if (signal.aborted || !(error instanceof HandlerFailure)) throw new NotHandled();
        if (deadLetter === undefined) throw error.cause;
        this.#deadLetters ??= this.#parts.rawProducer();
        await sendDeadLetter(this.#deadLetters, record, error.cause, deadLetter);
      }
    });
    inbox.progress.finish(mark);
  }

  /** The same for records of one partition. */
  async batch(
    taken: readonly Taken[],
    records: readonly ConsumedRecord<K, V>[],
    handle: (batch: Batch<K, V>, context: HandlerContext) => unknown,
  ): Promise<void> {
    const { inbox } = taken[0]!;
    const { topic, partition } = inbox;
    await this.#watched(records[0]!, inbox, async (signal) => {
      try {
        await handle({ topic, partition, records }, { signal });
      } catch (error) {
        throw signal.aborted ? new NotHandled() : error;
      }
    });
    for (const { mark } of taken) inbox.progress.finish(mark);
  }

  async close(): Promise<void> {
    await this.#deadLetters?.close();
  }

  async #watched(
    record: ConsumedRecord<K, V>,
    inbox: PartitionInbox,
    run: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { watchdog, hurry } = this.#parts;
    const linked = linkSignals(inbox.lost.signal, hurry);
    this.#running++;
    watchdog.begin(record);
    try {
      await run(linked.signal);
    } finally {
      watchdog.end(record);
      linked.release();
      this.#running--;
      // After what comes of it was noted.
      queueMicrotask(() => queueMicrotask(() => this.ended.tell()));
    }
  }
}
