// One request at work: every record it makes is encoded, replayed at once and kept for the log, so that each next step judges the
// state the records before it made. Here are the steps that all requests share: a new group epoch, a new target, one
// member's reconciliation, who has to be woken.

import { createHash } from "node:crypto";
import { equalAssignments, holdsExactly, nothingAssigned } from "./assignment.ts";
import type { PartitionCounts, Subscriber } from "./assignor.ts";
import { type AssignorName, assignors, isAssignorName } from "./assignors.ts";
import type { Group, GroupMember } from "./group.ts";
import { type EncodedGroupRecord, encodeGroupRecord, type GroupRecord } from "./group-records.ts";
import type { GroupSettings, Now, TopicLookup } from "./group-requests.ts";
import { isAway } from "./member.ts";
import { type ReconciliationInput, reconcile } from "./reconciliation.ts";

export interface TurnContext {
  readonly topics: TopicLookup;
  readonly settings: GroupSettings;
  replay(record: GroupRecord): void;
  /** There is something to do for the member, or without one for the group, at this time. */
  schedule(atMs: number, groupId: string, memberId: string | null): void;
}

export class GroupTurn {
  readonly context: TurnContext;
  readonly now: Now;
  readonly #asking: { readonly groupId: string; readonly memberId: string } | undefined;
  readonly records: EncodedGroupRecord[] = [];
  readonly #woken = new Map<string, { groupId: string; memberId: string }>();

  constructor(context: TurnContext, now: Now, asking?: { readonly groupId: string; readonly memberId: string }) {
    this.context = context;
    this.now = now;
    this.#asking = asking;
  }

  get woken(): { groupId: string; memberId: string }[] {
    return [...this.#woken.values()];
  }

  emit(record: GroupRecord): void {
    const encoded = encodeGroupRecord(record);
    this.context.replay(record);
    this.records.push(encoded);
  }

  /** There is news for the member; the one that asks gets its answer anyway. */
  wake(groupId: string, memberId: string): void {
    if (this.#asking?.groupId !== groupId || this.#asking.memberId !== memberId) this.fence(groupId, memberId);
  }

  /** Whoever waits under this id with an epoch from before will be refused. */
  fence(groupId: string, memberId: string): void {
    this.#woken.set(`${groupId}\0${memberId}`, { groupId, memberId });
  }

  /** A new group epoch if the members' wishes changed or a subscribed topic did; then, unless it must wait, a new target. */
  rebalanceIfChanged(group: Group, wishesChanged: boolean): void {
    if (wishesChanged || group.checkedRevision !== this.context.topics.revision) {
      const metadataHash = this.#metadataHash(group);
      group.checkedRevision = this.context.topics.revision;
      if (wishesChanged || metadataHash !== group.metadataHash) {
        const emptySinceMs = group.memberCount === 0 ? this.now.wallMs : null;
        const value = { epoch: group.epoch + 1, metadataHash, emptySinceMs };
        this.emit({ kind: "groupMetadata", groupId: group.groupId, value });
      }
    }
    this.computeTargetIfDue(group);
  }

  computeTargetIfDue(group: Group): void {
    if (group.memberCount === 0 || group.epoch === group.assignmentEpoch) {
      group.targetDueMs = Number.POSITIVE_INFINITY;
      return;
    }
    const dueMs = (group.lastTargetMs ?? Number.NEGATIVE_INFINITY) + this.#pauseMs(group.memberCount);
    if (this.now.monotonicMs >= Math.min(dueMs, group.targetDueMs)) {
      group.targetDueMs = Number.POSITIVE_INFINITY;
      this.#computeTarget(group);
    } else if (group.targetDueMs === Number.POSITIVE_INFINITY) {
      group.targetDueMs = dueMs;
      this.context.schedule(dueMs, group.groupId, null);
    }
  }

  #pauseMs(memberCount: number): number {
    const { membersWithoutPauseMax, assignmentPauseMsPerMember, assignmentPauseMsMax } = this.context.settings;
    if (memberCount <= membersWithoutPauseMax) return 0;
    return Math.min(memberCount * assignmentPauseMsPerMember, assignmentPauseMsMax);
  }

  /** Which subscribed topics there are, with how many partitions, in 48 bits; 0 without any. */
  #metadataHash(group: Group): number {
    const topics = group.subscribedTopics().flatMap((name) => {
      const topic = this.context.topics.topic(name);
      return topic ? [`${name} ${topic.topicId} ${topic.partitionCount}\n`] : [];
    });
    if (topics.length === 0) return 0;
    const digest = createHash("sha256").update(topics.join("")).digest();
    return digest.readUIntBE(0, 6);
  }

