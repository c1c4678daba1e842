// The streams that are open, reading and producing ones, so that a shutdown can end them: fastify's close() would wait for ever.

import type { Metrics } from "../metrics/metrics.ts";

export interface OpenStream {
  readonly format: "sse" | "ndjson" | "ndjson-produce";
  /** Asks the stream to end as its format says it; it calls `ended` when that is done. */
  drain(): void;
}

export class OpenStreams {
  readonly #open = new Set<OpenStream>();
  readonly #metrics: Metrics;
  #allEnded: (() => void) | undefined;
  #drained: Promise<void> | undefined;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  opened(stream: OpenStream): void {
    this.#open.add(stream);
    this.#metrics.gauge("millrace_streams", { format: stream.format }).inc();
    if (this.#drained !== undefined) stream.drain();
  }

  ended(stream: OpenStream): void {
    if (!this.#open.delete(stream)) return;
    this.#metrics.gauge("millrace_streams", { format: stream.format }).dec();
    if (this.#open.size === 0) this.#allEnded?.();
  }

  /** Resolves once every stream has ended; those opened later are asked to end at once. May be called again. */
  drain(): Promise<void> {
    this.#drained ??= new Promise((resolve) => {
      this.#allEnded = resolve;
      if (this.#open.size === 0) resolve();
      for (const stream of this.#open) stream.drain();
    });
    return this.#drained;
  }
}
