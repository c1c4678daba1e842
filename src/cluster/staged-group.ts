// The changes of transactions that will be written together. Each is judged against the store as it will be once those before
// it are durable; the store itself changes only then.

import type { Change, Entry, KeySpace } from "./key-space.ts";
import { encodeChange } from "./metadata-file.ts";
import { type Compare, LeaseGoneError } from "./metadata-store.ts";

/** An operation whose value is already a frozen copy. */
export type PreparedOperation =
  | { readonly kind: "put"; readonly key: string; readonly value: unknown; readonly lease: number | undefined }
  | { readonly kind: "delete"; readonly key: string };

export type Verdict =
  /** `changed` is false when there was nothing to do: then nothing has to be written for it. */
  | { readonly kind: "done"; readonly revision: number; readonly changed: boolean }
  | { readonly kind: "conflict"; readonly revision: number }
  | { readonly kind: "refused"; readonly error: Error };

export class StagedGroup {
  readonly changes: Change[] = [];
  /** What to write for each change. */
  readonly encoded: string[] = [];
  readonly #keys: KeySpace;
  readonly #staged = new Map<string, Entry | undefined>();
  #bytes = 0;

  constructor(keys: KeySpace) {
    this.#keys = keys;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get revision(): number {
    return this.#keys.revision + this.changes.length;
  }

  stage(
    compares: readonly Compare[],
    operations: readonly PreparedOperation[],
    isAlive: (lease: number) => boolean,
  ): Verdict {
    if (!compares.every((compare) => this.#isTrue(compare))) return { kind: "conflict", revision: this.revision };
    for (const operation of operations) {
      if (operation.kind === "put" && operation.lease !== undefined && !isAlive(operation.lease))
        return { kind: "refused", error: new LeaseGoneError(operation.lease) };
    }
    const revision = this.revision + 1;
    const entries = new Map<string, Entry | undefined>();
    for (const operation of operations) {
      const held = this.#get(operation.key);
      if (operation.kind === "put") entries.set(operation.key, entryOf(operation, held, revision));
      else if (held) entries.set(operation.key, undefined);
    }
    if (entries.size === 0) return { kind: "done", revision: this.revision, changed: false };
    const change: Change = { revision, entries };
    const encoded = encodeChange(change);
    this.changes.push(change);
    this.encoded.push(encoded);
    this.#bytes += Buffer.byteLength(encoded);
    for (const [key, entry] of entries) this.#staged.set(key, entry);
    return { kind: "done", revision, changed: true };
  }

  /** The deletes that take a lease's keys away. */
  leaseDeletes(lease: number): PreparedOperation[] {
    const keys = new Set(this.#keys.keysOfLease(lease));
    for (const [key, entry] of this.#staged) {
      if (entry?.lease === lease) keys.add(key);
      else keys.delete(key);
    }
    return [...keys].map((key) => ({ kind: "delete", key }));
  }

  #get(key: string): Entry | undefined {
    return this.#staged.has(key) ? this.#staged.get(key) : this.#keys.get(key);
  }

  #isTrue(compare: Compare): boolean {
    const stored = this.#get(compare.key)?.stored;
    if ("modRevision" in compare) return (stored?.modRevision ?? 0) === compare.modRevision;
    return (stored?.createRevision ?? 0) === compare.createRevision;
  }
}

function entryOf(
  put: { readonly key: string; readonly value: unknown; readonly lease: number | undefined },
  held: Entry | undefined,
  revision: number,
): Entry {
  const createRevision = held?.stored.createRevision ?? revision;
  return {
    stored: Object.freeze({ key: put.key, value: put.value, createRevision, modRevision: revision }),
    lease: put.lease,
  };
}
