// What a contract over real connections needs to know: whether each watch was told all that it is to be told, and which leases
// must have ended by now.

import { expect, vi } from "vitest";
import type { EtcdStore } from "../../src/cluster/etcd-store.ts";
import type { MetadataStore, WatchHandler } from "../../src/cluster/metadata-store.ts";
import { etcdGateway } from "./etcd-process.ts";

interface Told {
  readonly revision: number;
  readonly keys: readonly string[];
}

/** Every revision of the prefix, from an own watch on all of it. */
export class History {
  readonly store: EtcdStore;
  readonly revisions: Told[] = [];
  readonly #begun: number;

  private constructor(store: EtcdStore, begun: number) {
    this.store = store;
    this.#begun = begun;
    store.watch("", begun + 1, {
      changed: (events, revision) =>
        this.revisions.push({
          revision,
          keys: events.map((event) => (event.kind === "put" ? event.value.key : event.key)),
        }),
      compacted: () => expect.unreachable(),
    });
  }

  /** `store` is for this alone. */
  static async start(store: EtcdStore): Promise<History> {
    return new History(store, (await store.range("")).revision);
  }

  /** Nobody else writes to this etcd, so each revision is one of these. */
  async now(): Promise<readonly Told[]> {
    const { revision } = await this.store.range("");
    await vi.waitFor(() => expect(this.revisions.at(-1)?.revision ?? this.#begun).toBe(revision), { timeout: 5_000 });
    return this.revisions;
  }
}

interface Watching {
  readonly prefix: string;
  readonly fromRevision: number;
  lastTold: number;
  isOver: boolean;
}

/** Knows what each watch was told, and which leases must have ended. */
export class WatchedStore implements MetadataStore {
  readonly #store: EtcdStore;
  readonly #timeScale: number;
  readonly #watches: Watching[] = [];
  readonly #leases = new Map<number, { readonly ttlMs: number; deadlineMs: number }>();
  #compacted = 0;

  constructor(store: EtcdStore, timeScale = 1) {
    this.#store = store;
    this.#timeScale = timeScale;
  }

  get = (key: string) => this.#store.get(key);
  range = (prefix: string) => this.#store.range(prefix);
  transaction: MetadataStore["transaction"] = (compares, operations) => this.#store.transaction(compares, operations);
  revokeLease = (lease: number) => this.#store.revokeLease(lease);
  close = () => this.#store.close();

  watch(prefix: string, fromRevision: number, handler: WatchHandler) {
    const watching: Watching = { prefix, fromRevision, lastTold: 0, isOver: false };
    this.#watches.push(watching);
    const watch = this.#store.watch(prefix, fromRevision, {
      changed: (events, revision) => {
        watching.lastTold = revision;
        handler.changed(events, revision);
      },
      compacted: () => {
        watching.isOver = true;
        handler.compacted();
      },
    });
    return {
      cancel: () => {
        watching.isOver = true;
        watch.cancel();
      },
    };
  }

  async grantLease(ttlSeconds: number): Promise<number> {
    const scaled = Math.ceil(ttlSeconds * this.#timeScale);
    const ttlMs = ttlSeconds * 1000 * this.#timeScale;
    const lease = await this.#store.grantLease(scaled);
    this.#leases.set(lease, { ttlMs, deadlineMs: performance.now() + ttlMs });
    return lease;
  }

  async keepAlive(lease: number): Promise<boolean> {
    const isAlive = await this.#store.keepAlive(lease);
    const held = this.#leases.get(lease);
    if (held) held.deadlineMs = performance.now() + held.ttlMs;
    return isAlive;
  }

  compacted(revision: number): void {
    this.#compacted = revision;
  }

  /** etcd may take a lease's keys later than it must, never earlier. */
  async leasesEnded(url: string): Promise<void> {
    for (const [lease, { deadlineMs }] of this.#leases) {
      if (deadlineMs > performance.now()) continue;
      await vi.waitFor(
        async () =>
          expect(await etcdGateway(url, "/v3/lease/timetolive", { ID: `${lease}` })).toMatchObject({ TTL: "-1" }),
        { timeout: 10_000, interval: 50 },
      );
      this.#leases.delete(lease);
    }
  }

  /** Waits until each watch was told the last that it is to be told. */
  async toldAll(history: readonly Told[]): Promise<void> {
    await vi.waitFor(
      () => {
        for (const watch of this.#watches) {
          if (watch.isOver) continue;
          if (watch.fromRevision < this.#compacted && watch.lastTold === 0) expect.unreachable("not told as compacted");
          const last = history.findLast(
            ({ revision, keys }) => revision >= watch.fromRevision && keys.some((key) => key.startsWith(watch.prefix)),
          );
          expect(watch.lastTold).toBeGreaterThanOrEqual(last?.revision ?? 0);
        }
      },
      { timeout: 5_000, interval: 5 },
    );
  }
}
