// Keeps an inbox filled: one fetch at a time, as long as there is room and something to fetch from.

import type { Inbox } from "./inbox.ts";
import { MillraceError } from "./millrace-error.ts";
import type { ClientClock } from "./platform.ts";
import { Change, changeWithin, type LinkedSignal, linkSignals } from "./waiting.ts";

export interface FetchLoopParts {
  readonly inbox: Inbox;
  readonly clock: ClientClock;
  /** False while there is nothing to fetch from, as when all is paused; restart() when that has changed. */
  readonly canFetch: () => boolean;
  /** One fetch, with its own repeats. What it throws ends the loop. */
  readonly fetch: (signal: AbortSignal) => Promise<void>;
}

export class FetchLoop {
  readonly #parts: FetchLoopParts;
  readonly #stop = new AbortController();
  readonly #changed = new Change();
  #current: LinkedSignal | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: FetchLoopParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** What the present fetch asks for is not what is wanted any more. */
  restart(): void {
    this.#current?.abort("restart");
    this.#changed.tell();
  }

  /** Resolves once the last fetch has ended. */
  async stop(): Promise<void> {
    this.#stop.abort("stopped");
    await this.#running;
  }

  async #run(): Promise<void> {
    const { inbox, clock, canFetch } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted && !inbox.isEnded) {
      if (inbox.isFull) await changeWithin(inbox.drained, clock, Number.POSITIVE_INFINITY, signal);
      else if (!canFetch()) await changeWithin(this.#changed, clock, Number.POSITIVE_INFINITY, signal);
      else if (!(await this.#fetch())) return;
    }
  }

  async #fetch(): Promise<boolean> {
    const current = linkSignals(this.#stop.signal);
    this.#current = current;
    try {
      await this.#parts.fetch(current.signal);
      return true;
    } catch (error) {
      if (current.signal.aborted && error instanceof MillraceError && error.code === "ABORTED") return true;
      this.#parts.inbox.fail(error);
      return false;
    } finally {
      current.release();
      this.#current = undefined;
    }
  }
}
