// Clients of consumer groups at work on one coordinator after another, over one simulated disk; and what they may rely on. Noted
// after every step are the states each shard went through, and which of them somebody was answered from: a recovered log
// must show one of these, or a later one, and nothing that never was (L9, L10).

import { type RequestToGroup, shardOf } from "../../src/consumer-groups/coordinator.ts";
import type { Group } from "../../src/consumer-groups/group.ts";
import type { PollRequest } from "../../src/consumer-groups/group-requests.ts";
import type { Random } from "../../src/io/random.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { GroupProcess } from "../consumer-groups/group-process.ts";
import { groupState } from "../consumer-groups/shard-world.ts";
import { LawBroken } from "./laws/law-broken.ts";
import { settled } from "./simulated-clock.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

export const shardCount = 2;
export const sessionTimeoutMs = 45_000;
const rebalanceTimeoutMs = 300_000;
export const retentionMs = 1_000_000;
export const settings = {
  groupPartitionCount: shardCount,
  groupSessionTimeoutMs: sessionTimeoutMs,
  offsetsRetentionMs: retentionMs,
  offsetsRetentionCheckMs: 10_000,
};

/** What one process of a client knows. */
export interface Client {
  readonly groupId: string;
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly instanceId?: string;
  /** Undefined: it is not in the group, or never had an answer. */
  epoch: number | undefined;
  /** How often the member may have gone or been taken over: by its own leave, another process, or silence. */
  losses: number;
  /** Of these, how many were before it last joined. */
  survived: number;
  /** When its last answered call was sent, in the time of this life. */
  heardMs: number;
}

/** A committed offset that somebody was told is safe. */
interface Promised {
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What is known when a crash comes. */
export interface Known {
  readonly clients: ReadonlyMap<string, Client>;
  readonly promised: ReadonlyMap<string, Promised>;
  /** Of each shard: the states it has been in, and the first that a crash may go back to. */
  readonly states: readonly (readonly string[])[];
  readonly answered: readonly number[];
  readonly nextOffset: number;
}

export class GroupRun {
  readonly disk: SimulatedDisk;
  readonly random: Random;
  process!: GroupProcess;
  #loaded = false;
  wallMs = Date.UTC(2026, 0, 1);
  nextOffset: number;
  /** Removals that have begun, and those that have ended: what is answered while one goes on is not relied on. */
  #removals = 0;
  #removalsEnded = 0;
  readonly clients = new Map<string, Client>();
  readonly promised = new Map<string, Promised>();
  readonly states: string[][];
  readonly answered: number[];

  constructor(disk: SimulatedDisk, random: Random, known?: Known) {
    this.disk = disk;
    this.random = random;
    for (const [name, client] of known?.clients ?? []) this.clients.set(name, { ...client, heardMs: 0 });
    for (const [name, promised] of known?.promised ?? []) this.promised.set(name, promised);
    this.states = Array.from({ length: shardCount }, (_, shard) => [...(known?.states[shard] ?? ["[]"])]);
    this.nextOffset = known?.nextOffset ?? 0;
    this.answered = Array.from({ length: shardCount }, (_, shard) => known?.answered[shard] ?? 0);
  }

  /** The clients and promises as they are now; the states grow on. */
  known(): Known {
    const clients = new Map([...this.clients].map(([name, client]) => [name, { ...client }]));
    const { states, nextOffset } = this;
    return { clients, promised: new Map(this.promised), states, answered: [...this.answered], nextOffset };
  }

  async start(): Promise<void> {
    this.#loaded = false;
    const { random, wallMs } = this;
    this.process = await GroupProcess.start(this.disk, { random, wallMs, settings });
    this.process.parts.image.listen({ topicsChanged: () => this.note(), topicDeleted: () => this.note() });
    this.process.clock.afterEvent.push(() => this.note());
    await settled();
    await this.process.state();
    this.#loaded = true;
    this.note();
  }

