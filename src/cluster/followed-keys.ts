// A copy of all keys of the store, followed by a watch, in order of revision. It may lag behind the store, but what it shows at a
// revision is all of that revision. Who decides by it writes with compares of what was seen here.

import type { MetadataStore, StoredValue, Watch } from "./metadata-store.ts";

export class FollowedKeys {
  readonly #store: MetadataStore;
  readonly #changed: () => void;
  readonly #values = new Map<string, StoredValue>();
  #watch: Watch | undefined;
  #revision = 0;
  #closed = false;

  /** `changed` is called after each change, also after a reload. */
  constructor(store: MetadataStore, changed: () => void) {
    this.#store = store;
    this.#changed = changed;
  }

  /** True between a load that worked and the loss of the watch. */
  get isFollowing(): boolean {
    return this.#watch !== undefined;
  }

  /** All of this revision is here. */
  get revision(): number {
    return this.#revision;
  }

  get(key: string): StoredValue | undefined {
    return this.#values.get(key);
  }

  *range(prefix: string): IterableIterator<StoredValue> {
    for (const [key, value] of this.#values) if (key.startsWith(prefix)) yield value;
  }

  /** Reads everything and watches from there. To be called again while isFollowing is false. */
  async load(): Promise<void> {
    const { values, revision } = await this.#store.range("");
    if (this.#closed || this.#watch) return;
    this.#values.clear();
    for (const value of values) this.#values.set(value.key, value);
    this.#revision = revision;
    this.#watch = this.#store.watch("", revision + 1, {
      changed: (events, eventsRevision) => {
        for (const event of events) {
          if (event.kind === "put") this.#values.set(event.value.key, event.value);
          else this.#values.delete(event.key);
        }
        this.#revision = eventsRevision;
        this.#changed();
      },
      compacted: () => {
        this.#watch = undefined;
        this.#changed();
      },
    });
    this.#changed();
  }

  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
    this.#watch = undefined;
  }
}
