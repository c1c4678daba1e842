// A shard with topics, a clock and a log kept beside it, for tests: the log can be replayed into a new shard at any time, whole or
// with only the last record of each key, and two shards can be compared by all they know.

import type { Group } from "../../src/consumer-groups/group.ts";
import type { EncodedGroupRecord } from "../../src/consumer-groups/group-records.ts";
import type { GroupRequest, GroupSettings, Handled, TopicLookup } from "../../src/consumer-groups/group-requests.ts";
import { GroupShard } from "../../src/consumer-groups/group-shard.ts";
import { formatTopicId } from "../../src/protocol/topic-partition.ts";

export const firstWallMs = 1_750_000_000_000;

export class ShardWorld implements TopicLookup {
  revision = 0;
  readonly log: EncodedGroupRecord[] = [];
  shard: GroupShard;
  nowMs = 0;
  readonly #settings: Partial<GroupSettings>;
  readonly #topics = new Map<string, { topicId: string; partitionCount: number }>();
  #topicsMade = 0;

  constructor(settings: Partial<GroupSettings> = {}) {
    this.#settings = settings;
    this.shard = new GroupShard(this, settings);
  }

  topic(name: string): { topicId: string; partitionCount: number } | undefined {
    return this.#topics.get(name);
  }

  nameOf(topicId: string): string | undefined {
    for (const [name, topic] of this.#topics) if (topic.topicId === topicId) return name;
    return undefined;
  }

  /** Makes it, or lets it grow. */
  setTopic(name: string, partitionCount: number): void {
    const uuid = new Uint8Array(16);
    new DataView(uuid.buffer).setInt32(12, ++this.#topicsMade);
    const topicId = this.#topics.get(name)?.topicId ?? formatTopicId(uuid);
    this.#topics.set(name, { topicId, partitionCount });
    this.revision++;
  }

  deleteTopic(name: string): string {
    const { topicId } = this.#topics.get(name)!;
    this.#topics.delete(name);
    this.revision++;
    return topicId;
  }

  topicNames(): string[] {
    return [...this.#topics.keys()];
  }

  get now(): { wallMs: number; monotonicMs: number } {
    return { wallMs: firstWallMs + this.nowMs, monotonicMs: this.nowMs };
  }

  handle(request: GroupRequest): Handled {
    const handled = this.shard.handle(request, this.now);
    this.log.push(...handled.records);
    return handled;
  }

  /** What a new shard makes of the log. */
  replayed(log: readonly EncodedGroupRecord[] = this.log): GroupShard {
    const shard = new GroupShard(this, this.#settings);
    for (const { key, value } of log) shard.replay(key, value);
    shard.loaded(this.now);
    return shard;
  }

  restart(): void {
    this.shard = this.replayed();
  }
}

/** The last record of each key, where it stood. */
export function compacted(log: readonly EncodedGroupRecord[]): EncodedGroupRecord[] {
  const last = new Map(log.map((record, index) => [Buffer.from(record.key).toString("base64"), index]));
  const kept = new Set(last.values());
  return log.filter((_, index) => kept.has(index));
}

/** Everything a shard knows, in one order, without timers. */
export function stateOf(shard: GroupShard): unknown {
  return [...shard.groups()].sort((a, b) => compare(a.groupId, b.groupId)).map(groupState);
}

export function groupState(group: Group): unknown {
  const members = [...group.members()].sort((a, b) => compare(a.memberId, b.memberId));
  return {
    groupId: group.groupId,
    epoch: group.epoch,
    metadataHash: group.metadataHash,
    emptySinceMs: group.emptySinceMs,
    hasHadMembers: group.hasHadMembers,
    assignmentEpoch: group.assignmentEpoch,
    memberCount: group.memberCount,
    state: group.state,
    subscribed: group.subscribedTopics(),
    members: members.map(({ memberId, metadata, current, target }) => ({
      memberId,
      metadata,
      state: current.state,
      memberEpoch: current.memberEpoch,
      previousMemberEpoch: current.previousMemberEpoch,
      assigned: sorted(current.assigned, (partitions) => sorted(partitions, (epoch) => epoch)),
      pendingRevocation: sorted(current.pendingRevocation, (partitions) => sorted(partitions, (epoch) => epoch)),
      target: sorted(target, (partitions) => partitions),
      owns: [...current.assigned, ...current.pendingRevocation].flatMap(([topicId, partitions]) =>
        [...partitions.keys()].map((partition) => group.ownerOf(topicId, partition)),
      ),
      instance: metadata.instanceId === null ? null : group.memberOfInstance(metadata.instanceId)?.memberId,
    })),
    offsets: [...group.offsets.all()].sort((a, b) => compare(a.topic, b.topic) || a.partition - b.partition),
    offsetCount: group.offsets.count,
  };
}

function sorted<K extends string | number, V>(map: ReadonlyMap<K, V>, show: (value: V) => unknown): unknown {
  return [...map].sort(([a], [b]) => compare(a, b)).map(([key, value]) => [key, show(value)]);
}

function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
