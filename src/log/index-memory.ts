// Bounds the memory that the indexes of sealed segments take: those used longest ago are let go and read again when needed.

export interface HoldsIndexes {
  /** Lets go of what can be read again from the index files. */
  dropIndexes(): void;
}

export class IndexMemory {
  readonly #bytesMax: number;
  #bytes = 0;
  /** Least recently used first. */
  readonly #held = new Map<HoldsIndexes, number>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `holder` has just used its indexes, which take `bytes`. */
  used(holder: HoldsIndexes, bytes: number): void {
    this.forget(holder);
    this.#held.set(holder, bytes);
    this.#bytes += bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= this.#bytesMax || oldest === holder) return;
      this.forget(oldest);
      oldest.dropIndexes();
    }
  }

  forget(holder: HoldsIndexes): void {
    this.#bytes -= this.#held.get(holder) ?? 0;
    this.#held.delete(holder);
  }
}
