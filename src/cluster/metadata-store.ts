// Where the cluster's facts live: one port, two stores (single-node-store.ts; etcd in a cluster).
// Keys are paths of printable ASCII ("topics/orders"), values are JSON values, read-only once stored. Every transaction that
// changes something gets the next revision of one counter.
// Both stores pass test/cluster/metadata-store.contract.ts.

export interface StoredValue {
  readonly key: string;
  readonly value: unknown;
  /** The revision that made the key, that last changed it. */
  readonly createRevision: number;
  readonly modRevision: number;
}

/** True when the key is as said. `modRevision: 0` and `createRevision: 0` mean absent. */
export type Compare =
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number };

export type Operation =
  | { readonly kind: "put"; readonly key: string; readonly value: unknown; readonly lease?: number }
  | { readonly kind: "delete"; readonly key: string };

export type TransactionResult =
  | { readonly outcome: "committed"; readonly revision: number }
  /** Some compare was false; nothing was done. */
  | { readonly outcome: "conflict"; readonly revision: number }
  /** Done, or not, or yet to be done: read again before acting, and act by a compare. */
  | { readonly outcome: "unknown"; readonly cause: Error };

export interface Snapshot {
  readonly values: readonly StoredValue[];
  /** The store's revision as of this read; watch from `revision + 1` to miss nothing. */
  readonly revision: number;
}

export type WatchEvent =
  | { readonly kind: "put"; readonly value: StoredValue }
  | { readonly kind: "delete"; readonly key: string; readonly revision: number };

export interface WatchHandler {
  /** All events of one revision together, in order of revision. */
  changed(events: readonly WatchEvent[], revision: number): void;
  /** History before `fromRevision` is gone: range again, diff, watch anew. The watch has ended. */
  compacted(): void;
}

export interface Watch {
  /** No call of the handler comes after this. */
  cancel(): void;
}

/** A transaction's most compares and most operations, each. More is a caller's bug. */
export const transactionOperationsMax = 128;
/** A transaction's keys and values as JSON text, together; a larger one is refused with INVALID_REQUEST. */
export const transactionBytesMax = 1024 * 1024;

/** A put named a lease that has ended, or never was: the transaction did nothing. */
export class LeaseGoneError extends Error {
  override readonly name = "LeaseGoneError";
  constructor(lease: number) {
    super(`the lease ${lease} has ended`);
  }
}

/** Where a method rejects instead of telling, it did nothing. */
export interface MetadataStore {
  /** Linearizable. */
  get(key: string): Promise<StoredValue | undefined>;
  /** All keys that start with `prefix`, sorted by key. Linearizable. */
  range(prefix: string): Promise<Snapshot>;
  /**
   * All operations if all compares are true, durable when committed; never some of them. A key may appear in one operation
   * only. To delete what is not there changes nothing; a transaction that changes nothing leaves the revision.
   */
  transaction(compares: readonly Compare[], operations: readonly Operation[]): Promise<TransactionResult>;
  /** Tells of changes to keys that start with `prefix`, from `fromRevision` on. The first call comes after this returns. */
  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch;
  /** A lease whose keys are deleted when it is not kept alive for `ttlSeconds`. */
  grantLease(ttlSeconds: number): Promise<number>;
  /** False when the lease is gone. */
  keepAlive(lease: number): Promise<boolean>;
  /** Ends the lease and deletes its keys. */
  revokeLease(lease: number): Promise<void>;
  /** Waits for the transactions already given; ends the watches. */
  close(): Promise<void>;
}
