// The metadata store of a broker that is alone: all in memory, every change in one small file (metadata-file.ts), fsynced before
// it is told as committed. What waits at once shares a write and a sync. After a failed write or sync nothing is retried and
// nothing answered any more: the file says what is true, and only a restart reads it.

import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import { type Logger, silentLogger } from "../io/logger.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { checkedTransaction } from "./checked-transaction.ts";
import type { KeySpace } from "./key-space.ts";
import { Leases } from "./leases.ts";
import { MetadataFile, type Opened } from "./metadata-file.ts";
import type {
  Compare,
  MetadataStore,
  Operation,
  Snapshot,
  StoredValue,
  TransactionResult,
  Watch,
  WatchHandler,
} from "./metadata-store.ts";
import { type PreparedOperation, StagedGroup, type Verdict } from "./staged-group.ts";
import { frozenJson } from "./stored-json.ts";
import { WatchHub } from "./watch-hub.ts";

export interface SingleNodeStoreLimits {
  /** Transactions that wait for the file; one more is refused with THROTTLING_QUOTA_EXCEEDED. */
  readonly transactionsWaitingMax: number;
  /** A group takes no further transaction once its changes have this many bytes. */
  readonly groupBytesMax: number;
  /** The file is compacted when its log has grown beyond this, and beyond its snapshot. */
  readonly logBytesMax: number;
  /** Events that a new watch can still be told. */
  readonly historyEventsMax: number;
}

const limitDefaults: SingleNodeStoreLimits = {
  transactionsWaitingMax: 1024,
  groupBytesMax: 4 * 1024 * 1024,
  logBytesMax: 4 * 1024 * 1024,
  historyEventsMax: 10_000,
};

export interface SingleNodeStoreOptions {
  readonly disk: Disk;
  /** Made when it is not there; its parent must be. */
  readonly directory: string;
  readonly clock: Clock;
  readonly codecs: Codecs;
  readonly logger?: Logger;
  readonly limits?: Partial<SingleNodeStoreLimits>;
}

interface Waiting {
  readonly compares: readonly Compare[];
  /** The lease whose keys go, or what to do. */
  readonly operations: readonly PreparedOperation[] | { readonly endedLease: number };
  readonly resolve: (result: TransactionResult) => void;
  readonly reject: (error: Error) => void;
}

export class SingleNodeStore implements MetadataStore {
  /** No transaction was ever committed in this folder. */
  readonly isNew: boolean;
  readonly #logger: Logger;
  readonly #limits: SingleNodeStoreLimits;
  readonly #file: MetadataFile;
  readonly #keys: KeySpace;
  readonly #hub: WatchHub;
  readonly #leases: Leases;
  readonly #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #refusal: BrokerError | undefined;
  #failed = false;
  #closed = false;

  private constructor(options: SingleNodeStoreOptions, opened: Opened) {
    this.isNew = opened.keys.revision === 0;
    this.#logger = options.logger ?? silentLogger;
    this.#limits = { ...limitDefaults, ...options.limits };
    this.#file = opened.file;
    this.#keys = opened.keys;
    this.#hub = new WatchHub(opened.snapshotRevision, this.#limits.historyEventsMax, this.#logger);
    for (const { revision, events } of opened.changes) this.#hub.changed(revision, events);
    this.#leases = new Leases(options.clock, (lease) => void this.#endLease(lease).catch(() => {})); // told by #fail
  }

