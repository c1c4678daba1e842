// One partition as this broker takes part in it: its log, its high watermark, and who waits for it.
// With a single replica the high watermark is what that replica has acknowledged: everything synced, or, where the topic
// relaxes that, everything written.

import type { Clock } from "../io/clock.ts";
import type { PartitionLog } from "../log/partition-log.ts";
import type { AppendInfo } from "../log/write-group.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BatchHeader } from "../protocol/record-batch.ts";
import { type OffsetWaiter, OffsetWaiters } from "./offset-waiters.ts";

/** When a producer wants its answer: never, once the leader has it, once all in-sync replicas have it. */
export type Acks = 0 | 1 | "all";

export class Partition {
  readonly log: PartitionLog;
  readonly waiters = new OffsetWaiters();
  readonly #clock: Clock;

  constructor(log: PartitionLog, clock: Clock) {
    this.log = log;
    this.#clock = clock;
    log.listen({
      advanced: () => this.#advance(),
      wentOffline: () => this.waiters.failAll(new BrokerError("KAFKA_STORAGE_ERROR", "the partition went offline")),
    });
  }

  get highWatermark(): number {
    return this.log.highWatermark;
  }

  /** Takes appends from now on. */
  async lead(leaderEpoch: number): Promise<void> {
    await this.log.becomeLeader(leaderEpoch);
    this.#advance();
  }

  /** Resolves when the batch is as safe as `acks` asks for; a duplicate waits for the first append's safety. */
  async append(
    batch: Uint8Array,
    header: BatchHeader,
    options: { expectedOffset?: number | undefined; acks: Acks; timeoutMs: number },
  ): Promise<AppendInfo> {
    const info = await this.log.append(batch, header, options.expectedOffset);
    if (options.acks === "all" && this.highWatermark <= info.lastOffset)
      await this.committed(info.lastOffset + 1, options.timeoutMs);
    return info;
  }

  /** Whole batches below the high watermark, from the one that holds `offset` on. */
  read(offset: number, bytesMax: number): Promise<Uint8Array> {
    // Between the high watermark and the log end there is nothing to read yet, which is no error.
    return this.log.read(offset, bytesMax, this.highWatermark);
  }

  /** Resolves when everything below `offset` is committed. Rejects, in doubt, when time is up or the partition goes offline. */
  committed(offset: number, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.waiters.remove(waiter);
        reject(
          new BrokerError("REQUEST_TIMED_OUT", `the records were not committed within ${timeoutMs} ms`, {
            maybeAppended: true,
          }),
        );
      });
      const waiter: OffsetWaiter = {
        offset,
        done: (error) => {
          timer.cancel();
          if (error) reject(new BrokerError(error.code, error.message, { maybeAppended: true }));
          else resolve();
        },
      };
      this.waiters.add(waiter);
    });
  }

  #advance(): void {
    const { acknowledgedOffset } = this.log;
    if (acknowledgedOffset <= this.log.highWatermark) return;
    this.log.advanceHighWatermark(acknowledgedOffset);
    this.waiters.reached(acknowledgedOffset);
  }
}
