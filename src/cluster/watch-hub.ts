// The watches of the single-node store and the history they are fed from. A watch reads the history from its revision on,
// and again after every change, so that history and live changes are one road. The history is bounded by events.

import type { Logger } from "../io/logger.ts";
import type { Watch, WatchEvent, WatchHandler } from "./metadata-store.ts";

interface Revision {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

interface ActiveWatch {
  readonly prefix: string;
  readonly handler: WatchHandler;
  nextRevision: number;
}

export class WatchHub {
  readonly #eventsMax: number;
  readonly #logger: Logger;
  readonly #watches = new Set<ActiveWatch>();
  #history: Revision[] = []; // without gaps
  #eventsHeld = 0;
  /** The last revision that the history no longer holds. */
  #compactedRevision: number;

  /** The history begins after `revision`. */
  constructor(revision: number, eventsMax: number, logger: Logger) {
    this.#compactedRevision = revision;
    this.#eventsMax = eventsMax;
    this.#logger = logger;
  }

  /** Keeps the events of the next revision and tells the watches. */
  changed(revision: number, events: readonly WatchEvent[]): void {
    this.#history.push({ revision, events });
    this.#eventsHeld += events.length;
    for (const watch of this.#watches) this.#feed(watch);
    this.#forgetOldest();
  }

  /** Calls the handler from the next microtask on, never before this returns. */
  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    const watch: ActiveWatch = { prefix, handler, nextRevision: fromRevision };
    this.#watches.add(watch);
    queueMicrotask(() => this.#feed(watch));
    return { cancel: () => void this.#watches.delete(watch) };
  }

  close(): void {
    this.#watches.clear();
  }

  #feed(watch: ActiveWatch): void {
    if (!this.#watches.has(watch)) return;
    if (watch.nextRevision <= this.#compactedRevision) {
      this.#watches.delete(watch);
      this.#call(() => watch.handler.compacted());
      return;
    }
    for (let index = watch.nextRevision - this.#compactedRevision - 1; index < this.#history.length; index++) {
      const { revision, events } = this.#history[index]!;
      watch.nextRevision = revision + 1;
      const wanted = events.filter((event) => keyOf(event).startsWith(watch.prefix));
      if (wanted.length > 0) this.#call(() => watch.handler.changed(wanted, revision));
      if (!this.#watches.has(watch)) return;
    }
  }

  /** A quarter goes at once, so that a full history costs little; the last revision stays, however many events it has. */
  #forgetOldest(): void {
    if (this.#eventsHeld <= this.#eventsMax) return;
    let dropped = 0;
    while (this.#eventsHeld > this.#eventsMax * 0.75 && dropped < this.#history.length - 1) {
      const oldest = this.#history[dropped++]!;
      this.#eventsHeld -= oldest.events.length;
      this.#compactedRevision = oldest.revision;
    }
    this.#history = this.#history.slice(dropped);
  }

  /** A handler that throws is its own trouble: the store and the other watches go on. */
  #call(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#logger.error({ err: error }, "a metadata watch handler threw");
    }
  }
}

function keyOf(event: WatchEvent): string {
  return event.kind === "put" ? event.value.key : event.key;
}
