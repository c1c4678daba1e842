// The state of one group: what its records say, and what follows from that. It changes in replay() alone, whether a record was
// made just now or comes from the log, and after all but the last record of each key are gone the result is the same.
// The fields at the end are no state: timers and caches, which a restart begins anew.

import { type Assignment, type HeldPartitions, nothingAssigned, nothingHeld } from "./assignment.ts";
import type { CurrentAssignmentValue, GroupMetadataValue, GroupRecord, MemberMetadataValue } from "./group-records.ts";
import type { Member } from "./member.ts";
import { CommittedOffsets } from "./offsets.ts";

export type GroupState = "empty" | "assigning" | "reconciling" | "stable";

const notYetAssigned: CurrentAssignmentValue = {
  state: "stable",
  memberEpoch: 0,
  previousMemberEpoch: 0,
  assigned: nothingHeld,
  pendingRevocation: nothingHeld,
};

/** What the records so far say of one id; a member once its metadata is there. */
export class MemberSlot {
  readonly memberId: string;
  metadata: MemberMetadataValue | null = null;
  current: CurrentAssignmentValue | null = null;
  target: Assignment | null = null;
  /** On the monotonic clock; infinite: not armed. */
  sessionDeadlineMs = Number.POSITIVE_INFINITY;
  rebalanceDeadlineMs = Number.POSITIVE_INFINITY;
  /** The earliest time at which somebody will look at the deadlines. */
  scheduledMs = Number.POSITIVE_INFINITY;

  constructor(memberId: string) {
    this.memberId = memberId;
  }

  get deadlineMs(): number {
    return Math.min(this.sessionDeadlineMs, this.rebalanceDeadlineMs);
  }

  get isBlank(): boolean {
    return this.metadata === null && this.current === null && this.target === null;
  }
}

export interface GroupMember extends Member {
  readonly target: Assignment;
  readonly slot: MemberSlot;
}

export class Group {
  readonly groupId: string;
  readonly offsets = new CommittedOffsets();
  readonly #slots = new Map<string, MemberSlot>();
  readonly #owners = new Map<string, Map<number, string>>();
  readonly #instances = new Map<string, string>();
  readonly #subscribers = new Map<string, number>();
  #metadata: GroupMetadataValue | null = null;
  #assignmentEpoch = 0;
  #memberCount = 0;

  /** How often a partition came free. */
  releases = 0;
  /** The topics' revision at which the subscribed ones were last compared. */
  checkedRevision: number | undefined;
  /** On the monotonic clock. */
  lastTargetMs: number | undefined;
  targetDueMs = Number.POSITIVE_INFINITY;

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  get epoch(): number {
    return this.#metadata?.epoch ?? 0;
  }

  get metadataHash(): number {
    return this.#metadata?.metadataHash ?? 0;
  }

  get emptySinceMs(): number | null {
    return this.#metadata?.emptySinceMs ?? null;
  }

  get assignmentEpoch(): number {
    return this.#assignmentEpoch;
  }

  get memberCount(): number {
    return this.#memberCount;
  }

  /** False for a group that only holds offsets which somebody committed without being a member. */
  get hasHadMembers(): boolean {
    return this.#metadata !== null;
  }

  /** Nothing is known of it: it may be forgotten. */
  get isBlank(): boolean {
    return this.#metadata === null && this.#slots.size === 0 && this.offsets.count === 0 && this.#assignmentEpoch === 0;
  }

