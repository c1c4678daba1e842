// What is counted per topic, bound once for each topic that is in use.

import type { Counter } from "../metrics/instruments.ts";
import type { Metrics } from "../metrics/metrics.ts";

export interface TopicCounters {
  readonly recordsProduced: Counter;
  readonly bytesIn: Counter;
  readonly bytesOut: Counter;
}

export class TopicMetrics {
  readonly #metrics: Metrics;
  readonly #topics = new Map<string, TopicCounters>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  of(topic: string): TopicCounters {
    let counters = this.#topics.get(topic);
    if (counters === undefined) {
      counters = {
        recordsProduced: this.#metrics.counter("millrace_records_produced_total", { topic }),
        bytesIn: this.#metrics.counter("millrace_bytes_total", { topic, direction: "in" }),
        bytesOut: this.#metrics.counter("millrace_bytes_total", { topic, direction: "out" }),
      };
      this.#topics.set(topic, counters);
    }
    return counters;
  }

  /** The topic was deleted. */
  forget(topic: string): void {
    this.#topics.delete(topic);
    this.#metrics.forgetTopic(topic);
  }
}
