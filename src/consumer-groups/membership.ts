// A member's life: it joins or takes its id over, polls, leaves, or falls silent and is removed.

import { type HeldPartitions, nothingHeld, partitionCountOf, rising } from "./assignment.ts";
import { assignors, isAssignorName } from "./assignors.ts";
import { commitOfMember, metadataTooLarge } from "./commits.ts";
import type { Group, GroupMember, MemberSlot } from "./group.ts";
import type { CurrentAssignmentValue, GroupRecord, MemberMetadataValue } from "./group-records.ts";
import { type GroupReply, type PollReply, type PollRequest, refused } from "./group-requests.ts";
import type { GroupTurn } from "./group-turn.ts";
import { acceptsPoll, isAway, joinsMax, kafkaEpochOf, knownEpoch } from "./member.ts";
import { setAway } from "./reconciliation.ts";

type NotCommitted = PollReply["notCommitted"];

export function poll(turn: GroupTurn, group: Group, request: PollRequest): GroupReply {
  if (request.assignor !== undefined && !isAssignorName(request.assignor)) {
    const detail = `there is no assignor ${JSON.stringify(request.assignor)}`;
    return refused("UNSUPPORTED_ASSIGNOR", detail, { supported: Object.keys(assignors) });
  }
  const tooLarge = metadataTooLarge(request.commit ?? []);
  if (tooLarge) return tooLarge;
  if (request.memberEpoch === undefined) return join(turn, group, request);
  return heartbeat(turn, group, request, request.memberEpoch);
}

function heartbeat(turn: GroupTurn, group: Group, request: PollRequest, sentEpoch: number): GroupReply {
  const member = group.member(request.memberId);
  const refusal = fenced(group, member, request.memberId, sentEpoch);
  if (refusal || member === undefined) return refusal ?? unknownMember(group, request.memberId);
  if (request.instanceId !== undefined && request.instanceId !== member.metadata.instanceId) {
    return refused("INVALID_REQUEST", "the instanceId of a member can change only when it joins");
  }
  const notCommitted = commitOfMember(turn, group, member, sentEpoch, request.commit ?? []);
  changeWishes(turn, group, member, wishesOf(turn, member.metadata, request));
  const letGo = releases(turn, request);
  turn.reconcile(group, group.member(request.memberId)!, {
    sentEpoch: kafkaEpochOf(sentEpoch),
    ownsNothing: false,
    letGo,
  });
  return answer(turn, group, request.memberId, { heldBefore: member.current.assigned, notCommitted });
}

/** Why a call in the name of this member is refused. */
function fenced(group: Group, member: GroupMember | undefined, memberId: string, sentEpoch: number) {
  if (member === undefined) return unknownMember(group, memberId);
  if (acceptsPoll(member, sentEpoch)) return undefined;
  const detail = "the member has another epoch now: drop what you hold and poll again without memberEpoch";
  return refused("FENCED_MEMBER_EPOCH", detail, { memberId, memberEpoch: sentEpoch });
}

function unknownMember(group: Group, memberId: string) {
  const detail = `group ${group.groupId} has no member ${memberId}: drop what you hold and poll again without memberEpoch`;
  return refused("UNKNOWN_MEMBER_ID", detail, { memberId });
}

function join(turn: GroupTurn, group: Group, request: PollRequest): GroupReply {
  const { memberId, instanceId = null } = request;
  if (request.topics === undefined) {
    return refused("INVALID_REQUEST", "a poll without memberEpoch joins the group, and needs topics");
  }
  const holder = instanceId === null ? undefined : group.memberOfInstance(instanceId);
  const replaced = holder !== undefined && holder.memberId !== memberId ? holder : undefined;
  if (replaced && !isAway(replaced)) {
    const detail = `member ${replaced.memberId} has instance id ${instanceId} and has not left: remove it first, or take another instanceId`;
    return refused("UNRELEASED_INSTANCE_ID", detail, { memberId: replaced.memberId });
  }
  let existing = group.member(memberId);
  const membersMax = turn.context.settings.groupMembersMax;
  if (!existing && !replaced && group.memberCount >= membersMax) {
    const limit = { name: "groupMembersMax", value: membersMax };
    return refused("GROUP_MAX_SIZE_REACHED", `group ${group.groupId} has ${membersMax} members`, { limit });
  }
  if (existing && existing.metadata.joins >= joinsMax) {
    // The counter of joins is used up: with a new group epoch it begins again, and the member's epoch still rises.
    removeMembers(turn, group, [existing]);
    existing = undefined;
  }
  if (replaced) forget(turn, group, [replaced]);
  const former = existing ?? replaced;
  const alike = former !== undefined && sameWishes(former.metadata, wishesOf(turn, former.metadata, request));
  const metadata = {
    ...wishesOf(turn, former?.metadata, request),
    instanceId,
    joins: (former?.metadata.joins ?? 0) + 1,
  };
  turn.emit({ kind: "memberMetadata", groupId: group.groupId, memberId, value: metadata });
  if (existing) turn.fence(group.groupId, memberId);
  if (replaced) takeTarget(turn, group, memberId, replaced);
  turn.rebalanceIfChanged(group, !alike);
  const current = former ? back(former.current) : newcomer(group.epoch);
  const member = { ...group.member(memberId)!, current };
  turn.reconcile(group, member, { sentEpoch: 0, ownsNothing: true, letGo: () => true }, former?.current !== current);
  const notCommitted = commitOfMember(turn, group, group.member(memberId)!, undefined, request.commit ?? []);
  return answer(turn, group, memberId, { heldBefore: nothingHeld, notCommitted });
}

