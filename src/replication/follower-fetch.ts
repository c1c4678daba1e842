// A follower's fetch as its leader judges it, before anything of it counts. The order of the checks matters: an epoch that is not
// the present one says nothing about the log (KAFKA-14078), and one that has diverged must not count as caught up (KAFKA-13141).

export interface ReplicaFetch {
  readonly brokerId: number;
  readonly brokerEpoch: number;
  /** The leader epoch that the follower follows. */
  readonly leaderEpoch: number;
  /** The follower's log end: everything below is durable there. */
  readonly fetchOffset: number;
  /** The epoch of the last batch in the follower's log; −1: it is empty. */
  readonly lastFetchedEpoch: number;
  readonly logStartOffset: number;
}

export interface EpochEnd {
  readonly epoch: number;
  readonly endOffset: number;
}

export type FetchVerdict =
  | { readonly kind: "sound" }
  /** The logs part below the fetch offset; nothing of the fetch counts. */
  | ({ readonly kind: "diverging" } & EpochEnd)
  /** Below the log start or above the log end. */
  | { readonly kind: "outOfRange" }
  | { readonly kind: "fenced"; readonly code: "FENCED_LEADER_EPOCH" | "UNKNOWN_LEADER_EPOCH" }
  | { readonly kind: "notReplica" };

export interface JudgedLog {
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  /** The largest known epoch ≤ `epoch`, and where it ends; undefined when the epoch is newer than all known. */
  endOffsetFor(epoch: number): EpochEnd | undefined;
}

export function judgeReplicaFetch(
  fetch: ReplicaFetch,
  leader: { readonly leaderEpoch: number; readonly replicas: readonly number[]; knownBrokerEpoch(id: number): number },
  log: JudgedLog,
): FetchVerdict {
  if (fetch.leaderEpoch < leader.leaderEpoch) return { kind: "fenced", code: "FENCED_LEADER_EPOCH" };
  if (fetch.leaderEpoch > leader.leaderEpoch) return { kind: "fenced", code: "UNKNOWN_LEADER_EPOCH" };
  if (!leader.replicas.includes(fetch.brokerId)) return { kind: "notReplica" };
  if (fetch.fetchOffset < log.logStartOffset) return { kind: "outOfRange" };
  if (fetch.lastFetchedEpoch >= 0) {
    const end = log.endOffsetFor(fetch.lastFetchedEpoch);
    // A batch of an epoch above the leader's own cannot be: nothing may be cut for it.
    if (end === undefined) return { kind: "fenced", code: "UNKNOWN_LEADER_EPOCH" };
    if (end.epoch < fetch.lastFetchedEpoch || end.endOffset < fetch.fetchOffset) return { kind: "diverging", ...end };
  }
  if (fetch.fetchOffset > log.logEndOffset) return { kind: "outOfRange" };
  // A fetch of an earlier life of that broker, still on its way.
  if (fetch.brokerEpoch < leader.knownBrokerEpoch(fetch.brokerId)) return { kind: "notReplica" };
  return { kind: "sound" };
}
