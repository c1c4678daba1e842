// Latencies of things that begin in one process and end in another: on the clock that all processes of the machine share.

import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from "hdr-histogram-js";

/** Microseconds on the machine's monotonic clock. */
export const nowMicros = (): number => Number(process.hrtime.bigint() / 1000n);

const empty = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: 120_000_000, numberOfSignificantValueDigits: 3 });

export interface LatencyFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export class Latencies {
  #histogram = empty();

  record(micros: number): void {
    this.#histogram.recordValue(Math.min(120_000_000, Math.max(1, Math.round(micros))));
  }

  reset(): void {
    this.#histogram = empty();
  }

  get figures(): LatencyFigures {
    const ms = (percentile: number) => this.#histogram.getValueAtPercentile(percentile) / 1000;
    return { p50Ms: ms(50), p99Ms: ms(99), p999Ms: ms(99.9), maxMs: this.#histogram.maxValue / 1000 };
  }

  /** For another process. */
  encoded(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  add(encoded: string): void {
    this.#histogram.add(decodeFromCompressedBase64(encoded));
  }
}
