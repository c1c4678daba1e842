// What was refused of produces with acks 0, after their 202: nobody waits for it, so the operator is told. Counted each time, logged
// once a minute at most.

import type { Clock } from "../io/clock.ts";
import type { Logger } from "../io/logger.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { BrokerError } from "../protocol/error-codes.ts";

const logIntervalMs = 60_000;

export class UnwaitedRefusals {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  #nextLogMs = Number.NEGATIVE_INFINITY;
  /** Since the last line of the log. */
  #records = 0;

  constructor(clock: Clock, logger: Logger, metrics: Metrics) {
    this.#clock = clock;
    this.#logger = logger;
    this.#metrics = metrics;
  }

  refused(topic: string, records: number, error: unknown): void {
    const code = error instanceof BrokerError ? error.code : "UNKNOWN_SERVER_ERROR";
    this.#metrics.counter("millrace_unwaited_records_refused_total", { code }).inc(records);
    if (code === "UNKNOWN_SERVER_ERROR") this.#logger.error({ err: error, topic }, "a produce with acks 0 met a bug");
    this.#records += records;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextLogMs) return;
    const fields = { topic, code, detail: (error as Error).message, records: this.#records };
    this.#logger.warn(fields, "records sent with acks 0 were refused after their 202");
    this.#nextLogMs = nowMs + logIntervalMs;
    this.#records = 0;
  }
}
