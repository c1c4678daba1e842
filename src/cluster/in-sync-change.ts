// Carries out a leader's change of its in-sync set by one transaction, pinned to all it rests on: the partition's value, the
// leader's own broker epoch, and for each added broker its epoch and that it is let in and stays (KIP-841, KIP-903).
//
// "Ineligible" and "changed" are certain. After an ambiguous answer the store is read again: an attempt that may yet arrive does
// nothing once the value has moved on, or once a broker that it adds has.

import { assert } from "../assert.ts";
import {
  type BrokerStateValue,
  brokerKey,
  brokerStateKey,
  type PartitionValue,
  partitionKey,
} from "./metadata-keys.ts";
import type { Compare, MetadataStore } from "./metadata-store.ts";

/** How often one change is tried before its answer is "unknown". */
const attemptsMax = 3;

export interface ProposedReplica {
  readonly brokerId: number;
  /** The life that the leader saw its fetches come from. */
  readonly brokerEpoch: number;
}

export interface InSyncProposal {
  readonly partitionEpoch: number;
  readonly inSyncReplicas: readonly ProposedReplica[];
}

export type InSyncAnswer =
  | { readonly outcome: "changed"; readonly partitionEpoch: number }
  /** A broker to be added may not be; nothing was changed, nor will be. */
  | { readonly outcome: "ineligible" }
  /** The partition has moved on, or this broker may no longer speak for it. */
  | { readonly outcome: "superseded" }
  /** Done or not, or yet to be done: propose the same again. */
  | { readonly outcome: "unknown" };

export interface InSyncChange {
  readonly topicId: string;
  readonly partition: number;
  /** The leader, in the life that it leads in. */
  readonly brokerId: number;
  readonly brokerEpoch: number;
  readonly leaderEpoch: number;
  readonly proposal: InSyncProposal;
}

/** Never rejects: what the store refuses to say is "unknown". */
export async function changeInSync(store: MetadataStore, change: InSyncChange): Promise<InSyncAnswer> {
  const { inSyncReplicas } = change.proposal;
  assert(
    inSyncReplicas.some(({ brokerId }) => brokerId === change.brokerId),
    "a leader is in sync with itself",
  );
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const answer = await tryOnce(store, change).catch(() => undefined);
    if (answer !== undefined) return answer;
  }
  return { outcome: "unknown" };
}

/** Undefined: read again and try again. */
async function tryOnce(store: MetadataStore, change: InSyncChange): Promise<InSyncAnswer | undefined> {
  const key = partitionKey(change.topicId, change.partition);
  const before = await store.get(key);
  const pins = await pinsOf(store, change, (before?.value as PartitionValue | undefined)?.inSyncReplicas ?? []);
  // Last, so that a partition that has not moved by now never will by an attempt that the judgement above rules out.
  const stored = await store.get(key);
  const value = stored?.value as PartitionValue | undefined;
  if (stored === undefined || value === undefined) return { outcome: "superseded" };
  const verdict = judge(value, change);
  if (verdict !== undefined) return verdict;
  if (stored.modRevision !== before?.modRevision) return undefined; // the pins were for another set
  if (pins === "ineligible") return { outcome: "ineligible" };
  const next: PartitionValue = {
    ...value,
    inSyncReplicas: change.proposal.inSyncReplicas.map(({ brokerId }) => brokerId),
    partitionEpoch: value.partitionEpoch + 1,
  };
  const own = { key: brokerKey(change.brokerId), createRevision: change.brokerEpoch };
  const compares = [{ key, modRevision: stored.modRevision }, own, ...pins];
  const result = await store.transaction(compares, [{ kind: "put", key, value: next }]);
  if (result.outcome === "committed") return { outcome: "changed", partitionEpoch: next.partitionEpoch };
  if (result.outcome === "conflict" && !(await isAlive(store, change))) return { outcome: "superseded" };
  return undefined;
}

/** Undefined: it is as the leader saw it. */
function judge(value: PartitionValue, change: InSyncChange): InSyncAnswer | undefined {
  const { proposal } = change;
  if (value.leader !== change.brokerId || value.leaderEpoch !== change.leaderEpoch) return { outcome: "superseded" };
  if (value.partitionEpoch === proposal.partitionEpoch) return undefined;
  // An earlier attempt whose answer was lost; whoever wrote it, it is what was asked for.
  if (value.partitionEpoch === proposal.partitionEpoch + 1 && isSameSet(value.inSyncReplicas, proposal.inSyncReplicas))
    return { outcome: "changed", partitionEpoch: value.partitionEpoch };
  return { outcome: "superseded" };
}

async function pinsOf(
  store: MetadataStore,
  { proposal }: InSyncChange,
  present: readonly number[],
): Promise<Compare[] | "ineligible"> {
  const pins: Compare[] = [];
  for (const { brokerId, brokerEpoch } of proposal.inSyncReplicas) {
    if (present.includes(brokerId)) continue;
    const registered = await store.get(brokerKey(brokerId));
    const stored = await store.get(brokerStateKey(brokerId));
    const state = stored?.value as BrokerStateValue | undefined;
    if (registered?.createRevision !== brokerEpoch || stored === undefined || state === undefined) return "ineligible";
    if (state.fenced || state.shuttingDown) return "ineligible";
    pins.push({ key: registered.key, createRevision: brokerEpoch });
    pins.push({ key: stored.key, modRevision: stored.modRevision });
  }
  return pins;
}

async function isAlive(store: MetadataStore, { brokerId, brokerEpoch }: InSyncChange): Promise<boolean> {
  return (await store.get(brokerKey(brokerId)))?.createRevision === brokerEpoch;
}

function isSameSet(stored: readonly number[], proposed: readonly ProposedReplica[]): boolean {
  return stored.length === proposed.length && proposed.every(({ brokerId }) => stored.includes(brokerId));
}
