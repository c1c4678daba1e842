// How far a partition has been handled: everything below the lowest record that was begun and is not finished.

/** One record that was begun. */
export interface Mark {
  readonly offset: number;
  isDone: boolean;
}

export class Progress {
  /** Begun and not yet passed, in the order of their offsets. One that was put back stays: nothing may pass it. */
  readonly #open = new Map<number, Mark>();
  readonly #running = new Set<Mark>();
  #position: number | undefined;

  /** Where to go on: the offset after the last one handled without a gap. Undefined: nothing was handled yet. */
  get position(): number | undefined {
    return this.#position;
  }

  /** No handler is at work. */
  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  begin(offset: number): Mark {
    const mark = { offset, isDone: false };
    this.#open.set(offset, mark);
    this.#running.add(mark);
    return mark;
  }

  finish(mark: Mark): void {
    this.#running.delete(mark);
    // A seek forgets what was begun before it, even if the same record was begun again since.
    if (this.#open.get(mark.offset) !== mark) return;
    mark.isDone = true;
    for (const [offset, { isDone }] of this.#open) {
      if (!isDone) return;
      this.#open.delete(offset);
      this.#position = offset + 1;
    }
  }

  /** It was not handled after all. True: it is still wanted, and will be begun again. */
  putBack(mark: Mark): boolean {
    this.#running.delete(mark);
    return this.#open.get(mark.offset) === mark;
  }

  /** Everything that was there below `offset` is handled: passes the gaps that compaction left. */
  passTo(offset: number): void {
    if (this.#open.size === 0) this.#position = Math.max(offset, this.#position ?? 0);
  }

  /** Goes on from here, also backwards. What was begun before does not count any more. */
  moveTo(offset: number): void {
    this.#open.clear();
    this.#position = offset;
  }
}
