// The keys and values of the single-node store, in memory: sorted, with one revision counter. No promise, no file.
// Leases appear only as the number a key was put under.

import { assert } from "../assert.ts";
import type { StoredValue, WatchEvent } from "./metadata-store.ts";

export interface Entry {
  readonly stored: StoredValue;
  readonly lease: number | undefined;
}

/** What one transaction changes: the new entry of each key, undefined where the key goes. */
export interface Change {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Entry | undefined>;
}

export class KeySpace {
  #revision: number;
  readonly #keys: string[] = []; // sorted, the keys of #entries
  readonly #entries = new Map<string, Entry>();
  readonly #leasedKeys = new Map<number, Set<string>>();

  /** `entries` as they were at `revision`, sorted by key. */
  constructor(revision: number, entries: Iterable<Entry> = []) {
    this.#revision = revision;
    for (const entry of entries) {
      const last = this.#keys.at(-1);
      assert(last === undefined || last < entry.stored.key, `keys out of order: ${last} before ${entry.stored.key}`);
      this.#keys.push(entry.stored.key);
      this.#set(entry.stored.key, entry);
    }
  }

  /** The last change's. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#keys.length;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** All entries by key. */
  *[Symbol.iterator](): Generator<Entry> {
    for (const key of this.#keys) yield this.#entries.get(key)!;
  }

  /** Costs what it returns, and a search. */
  range(prefix: string): StoredValue[] {
    const found: StoredValue[] = [];
    for (let index = this.#position(prefix); index < this.#keys.length; index++) {
      const key = this.#keys[index]!;
      if (!key.startsWith(prefix)) break;
      found.push(this.#entries.get(key)!.stored);
    }
    return found;
  }

  keysOfLease(lease: number): ReadonlySet<string> {
    return this.#leasedKeys.get(lease) ?? new Set();
  }

  /** Every key that any lease holds. */
  leasedKeys(): string[] {
    return [...this.#leasedKeys.values()].flatMap((keys) => [...keys]);
  }

  /** Makes the change the present; returns what a watch tells of it. */
  apply(change: Change): readonly WatchEvent[] {
    assert(change.revision === this.#revision + 1, `revision ${change.revision} after ${this.#revision}`);
    this.#revision = change.revision;
    const events: WatchEvent[] = [];
    for (const [key, entry] of change.entries) {
      if (entry) this.#put(key, entry);
      else this.#delete(key);
      events.push(entry ? { kind: "put", value: entry.stored } : { kind: "delete", key, revision: change.revision });
    }
    return events;
  }

  #put(key: string, entry: Entry): void {
    const held = this.#entries.get(key);
    if (held) this.#forgetLease(key, held);
    else this.#keys.splice(this.#position(key), 0, key);
    this.#set(key, entry);
  }

  #delete(key: string): void {
    const held = this.#entries.get(key);
    assert(held !== undefined, `${key} is deleted and was not there`);
    this.#forgetLease(key, held);
    this.#keys.splice(this.#position(key), 1);
    this.#entries.delete(key);
  }

  #set(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    if (entry.lease === undefined) return;
    const keys = this.#leasedKeys.get(entry.lease);
    if (keys) keys.add(key);
    else this.#leasedKeys.set(entry.lease, new Set([key]));
  }

  #forgetLease(key: string, entry: Entry): void {
    if (entry.lease === undefined) return;
    const keys = this.#leasedKeys.get(entry.lease);
    keys?.delete(key);
    if (keys?.size === 0) this.#leasedKeys.delete(entry.lease);
  }

  /** Where `key` is, or would be. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
