// Waiting that can be called off: for a time, for a promise, for a change.

import { abortedError } from "./millrace-error.ts";
import type { ClientClock } from "./platform.ts";

/** Resolves after `delayMs`; rejects as soon as the signal is aborted. */
export function sleep(clock: ClientClock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortedError(signal));
    const abort = () => {
      timer.cancel();
      reject(abortedError(signal!));
    };
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** The promise's outcome, or a rejection as soon as the signal is aborted; the promise itself goes on. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(abortedError(signal));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** A signal that follows others and can be aborted itself. `release` lets go of the others. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
  release(): void;
}

/** AbortSignal.any, but for Node 20's, which keeps what it follows alive. */
export function linkSignals(...signals: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const links: (() => void)[] = [];
  for (const signal of signals) {
    if (signal === undefined) continue;
    const follow = () => controller.abort(signal.reason);
    if (signal.aborted) follow();
    else {
      signal.addEventListener("abort", follow, { once: true });
      links.push(() => signal.removeEventListener("abort", follow));
    }
  }
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => {
      for (const unlink of links.splice(0)) unlink();
    },
  };
}

/** Something that changes from time to time: `next()` resolves at the next change. */
export class Change {
  #resolve: (() => void) | undefined;
  #promise: Promise<void> | undefined;

  next(): Promise<void> {
    this.#promise ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#promise;
  }

  tell(): void {
    const resolve = this.#resolve;
    this.#resolve = undefined;
    this.#promise = undefined;
    resolve?.();
  }
}

/** Resolves at the next change, or after `delayMs`, or when the signal is aborted: whichever is first. */
export function changeWithin(change: Change, clock: ClientClock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      timer?.cancel();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = delayMs === Number.POSITIVE_INFINITY ? undefined : clock.setTimer(delayMs, finish);
    if (signal.aborted) finish();
    else signal.addEventListener("abort", finish, { once: true });
    void change.next().then(finish);
  });
}
