// Runs a handler for many records at once, but for one key at a time and in order.

import type { Taken } from "./inbox.ts";
import { Change } from "./waiting.ts";

/** So many records may be taken for each that runs: behind a slow key others are found. */
const takenPerRun = 16;

export class KeyedRunner {
  /** A record was finished, or one failed. */
  readonly changed = new Change();
  readonly #concurrency: number;
  readonly #run: (taken: Taken) => Promise<void>;
  /** What waits behind a running record of the same key. */
  readonly #lanes = new Map<string, Taken[]>();
  /** Lanes whose first record may run. */
  readonly #ready: string[] = [];
  #running = 0;
  #held = 0;
  #isStopped = false;
  #keyless = 0;

  /** `run` never rejects. */
  constructor(concurrency: number, run: (taken: Taken) => Promise<void>) {
    this.#concurrency = concurrency;
    this.#run = run;
  }

  get isFull(): boolean {
    return this.#concurrency === 1 ? this.#held >= 1 : this.#held >= this.#concurrency * takenPerRun;
  }

  get isIdle(): boolean {
    return this.#running === 0;
  }

  add(taken: Taken): void {
    const lane = this.#laneOf(taken);
    const waiting = this.#lanes.get(lane);
    this.#held++;
    if (waiting !== undefined) {
      waiting.push(taken);
      return;
    }
    this.#lanes.set(lane, [taken]);
    this.#ready.push(lane);
    this.#start();
  }

  /** Starts nothing more; returns what was not begun. */
  stop(): Taken[] {
    this.#isStopped = true;
    const left: Taken[] = [];
    for (const waiting of this.#lanes.values()) left.push(...waiting);
    this.#lanes.clear();
    this.#ready.length = 0;
    return left;
  }

  #start(): void {
    while (this.#running < this.#concurrency && !this.#isStopped) {
      const lane = this.#ready.shift();
      if (lane === undefined) return;
      const taken = this.#lanes.get(lane)!.shift()!;
      this.#running++;
      void this.#run(taken).then(() => this.#finished(lane));
    }
  }

  #finished(lane: string): void {
    this.#running--;
    this.#held--;
    const waiting = this.#lanes.get(lane);
    if (waiting?.length === 0) this.#lanes.delete(lane);
    else if (waiting !== undefined) this.#ready.push(lane);
    this.#start();
    this.changed.tell();
  }

  /** Records without a key have no order to keep, unless one runs at a time. */
  #laneOf({ inbox: { topic, partition }, record: { key } }: Taken): string {
    if (key === null) return `#${this.#keyless++}`;
    return `${topic}/${partition}/${String.fromCharCode(...key.subarray(0, 4096))}/${key.length}`;
  }
}
