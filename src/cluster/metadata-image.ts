// What this broker knows of the cluster's topics, followed by a watch. It may lag behind the store: a decision that matters
// is a transaction whose compares say what was seen here.

import { type PartitionValue, partitionsPrefix, type TopicValue, topicsPrefix } from "./metadata-keys.ts";
import type { MetadataStore, StoredValue, Watch, WatchEvent } from "./metadata-store.ts";

export interface TopicImage extends TopicValue {
  readonly name: string;
  readonly modRevision: number;
}

export interface PartitionImage extends PartitionValue {
  readonly modRevision: number;
}

export class MetadataImage {
  readonly #store: MetadataStore;
  readonly #topics = new Map<string, TopicImage>();
  readonly #partitions = new Map<string, PartitionImage>();
  #revision = 0;
  #watch: Watch | undefined;
  #waiting: { readonly revision: number; readonly resolve: () => void }[] = [];

  private constructor(store: MetadataStore) {
    this.#store = store;
  }

  static async follow(store: MetadataStore): Promise<MetadataImage> {
    const image = new MetadataImage(store);
    await image.#load();
    return image;
  }

  topic(name: string): TopicImage | undefined {
    return this.#topics.get(name);
  }

  /** Sorted by name. */
  topics(): readonly TopicImage[] {
    return [...this.#topics.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  partition(topicId: string, partition: number): PartitionImage | undefined {
    return this.#partitions.get(`${partitionsPrefix}${topicId}/${partition}`);
  }

  /** Resolves once the image holds all that was committed up to `revision`. */
  reached(revision: number): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ revision, resolve }));
  }

  close(): void {
    this.#watch?.cancel();
  }

  async #load(): Promise<void> {
    const { values, revision } = await this.#store.range("");
    this.#topics.clear();
    this.#partitions.clear();
    for (const value of values) this.#put(value);
    this.#advance(revision);
    this.#watch = this.#store.watch("", revision + 1, {
      changed: (events, revision) => {
        for (const event of events) this.#apply(event);
        this.#advance(revision);
      },
      compacted: () => void this.#load(),
    });
  }

  #apply(event: WatchEvent): void {
    if (event.kind === "put") this.#put(event.value);
    else if (event.key.startsWith(topicsPrefix)) this.#topics.delete(event.key.slice(topicsPrefix.length));
    else this.#partitions.delete(event.key);
  }

  #put({ key, value, modRevision }: StoredValue): void {
    if (key.startsWith(topicsPrefix)) {
      const name = key.slice(topicsPrefix.length);
      this.#topics.set(name, { ...(value as TopicValue), name, modRevision });
    } else if (key.startsWith(partitionsPrefix))
      this.#partitions.set(key, { ...(value as PartitionValue), modRevision });
  }

  #advance(revision: number): void {
    this.#revision = revision;
    const reached = this.#waiting.filter((waiting) => waiting.revision <= revision);
    this.#waiting = this.#waiting.filter((waiting) => waiting.revision > revision);
    for (const { resolve } of reached) resolve();
  }
}
