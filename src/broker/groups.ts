// The broker's calls on consumer groups, but for the poll: what groups there are, their members and offsets, and what an
// administrator changes about them.

import type { GroupCoordinator } from "../consumer-groups/coordinator.ts";
import type { Group, GroupMember } from "../consumer-groups/group.ts";
import { knownEpoch } from "../consumer-groups/member.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type {
  CommitCall,
  GroupDescription,
  GroupPosition,
  GroupSummary,
  ListGroups,
  ResetCall,
  ResetPosition,
  TopicPartitions,
} from "./group-calls.ts";
import { GroupOffsets, groupNotFound, placesOf } from "./group-offsets.ts";
import { Lags } from "./lag.ts";

export class Groups {
  readonly #parts: BrokerParts;
  readonly #coordinator: GroupCoordinator;
  readonly #offsets: GroupOffsets;

  constructor(parts: BrokerParts, coordinator: GroupCoordinator) {
    this.#parts = parts;
    this.#coordinator = coordinator;
    this.#offsets = new GroupOffsets(parts, coordinator, new Lags(parts));
  }

  /** By name. */
  async list(query: ListGroups): Promise<{ groups: GroupSummary[]; next?: string }> {
    const { prefix = "", after = "", limit = Number.POSITIVE_INFINITY, lag = false } = query;
    const all = await this.#coordinator.viewAll(({ groupId, state, memberCount: members }) => {
      return groupId.startsWith(prefix) && groupId > after ? { groupId, state, members } : undefined;
    });
    const found = all.filter((group) => group !== undefined).sort((a, b) => (a.groupId < b.groupId ? -1 : 1));
    const page: GroupSummary[] = found.slice(0, limit);
    const last = page.at(-1);
    const groups: GroupSummary[] = lag ? [] : page;
    if (lag) for (const group of page) groups.push({ ...group, ...(await this.#lagOf(group.groupId)) });
    return found.length > page.length && last ? { groups, next: last.groupId } : { groups };
  }

  async describe(groupId: string): Promise<GroupDescription> {
    const described = await this.#coordinator.view(groupId, (group) => this.#describe(group));
    if (described === undefined) throw groupNotFound(groupId);
    return described;
  }

  /** Only while it has no members. */
  async delete(groupId: string): Promise<void> {
    await this.#coordinator.request({ kind: "deleteGroup", groupId });
  }

  /** Whoever asks: the member's partitions are free at once. */
  /** A static member keeps its assignment until its session ends, unless it is to be gone for good. */
  async leave(groupId: string, memberId: string, forGood = false): Promise<void> {
    await this.#coordinator.request({ kind: "leave", groupId, memberId, keepAssignment: !forGood });
  }

  offsets(groupId: string): Promise<{ positions: GroupPosition[] }> {
    return this.#offsets.list(groupId);
  }

  commit(groupId: string, call: CommitCall): Promise<void> {
    return this.#offsets.commit(groupId, call);
  }

  reset(groupId: string, call: ResetCall): Promise<{ positions: ResetPosition[] }> {
    return this.#offsets.reset(groupId, call);
  }

  /** Partitions whose lag cannot be told do not count. */
  async #lagOf(groupId: string): Promise<{ lag: number; lagMs: number | null }> {
    const places = (await this.#coordinator.view(groupId, (group) => placesOf(group, this.#parts))) ?? [];
    let lag = 0;
    let lagMs: number | null = places.length === 0 ? 0 : null;
    for (const place of places) {
      const one = await this.#offsets.withLag(place);
      lag += one.lag ?? 0;
      if (one.lagMs !== null) lagMs = Math.max(lagMs ?? 0, one.lagMs);
    }
    return { lag, lagMs };
  }

  #describe(group: Group): GroupDescription {
    const members = [...group.members()].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
    return {
      groupId: group.groupId,
      state: group.state,
      groupEpoch: group.epoch,
      assignmentEpoch: group.assignmentEpoch,
      coordinator: this.#parts.settings.brokerId,
      members: members.map((member) => {
        const { memberId, metadata } = member;
        const { instanceId, topics } = metadata;
        const memberEpoch = knownEpoch(member);
        const described = { memberId, memberEpoch, topics, assignment: this.#assignmentOf(member) };
        return instanceId === null ? described : { ...described, instanceId };
      }),
    };
  }

  #assignmentOf({ current }: GroupMember): TopicPartitions[] {
    const assignment = [...current.assigned].flatMap(([topicId, partitions]) => {
      const topic = this.#parts.image.nameOf(topicId);
      return topic === undefined ? [] : [{ topic, partitions: [...partitions.keys()].sort((a, b) => a - b) }];
    });
    return assignment.sort((a, b) => (a.topic < b.topic ? -1 : 1));
  }
}