  /** Keeps the states of the shards as they are at this moment, committed or not. */
  note(): void {
    if (!this.#loaded) return;
    const shards: [string, unknown][][] = Array.from({ length: shardCount }, () => []);
    const seen = this.process.coordinator.viewAll((group: Group) => {
      shards[shardOf(group.groupId, shardCount)]!.push([group.groupId, groupState(group)]);
    });
    seen.catch(() => {});
    shards.forEach((groups, shard) => {
      const state = shown(groups);
      if (state !== this.states[shard]!.at(-1)) this.states[shard]!.push(state);
    });
  }

  /** Asks, and notes what it did at once and what is answered. A refusal is an answer. */
  async ask<T>(groupId: string, request: () => Promise<T>): Promise<T | BrokerError> {
    const answer = request();
    this.note();
    const shard = shardOf(groupId, shardCount);
    const at = this.states[shard]!.length - 1;
    const result = await answer.catch((error: unknown) => {
      if (error instanceof BrokerError) return error;
      throw error;
    });
    this.note();
    this.answered[shard] = Math.max(this.answered[shard]!, at);
    return result;
  }

  client(name: string, groupId: string, memberId: string, topics: readonly string[], instanceId?: string): Client {
    const known = this.clients.get(name);
    if (known) return known;
    const instance = instanceId === undefined ? {} : { instanceId };
    const client: Client = {
      groupId,
      memberId,
      topics,
      ...instance,
      epoch: undefined,
      losses: 0,
      survived: 0,
      heardMs: 0,
    };
    this.clients.set(name, client);
    return client;
  }

  /** Commits what it has, goes on, and takes note of the answer. `keep`: names all it holds, and lets go of nothing. */
  async poll(client: Client, { commit = false, keep = false } = {}): Promise<BrokerError | undefined> {
    const { groupId, memberId, topics, instanceId, epoch } = client;
    const held = commit || keep ? await this.#heldBy(client) : [];
    const positions = held.map((place) => ({ ...place, nextOffset: ++this.nextOffset }));
    const request: PollRequest = {
      kind: "poll",
      groupId,
      memberId,
      forRecords: true,
      positions: keep ? positions : [],
      ...(epoch === undefined ? { topics } : { memberEpoch: epoch }),
      ...(epoch === undefined && instanceId !== undefined ? { instanceId } : {}),
      ...(commit && epoch !== undefined ? { commit: positions } : {}),
    };
    const others = [...this.clients.values()].filter((other) => other !== client && other.groupId === groupId);
    if (epoch === undefined)
      for (const other of others)
        if (other.memberId === memberId || (instanceId !== undefined && other.instanceId === instanceId))
          other.losses += 1;
    const removals = this.#removalsEnded;
    const { losses } = client;
    const sentMs = this.process.clock.monotonicMs();
    const reply = await this.ask(groupId, () => this.process.coordinator.poll(request));
    if (reply instanceof BrokerError) {
      if (reply.code === "FENCED_MEMBER_EPOCH" || reply.code === "UNKNOWN_MEMBER_ID") client.epoch = undefined;
      return reply;
    }
    if (epoch !== undefined && reply.memberEpoch < epoch)
      throw new LawBroken("L8", `${memberId} of ${groupId} went back from epoch ${epoch} to ${reply.memberEpoch}`);
    client.epoch = reply.memberEpoch;
    client.heardMs = Math.max(client.heardMs, sentMs);
    if (epoch === undefined) client.survived = losses;
    if (!commit || epoch === undefined) return undefined;
    for (const { topic, partition, nextOffset } of positions)
      if (!reply.notCommitted.some((left) => left.topic === topic && left.partition === partition))
        this.#promise({ groupId, topic, partition, offset: nextOffset }, removals);
    return undefined;
  }

  /** Of a group without members. */
  async commit(groupId: string, topic: string, partition: number): Promise<void> {
    const nextOffset = ++this.nextOffset;
    const positions = [{ topic, partition, nextOffset }];
    const removals = this.#removalsEnded;
    const reply = await this.ask(groupId, () => this.#request({ kind: "commit", groupId, positions }));
    if (!(reply instanceof BrokerError)) this.#promise({ groupId, topic, partition, offset: nextOffset }, removals);
  }

  async reset(groupId: string, topic: string, partition: number): Promise<void> {
    const nextOffset = ++this.nextOffset;
    const positions = [{ topic, partition, nextOffset }];
    const removals = this.#removalsEnded;
    const request = { kind: "reset", groupId, positions, createGroup: true, dryRun: false } as const;
    const reply = await this.ask(groupId, () => this.#request(request));
    if (!(reply instanceof BrokerError)) this.#promise({ groupId, topic, partition, offset: nextOffset }, removals);
  }

  async leave(client: Client, keepAssignment = false): Promise<void> {
    const { groupId, memberId } = client;
    client.losses += 1;
    const reply = await this.ask(groupId, () =>
      this.#request({ kind: "leave", groupId, memberId, keepAssignment } as const),
    );
    if (!(reply instanceof BrokerError) && !keepAssignment) client.epoch = undefined;
  }

  async deleteGroup(groupId: string): Promise<void> {
    await this.#removing(
      (promised) => promised.groupId === groupId,
      () => this.ask(groupId, () => this.#request({ kind: "deleteGroup", groupId })),
    );
  }

  async createTopic(name: string, partitionCount: number): Promise<void> {
    await this.process.topics.create({ name, partitionCount });
  }

  async growTopic(name: string, partitionCount: number): Promise<void> {
    await this.process.topics.alter(name, { partitionCount });
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#removing(
      ({ topic }) => topic === name,
      () => this.process.topics.delete(name),
    );
  }

  /** Silent clients may lose their membership, empty groups their offsets. */
  async pass(ms: number): Promise<void> {
    const endMs = this.process.clock.monotonicMs() + ms;
    // Heard of or not: who never lets go of a partition is removed too.
    const isLong = endMs >= rebalanceTimeoutMs;
    for (const client of this.clients.values())
      if (isLong || endMs - client.heardMs >= sessionTimeoutMs) client.losses += 1;
    if (ms >= retentionMs) this.promised.clear();
    await this.process.clock.advance(ms);
    this.wallMs = this.process.clock.nowMs();
  }

  #request(request: RequestToGroup) {
    return this.process.coordinator.request(request);
  }

  async #heldBy({ groupId, memberId }: Client): Promise<{ topic: string; partition: number }[]> {
    const { image } = this.process.parts;
    const held = await this.process.coordinator.view(groupId, (group) =>
      [...(group.member(memberId)?.current.assigned ?? [])].flatMap(([topicId, partitions]) =>
        [...partitions.keys()].map((partition) => ({ topic: image.nameOf(topicId), partition })),
      ),
    );
    return (held ?? []).flatMap(({ topic, partition }) => (topic === undefined ? [] : [{ topic, partition }]));
  }

  #promise(promised: Promised, removals: number): void {
    if (removals !== this.#removals) return;
    const { groupId, topic, partition } = promised;
    const name = `${groupId}/${topic}-${partition}`;
    const before = this.promised.get(name);
    if (before === undefined || before.offset < promised.offset) this.promised.set(name, promised);
  }

  /** From when the request is sent until it is answered nobody can rely on it. */
  async #removing(matches: (promised: Promised) => boolean, request: () => Promise<unknown>): Promise<void> {
    for (const [name, promised] of this.promised) if (matches(promised)) this.promised.delete(name);
    this.#removals += 1;
    await request();
    this.#removalsEnded += 1;
  }
}

export function shown(groups: [string, unknown][]): string {
  return JSON.stringify(groups.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, state]) => state));
}
