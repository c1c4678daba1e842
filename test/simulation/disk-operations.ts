// What the simulated disk is asked to do, numbered from 0, and which of it goes wrong.

import { assert } from "../../src/assert.ts";

export type OperationKind =
  | "open"
  | "create"
  | "readFile"
  | "list"
  | "stat"
  | "makeDir"
  | "rename"
  | "removeFile"
  | "removeDir"
  | "syncDir"
  | "space"
  | "lock"
  | "unlock"
  | "append"
  | "write"
  | "read"
  | "sync"
  | "truncate"
  | "close";

export interface DiskOperation {
  readonly number: number;
  readonly kind: OperationKind;
  readonly path: string;
  /** The new name of a rename. */
  readonly to?: string;
  /** Bytes appended, written or read; the new size of a truncate. */
  readonly bytes?: number;
  /** Whether a crash before it and one after it can leave different disks. */
  readonly changes: boolean;
}

const changing = new Set<OperationKind>([
  "create",
  "makeDir",
  "rename",
  "removeFile",
  "removeDir",
  "syncDir",
  "lock",
  "append",
  "write",
  "sync",
  "truncate",
]);
const takingSpace = new Set<OperationKind>(["create", "makeDir", "append", "write"]);
const withoutErrors = new Set<OperationKind>(["close", "lock", "unlock", "space"]);

export function changes(kind: OperationKind): boolean {
  return changing.has(kind);
}

/**
 * code: the operation fails so; a write leaves `writtenBytes` of what it was given (default: half), a failed sync drops
 * what it should have made durable. lost: a write reports success and never reaches the medium, whatever is synced.
 */
export type Fault = { readonly code: string; readonly writtenBytes?: number } | { readonly lost: true };

/**
 * before: the operation does not happen. after: it happens and its answer never comes. bytes: of an append or write only
 * the first ones happen, of a removeDir half; anything else does not happen.
 */
export type CrashMode = "before" | "after" | { readonly bytes: number };

interface FaultRule {
  readonly matches: (operation: DiskOperation) => boolean;
  readonly fault: Fault;
  timesLeft: number;
}

export class FaultPlan {
  #rules: FaultRule[] = [];

  add(matches: (operation: DiskOperation) => boolean, fault: Fault, times: number): void {
    assert(times > 0, "a fault happens at least once");
    this.#rules.push({ matches, fault, timesLeft: times });
  }

  /** From operation `number` on every one that can fail so: ENOSPC hits what needs space, other codes all but close. */
  addFrom(number: number, fault: Fault & { readonly code: string }): void {
    this.add(
      (operation) =>
        operation.number >= number &&
        (fault.code === "ENOSPC" ? takingSpace.has(operation.kind) : !withoutErrors.has(operation.kind)),
      fault,
      Number.POSITIVE_INFINITY,
    );
  }

  clear(): void {
    this.#rules = [];
  }

  take(operation: DiskOperation): Fault | undefined {
    const rule = this.#rules.find((candidate) => candidate.matches(operation));
    if (!rule) return undefined;
    rule.timesLeft--;
    if (rule.timesLeft === 0) this.#rules = this.#rules.filter((other) => other !== rule);
    return rule.fault;
  }
}
