// How much of libuv's thread pool syncs may hold. All file calls of the process share that pool, and a sync can take
// seconds: if syncs held every thread, a read that the page cache could answer at once would wait behind them.
// So at most half the threads are in syncs; further ones wait here, first come first served.

import { assert } from "../assert.ts";

const poolThreadsDefault = 4;
const poolThreadsMax = 1024;
/** One sync per open file at a time is all that callers do, so this many waiting means a loop somewhere. */
const syncsWaitingMax = 65_536;

/**
 * The size of libuv's pool under this value of UV_THREADPOOL_SIZE, read the way libuv reads it. Pass the value the
 * process was started with: libuv looks once, and Node's ESM loader makes it look before an ESM entry runs.
 */
export function poolThreads(environmentValue: string | undefined): number {
  if (environmentValue === undefined) return poolThreadsDefault;
  const threads = Number.parseInt(environmentValue, 10);
  if (Number.isNaN(threads) || threads < 1) return 1;
  return Math.min(threads, poolThreadsMax);
}

export class PoolShare {
  readonly syncsMax: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(threads: number) {
    this.syncsMax = Math.max(1, Math.floor(threads / 2));
  }

  /** Runs `sync` as soon as fewer than `syncsMax` others run; its result is the result. */
  async run<T>(sync: () => Promise<T>): Promise<T> {
    if (this.#running >= this.syncsMax) await this.#turn();
    else this.#running++;
    try {
      return await sync();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #turn(): Promise<void> {
    assert(this.#waiting.length < syncsWaitingMax, `${syncsWaitingMax} syncs wait for the disk`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