  #computeTarget(group: Group): void {
    const { groupId } = group;
    const counts = new Map<string, number>();
    const members = [...group.members()];
    const subscribers = members.map((member) => this.#subscriber(member, counts));
    const targets = assignors[this.#assignorOf(members)](subscribers, counts as PartitionCounts);
    for (const { memberId, target } of members) {
      const value = targets.get(memberId) ?? nothingAssigned;
      if (equalAssignments(target, value)) continue;
      this.emit({ kind: "targetAssignmentMember", groupId, memberId, value });
    }
    this.emit({ kind: "targetAssignmentMetadata", groupId, value: { assignmentEpoch: group.epoch } });
    group.lastTargetMs = this.now.monotonicMs;
    for (const { memberId, current, target } of group.members()) {
      if (current.state === "stable" ? !holdsExactly(current.assigned, target) : current.memberEpoch <= group.epoch) {
        this.wake(groupId, memberId);
      }
    }
  }

  #subscriber({ memberId, metadata, target }: GroupMember, counts: Map<string, number>): Subscriber {
    const topicIds: string[] = [];
    for (const name of metadata.topics) {
      const topic = this.context.topics.topic(name);
      if (!topic) continue;
      topicIds.push(topic.topicId);
      counts.set(topic.topicId, topic.partitionCount);
    }
    return { memberId, instanceId: metadata.instanceId, topicIds, previous: target };
  }

  /** What most members ask for; among equals, the default. */
  #assignorOf(members: readonly GroupMember[]): AssignorName {
    const { defaultAssignor } = this.context.settings;
    const votes = new Map<AssignorName, number>([[defaultAssignor, 0]]);
    for (const { metadata } of members) {
      if (metadata.assignor === null || !isAssignorName(metadata.assignor)) continue;
      votes.set(metadata.assignor, (votes.get(metadata.assignor) ?? 0) + 1);
    }
    return [...votes].reduce((best, vote) => (vote[1] > best[1] ? vote : best))[0];
  }

  /** Moves the member towards its target; `always` writes its assignment even if nothing changed. */
  reconcile(
    group: Group,
    member: GroupMember,
    client: Pick<ReconciliationInput, "sentEpoch" | "ownsNothing" | "letGo">,
    always = false,
  ): void {
    const { groupId } = group;
    const { memberId, current, target } = member;
    const value = reconcile({
      ...client,
      current,
      target,
      assignmentEpoch: group.assignmentEpoch,
      heldByAnother: (topicId, partition) => (group.ownerOf(topicId, partition) ?? memberId) !== memberId,
      exists: (topicId) => this.context.topics.nameOf(topicId) !== undefined,
    });
    if (value !== current || always) this.emitWaking(group, [{ kind: "currentAssignment", groupId, memberId, value }]);
  }

  /** Emits, and wakes those who can now have what comes free by it: looked for once, since each look goes through all members. */
  emitWaking(group: Group, records: readonly GroupRecord[]): void {
    const releases = group.releases;
    for (const record of records) this.emit(record);
    if (group.releases === releases) return;
    for (const member of group.members()) {
      if (member.current.state !== "unreleasedPartitions" || isAway(member)) continue;
      if (hasFreePartition(group, member)) this.wake(group.groupId, member.memberId);
    }
  }
}

function hasFreePartition(group: Group, { target }: GroupMember): boolean {
  for (const [topicId, partitions] of target) {
    if (partitions.some((partition) => group.ownerOf(topicId, partition) === undefined)) return true;
  }
  return false;
}
