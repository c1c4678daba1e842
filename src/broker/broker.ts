// The broker without a network face: opens a data folder, recovers it, and answers the calls that http makes.
// Library entry: import { createBroker } from "millrace".

import { defaultSettings, type Settings } from "../config.ts";
import type { GroupCoordinator } from "../consumer-groups/coordinator.ts";
import type { Clock } from "../io/clock.ts";
import { NodeDisk } from "../io/node-disk.ts";
import type { Random } from "../io/random.ts";
import type { DiskGuard } from "../log/disk-guard.ts";
import { isReserved } from "../log/producer-state.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { OffsetExpression } from "../protocol/offset-expression.ts";
import { isInternalTopic } from "../protocol/topic-partition.ts";
import type { BrokerOptions } from "./broker-options.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { Draining } from "./draining.ts";
import { type FetchedPartition, type FetchRequest, fetch } from "./fetch.ts";
import type {
  CommitCall,
  GroupDescription,
  GroupPosition,
  GroupSummary,
  ListGroups,
  PollAnswer,
  PollCall,
  ResetCall,
  ResetPosition,
} from "./group-calls.ts";
import { coordinatorOf } from "./group-coordinator.ts";
import { Groups } from "./groups.ts";
import { type ResolvedOffset, resolveOffsets } from "./list-offsets.ts";
import { makeFolder, openFolder } from "./open-folder.ts";
import { Polls } from "./poll.ts";
import { type ProduceOutcome, type ProduceRequest, produce } from "./produce.ts";
import { ProducerIds } from "./producer-ids.ts";
import type { TopicDescription, TopicInfo, TopicSummary } from "./topic-description.ts";
import { type AlterTopic, type CreateTopic, Topics } from "./topics.ts";

export type { BrokerOptions } from "./broker-options.ts";
export type { FetchedPartition, FetchRequest } from "./fetch.ts";
export type * from "./group-calls.ts";
export type { ResolvedOffset } from "./list-offsets.ts";
export type { ProducedBatch, ProduceOutcome, ProduceRequest } from "./produce.ts";
export type { PartitionDescription, TopicDescription, TopicInfo, TopicSummary } from "./topic-description.ts";
export type { AlterTopic, CreateTopic } from "./topics.ts";

export interface ProducerDescription {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly lastSequence: number;
  /** Milliseconds, of the last batch's largest record timestamp. */
  readonly lastTimestamp: number;
}

export interface ClusterDescription {
  readonly clusterId: string;
  readonly controller: number;
  readonly brokers: readonly {
    readonly id: number;
    readonly url: string | null;
    readonly rack: string | null;
    readonly state: string;
  }[];
}

/** Resolves when every log is recovered and led. Rejects, with the folder unlocked again, when the folder cannot be used. */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  const settings: Settings = { ...defaultSettings, ...options.settings, dataDir: options.dataDir };
  const disk = options.disk ?? new NodeDisk();
  await makeFolder(disk, settings.dataDir);
  const lock = await disk.lock(settings.dataDir);
  try {
    const { parts, diskGuard, clusterId } = await openFolder(options, settings, disk, lock);
    return new Broker(parts, diskGuard, clusterId);
  } catch (error) {
    await lock.unlock();
    throw error;
  }
}

export class Broker {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly codecs: Codecs;
  readonly random: Random;
  readonly #parts: BrokerParts;
  readonly #topics: Topics;
  readonly #producerIds: ProducerIds;
  readonly #coordinator: GroupCoordinator;
  readonly #groups: Groups;
  readonly #polls: Polls;
  readonly #diskGuard: DiskGuard;
  readonly #clusterId: string;
  readonly #draining = new Draining();

  constructor(parts: BrokerParts, diskGuard: DiskGuard, clusterId: string) {
    this.settings = parts.settings;
    this.clock = parts.clock;
    this.codecs = parts.codecs;
    this.random = parts.random;
    this.#parts = parts;
    this.#topics = new Topics(parts);
    this.#producerIds = new ProducerIds(parts.store);
    this.#coordinator = coordinatorOf(parts, this.#topics);
    this.#groups = new Groups(parts, this.#coordinator);
    this.#polls = new Polls(parts, this.#coordinator, this.#draining);
    this.#diskGuard = diskGuard;
    this.#clusterId = clusterId;
  }

  listTopics(query: Parameters<Topics["list"]>[0] = {}): { topics: TopicSummary[]; next?: string } {
    return this.#topics.list(query);
  }

  async createTopic(request: CreateTopic): Promise<{ created: boolean; topic: TopicDescription }> {
    return await this.#topics.create(request);
  }

  async describeTopic(name: string): Promise<TopicDescription> {
    return this.#topics.describe(name);
  }

  async alterTopic(name: string, request: AlterTopic): Promise<TopicDescription> {
    return await this.#topics.alter(name, request);
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#topics.delete(name);
  }

