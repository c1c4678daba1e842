// The committed offsets of one group, and the rules of a commit that do not ask who commits: one that changes nothing writes
// nothing, one at the same or an older member epoch never lowers (a late or repeated call), one expires when nobody can
// come back for it.

import type { OffsetCommitValue } from "./group-records.ts";
import { TopicOffsets } from "./topic-offsets.ts";

export const metadataBytesMax = 4096;

export interface Position {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
  readonly leaderEpoch?: number;
  readonly metadata?: string;
}

export interface CommittedPosition {
  readonly topic: string;
  readonly partition: number;
  readonly committed: OffsetCommitValue;
}

export class CommittedOffsets {
  readonly #topics = new Map<string, TopicOffsets>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get(topic: string, partition: number): OffsetCommitValue | undefined {
    return this.#topics.get(topic)?.get(partition);
  }

  *all(): Generator<CommittedPosition> {
    for (const [topic, partitions] of this.#topics) {
      for (const [partition, committed] of partitions.entries()) yield { topic, partition, committed };
    }
  }

  *of(topic: string): Generator<CommittedPosition> {
    for (const [partition, committed] of this.#topics.get(topic)?.entries() ?? [])
      yield { topic, partition, committed };
  }

  replay(topic: string, partition: number, value: OffsetCommitValue | null): void {
    const partitions = this.#topics.get(topic) ?? new TopicOffsets();
    if (value !== null) {
      if (partitions.count === 0) this.#topics.set(topic, partitions);
      if (partitions.set(partition, value)) this.#count++;
    } else if (partitions.delete(partition)) {
      if (partitions.count === 0) this.#topics.delete(topic);
      this.#count--;
    }
  }
}

/** What a commit writes; undefined when there is nothing to write. */
export function committedValue(
  held: OffsetCommitValue | undefined,
  position: Position,
  context: { readonly topicId: string; readonly memberEpoch: number; readonly nowMs: number },
): OffsetCommitValue | undefined {
  const same = held?.topicId === context.topicId ? held : undefined; // a topic made anew under the name inherits nothing
  const byMember = context.memberEpoch >= 0;
  if (same && byMember && position.nextOffset < same.offset && context.memberEpoch <= same.memberEpoch)
    return undefined;
  const unmoved = same?.offset === position.nextOffset;
  const leaderEpoch = position.leaderEpoch ?? (unmoved ? same.leaderEpoch : -1);
  const metadata = position.metadata ?? (unmoved ? same.metadata : "");
  if (unmoved && leaderEpoch === same.leaderEpoch && metadata === same.metadata) return undefined;
  return {
    offset: position.nextOffset,
    leaderEpoch,
    metadata,
    commitTimestamp: context.nowMs,
    topicId: context.topicId,
    memberEpoch: context.memberEpoch,
  };
}

/**
 * Whether nobody can come back for it: counted from when the group lost its last member, from the commit where members
 * read other topics or there never was one, never while a member reads the topic.
 */
export function isExpired(
  committed: OffsetCommitValue,
  group: { readonly subscribed: boolean; readonly emptySinceMs: number | null },
  limits: { readonly nowMs: number; readonly retentionMs: number },
): boolean {
  if (group.subscribed) return false;
  const since = Math.max(committed.commitTimestamp, group.emptySinceMs ?? 0);
  return limits.nowMs - since >= limits.retentionMs;
}
