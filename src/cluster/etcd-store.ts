// The metadata store of a cluster: etcd (3.4.23 or later) through its JSON gateway. Reads and transactions are linearizable.
// A transaction whose answer is lost, late or doubtful is told as unknown, and may still happen after that was told: until one
// of its compares is false, or its writes are seen, it is not over.

import { assert } from "../assert.ts";
import { HttpFailure } from "../io/http-client.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { type CheckedOperation, checkedTransaction } from "./checked-transaction.ts";
import {
  type CallRules,
  EtcdClient,
  type EtcdClientLimits,
  type EtcdClientOptions,
  InDoubtError,
} from "./etcd-client.ts";
import { type EtcdHeader, EtcdKeys, type EtcdKeyValue, ForeignValueError, int64 } from "./etcd-json.ts";
import { EtcdRange } from "./etcd-range.ts";
import { EtcdRefusal } from "./etcd-refusal.ts";
import { EtcdWatch, type EtcdWatchLimits } from "./etcd-watch.ts";
import {
  type Compare,
  LeaseGoneError,
  type MetadataStore,
  type Operation,
  type Snapshot,
  type StoredValue,
  type TransactionResult,
  type Watch,
  type WatchHandler,
} from "./metadata-store.ts";

export interface EtcdStoreLimits extends EtcdClientLimits, EtcdWatchLimits {
  /** Keys asked for at once. */
  readonly rangePageKeys: number;
  /** Watches at once; more is a bug. */
  readonly watchesMax: number;
}

const limitDefaults: EtcdStoreLimits = {
  callMsMax: 6_000,
  attemptMsMax: 2_000,
  callsInFlightMax: 256,
  answerBytesMax: 8 * 1024 * 1024,
  rangePageKeys: 1_000,
  watchesMax: 64,
  watchSilenceMsMax: 5_000,
  watchAnswerMsMax: 2_000,
  watchMessageBytesMax: 16 * 1024 * 1024,
};

export interface EtcdStoreOptions extends EtcdClientOptions {
  /** What all keys begin with: each cluster that shares an etcd has its own. */
  readonly prefix?: string;
  readonly limits?: Partial<EtcdStoreLimits>;
}

interface TransactionAnswer {
  readonly header?: EtcdHeader;
  readonly succeeded?: boolean;
}

const prefixDefault = "/millrace/";
/** Lease ids are drawn, since etcd's own have more than 53 bits; a drawn one is hardly ever taken. */
const leaseDrawsMax = 5;

const read: CallRules = { repeatable: true, linearizable: true };
const write: CallRules = { repeatable: false, linearizable: true };
/** Its header tells what the member knows. */
const leaseCall: CallRules = { repeatable: true, linearizable: false };

export class EtcdStore implements MetadataStore {
  readonly #client: EtcdClient;
  readonly #keys: EtcdKeys;
  readonly #range: EtcdRange;
  readonly #limits: EtcdStoreLimits;
  readonly #transactions = new Set<Promise<TransactionResult>>();
  readonly #watches = new Set<Watch>();
  #closing: Promise<void> | undefined;