  /** A file that was damaged after it was written is a MetadataCorruptError. */
  static async open(options: SingleNodeStoreOptions): Promise<SingleNodeStore> {
    const opened = await MetadataFile.open(options.disk, options.directory, options.codecs);
    const store = new SingleNodeStore(options, opened);
    if (opened.tornBytes > 0)
      store.#logger.warn(
        { directory: options.directory, tornBytes: opened.tornBytes },
        "cut an unfinished metadata write",
      );
    // Their leases died with the last process.
    const orphans = opened.keys.leasedKeys().map((key) => ({ kind: "delete", key }) as const);
    const result = await store.#enqueue([], orphans);
    if (result.outcome === "unknown") throw result.cause;
    return store;
  }

  /** True after a failed write or sync: all calls reject until the process restarts. */
  get failed(): boolean {
    return this.#failed;
  }

  async get(key: string): Promise<StoredValue | undefined> {
    this.#check();
    return this.#keys.get(key)?.stored;
  }

  async range(prefix: string): Promise<Snapshot> {
    this.#check();
    return { values: this.#keys.range(prefix), revision: this.#keys.revision };
  }

  async transaction(compares: readonly Compare[], operations: readonly Operation[]): Promise<TransactionResult> {
    const prepared = prepare(compares, operations); // at once: the caller may change its objects afterwards
    this.#check();
    if (this.#waiting.length >= this.#limits.transactionsWaitingMax)
      throw new BrokerError("THROTTLING_QUOTA_EXCEEDED", "too many metadata changes wait to be written");
    return this.#enqueue([...compares], prepared);
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    this.#check();
    return this.#hub.watch(prefix, fromRevision, handler);
  }

  async grantLease(ttlSeconds: number): Promise<number> {
    this.#check();
    return this.#leases.grant(ttlSeconds);
  }

  async keepAlive(lease: number): Promise<boolean> {
    this.#check();
    return this.#leases.keepAlive(lease);
  }

  async revokeLease(lease: number): Promise<void> {
    this.#check();
    this.#leases.end(lease);
    const result = await this.#endLease(lease);
    if (result.outcome === "unknown") throw result.cause;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#refusal ??= new BrokerError("BROKER_SHUTTING_DOWN", "the metadata store is closed");
    this.#leases.close();
    await this.#writing;
    this.#hub.close();
    await this.#file.close();
  }

  #check(): void {
    if (this.#refusal) throw this.#refusal;
  }

  #endLease(endedLease: number): Promise<TransactionResult> {
    return this.#enqueue([], { endedLease });
  }

  #enqueue(compares: readonly Compare[], operations: Waiting["operations"]): Promise<TransactionResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ compares, operations, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  /** The only writer. */
  async #drain(): Promise<void> {
    await undefined; // what is given in the same turn shares the first group
    while (this.#waiting.length > 0 && !this.#failed) await this.#writeGroup();
    this.#writing = undefined;
  }

  async #writeGroup(): Promise<void> {
    const group = new StagedGroup(this.#keys);
    const judged: { waiting: Waiting; verdict: Verdict }[] = [];
    while (this.#waiting.length > 0 && group.bytes < this.#limits.groupBytesMax) {
      const waiting = this.#waiting.shift()!;
      judged.push({ waiting, verdict: this.#judge(group, waiting) });
    }
    try {
      if (group.changes.length > 0) await this.#file.append(group.encoded);
    } catch (error) {
      this.#fail(error as Error, judged);
      return;
    }
    for (const change of group.changes) this.#hub.changed(change.revision, this.#keys.apply(change));
    for (const { waiting, verdict } of judged) settle(waiting, verdict);
    if (this.#file.logBytes <= Math.max(this.#limits.logBytesMax, this.#file.snapshotBytes)) return;
    try {
      await this.#file.compact(this.#keys);
    } catch (error) {
      this.#fail(error as Error, []);
    }
  }

  #judge(group: StagedGroup, { compares, operations }: Waiting): Verdict {
    const wanted = "endedLease" in operations ? group.leaseDeletes(operations.endedLease) : operations;
    return group.stage(compares, wanted, (lease) => this.#leases.isAlive(lease));
  }

  /** What was in the failed write may be in the file; all else was surely not done. */
  #fail(cause: Error, judged: readonly { waiting: Waiting; verdict: Verdict }[]): void {
    const detail = "the metadata store could not write its file; it takes no calls until the broker is restarted";
    const refusal = new BrokerError("KAFKA_STORAGE_ERROR", detail, { cause });
    this.#logger.error({ err: cause }, detail);
    this.#failed = true;
    this.#refusal = refusal;
    this.#leases.close();
    for (const { waiting, verdict } of judged) {
      if (verdict.kind === "done" && verdict.changed) waiting.resolve({ outcome: "unknown", cause: refusal });
      else waiting.reject(refusal);
    }
    for (const waiting of this.#waiting.splice(0)) waiting.reject(refusal);
  }
}

function settle(waiting: Waiting, verdict: Verdict): void {
  if (verdict.kind === "refused") waiting.reject(verdict.error);
  else if (verdict.kind === "conflict") waiting.resolve({ outcome: "conflict", revision: verdict.revision });
  else waiting.resolve({ outcome: "committed", revision: verdict.revision });
}

function prepare(compares: readonly Compare[], operations: readonly Operation[]): PreparedOperation[] {
  return checkedTransaction(compares, operations).map((operation) =>
    operation.kind === "delete"
      ? operation
      : { kind: "put", key: operation.key, value: frozenJson(operation.text), lease: operation.lease },
  );
}
