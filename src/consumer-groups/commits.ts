// Commits of members and of those who are none, resets, and how offsets end: with their topic, by age, or with their group.

import type { ErrorCode } from "../protocol/error-codes.ts";
import type { Group, GroupMember } from "./group.ts";
import type { OffsetCommitValue } from "./group-records.ts";
import { type GroupReply, type GroupRequest, type Refusal, refused } from "./group-requests.ts";
import type { GroupTurn } from "./group-turn.ts";
import { judgeCommit } from "./member.ts";
import { committedValue, isExpired, metadataBytesMax, type Position } from "./offsets.ts";

type RequestOf<Kind extends GroupRequest["kind"]> = Extract<GroupRequest, { kind: Kind }>;
type NotCommitted = { readonly topic: string; readonly partition: number; readonly code: ErrorCode };

const encoder = new TextEncoder();

export function metadataTooLarge(positions: readonly Position[]): Refusal | undefined {
  for (const { topic, partition, metadata = "" } of positions) {
    const size = metadata.length > metadataBytesMax ? metadata.length : encoder.encode(metadata).length;
    if (size <= metadataBytesMax) continue;
    const detail = `the metadata for ${topic}-${partition} has more than ${metadataBytesMax} bytes`;
    const limit = { name: "metadataBytesMax", value: metadataBytesMax };
    return refused("OFFSET_METADATA_TOO_LARGE", detail, { limit });
  }
  return undefined;
}

/** Commits what the member may commit, and says what not. One that has just joined has no epoch it could have read under. */
export function commitOfMember(
  turn: GroupTurn,
  group: Group,
  member: GroupMember,
  sentEpoch: number | undefined,
  positions: readonly Position[],
): NotCommitted[] {
  const notCommitted: NotCommitted[] = [];
  for (const position of positions) {
    const { topic, partition } = position;
    const topicId = topicIdOf(turn, position);
    if (topicId === undefined) {
      notCommitted.push({ topic, partition, code: "UNKNOWN_TOPIC_OR_PARTITION" });
      continue;
    }
    const verdict = sentEpoch === undefined ? "STALE_MEMBER_EPOCH" : judgeCommit(member, sentEpoch, topicId, partition);
    if (verdict !== "accepted") notCommitted.push({ topic, partition, code: verdict });
    else write(turn, group, position, topicId, sentEpoch ?? -1);
  }
  return notCommitted;
}

export function commit(turn: GroupTurn, group: Group, request: RequestOf<"commit">): GroupReply {
  const { memberId, memberEpoch, positions } = request;
  const refusal = metadataTooLarge(positions) ?? unknownPartitions(turn, positions);
  if (refusal) return refusal;
  if (group.memberCount === 0 && memberId === undefined) {
    for (const position of positions) write(turn, group, position, topicIdOf(turn, position)!, -1);
    return { kind: "done" };
  }
  const member = memberId === undefined ? undefined : group.member(memberId);
  if (member === undefined || memberEpoch === undefined) {
    const detail =
      memberId === undefined || memberEpoch === undefined
        ? `group ${group.groupId} has members: a commit needs memberId and memberEpoch`
        : `group ${group.groupId} has no member ${memberId}: drop what you hold and poll again without memberEpoch`;
    return refused("UNKNOWN_MEMBER_ID", detail);
  }
  const judged = positions.map((position) => {
    const { topic, partition } = position;
    return { topic, partition, code: judgeCommit(member, memberEpoch, topicIdOf(turn, position)!, partition) };
  });
  const refusals = judged.filter(({ code }) => code !== "accepted");
  const code = refusals[0]?.code ?? "accepted";
  if (code !== "accepted") {
    const detail = `member ${memberId} does not hold all these partitions at epoch ${memberEpoch}: commit what its last poll assigned, with the memberEpoch of that`;
    return refused(code, detail, { notCommitted: refusals });
  }
  for (const position of positions) write(turn, group, position, topicIdOf(turn, position)!, memberEpoch);
  return { kind: "done" };
}

