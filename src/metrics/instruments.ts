// What a hot path touches: plain numbers, so that counting a batch costs nanoseconds.

/** Only rises. */
export class Counter {
  value = 0;
  inc(by = 1): void {
    this.value += by;
  }
}

/** Goes both ways; or asks for its value when it is looked at. */
export class Gauge {
  #value = 0;
  #read: (() => number) | undefined;

  get value(): number {
    return this.#read === undefined ? this.#value : this.#read();
  }
  set(value: number): void {
    this.#value = value;
  }
  inc(by = 1): void {
    this.#value += by;
  }
  dec(by = 1): void {
    this.#value -= by;
  }
  /** From now on the value is what `read` returns; it is called once for each look at the metrics. */
  readFrom(read: () => number): void {
    this.#read = read;
  }
}

export class Histogram {
  /** Rising upper bounds, each included in its bucket. */
  readonly bounds: readonly number[];
  /** How many values fell into each bucket alone; the last is for those above every bound. */
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const bounds = this.bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.sum += value;
    this.count++;
  }
}
