// etcd's JSON gateway in front of a single-node store: enough of it for EtcdStore, so that a cluster can be tested with nothing but
// Node. Values must be JSON, ranges must be prefixes; leases die with the store.

import {
  LeaseGoneError,
  type MetadataStore,
  type Operation,
  type StoredValue,
  type Watch,
} from "../../src/cluster/metadata-store.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";

export interface FrontAnswer {
  readonly status: number;
  readonly json: object;
}

interface RangeRequest {
  readonly key: string;
  readonly range_end?: string;
  readonly limit?: string;
  readonly revision?: string;
}

interface TxnRequest {
  readonly compare?: readonly {
    key: string;
    target: "MOD" | "CREATE";
    mod_revision?: string;
    create_revision?: string;
  }[];
  readonly success?: readonly {
    readonly request_put?: { key: string; value: string; lease?: string };
    readonly request_delete_range?: { key: string };
  }[];
}

interface Lease {
  readonly id: number;
  readonly ttl: string;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");
const text = (encoded: string) => Buffer.from(encoded, "base64").toString();

export class GatewayFront {
  readonly #store: MetadataStore;
  readonly #leases = new Map<string, Lease>();

  constructor(store: MetadataStore) {
    this.#store = store;
  }

  /** Any call but a watch. Never rejects. */
  async call(path: string, body: object): Promise<FrontAnswer> {
    try {
      return { status: 200, json: await this.#answer(path, body as never) };
    } catch (error) {
      return refused(error as Error);
    }
  }

  /** `send` takes the stream's results from the next microtask on. */
  async watch(request: { range_end: string; start_revision?: string }, send: (result: object) => void): Promise<Watch> {
    const header = await this.#header();
    send({ header, created: true });
    const start = Number(request.start_revision ?? 0);
    return this.#watch(prefixOf(request.range_end), start, send, () =>
      // etcd takes a watch from the very revision of a compaction, though deletes of that revision are gone.
      this.#watch(prefixOf(request.range_end), start + 1, send, () =>
        send({ header, canceled: true, compact_revision: `${start + 1}` }),
      ),
    );
  }

  /** The answer to a question about progress. */
  async progress(): Promise<object> {
    return { header: await this.#header(), watch_id: "-1" };
  }

  #watch(prefix: string, fromRevision: number, send: (result: object) => void, compacted: () => unknown): Watch {
    let next: unknown;
    const watch = this.#store.watch(prefix, fromRevision, {
      changed: (events, revision) =>
        send({
          header: headerOf(revision),
          events: events.map((event) =>
            event.kind === "put"
              ? { kv: keyValue(event.value) }
              : { type: "DELETE", kv: { key: base64(event.key), mod_revision: `${revision}` } },
          ),
        }),
      compacted: () => {
        next = compacted();
      },
    });
    return {
      cancel: () => {
        watch.cancel();
        (next as Watch | undefined)?.cancel();
      },
    };
  }

  async #answer(path: string, body: never): Promise<object> {
    switch (path) {
      case "/v3/kv/range":
        return this.#range(body);
      case "/v3/kv/txn":
        return this.#transaction(body);
      case "/v3/lease/grant":
        return this.#grant(body);
      case "/v3/lease/keepalive":
        return { result: await this.#keepAlive(body) };
      case "/v3/lease/revoke":
        return this.#revoke(body);
      default:
        throw new BrokerError("ROUTE_NOT_FOUND", "Not Found");
    }
  }

  async #range({ key, range_end, limit, revision }: RangeRequest): Promise<object> {
    const from = text(key);
    if (range_end === undefined) {
      const value = await this.#store.get(from);
      return { header: await this.#header(), ...(value && { kvs: [keyValue(value)] }) };
    }
    const snapshot = await this.#store.range(prefixOf(range_end));
    if (revision !== undefined && Number(revision) !== snapshot.revision) throw new CompactedError();
    const all = snapshot.values.filter((value) => value.key >= from);
    const kvs = all.slice(0, Number(limit ?? all.length)).map(keyValue);
    return { header: headerOf(snapshot.revision), kvs, ...(kvs.length < all.length && { more: true }) };
  }

  async #transaction({ compare = [], success = [] }: TxnRequest): Promise<object> {
    const compares = compare.map(({ key, target, mod_revision, create_revision }) =>
      target === "MOD"
        ? { key: text(key), modRevision: Number(mod_revision) }
        : { key: text(key), createRevision: Number(create_revision) },
    );
    const operations = success.flatMap(({ request_put: put, request_delete_range: gone }): Operation[] => {
      if (gone) return [{ kind: "delete", key: text(gone.key) }];
      if (!put) return [];
      const lease = put.lease === undefined ? {} : { lease: this.#leases.get(put.lease)?.id ?? 0 };
      return [{ kind: "put", key: text(put.key), value: JSON.parse(text(put.value)), ...lease }];
    });
    const result = await this.#store.transaction(compares, operations);
    if (result.outcome === "unknown") throw result.cause;
    return { header: headerOf(result.revision), ...(result.outcome === "committed" && { succeeded: true }) };
  }

  async #grant({ ID, TTL }: { ID: string; TTL: string }): Promise<object> {
    this.#leases.set(ID, { id: await this.#store.grantLease(Number(TTL)), ttl: TTL });
    return { header: await this.#header(), ID, TTL };
  }

  async #keepAlive({ ID }: { ID: string }): Promise<object> {
    const lease = this.#leases.get(ID);
    const isAlive = lease !== undefined && (await this.#store.keepAlive(lease.id));
    return { header: await this.#header(), ID, ...(isAlive && { TTL: lease.ttl }) };
  }

  async #revoke({ ID }: { ID: string }): Promise<object> {
    const lease = this.#leases.get(ID);
    if (!lease || !(await this.#store.keepAlive(lease.id))) throw new LeaseGoneError(Number(ID));
    this.#leases.delete(ID);
    await this.#store.revokeLease(lease.id);
    return { header: await this.#header() };
  }

  async #header(): Promise<object> {
    const { revision } = await this.#store.range("no such key");
    return headerOf(revision);
  }
}

class CompactedError extends Error {}

function headerOf(revision: number): object {
  return { cluster_id: "1", member_id: "1", revision: `${revision}`, raft_term: "1" };
}

/** A prefix's end is the prefix with its last byte raised by one. */
function prefixOf(rangeEnd: string): string {
  const bytes = Buffer.from(rangeEnd, "base64");
  bytes[bytes.length - 1]! -= 1;
  return bytes.toString();
}

function keyValue({ key, value, createRevision, modRevision }: StoredValue): object {
  return {
    key: base64(key),
    value: base64(JSON.stringify(value)),
    create_revision: `${createRevision}`,
    mod_revision: `${modRevision}`,
    version: "1",
  };
}

function refused(error: Error): FrontAnswer {
  const answer = (status: number, code: number, message: string) => ({
    status,
    json: { error: message, message, code },
  });
  if (error instanceof LeaseGoneError) return answer(404, 5, "etcdserver: requested lease not found");
  if (error instanceof CompactedError) return answer(400, 11, "etcdserver: mvcc: required revision has been compacted");
  if (error instanceof BrokerError && error.code === "ROUTE_NOT_FOUND") return answer(404, 12, error.message);
  if (error instanceof BrokerError && error.code === "INVALID_REQUEST")
    return answer(400, 3, "etcdserver: request is too large");
  return answer(503, 14, "etcdserver: request timed out");
}
