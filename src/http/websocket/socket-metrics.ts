// What is counted of WebSockets.

import type { Gauge } from "../../metrics/instruments.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { CloseReason } from "./socket-limits.ts";

/** Gone as agreed, gone away, without a word, cut off; against the protocol, not UTF-8, too large. */
const usualCodes: ReadonlySet<number> = new Set([1000, 1001, 1005, 1006, 1002, 1007, 1009]);

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

  /** `reason`: one of ours, or the close code of the other side, which may be any number. */
  closed(reason: CloseReason | number): void {
    const label = typeof reason === "number" && !usualCodes.has(reason) ? "other" : String(reason);
    this.#metrics.counter("millrace_websocket_closes_total", { reason: label }).inc();
  }
}
