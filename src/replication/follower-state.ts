// What a follower does with its leader's answers. Pure and synchronous: an answer and the state of the own log come in, the one
// step that the shell has to carry out goes out. The rules are Apache Kafka's (AbstractFetcherThread; KIP-101, 279, 595).

import type { EpochEnd, ReplicaFetch } from "./follower-fetch.ts";

export interface OwnLog {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
  /** Of the last batch; undefined when the log has none. */
  readonly lastEpoch: number | undefined;
  endOffsetFor(epoch: number): EpochEnd | undefined;
}

export interface LeaderEnds {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
}

export type ReplicaAnswer =
  | ({ readonly kind: "batches"; readonly batches: Uint8Array } & LeaderEnds)
  | ({ readonly kind: "diverging" } & EpochEnd)
  | ({ readonly kind: "outOfRange" } & LeaderEnds)
  | { readonly kind: "refused"; readonly code: string };

export type FollowerStep =
  /** Append as they are, then sync; then take over the leader's ends. */
  | { readonly kind: "append"; readonly batches: Uint8Array; readonly ends: LeaderEnds }
  /** Cut the log there, durably, and fetch again. */
  | { readonly kind: "truncate"; readonly offset: number }
  /** Nothing of this log is in the leader's any more: drop all and begin there. */
  | { readonly kind: "startOver"; readonly offset: number; readonly ends: LeaderEnds }
  /** The answer is to a question of an earlier state: fetch again. */
  | { readonly kind: "again" }
  /** The leader is not, or no longer, the one this follower follows: wait for newer metadata. */
  | { readonly kind: "wait"; readonly code: string };

export function nextReplicaFetch(
  follower: { readonly brokerId: number; readonly brokerEpoch: number; readonly leaderEpoch: number },
  log: OwnLog,
): ReplicaFetch {
  const { brokerId, brokerEpoch, leaderEpoch } = follower;
  return {
    brokerId,
    brokerEpoch,
    leaderEpoch,
    fetchOffset: log.logEndOffset,
    lastFetchedEpoch: log.lastEpoch ?? -1,
    logStartOffset: log.logStartOffset,
  };
}

export function followerStep(asked: ReplicaFetch, answer: ReplicaAnswer, log: OwnLog): FollowerStep {
  if (asked.fetchOffset !== log.logEndOffset) return { kind: "again" };
  switch (answer.kind) {
    case "batches":
      return { kind: "append", batches: answer.batches, ends: answer };
    case "diverging":
      return { kind: "truncate", offset: truncationPoint(answer, log) };
    case "outOfRange":
      return outOfRange(answer, log);
    case "refused":
      return { kind: "wait", code: answer.code };
  }
}

/** Never above where the own log leaves that epoch; if the epochs still differ then, the next answer cuts further (KAFKA-7164). */
function truncationPoint({ epoch, endOffset }: EpochEnd, log: OwnLog): number {
  const own = log.endOffsetFor(epoch);
  const ownEnd = own === undefined ? log.logEndOffset : own.endOffset;
  return Math.max(log.logStartOffset, Math.min(endOffset, ownEnd, log.logEndOffset));
}

function outOfRange(leader: LeaderEnds, log: OwnLog): FollowerStep {
  // Only an unclean election can leave a leader with less than this.
  if (leader.logEndOffset < log.logEndOffset) return { kind: "truncate", offset: leader.logEndOffset };
  if (leader.logStartOffset > log.logEndOffset)
    return { kind: "startOver", offset: leader.logStartOffset, ends: leader };
  return { kind: "again" };
}

/** What the follower may show and keep after an append: never beyond its own log, never back. */
export function endsAfterAppend(
  leader: LeaderEnds,
  log: Pick<OwnLog, "logStartOffset" | "highWatermark" | "logEndOffset">,
): { readonly highWatermark: number; readonly logStartOffset: number } {
  const highWatermark = Math.max(log.highWatermark, Math.min(leader.highWatermark, log.logEndOffset));
  const logStartOffset = Math.min(Math.max(log.logStartOffset, leader.logStartOffset), highWatermark);
  return { highWatermark, logStartOffset };
}
