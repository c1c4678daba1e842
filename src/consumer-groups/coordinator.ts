// The door to consumer groups: finds the shard of a group, sends it requests, tells members of news, and sees to what concerns all
// groups: topics that change or go, offsets that expire. Which partition holds a group is Kafka's rule, so that its tools agree.

import type { Clock, Timer } from "../io/clock.ts";
import type { Logger } from "../io/logger.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { Group } from "./group.ts";
import type { GroupLogs } from "./group-logs.ts";
import type { GroupRequest, GroupSettings, PollReply, PollRequest, TopicLookup } from "./group-requests.ts";
import { GroupShard } from "./group-shard.ts";
import { News } from "./news.ts";
import type { CommittedPosition } from "./offsets.ts";
import { type Granted, granted, ShardHost, shuttingDown } from "./shard-host.ts";

/** Offsets that are let go of in one turn: more would hold up the groups of the shard. */
const expiredPerTurnMax = 1000;
/** Shards that are read from disk at once at start. */
const loadsAtOnceMax = 4;

export interface CoordinatorParts {
  readonly logs: GroupLogs;
  readonly topics: TopicLookup;
  readonly settings: Partial<GroupSettings> & { readonly offsetsRetentionCheckMs: number };
  readonly clock: Clock;
  readonly logger: Logger;
}

export type RequestToGroup = Exclude<Extract<GroupRequest, { readonly groupId: string }>, PollRequest>;

export interface PolledGroup extends PollReply {
  /** Of the assigned partitions, where they would be gone on from; those that nothing is committed for are not there. */
  readonly committed: readonly CommittedPosition[];
}

export class GroupCoordinator {
  readonly #parts: CoordinatorParts;
  readonly #hosts = new Map<number, ShardHost>();
  readonly #news = new News();
  #expiryTimer: Timer | undefined;
  #closed = false;

  constructor(parts: CoordinatorParts) {
    this.#parts = parts;
    this.#armExpiry();
  }

  /** Loads every shard there is, a few at a time: sessions run and end also of groups that nobody asks for. */
  async load(): Promise<void> {
    await this.#eachShard((host) => host.view(() => undefined).catch(() => {})); // logged there; the next request tries again
  }

  /** A member's call. A BrokerError is what the group refuses. */
  async poll(request: PollRequest): Promise<PolledGroup> {
    if (!this.#parts.logs.exists && !mayMakeGroup(request))
      return { ...(this.#answerWithoutGroups(request) as PollReply), committed: [] };
    return await this.#hostOf(request.groupId).handle(request, (reply, shard) => ({
      ...(reply as PollReply),
      committed: committedOf(shard, request.groupId, reply as PollReply),
    }));
  }

  async request(request: RequestToGroup): Promise<Granted> {
    if (!this.#parts.logs.exists && !mayMakeGroup(request)) return this.#answerWithoutGroups(request);
    return await this.#hostOf(request.groupId).handle(request, (reply) => reply);
  }

  /** undefined when there is no such group. Makes nothing. */
  async view<T>(groupId: string, read: (group: Group) => T): Promise<T | undefined> {
    if (!this.#parts.logs.exists) return undefined;
    return await this.#hostOf(groupId).view((shard) => {
      const group = shard.group(groupId);
      return group && read(group);
    });
  }

