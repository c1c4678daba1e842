// What is counted of WebSockets.

import type { Gauge } from "../../metrics/instruments.ts";
import type { Metrics } from "../../metrics/metrics.ts";

export class SocketMetrics {
  readonly subscriptions: Gauge;
  readonly #metrics: Metrics;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    this.subscriptions = metrics.gauge("millrace_websocket_subscriptions", {});
  }

  sockets(subprotocol: string): Gauge {
    return this.#metrics.gauge("millrace_websocket_sockets", { subprotocol });
  }

  /** `reason`: one of ours, or the close code of the other side. */
  closed(reason: string): void {
    this.#metrics.counter("millrace_websocket_closes_total", { reason }).inc();
  }
}
