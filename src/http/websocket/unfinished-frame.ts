// The bytes of a frame that has begun and not ended. They are in memory before anyone can say what they are for, so large ones count
// against what requests may hold: many sockets that each send most of a large frame must not add up.

import type { Duplex } from "node:stream";
import type { BodyBudget } from "../body-budget.ts";
import { unfinishedBytesMin } from "./socket-limits.ts";

export class UnfinishedFrame {
  readonly #budget: BodyBudget;
  readonly #overloaded: () => void;
  #bytes = 0;
  #held = 0;

  /** `overloaded` is called when there is no memory for more of it. */
  constructor(stream: Duplex, budget: BodyBudget, overloaded: () => void) {
    this.#budget = budget;
    this.#overloaded = overloaded;
    // Before the receiver: the chunk that ends a frame is not the next one's.
    stream.prependListener("data", (chunk: Buffer) => this.#came(chunk.length));
  }

  /** The frame is whole, or the socket has gone. */
  ended(): void {
    this.#bytes = 0;
    if (this.#held === 0) return;
    this.#budget.give(this.#held);
    this.#held = 0;
  }

  #came(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < unfinishedBytesMin) return;
    const more = this.#bytes - this.#held;
    try {
      this.#budget.take(more);
      this.#held += more;
    } catch {
      this.#overloaded();
    }
  }
}
