// The offsets of groups as clients see and set them: each with what it lags behind, never beyond the end of its log.

import { assert } from "../assert.ts";
import type { GroupCoordinator } from "../consumer-groups/coordinator.ts";
import type { Group } from "../consumer-groups/group.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { isOfTopic, type OffsetExpression } from "../protocol/offset-expression.ts";
import type { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { CommitCall, GroupPosition, Position, ResetCall, ResetPosition } from "./group-calls.ts";
import type { Lags } from "./lag.ts";
import { resolveOffsets } from "./list-offsets.ts";

interface PartitionName {
  readonly topic: string;
  readonly partition: number;
}

/** What a group knows of a partition that is committed or assigned. */
export interface GroupPlace extends PartitionName {
  readonly nextOffset: number | null;
  readonly metadata: string | null;
  readonly memberId: string | null;
}

/** OFFSET_OUT_OF_RANGE when something would be committed that was never written. What does not exist is not judged here. */
export function refuseBeyondLogEnd({ partitions }: BrokerParts, positions: readonly Position[]): void {
  const beyond = positions.flatMap(({ topic, partition, nextOffset }) => {
    const logEndOffset = partitions.find(topic, partition)?.log.logEndOffset ?? Number.POSITIVE_INFINITY;
    return nextOffset > logEndOffset ? [{ topic, partition, nextOffset, logEndOffset }] : [];
  });
  const [first] = beyond;
  if (first === undefined) return;
  const detail = `nextOffset ${first.nextOffset} is beyond the end of ${first.topic}-${first.partition}, which is ${first.logEndOffset}; nothing was committed`;
  throw new BrokerError("OFFSET_OUT_OF_RANGE", detail, { fields: { partitions: beyond } });
}

/** By topic and partition. Offsets of a topic that was deleted since are left out. */
export function placesOf(group: Group, { image }: BrokerParts): GroupPlace[] {
  const places = new Map<string, GroupPlace>();
  for (const { topic, partition, committed } of group.offsets.all()) {
    const topicId = image.topic(topic)?.topicId;
    if (topicId === undefined || (committed.topicId ?? topicId) !== topicId) continue;
    const memberId = group.ownerOf(topicId, partition) ?? null;
    const { offset: nextOffset, metadata } = committed;
    places.set(`${topic}/${partition}`, { topic, partition, nextOffset, metadata, memberId });
  }
  for (const { memberId, current } of group.members()) {
    for (const held of [current.assigned, current.pendingRevocation]) {
      for (const [topicId, partitions] of held) {
        const topic = image.nameOf(topicId);
        if (topic === undefined) continue;
        for (const partition of partitions.keys()) {
          const key = `${topic}/${partition}`;
          if (!places.has(key)) places.set(key, { topic, partition, nextOffset: null, metadata: null, memberId });
        }
      }
    }
  }
  return [...places.values()].sort(byName);
}

export class GroupOffsets {
  readonly #parts: BrokerParts;
  readonly #coordinator: GroupCoordinator;
  readonly #lags: Lags;

  constructor(parts: BrokerParts, coordinator: GroupCoordinator, lags: Lags) {
    this.#parts = parts;
    this.#coordinator = coordinator;
    this.#lags = lags;
  }

  /** Every partition committed or assigned. */
  async list(groupId: string): Promise<{ positions: GroupPosition[] }> {
    const places = await this.#places(groupId);
    const positions: GroupPosition[] = [];
    for (const place of places) positions.push(await this.withLag(place));
    return { positions };
  }

  async withLag(place: GroupPlace): Promise<GroupPosition> {
    const partition = this.#parts.partitions.find(place.topic, place.partition);
    if (partition === undefined || partition.log.offline !== undefined)
      return { ...place, highWatermark: null, lag: null, lagMs: null };
    const { highWatermark } = partition;
    return { ...place, highWatermark, ...(await this.#lags.of(partition, place.nextOffset)) };
  }

  /** All or nothing. */
  async commit(groupId: string, call: CommitCall): Promise<void> {
    refuseBeyondLogEnd(this.#parts, call.positions);
    await this.#coordinator.request({ kind: "commit", groupId, ...call });
  }

  /** An empty group's offsets, each moved to where `to` points in its partition, or as near as there is something. */
  async reset(groupId: string, { to, topics, partitions, dryRun }: ResetCall): Promise<{ positions: ResetPosition[] }> {
    const names = topics ? this.#partitionsOf(topics) : await this.#places(groupId);
    const chosen = partitions ? narrowed(names, partitions) : names;
    const positions: Position[] = [];
    for (const { topic, partition } of chosen)
      positions.push({ topic, partition, nextOffset: await this.#resolve(topic, partition, to) });
    const createGroup = topics !== undefined;
    const reply = await this.#coordinator.request({ kind: "reset", groupId, positions, createGroup, dryRun });
    assert(reply.kind === "reset", `a reset was answered with ${reply.kind}`);
    return {
      positions: reply.positions.map(({ topic, partition, nextOffset, previous }) => {
        return { topic, partition, nextOffset, previous };
      }),
    };
  }

  async #places(groupId: string): Promise<GroupPlace[]> {
    const places = await this.#coordinator.view(groupId, (group) => placesOf(group, this.#parts));
    if (places === undefined) throw groupNotFound(groupId);
    return places;
  }

  #partitionsOf(topics: readonly string[]): PartitionName[] {
    return [...new Set(topics)].sort().flatMap((topic) => {
      const partitionCount = this.#parts.image.topic(topic)?.partitionCount;
      if (partitionCount === undefined)
        throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `there is no topic ${topic}`, { fields: { topic } });
      return Array.from({ length: partitionCount }, (_, partition) => ({ topic, partition }));
    });
  }

  async #resolve(topic: string, number: number, to: OffsetExpression): Promise<number> {
    const partition = this.#parts.partitions.get(topic, number);
    if (!isOfTopic(to, partition.log.identity.topicId))
      throw new BrokerError("INVALID_REQUEST", `"to" is a cursor of another topic than the present ${topic}`);
    switch (to.kind) {
      case "earliest":
        return partition.log.logStartOffset;
      case "latest":
        return partition.highWatermark;
      case "last":
        return clamped(partition, partition.highWatermark - to.count);
      case "offset":
        return clamped(partition, to.offset);
      case "perPartition":
        return clamped(partition, to.offsets.get(number) ?? 0); // one not named: the earliest
      case "timestamp": {
        const [resolved] = await resolveOffsets(this.#parts, topic, [number], to);
        return clamped(partition, resolved!.offset);
      }
    }
  }
}

export function groupNotFound(groupId: string): BrokerError {
  return new BrokerError("GROUP_ID_NOT_FOUND", `there is no group ${groupId}`, { fields: { groupId } });
}

function clamped({ log, highWatermark }: Partition, offset: number): number {
  return Math.min(Math.max(offset, log.logStartOffset), highWatermark);
}

/** A number that is a partition of none of the topics is a mistake of the caller. */
function narrowed(names: readonly PartitionName[], partitions: readonly number[]): readonly PartitionName[] {
  const unknown = partitions.filter((number) => names.every(({ partition }) => partition !== number));
  if (unknown.length > 0) {
    const detail = `no topic of this reset has partition ${unknown.join(", ")}`;
    throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", detail, { fields: { partitions: unknown } });
  }
  return names.filter(({ partition }) => partitions.includes(partition));
}

function byName(a: PartitionName, b: PartitionName): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition;
}
