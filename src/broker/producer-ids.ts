// Producer ids, handed out from blocks taken in the metadata store: none is ever given twice, at the price of gaps.

import { nextProducerIdKey } from "../cluster/metadata-keys.ts";
import type { MetadataStore } from "../cluster/metadata-store.ts";
import { BrokerError } from "../protocol/error-codes.ts";

const blockSize = 1000;
const attemptsMax = 10;

export class ProducerIds {
  readonly #store: MetadataStore;
  #next = 0;
  #end = 0;
  #taking: Promise<void> | undefined;

  constructor(store: MetadataStore) {
    this.#store = store;
  }

  async allocate(): Promise<number> {
    while (this.#next === this.#end) {
      this.#taking ??= this.#takeBlock().finally(() => (this.#taking = undefined));
      await this.#taking;
    }
    return this.#next++;
  }

  async #takeBlock(): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const stored = await this.#store.get(nextProducerIdKey);
      const first = (stored?.value as number | undefined) ?? 0;
      const result = await this.#store.transaction(
        [{ key: nextProducerIdKey, modRevision: stored?.modRevision ?? 0 }],
        [{ kind: "put", key: nextProducerIdKey, value: first + blockSize }],
      );
      // In doubt the block may be ours or not: leave it, the next attempt reads and takes another.
      if (result.outcome !== "committed") continue;
      this.#next = first;
      this.#end = first + blockSize;
      return;
    }
    throw new BrokerError(
      "COORDINATOR_NOT_AVAILABLE",
      "no block of producer ids could be taken from the metadata store",
    );
  }
}