  constructor(options: EtcdStoreOptions) {
    this.#limits = { ...limitDefaults, ...options.limits };
    this.#client = new EtcdClient(options, this.#limits);
    this.#keys = new EtcdKeys(options.prefix ?? prefixDefault);
    this.#range = new EtcdRange(this.#keys, this.#limits.rangePageKeys, (body) =>
      this.#client.call("/v3/kv/range", body, read),
    );
  }

  async get(key: string): Promise<StoredValue | undefined> {
    this.#check();
    return told(async () => {
      const body = { key: this.#keys.encode(key) };
      const { kvs } = await this.#client.call<{ kvs?: EtcdKeyValue[] }>("/v3/kv/range", body, read);
      return kvs?.[0] && this.#keys.stored(kvs[0]);
    });
  }

  async range(prefix: string): Promise<Snapshot> {
    this.#check();
    return told(() => this.#range.read(prefix));
  }

  async transaction(compares: readonly Compare[], operations: readonly Operation[]): Promise<TransactionResult> {
    const checked = checkedTransaction(compares, operations); // at once: the caller may change its objects afterwards
    this.#check();
    const pending = told(() => this.#transact(compares, checked));
    this.#transactions.add(pending);
    try {
      return await pending;
    } finally {
      this.#transactions.delete(pending);
    }
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    this.#check();
    assert(this.#watches.size < this.#limits.watchesMax, `more than ${this.#limits.watchesMax} watches`);
    const ended = () => void this.#watches.delete(watch);
    const place = { client: this.#client, keys: this.#keys, limits: this.#limits, ended };
    const watch: Watch = new EtcdWatch(place, prefix, fromRevision, handler);
    this.#watches.add(watch);
    return watch;
  }

  /** etcd may hold it longer, never shorter: not below one and a half of its election time-out. */
  async grantLease(ttlSeconds: number): Promise<number> {
    assert(Number.isSafeInteger(ttlSeconds) && ttlSeconds >= 1, `a lease of ${ttlSeconds} seconds`);
    this.#check();
    return told(() => this.#grantDrawn(ttlSeconds));
  }

  async keepAlive(lease: number): Promise<boolean> {
    this.#check();
    const body = { ID: `${lease}` };
    const { TTL } = await told(() => this.#client.call<{ TTL?: string }>("/v3/lease/keepalive", body, leaseCall));
    return int64(TTL) > 0;
  }

  async revokeLease(lease: number): Promise<void> {
    this.#check();
    await told(async () => {
      try {
        await this.#client.call("/v3/lease/revoke", { ID: `${lease}` }, leaseCall);
      } catch (error) {
        if (!(error instanceof EtcdRefusal && error.isLeaseGone)) throw error;
      }
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const watch of [...this.#watches]) watch.cancel();
    await Promise.allSettled([...this.#transactions]);
    await this.#client.close();
  }

  async #transact(compares: readonly Compare[], operations: readonly CheckedOperation[]): Promise<TransactionResult> {
    const nothing = [{ request_range: { key: this.#keys.encode(""), keys_only: true } }];
    const body = {
      compare: compares.map((compare) => this.#keys.compare(compare)),
      // etcd answers a transaction without operations from what one member knows; a read makes it linearizable.
      success: operations.length > 0 ? operations.map((operation) => this.#keys.operation(operation)) : nothing,
      failure: nothing,
    };
    try {
      const answer = await this.#client.call<TransactionAnswer>("/v3/kv/txn", body, write);
      const revision = int64(answer.header?.revision);
      return { outcome: answer.succeeded ? "committed" : "conflict", revision };
    } catch (error) {
      if (error instanceof InDoubtError) return { outcome: "unknown", cause: error };
      if (error instanceof EtcdRefusal && error.isLeaseGone) throw new LeaseGoneError(leaseOf(operations));
      throw error;
    }
  }

  async #grantDrawn(ttlSeconds: number): Promise<number> {
    for (let draws = 1; ; draws++) {
      const lease = 1 + Math.floor(this.#client.random.fraction() * (2 ** 53 - 1));
      try {
        await this.#client.call("/v3/lease/grant", { ID: `${lease}`, TTL: `${ttlSeconds}` }, leaseCall);
        return lease;
      } catch (error) {
        // Also when the answer to a first attempt was lost: nobody uses that lease, and it ends by itself.
        if (!(error instanceof EtcdRefusal && error.isLeaseTaken && draws < leaseDrawsMax)) throw error;
      }
    }
  }

  #check(): void {
    if (this.#closing) throw new BrokerError("BROKER_SHUTTING_DOWN", "the metadata store is closed");
  }
}

/** etcd does not say which; a transaction names one, as a rule. */
function leaseOf(operations: readonly CheckedOperation[]): number {
  for (const operation of operations)
    if (operation.kind === "put" && operation.lease !== undefined) return operation.lease;
  return 0;
}

/** What etcd refused, or could not say, in the words of this program. */
async function told<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof EtcdRefusal) {
      const code = error.message.includes("request is too large") ? "INVALID_REQUEST" : "KAFKA_STORAGE_ERROR";
      throw new BrokerError(code, `etcd refuses: ${error.message}`, { cause: error });
    }
    if (error instanceof HttpFailure || error instanceof ForeignValueError)
      throw new BrokerError("KAFKA_STORAGE_ERROR", error.message, { cause: error });
    throw error;
  }
}
