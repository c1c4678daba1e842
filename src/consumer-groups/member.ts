// One member of a group, as its records say, and the epoch it is known by outside: Kafka's member epoch × 65,536 + how often the
// id has joined. So a process that takes an id over fences the former one without a rebalance, and the number only rises.

import { epochOf } from "./assignment.ts";
import type { CurrentAssignmentValue, MemberMetadataValue } from "./group-records.ts";

export const joinsMax = 65_535;
const joinsRange = joinsMax + 1;
/** Kafka's member epoch of a static member that went away and may be back. */
export const awayEpoch = -2;

export interface Member {
  readonly memberId: string;
  readonly metadata: MemberMetadataValue;
  readonly current: CurrentAssignmentValue;
}

/** Two numbers in one that clients hand back as they got it. */
export function epochForClients(memberEpoch: number, joins: number): number {
  return memberEpoch * joinsRange + joins;
}

export function kafkaEpochOf(epochForClients: number): number {
  return Math.floor(epochForClients / joinsRange);
}

function joinsOf(epochForClients: number): number {
  return epochForClients % joinsRange;
}

export function isAway(member: Member): boolean {
  return member.current.memberEpoch === awayEpoch;
}

export function knownEpoch(member: Member): number {
  return epochForClients(member.current.memberEpoch, member.metadata.joins);
}

/** Between the epoch the client surely knows and the present one: replies may have been lost. Never across a join. */
export function acceptsPoll(member: Member, sentEpoch: number): boolean {
  const { memberEpoch, previousMemberEpoch } = member.current;
  const epoch = kafkaEpochOf(sentEpoch);
  return joinsOf(sentEpoch) === member.metadata.joins && epoch >= previousMemberEpoch && epoch <= memberEpoch;
}

export type CommitVerdict = "accepted" | "FENCED_MEMBER_EPOCH" | "STALE_MEMBER_EPOCH";

/** The partition must have been held from the epoch that was sent until now: it is then in no other member's hands. */
export function judgeCommit(member: Member, sentEpoch: number, topicId: string, partition: number): CommitVerdict {
  const { memberEpoch, assigned, pendingRevocation } = member.current;
  const epoch = kafkaEpochOf(sentEpoch);
  if (joinsOf(sentEpoch) !== member.metadata.joins || epoch > memberEpoch) return "FENCED_MEMBER_EPOCH";
  const assignedAt = epochOf(assigned, topicId, partition) ?? epochOf(pendingRevocation, topicId, partition);
  return assignedAt !== undefined && assignedAt <= epoch ? "accepted" : "STALE_MEMBER_EPOCH";
}
