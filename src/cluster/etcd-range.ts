// All keys with a prefix, as of one revision, in as many answers as it takes. If etcd forgets that revision on the way, it begins
// again; if an answer would be too long, it asks for fewer keys.

import { HttpFailure } from "../io/http-client.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { type EtcdHeader, type EtcdKeys, type EtcdKeyValue, int64 } from "./etcd-json.ts";
import { EtcdRefusal } from "./etcd-refusal.ts";
import type { Snapshot, StoredValue } from "./metadata-store.ts";

interface RangeAnswer {
  readonly header?: EtcdHeader;
  readonly kvs?: readonly EtcdKeyValue[];
  readonly more?: boolean;
}

const beginningsMax = 5;
/** More than any cluster has; the snapshot stands in memory. */
const keysMax = 1_000_000;

export class EtcdRange {
  readonly #keys: EtcdKeys;
  readonly #pageKeys: number;
  readonly #call: (body: object) => Promise<RangeAnswer>;

  constructor(keys: EtcdKeys, pageKeys: number, call: (body: object) => Promise<RangeAnswer>) {
    this.#keys = keys;
    this.#pageKeys = pageKeys;
    this.#call = call;
  }

  async read(prefix: string): Promise<Snapshot> {
    for (let beginning = 1; ; beginning++) {
      try {
        return await this.#readOnce(prefix);
      } catch (error) {
        if (!(error instanceof EtcdRefusal && error.isCompacted && beginning < beginningsMax)) throw error;
      }
    }
  }

  async #readOnce(prefix: string): Promise<Snapshot> {
    const values: StoredValue[] = [];
    const range_end = this.#keys.endOf(prefix);
    let key = this.#keys.encode(prefix);
    let revision: number | undefined;
    let pageKeys = this.#pageKeys;
    for (;;) {
      const pinned = revision === undefined ? {} : { revision: `${revision}` };
      let answer: RangeAnswer;
      try {
        answer = await this.#call({ key, range_end, limit: `${pageKeys}`, ...pinned });
      } catch (error) {
        if (!(error instanceof HttpFailure && error.kind === "tooLong" && pageKeys > 1)) throw error;
        pageKeys = Math.ceil(pageKeys / 8);
        continue;
      }
      const { kvs = [], more = false } = answer;
      revision ??= int64(answer.header?.revision);
      for (const kv of kvs) values.push(this.#keys.stored(kv));
      if (!more || kvs.length === 0) return { values, revision };
      if (values.length > keysMax)
        throw new BrokerError("KAFKA_STORAGE_ERROR", `etcd holds more than ${keysMax} keys below ${prefix}`);
      key = this.#keys.after(kvs.at(-1)!.key);
    }
  }
}
