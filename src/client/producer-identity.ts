// Who a producer is to the broker: one id for all partitions, and in each partition an epoch and the next sequence.

import type { HttpTransport } from "./http-transport.ts";

/** Then the producer needs a new id. */
const producerEpochMax = 32_766;

/** A producer's place in one partition. */
export interface ProducerPlace {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly nextSequence: number;
}

export class ProducerIdentity {
  readonly #http: HttpTransport;
  #producerId: Promise<bigint> | undefined;

  constructor(http: HttpTransport) {
    this.#http = http;
  }

  /** The place in a partition that knows nothing of us. One attempt: who calls repeats it. */
  async begin(deadlineMs: number, attempt: number): Promise<ProducerPlace> {
    this.#producerId ??= this.#allocate(deadlineMs, attempt);
    const producerId = await this.#producerId;
    return { producerId, producerEpoch: 0, nextSequence: 0 };
  }

  /** The place after one whose batches can no longer be judged: the first batch fences all of the older epoch. */
  raised(place: ProducerPlace): ProducerPlace | undefined {
    if (place.producerEpoch >= producerEpochMax) return this.renewed();
    return { ...place, producerEpoch: place.producerEpoch + 1, nextSequence: 0 };
  }

  /** Someone else uses our id, or its epochs are used up: the next place has another. */
  renewed(): undefined {
    this.#producerId = undefined;
    return undefined;
  }

  #allocate(deadlineMs: number, attempt: number): Promise<bigint> {
    const call = { method: "POST", path: "/v1/producers", body: {} } as const;
    // An id that was given in an answer that got lost harms nobody.
    const allocated = this.#http.once(call, attempt, deadlineMs).then(
      (answer) => BigInt((answer as { readonly producerId: number }).producerId),
      (error: unknown) => {
        if (this.#producerId === allocated) this.#producerId = undefined;
        throw error;
      },
    );
    return allocated;
  }
}
