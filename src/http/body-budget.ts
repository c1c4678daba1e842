// The bytes of request bodies that are in memory at once, over all connections. A request that does not fit is refused before it is
// read, instead of letting many large ones add up.

import type { Gauge } from "../metrics/instruments.ts";
import { BrokerError } from "../protocol/error-codes.ts";

export class BodyBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number, gauge: Gauge) {
    this.#bytesMax = bytesMax;
    gauge.readFrom(() => this.#bytes);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws and takes nothing if they do not fit. */
  take(bytes: number): void {
    if (this.#bytes + bytes > this.#bytesMax) {
      throw new BrokerError("THROTTLING_QUOTA_EXCEEDED", "too many bytes of requests are in flight", {
        fields: { limit: { name: "requestBytesInFlightMax", value: this.#bytesMax } },
      });
    }
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}