function newcomer(groupEpoch: number): CurrentAssignmentValue {
  // At the epoch of its join, so that an id which left and comes back has a larger one; the target may still be to come.
  return {
    state: "unreleasedPartitions",
    memberEpoch: groupEpoch,
    previousMemberEpoch: groupEpoch,
    assigned: nothingHeld,
    pendingRevocation: nothingHeld,
  };
}

/** The assignment of a member that was away counts again, at the epoch it had. */
function back(current: CurrentAssignmentValue): CurrentAssignmentValue {
  if (current.memberEpoch >= 0) return current;
  return { ...current, state: "unreleasedPartitions", memberEpoch: current.previousMemberEpoch };
}

function takeTarget(turn: GroupTurn, group: Group, memberId: string, replaced: GroupMember): void {
  const { groupId } = group;
  if (replaced.target.size > 0) {
    turn.emit({ kind: "targetAssignmentMember", groupId, memberId, value: replaced.target });
  }
  turn.emit({ kind: "currentAssignment", groupId, memberId, value: replaced.current });
}

function wishesOf(turn: GroupTurn, former: MemberMetadataValue | undefined, request: PollRequest): MemberMetadataValue {
  const { settings } = turn.context;
  return {
    instanceId: former?.instanceId ?? null,
    topics: request.topics === undefined ? (former?.topics ?? []) : [...new Set(request.topics)].sort(),
    rebalanceTimeoutMs: request.rebalanceTimeoutMs ?? former?.rebalanceTimeoutMs ?? settings.rebalanceTimeoutMs,
    sessionTimeoutMs: request.sessionTimeoutMs ?? former?.sessionTimeoutMs ?? settings.sessionTimeoutMs,
    assignor: request.assignor ?? former?.assignor ?? null,
    joins: former?.joins ?? 0,
  };
}

/** Whether the target can stay as it is. */
function sameWishes(a: MemberMetadataValue, b: MemberMetadataValue): boolean {
  return (
    a.assignor === b.assignor && a.topics.length === b.topics.length && a.topics.every((t, i) => t === b.topics[i])
  );
}

function changeWishes(turn: GroupTurn, group: Group, { memberId, metadata }: GroupMember, value: MemberMetadataValue) {
  const alike = sameWishes(metadata, value);
  const { rebalanceTimeoutMs, sessionTimeoutMs } = value;
  if (!alike || rebalanceTimeoutMs !== metadata.rebalanceTimeoutMs || sessionTimeoutMs !== metadata.sessionTimeoutMs) {
    turn.emit({ kind: "memberMetadata", groupId: group.groupId, memberId, value });
  }
  turn.rebalanceIfChanged(group, !alike);
}

/** A poll for records lets go of all it does not name; one that is only a heartbeat of what its `owned` leaves out. */
function releases(turn: GroupTurn, request: PollRequest): (topicId: string, partition: number) => boolean {
  if (!request.forRecords && request.owned === undefined) return () => false;
  const named = new Set<string>();
  for (const { topic, partition } of request.commit ?? []) named.add(`${topic}\0${partition}`);
  for (const { topic, partition } of request.positions ?? []) named.add(`${topic}\0${partition}`);
  for (const { topic, partitions } of request.owned ?? []) for (const p of partitions) named.add(`${topic}\0${p}`);
  return (topicId, partition) => !named.has(`${turn.context.topics.nameOf(topicId)}\0${partition}`);
}

