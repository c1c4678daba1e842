// All groups of one partition of __consumer_offsets. A request and the time go in; records, an answer and who has to be woken come
// out. No promise, clock, log or I/O. State changes only in replay(), which a live request and a restart both go through; so
// what handle() returns was replayed already. If the log does not take the records, the shard is thrown away and loaded anew.

import { assert } from "../assert.ts";
import { commit, deleteGroup, expireOffsets, reset, topicDeleted } from "./commits.ts";
import { Deadlines } from "./deadlines.ts";
import { Group, type GroupMember } from "./group.ts";
import { decodeGroupRecord, type GroupRecord, type OffsetCommitValue } from "./group-records.ts";
import {
  defaultGroupSettings,
  type GroupReply,
  type GroupRequest,
  type GroupSettings,
  type Handled,
  type Now,
  type TopicLookup,
} from "./group-requests.ts";
import { GroupTurn, type TurnContext } from "./group-turn.ts";
import { armTimers, isOverdue, keepAlive, leave, poll, removeMembers } from "./membership.ts";

export class GroupShard {
  readonly #groups = new Map<string, Group>();
  readonly #deadlines = new Deadlines();
  readonly #context: TurnContext;

  constructor(topics: TopicLookup, settings: Partial<GroupSettings> = {}) {
    this.#context = {
      topics,
      settings: { ...defaultGroupSettings, ...settings },
      replay: (record) => this.#replay(record),
      schedule: (atMs, groupId, memberId) => this.#deadlines.add({ atMs, groupId, memberId }),
    };
  }

  handle(request: GroupRequest, now: Now): Handled {
    const turn = new GroupTurn(this.#context, now, request.kind === "poll" ? request : undefined);
    const reply = this.#reply(turn, request);
    if ("groupId" in request) this.#forgetBlank(request.groupId);
    assert(reply.kind !== "refused" || turn.records.length === 0, "a refused request changes nothing");
    return { records: turn.records, reply, wake: turn.woken };
  }

  /** A record of the log, in order. Kinds of records that are not ours are skipped. */
  replay(key: Uint8Array, value: Uint8Array | null): void {
    const record = decodeGroupRecord(key, value);
    if (!record) return;
    this.#replay(record);
    this.#forgetBlank(record.groupId);
  }

  /** After the last record of the log: every session, and every time to let go of partitions, begins anew. */
  loaded(now: Now): void {
    const turn = new GroupTurn(this.#context, now);
    for (const group of this.#groups.values()) for (const member of group.members()) armTimers(turn, group, member);
  }

  /** On the monotonic clock; infinite when nothing is due. Then a "tick" is to be handled. */
  nextDeadlineMs(): number {
    return this.#deadlines.nextMs;
  }

  group(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  groups(): Iterable<Group> {
    return this.#groups.values();
  }

  /** What a member that is assigned the partition goes on from; a topic made anew under the name inherits nothing. */
  committed(groupId: string, topic: string, partition: number): OffsetCommitValue | undefined {
    const committed = this.#groups.get(groupId)?.offsets.get(topic, partition);
    const topicId = this.#context.topics.topic(topic)?.topicId;
    return committed && (committed.topicId ?? topicId) === topicId ? committed : undefined;
  }

  #reply(turn: GroupTurn, request: GroupRequest): GroupReply {
    switch (request.kind) {
      case "poll":
        return poll(turn, this.#groupOrBlank(request.groupId), request);
      case "keepAlive":
        return keepAlive(turn, this.#groupOrBlank(request.groupId), request.memberId, request.memberEpoch);
      case "leave":
        return leave(turn, this.#groupOrBlank(request.groupId), request.memberId, request.keepAssignment ?? false);
      case "commit":
        return commit(turn, this.#groupOrBlank(request.groupId), request);
      case "reset":
        return reset(turn, this.#groupOrBlank(request.groupId), request);
      case "deleteGroup":
        return deleteGroup(turn, this.#groupOrBlank(request.groupId));
      case "topicsChanged":
        for (const group of this.#groups.values()) if (group.memberCount > 0) turn.rebalanceIfChanged(group, false);
        return { kind: "done" };
      case "topicDeleted":
        return this.#inEachGroup((group) => topicDeleted(turn, group, request));
      case "expireOffsets":
        return this.#expireOffsets(turn, request.recordsMax);
      case "tick":
        return this.#tick(turn);
    }
  }

  #expireOffsets(turn: GroupTurn, recordsMax: number): GroupReply {
    let more = false;
    this.#inEachGroup((group) => {
      if (!more) more = expireOffsets(turn, group, recordsMax);
    });
    return { kind: "expired", more };
  }

  #inEachGroup(run: (group: Group) => void): GroupReply {
    for (const group of [...this.#groups.values()]) {
      run(group);
      this.#forgetBlank(group.groupId);
    }
    return { kind: "done" };
  }

  /** Members whose time is up leave their group together: one new epoch and one new target for all of them. */
  #tick(turn: GroupTurn): GroupReply {
    const overdue = new Map<Group, Map<string, GroupMember>>();
    for (;;) {
      const due = this.#deadlines.takeDue(turn.now.monotonicMs);
      if (due === undefined) break;
      const group = this.#groups.get(due.groupId);
      if (group === undefined) continue;
      if (due.memberId === null) {
        if (group.targetDueMs === due.atMs) turn.computeTargetIfDue(group);
        continue;
      }
      const member = group.member(due.memberId);
      if (member === undefined || !isOverdue(turn, group, member, due.atMs)) continue;
      const members = overdue.get(group) ?? new Map<string, GroupMember>();
      overdue.set(group, members.set(member.memberId, member));
    }
    for (const [group, members] of overdue) removeMembers(turn, group, [...members.values()]);
    return { kind: "done" };
  }

  #groupOrBlank(groupId: string): Group {
    const group = this.#groups.get(groupId) ?? new Group(groupId);
    this.#groups.set(groupId, group);
    return group;
  }

  #replay(record: GroupRecord): void {
    this.#groupOrBlank(record.groupId).replay(record);
  }

  #forgetBlank(groupId: string): void {
    if (this.#groups.get(groupId)?.isBlank) this.#groups.delete(groupId);
  }
}
