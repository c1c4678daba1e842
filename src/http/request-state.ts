// What one request holds until its answer has ended: its place in the metrics and its share of the body budget.

import type { Counter, Histogram } from "../metrics/instruments.ts";
import type { Metrics } from "../metrics/metrics.ts";

/** The children of one operation's metrics, bound once. */
export class OperationMetrics {
  readonly api: string;
  readonly duration: Histogram;
  readonly #metrics: Metrics;
  readonly #codes = new Map<string, Counter>();

  constructor(api: string, metrics: Metrics) {
    this.api = api;
    this.#metrics = metrics;
    this.duration = metrics.histogram("millrace_request_duration_seconds", { api });
  }

  answered(code: string): void {
    let counter = this.#codes.get(code);
    if (counter === undefined) {
      counter = this.#metrics.counter("millrace_requests_total", { api: this.api, code });
      this.#codes.set(code, counter);
    }
    counter.inc();
  }
}

export class RequestState {
  readonly startedMs: number;
  operation: OperationMetrics;
  /** Taken from the body budget. */
  bytesHeld = 0;
  /** The client waits for "100 Continue" before it sends the body. */
  awaitsContinue = false;
  /** A stream: how long it was open is no duration of a request. */
  isStream = false;
  /** Called when the connection has become a WebSocket: the request is over. */
  upgraded: (() => void) | undefined;

  constructor(startedMs: number, operation: OperationMetrics) {
    this.startedMs = startedMs;
    this.operation = operation;
  }
}

declare module "fastify" {
  interface FastifyRequest {
    state: RequestState;
  }
}