function answer(
  turn: GroupTurn,
  group: Group,
  memberId: string,
  { heldBefore, notCommitted }: { readonly heldBefore: HeldPartitions; readonly notCommitted: NotCommitted },
): PollReply {
  const member = group.member(memberId)!;
  const { current } = member;
  armTimers(turn, group, member);
  const { heartbeatIntervalMs } = turn.context.settings;
  return {
    kind: "poll",
    memberEpoch: knownEpoch(member),
    heartbeatIntervalMs: Math.min(heartbeatIntervalMs, Math.ceil(member.metadata.sessionTimeoutMs / 3)),
    assignment: assignmentOf(turn, member),
    notCommitted,
    // One step only gives or only takes, so equal counts mean equal sets.
    changed: partitionCountOf(current.assigned) !== partitionCountOf(heldBefore),
    revoking: current.state === "unrevokedPartitions",
    incomplete: current.state === "unreleasedPartitions" || group.epoch > group.assignmentEpoch,
  };
}

/** By topic name. A topic that was deleted a moment ago is left out: it cannot be read. */
function assignmentOf(turn: GroupTurn, { current }: GroupMember): PollReply["assignment"] {
  const topics = [...current.assigned].flatMap(([topicId, partitions]) => {
    const topic = turn.context.topics.nameOf(topicId);
    return topic === undefined ? [] : [{ topic, topicId, partitions: rising(partitions.keys()) }];
  });
  return topics.sort((a, b) => (a.topic < b.topic ? -1 : 1));
}

/** The session begins anew; the time to let go of partitions runs from when the member was first asked. */
export function armTimers(turn: GroupTurn, { groupId }: Group, { slot, metadata, current }: GroupMember): void {
  const { monotonicMs } = turn.now;
  slot.sessionDeadlineMs = monotonicMs + metadata.sessionTimeoutMs;
  if (current.state !== "unrevokedPartitions") slot.rebalanceDeadlineMs = Number.POSITIVE_INFINITY;
  else if (slot.rebalanceDeadlineMs === Number.POSITIVE_INFINITY) {
    slot.rebalanceDeadlineMs = monotonicMs + metadata.rebalanceTimeoutMs;
  }
  // A deadline that only moved back needs no new entry: when the old one is due, it finds the new time.
  if (slot.deadlineMs < slot.scheduledMs) scheduleMember(turn, groupId, slot);
}

function scheduleMember(turn: GroupTurn, groupId: string, slot: MemberSlot): void {
  slot.scheduledMs = slot.deadlineMs;
  turn.context.schedule(slot.scheduledMs, groupId, slot.memberId);
}

/** Whether the member's time is up, now that something set for this time is due. */
export function isOverdue(turn: GroupTurn, { groupId }: Group, { slot }: GroupMember, scheduledMs: number): boolean {
  if (slot.scheduledMs !== scheduledMs) return false;
  if (slot.deadlineMs <= turn.now.monotonicMs) return true;
  scheduleMember(turn, groupId, slot);
  return false;
}

export function keepAlive(turn: GroupTurn, group: Group, memberId: string, sentEpoch: number): GroupReply {
  const member = group.member(memberId);
  const refusal = fenced(group, member, memberId, sentEpoch);
  if (refusal || member === undefined) return refusal ?? unknownMember(group, memberId);
  armTimers(turn, group, member);
  return { kind: "done" };
}

export function leave(turn: GroupTurn, group: Group, memberId: string, keepAssignment: boolean): GroupReply {
  const member = group.member(memberId);
  if (!member) return unknownMember(group, memberId);
  turn.fence(group.groupId, memberId);
  if (keepAssignment && member.metadata.instanceId !== null) {
    if (isAway(member)) return unknownMember(group, memberId);
    const value = setAway(member.current);
    turn.emitWaking(group, [{ kind: "currentAssignment", groupId: group.groupId, memberId, value }]);
    armTimers(turn, group, group.member(memberId)!);
  } else {
    removeMembers(turn, group, [member]);
  }
  return { kind: "done" };
}

/** Their partitions are free at once, and what they still send is refused. */
export function removeMembers(turn: GroupTurn, group: Group, members: readonly GroupMember[]): void {
  for (const { memberId } of members) turn.fence(group.groupId, memberId);
  forget(turn, group, members);
  turn.rebalanceIfChanged(group, true);
}

function forget(turn: GroupTurn, group: Group, members: readonly GroupMember[]): void {
  const { groupId } = group;
  const records = members.flatMap(({ memberId }): GroupRecord[] => [
    { kind: "currentAssignment", groupId, memberId, value: null },
    { kind: "targetAssignmentMember", groupId, memberId, value: null },
    { kind: "memberMetadata", groupId, memberId, value: null },
  ]);
  turn.emitWaking(group, records);
}
