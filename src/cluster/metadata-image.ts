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

/** Told after the image has changed; of one change of the store once. */
export interface TopicListener {
  /** Topics were made, changed or went. */
  topicsChanged(): void;
  /** This very topic is gone; there may be another of its name. */
  topicDeleted(name: string, topicId: string): void;
}

export class MetadataImage {
  readonly #store: MetadataStore;
  readonly #topics = new Map<string, TopicImage>();
  readonly #topicNames = new Map<string, string>();
  readonly #listeners = new Set<TopicListener>();
  #topicsRevision = 0;
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

  nameOf(topicId: string): string | undefined {
    return this.#topicNames.get(topicId);
  }

  /** Changes whenever a topic does. */
  get topicsRevision(): number {
    return this.#topicsRevision;
  }

  listen(listener: TopicListener): void {
    this.#listeners.add(listener);
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
    const before = new Map(this.#topicNames);
    this.#topics.clear();
    this.#topicNames.clear();
    this.#partitions.clear();
    for (const value of values) this.#put(value);
    this.#tellOfTopics(before);
    this.#advance(revision);
    this.#watch = this.#store.watch("", revision + 1, {
      changed: (events, revision) => {
        const gone = new Map<string, string>();
        for (const event of events) this.#apply(event, gone);
        if (gone.size > 0 || events.some((event) => keyOf(event).startsWith(topicsPrefix))) this.#tellOfTopics(gone);
        this.#advance(revision);
      },
      compacted: () => void this.#load(),
    });
  }

  /** `before`: topic ids that were known, with their names. */
  #tellOfTopics(before: ReadonlyMap<string, string>): void {
    this.#topicsRevision += 1;
    for (const listener of this.#listeners) {
      for (const [topicId, name] of before) if (!this.#topicNames.has(topicId)) listener.topicDeleted(name, topicId);
      listener.topicsChanged();
    }
  }

  #apply(event: WatchEvent, gone: Map<string, string>): void {
    const key = keyOf(event);
    const replaced = key.startsWith(topicsPrefix) ? this.#topics.get(key.slice(topicsPrefix.length)) : undefined;
    if (replaced) {
      gone.set(replaced.topicId, replaced.name);
      this.#topicNames.delete(replaced.topicId);
    }
    if (event.kind === "put") this.#put(event.value);
    else if (replaced) this.#topics.delete(replaced.name);
    else this.#partitions.delete(key);
  }

  #put({ key, value, modRevision }: StoredValue): void {
    if (key.startsWith(topicsPrefix)) {
      const name = key.slice(topicsPrefix.length);
      const topic = { ...(value as TopicValue), name, modRevision };
      this.#topics.set(name, topic);
      this.#topicNames.set(topic.topicId, name);
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

const keyOf = (event: WatchEvent): string => (event.kind === "put" ? event.value.key : event.key);
