// When to try again: exponential backoff with full jitter, at least as long as the broker asked, until a deadline.

import { MillraceError } from "./millrace-error.ts";
import type { ClientClock, ClientRandom } from "./platform.ts";
import { sleep } from "./waiting.ts";

/** How long the client waits between attempts. */
export interface RetryOptions {
  /** The longest wait before the second attempt; it doubles with each. 50 by default. */
  readonly backoffMs?: number;
  /** The longest wait of all. 5000 by default. */
  readonly backoffMaxMs?: number;
}

/** Told of each attempt that failed and will be made again. */
export interface RetryNews {
  readonly error: MillraceError;
  /** From 1. */
  readonly attempt: number;
  readonly delayMs: number;
}

export interface RetryLoop {
  /** On the clock's monotonic time; Infinity: for ever. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onRetry?: ((news: RetryNews) => void) | undefined;
}

export class RetryPolicy {
  readonly #clock: ClientClock;
  readonly #random: ClientRandom;
  readonly #backoffMs: number;
  readonly #backoffMaxMs: number;

  constructor(clock: ClientClock, random: ClientRandom, { backoffMs = 50, backoffMaxMs = 5000 }: RetryOptions = {}) {
    this.#clock = clock;
    this.#random = random;
    this.#backoffMs = backoffMs;
    this.#backoffMaxMs = backoffMaxMs;
  }

  /** Before attempt `attempt` + 1. */
  delayMs(attempt: number, error: MillraceError): number {
    const ceiling = Math.min(this.#backoffMaxMs, this.#backoffMs * 2 ** Math.min(attempt - 1, 30));
    return Math.max(error.retryAfterMs ?? 0, Math.ceil(this.#random.fraction() * ceiling));
  }

  /** Makes attempts until one succeeds, one fails for good, or the next would come after the deadline. */
  async run<T>(loop: RetryLoop, make: (attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await make(attempt);
      } catch (error) {
        if (!(error instanceof MillraceError) || !error.retriable) throw error;
        const delayMs = this.delayMs(attempt, error);
        if (this.#clock.monotonicMs() + delayMs >= loop.deadlineMs) throw timedOut(error, attempt);
        loop.onRetry?.({ error, attempt, delayMs });
        await sleep(this.#clock, delayMs, loop.signal);
      }
    }
  }
}

function timedOut(last: MillraceError, attempts: number): MillraceError {
  const times = attempts === 1 ? "one attempt" : `${attempts} attempts`;
  return new MillraceError("TIMED_OUT", `the deadline leaves no time to try again after ${times}: ${last.message}`, {
    retriable: true,
    maybeAppended: last.maybeAppended,
    status: last.status,
    problem: last.problem,
    cause: last,
  });
}