export function reset(turn: GroupTurn, group: Group, request: RequestOf<"reset">): GroupReply {
  if (group.memberCount > 0) return nonEmpty(group);
  if (group.isBlank && !request.createGroup) return refused("GROUP_ID_NOT_FOUND", `there is no group ${group.groupId}`);
  const refusal = metadataTooLarge(request.positions) ?? unknownPartitions(turn, request.positions);
  if (refusal) return refusal;
  const positions = request.positions.map((position) => {
    const topicId = topicIdOf(turn, position)!;
    const held = group.offsets.get(position.topic, position.partition);
    return { position, topicId, previous: held?.topicId === topicId ? held.offset : null };
  });
  if (!request.dryRun) for (const { position, topicId } of positions) write(turn, group, position, topicId, -1);
  return { kind: "reset", positions: positions.map(({ position, previous }) => ({ ...position, previous })) };
}

export function deleteGroup(turn: GroupTurn, group: Group): GroupReply {
  if (group.isBlank) return refused("GROUP_ID_NOT_FOUND", `there is no group ${group.groupId}`);
  if (group.memberCount > 0) return nonEmpty(group);
  for (const { topic, partition } of [...group.offsets.all()]) drop(turn, group, topic, partition);
  dropMetadata(turn, group);
  return { kind: "done" };
}

/** Offsets of the very topic that went; those of a new one under its name stay. */
export function topicDeleted(turn: GroupTurn, group: Group, { topic, topicId }: RequestOf<"topicDeleted">): void {
  for (const { partition, committed } of [...group.offsets.of(topic)]) {
    if (committed.topicId === null || committed.topicId === topicId) drop(turn, group, topic, partition);
  }
}

/** At most `recordsMax` in one turn; true when some were left. A group that nobody came back to goes with its last offset. */
export function expireOffsets(turn: GroupTurn, group: Group, recordsMax: number): boolean {
  const limits = { nowMs: turn.now.wallMs, retentionMs: turn.context.settings.offsetsRetentionMs };
  for (const { topic, partition, committed } of [...group.offsets.all()]) {
    const whose = { subscribed: group.isSubscribed(topic), emptySinceMs: group.emptySinceMs };
    if (!isExpired(committed, whose, limits)) continue;
    if (turn.records.length >= recordsMax) return true;
    drop(turn, group, topic, partition);
  }
  const { emptySinceMs } = group;
  const deserted = emptySinceMs !== null && limits.nowMs - emptySinceMs >= limits.retentionMs;
  if (group.memberCount === 0 && group.offsets.count === 0 && deserted) dropMetadata(turn, group);
  return false;
}

function nonEmpty(group: Group): Refusal {
  const detail = `group ${group.groupId} has members (${group.memberCount}): stop and remove them first, or wait until their sessions end`;
  return refused("NON_EMPTY_GROUP", detail, { members: group.memberCount });
}

function unknownPartitions(turn: GroupTurn, positions: readonly Position[]): Refusal | undefined {
  const unknown = positions.filter((position) => topicIdOf(turn, position) === undefined);
  if (unknown.length === 0) return undefined;
  const partitions = unknown.map(({ topic, partition }) => ({ topic, partition }));
  return refused("UNKNOWN_TOPIC_OR_PARTITION", "there are no such partitions", { partitions });
}

function topicIdOf(turn: GroupTurn, { topic, partition }: Position): string | undefined {
  const known = turn.context.topics.topic(topic);
  return known && partition < known.partitionCount ? known.topicId : undefined;
}

function write(turn: GroupTurn, group: Group, position: Position, topicId: string, memberEpoch: number): void {
  const { topic, partition } = position;
  const context = { topicId, memberEpoch, nowMs: turn.now.wallMs };
  const value = committedValue(group.offsets.get(topic, partition), position, context);
  if (value) emitOffset(turn, group, topic, partition, value);
}

function drop(turn: GroupTurn, group: Group, topic: string, partition: number): void {
  emitOffset(turn, group, topic, partition, null);
}

function emitOffset(
  turn: GroupTurn,
  { groupId }: Group,
  topic: string,
  partition: number,
  value: OffsetCommitValue | null,
): void {
  turn.emit({ kind: "offsetCommit", groupId, topic, partition, value });
}

function dropMetadata(turn: GroupTurn, { groupId, hasHadMembers }: Group): void {
  if (!hasHadMembers) return;
  turn.emit({ kind: "targetAssignmentMetadata", groupId, value: null });
  turn.emit({ kind: "groupMetadata", groupId, value: null });
}