  /** What produce and read go by. UNKNOWN_TOPIC_OR_PARTITION, unless it is made because something is produced to it. */
  topic(name: string, purpose: "produce" | "read"): TopicInfo | Promise<TopicInfo> {
    const info = this.#topics.info(name);
    if (info && purpose === "produce" && info.internal)
      throw new BrokerError("INVALID_TOPIC_EXCEPTION", `${name} is the broker's own and cannot be written to`);
    if (info) return info;
    if (purpose === "produce" && this.settings.autoCreateTopics) return this.#autoCreate(name);
    throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `there is no topic ${name}`);
  }

  /** Rejects, with nothing appended, unless every batch is legal; then each partition answers for itself. */
  async produce(request: ProduceRequest): Promise<readonly ProduceOutcome[]> {
    if (this.#draining.begun) throw new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
    const found = this.topic(request.topic, "produce");
    const { config } = found instanceof Promise ? await found : found;
    return await produce(this.#parts, config, request);
  }

  /** Each partition answers for itself; an error in one ends the wait for all. */
  fetch(request: FetchRequest): Promise<readonly FetchedPartition[]> {
    return fetch(this.#parts, request, this.#draining);
  }

  resolveOffsets(
    topic: string,
    partitions: readonly number[],
    at: OffsetExpression,
  ): Promise<readonly ResolvedOffset[]> {
    return resolveOffsets(this.#parts, topic, partitions, at);
  }

  /** Offsets below `before` are gone for readers when this resolves, durably; their bytes go with the next retention. */
  async deleteRecords(
    topic: string,
    partition: number,
    before: number | "latest",
  ): Promise<{ logStartOffset: number }> {
    if (isInternalTopic(topic))
      throw new BrokerError("INVALID_TOPIC_EXCEPTION", `${topic} is the broker's own and cannot be changed`);
    const { log } = this.#parts.partitions.get(topic, partition);
    return { logStartOffset: await log.deleteRecordsBefore(before === "latest" ? log.highWatermark : before) };
  }

  async allocateProducerId(): Promise<{ producerId: number; producerEpoch: 0 }> {
    return { producerId: await this.#producerIds.allocate(), producerEpoch: 0 };
  }

  async describeProducers(
    topic: string,
    partition: number,
    producerId?: number,
  ): Promise<readonly ProducerDescription[]> {
    const { log } = this.#parts.partitions.get(topic, partition);
    return log
      .producers()
      .filter(
        (producer) =>
          !isReserved(producer.producerId) && (producerId === undefined || producer.producerId === BigInt(producerId)),
      )
      .map(({ producerId, producerEpoch, batches }) => {
        const { lastSequence, timestamp } = batches.at(-1)!;
        return { producerId: Number(producerId), producerEpoch, lastSequence, lastTimestamp: timestamp };
      });
  }

  /** A member's whole life: it joins, heartbeats, commits, and reads what it is assigned. */
  pollGroup(call: PollCall): Promise<PollAnswer> {
    return this.#polls.poll(call);
  }

  /** `tell` is called whenever the group has news for the member, who then polls. Gives the way to stop listening. */
  listenGroup(groupId: string, memberId: string, tell: () => void): () => void {
    return this.#coordinator.listen(groupId, memberId, tell);
  }

  /** UNKNOWN_MEMBER_ID when there is no such member, or no such group. */
  leaveGroup(groupId: string, memberId: string, forGood = false): Promise<void> {
    return this.#groups.leave(groupId, memberId, forGood);
  }

  listGroups(query: ListGroups = {}): Promise<{ groups: GroupSummary[]; next?: string }> {
    return this.#groups.list(query);
  }

  describeGroup(groupId: string): Promise<GroupDescription> {
    return this.#groups.describe(groupId);
  }

  deleteGroup(groupId: string): Promise<void> {
    return this.#groups.delete(groupId);
  }

  /** Of every partition that is committed or assigned. */
  groupOffsets(groupId: string): Promise<{ positions: GroupPosition[] }> {
    return this.#groups.offsets(groupId);
  }

  /** All or nothing. */
  commitOffsets(groupId: string, call: CommitCall): Promise<void> {
    return this.#groups.commit(groupId, call);
  }

  resetOffsets(groupId: string, call: ResetCall): Promise<{ positions: ResetPosition[] }> {
    return this.#groups.reset(groupId, call);
  }

  describeCluster(): ClusterDescription {
    const { brokerId, advertisedUrl } = this.settings;
    const state = this.draining ? "draining" : "running";
    return {
      clusterId: this.#clusterId,
      controller: brokerId,
      brokers: [{ id: brokerId, url: advertisedUrl ?? null, rack: null, state }],
    };
  }

  readiness(): { ready: boolean; reasons: readonly string[] } {
    const reasons = this.draining ? ["the broker is shutting down"] : [];
    return { ready: reasons.length === 0, reasons };
  }

  /** For gauges: partitions whose storage is offline, and the data folder's disk. */
  health(): { partitionsOffline: number; diskFreeBytes: number; diskTotalBytes: number; diskLow: boolean } {
    const { freeBytes, totalBytes, low } = this.#diskGuard;
    return {
      partitionsOffline: this.#parts.logs.offlineCount,
      diskFreeBytes: freeBytes,
      diskTotalBytes: totalBytes,
      diskLow: low,
    };
  }

  get draining(): boolean {
    return this.#draining.begun;
  }

  /** First step of a shutdown: refuses produces, ends every waiting fetch with what it has; later fetches do not wait. */
  drain(): void {
    this.#draining.begin();
  }

  /** Closes the logs in order and gives the folder back. */
  async close(): Promise<void> {
    this.drain();
    this.#diskGuard.stop();
    await this.#coordinator.close();
    this.#parts.image.close();
    await this.#parts.store.close();
    await this.#parts.logs.close(this.settings.brokerId); // the last of it unlocks the folder
  }

  async #autoCreate(name: string): Promise<TopicInfo> {
    await this.#topics.create({ name });
    return this.#topics.info(name)!;
  }
}
