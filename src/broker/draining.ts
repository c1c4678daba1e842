// Whether the broker is shutting down, for those who wait for something else meanwhile. Not an AbortSignal: adding a listener to one
// walks through all the others, and thousands of reads may wait at once.

export class Draining {
  readonly #waiting = new Set<() => void>();
  #begun = false;

  get begun(): boolean {
    return this.#begun;
  }

  /** Once; everyone who waits is told. */
  begin(): void {
    this.#begun = true;
    for (const tell of [...this.#waiting]) tell();
  }

  /** `tell` is called when it begins, not if it has begun already. */
  add(tell: () => void): void {
    this.#waiting.add(tell);
  }

  remove(tell: () => void): void {
    this.#waiting.delete(tell);
  }
}