  /** Of all groups, in no order. */
  async viewAll<T>(read: (group: Group) => T): Promise<T[]> {
    const found: T[] = [];
    await this.#eachShard(async (host) => {
      found.push(...(await host.view((shard) => Array.from(shard.groups(), read))));
    });
    return found;
  }

  /** `tell` is called whenever the member's waiting poll should be handled again. Gives the way to stop listening. */
  listen(groupId: string, memberId: string, tell: () => void): () => void {
    return this.#news.listen(groupId, memberId, tell);
  }

  /** Topics were made, grew or went. */
  topicsChanged(): void {
    for (const host of this.#hosts.values()) host.tell({ kind: "topicsChanged" });
  }

  topicDeleted(topic: string, topicId: string): void {
    for (const host of this.#hosts.values()) host.tell({ kind: "topicDeleted", topic, topicId });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#expiryTimer?.cancel();
    await Promise.all([...this.#hosts.values()].map((host) => host.close()));
  }

  /** What a shard without groups says, without making the topic for it. */
  #answerWithoutGroups(request: RequestToGroup | PollRequest): Granted {
    const { clock, topics, settings } = this.#parts;
    const now = { wallMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    return granted(new GroupShard(topics, settings).handle(request, now).reply);
  }

  /** A few at a time, since any of them may have to be loaded first. */
  async #eachShard(run: (host: ShardHost) => Promise<void>): Promise<void> {
    const { logs } = this.#parts;
    if (!logs.exists) return;
    const shards = Array.from({ length: logs.shardCount }, (_, shard) => shard);
    const worker = async () => {
      for (let shard = shards.shift(); shard !== undefined && !this.#closed; shard = shards.shift())
        await run(this.#host(shard));
    };
    await Promise.all(Array.from({ length: loadsAtOnceMax }, worker));
  }

  #hostOf(groupId: string): ShardHost {
    return this.#host(shardOf(groupId, this.#parts.logs.shardCount));
  }

  #host(shard: number): ShardHost {
    const known = this.#hosts.get(shard);
    if (known) return known;
    if (this.#closed) throw shuttingDown();
    const { clock, logger, logs, topics, settings } = this.#parts;
    const host = new ShardHost(shard, {
      clock,
      logger,
      newShard: () => new GroupShard(topics, settings),
      openLog: () => logs.open(shard),
      goneTopics: (loaded) => goneTopics(loaded, topics),
      news: (groupId, memberId) => this.#news.tell(groupId, memberId),
      reloaded: () => this.#news.tellAll((groupId) => shardOf(groupId, logs.shardCount) === shard),
    });
    this.#hosts.set(shard, host);
    return host;
  }

  #armExpiry(): void {
    const { clock, settings } = this.#parts;
    this.#expiryTimer = clock.setTimer(settings.offsetsRetentionCheckMs, () => {
      this.#armExpiry();
      for (const host of this.#hosts.values()) void this.#expire(host);
    });
  }

  async #expire(host: ShardHost): Promise<void> {
    const request = { kind: "expireOffsets", recordsMax: expiredPerTurnMax } as const;
    try {
      while (await host.handle(request, (reply) => reply.kind === "expired" && reply.more)) if (this.#closed) return;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error; // refused, and logged where it was: the next round tries again
    }
  }
}

/** Kafka's rule: the absolute value of the group id's hash as Java makes it, where the least number of all counts as 0. */
export function shardOf(groupId: string, shardCount: number): number {
  let hash = 0;
  for (let i = 0; i < groupId.length; i++) hash = (Math.imul(hash, 31) + groupId.charCodeAt(i)) | 0;
  return hash === -(2 ** 31) ? 0 : Math.abs(hash) % shardCount;
}

function mayMakeGroup(request: RequestToGroup | PollRequest): boolean {
  if (request.kind === "poll") return request.memberEpoch === undefined;
  return request.kind === "commit" || (request.kind === "reset" && request.createGroup && !request.dryRun);
}

function committedOf(shard: GroupShard, groupId: string, { assignment }: PollReply): CommittedPosition[] {
  const found: CommittedPosition[] = [];
  for (const { topic, partitions } of assignment) {
    for (const partition of partitions) {
      const committed = shard.committed(groupId, topic, partition);
      if (committed) found.push({ topic, partition, committed });
    }
  }
  return found;
}

function goneTopics(shard: GroupShard, topics: TopicLookup): { topic: string; topicId: string }[] {
  const gone = new Map<string, string>();
  for (const group of shard.groups()) {
    for (const { topic, committed } of group.offsets.all()) {
      if (committed.topicId !== null && topics.nameOf(committed.topicId) === undefined)
        gone.set(committed.topicId, topic);
    }
  }
  return Array.from(gone, ([topicId, topic]) => ({ topic, topicId }));
}