  get state(): GroupState {
    if (this.#memberCount === 0) return "empty";
    if (this.epoch > this.#assignmentEpoch) return "assigning";
    for (const { current } of this.members()) {
      if (current.state !== "stable" || current.memberEpoch !== this.#assignmentEpoch) return "reconciling";
    }
    return "stable";
  }

  member(memberId: string): GroupMember | undefined {
    const slot = this.#slots.get(memberId);
    return slot && memberIn(slot);
  }

  *members(): Generator<GroupMember> {
    for (const slot of this.#slots.values()) {
      const member = memberIn(slot);
      if (member) yield member;
    }
  }

  memberOfInstance(instanceId: string): GroupMember | undefined {
    const memberId = this.#instances.get(instanceId);
    return memberId === undefined ? undefined : this.member(memberId);
  }

  isSubscribed(topic: string): boolean {
    return this.#subscribers.has(topic);
  }

  subscribedTopics(): string[] {
    return [...this.#subscribers.keys()].sort();
  }

  /** The member that holds the partition, or was told to let go of it and has not done so. */
  ownerOf(topicId: string, partition: number): string | undefined {
    return this.#owners.get(topicId)?.get(partition);
  }

  replay(record: GroupRecord): void {
    switch (record.kind) {
      case "offsetCommit":
        this.offsets.replay(record.topic, record.partition, record.value);
        break;
      case "groupMetadata":
        this.#metadata = record.value;
        break;
      case "targetAssignmentMetadata":
        this.#assignmentEpoch = record.value?.assignmentEpoch ?? 0;
        break;
      default:
        this.#replayOfMember(record);
    }
  }

  #replayOfMember(record: Extract<GroupRecord, { memberId: string }>): void {
    const slot = this.#slots.get(record.memberId) ?? new MemberSlot(record.memberId);
    this.#slots.set(record.memberId, slot);
    if (record.kind === "memberMetadata") this.#replayMetadata(slot, record.value);
    else if (record.kind === "targetAssignmentMember") slot.target = record.value;
    else this.#replayCurrent(slot, record.value);
    if (slot.isBlank) this.#slots.delete(slot.memberId);
  }

  #replayMetadata(slot: MemberSlot, value: MemberMetadataValue | null): void {
    const before = slot.metadata;
    slot.metadata = value;
    this.#memberCount += Number(value !== null) - Number(before !== null);
    for (const topic of before?.topics ?? []) {
      const others = this.#subscribers.get(topic)! - 1;
      if (others === 0) this.#subscribers.delete(topic);
      else this.#subscribers.set(topic, others);
    }
    for (const topic of value?.topics ?? []) this.#subscribers.set(topic, (this.#subscribers.get(topic) ?? 0) + 1);
    const left = before?.instanceId ?? null;
    if (left !== null && this.#instances.get(left) === slot.memberId) this.#instances.delete(left);
    if (value !== null && value.instanceId !== null) this.#instances.set(value.instanceId, slot.memberId);
  }

  #replayCurrent(slot: MemberSlot, value: CurrentAssignmentValue | null): void {
    const before = slot.current;
    slot.current = value;
    if (value) for (const held of [value.assigned, value.pendingRevocation]) this.#own(slot.memberId, held);
    if (before)
      for (const held of [before.assigned, before.pendingRevocation]) this.#disown(slot.memberId, held, value);
  }

  #own(memberId: string, held: HeldPartitions): void {
    for (const [topicId, partitions] of held) {
      const owners = this.#owners.get(topicId) ?? new Map<number, string>();
      this.#owners.set(topicId, owners);
      for (const partition of partitions.keys()) owners.set(partition, memberId);
    }
  }

  /** Of what was held before: only what is no longer, and only if nobody else's record has taken it since. */
  #disown(memberId: string, held: HeldPartitions, now: CurrentAssignmentValue | null): void {
    for (const [topicId, partitions] of held) {
      const owners = this.#owners.get(topicId);
      const assigned = now?.assigned.get(topicId);
      const pending = now?.pendingRevocation.get(topicId);
      for (const partition of partitions.keys()) {
        if (assigned?.has(partition) || pending?.has(partition)) continue;
        if (owners?.get(partition) !== memberId) continue;
        owners.delete(partition);
        this.releases++;
      }
      if (owners?.size === 0) this.#owners.delete(topicId);
    }
  }
}

function memberIn(slot: MemberSlot): GroupMember | undefined {
  const { memberId, metadata } = slot;
  if (metadata === null) return undefined;
  return { memberId, metadata, current: slot.current ?? notYetAssigned, target: slot.target ?? nothingAssigned, slot };
}
