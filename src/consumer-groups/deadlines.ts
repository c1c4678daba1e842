// What is due when: a heap of times, the earliest first. Entries are never taken back; who set one looks again when it is due.

export interface Deadline {
  readonly atMs: number;
  readonly groupId: string;
  /** Null: the group's own. */
  readonly memberId: string | null;
}

export class Deadlines {
  readonly #heap: Deadline[] = [];

  /** Infinite when nothing is. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  add(deadline: Deadline): void {
    const heap = this.#heap;
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.atMs <= deadline.atMs) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = deadline;
  }

  takeDue(nowMs: number): Deadline | undefined {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.atMs > nowMs) return undefined;
    const last = heap.pop()!;
    if (heap.length > 0) this.#sinkFromTop(last);
    return first;
  }

  #sinkFromTop(deadline: Deadline): void {
    const heap = this.#heap;
    let index = 0;
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && heap[child + 1]!.atMs < heap[child]!.atMs) child++;
      if (heap[child]!.atMs >= deadline.atMs) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = deadline;
  }
}
