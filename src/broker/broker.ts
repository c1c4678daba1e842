// The broker without a network face: opens a data folder, recovers it, and answers the calls that http makes.
// Library entry: import { createBroker } from "millrace".

import { MetadataImage } from "../cluster/metadata-image.ts";
import {
  type ClusterValue,
  clusterKey,
  deletedPrefix,
  partitionKey,
  partitionsPrefix,
} from "../cluster/metadata-keys.ts";
import { type MetadataStore, type Operation, transactionOperationsMax } from "../cluster/metadata-store.ts";
import { SingleNodeStore } from "../cluster/single-node-store.ts";
import { defaultSettings, type Settings } from "../config.ts";
import type { Clock } from "../io/clock.ts";
import { nodeCodecs } from "../io/codecs.ts";
import type { Disk, FolderLock } from "../io/disk.ts";
import { type Logger, silentLogger } from "../io/logger.ts";
import { NodeClock } from "../io/node-clock.ts";
import { NodeDisk } from "../io/node-disk.ts";
import { NodeRandom } from "../io/node-random.ts";
import type { Random } from "../io/random.ts";
import { DataFolderError, readIdentity, writeIdentity } from "../log/data-folder.ts";
import { DiskGuard } from "../log/disk-guard.ts";
import { IndexMemory } from "../log/index-memory.ts";
import { type LogContext, type LogObserver, silentObserver } from "../log/log-context.ts";
import { type KnownPartition, LogManager } from "../log/log-manager.ts";
import { isReserved } from "../log/producer-state.ts";
import { topicConfig } from "../log/topic-config.ts";
import type { Codecs } from "../protocol/codecs.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { OffsetExpression } from "../protocol/offset-expression.ts";
import { formatTopicId } from "../protocol/topic-partition.ts";
import { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { type FetchedPartition, type FetchRequest, fetch } from "./fetch.ts";
import { type ResolvedOffset, resolveOffsets } from "./list-offsets.ts";
import { Partitions } from "./partitions.ts";
import { type ProduceOutcome, type ProduceRequest, produce } from "./produce.ts";
import { ProducerIds } from "./producer-ids.ts";
import {
  type AlterTopic,
  type CreateTopic,
  type TopicDescription,
  type TopicInfo,
  type TopicSummary,
  Topics,
} from "./topics.ts";

export type { FetchedPartition, FetchRequest } from "./fetch.ts";
export type { ResolvedOffset } from "./list-offsets.ts";
export type { ProducedBatch, ProduceOutcome, ProduceRequest } from "./produce.ts";
export type {
  AlterTopic,
  CreateTopic,
  PartitionDescription,
  TopicDescription,
  TopicInfo,
  TopicSummary,
} from "./topics.ts";

/** Indexes of sealed segments that are kept in memory, all partitions together. */
const indexMemoryBytesMax = 32 * 1024 * 1024;
const clusterIdBytes = 16;
const metadataFolder = "metadata";

export interface BrokerOptions {
  readonly dataDir: string;
  readonly settings?: Partial<Settings>;
  readonly clock?: Clock;
  readonly disk?: Disk;
  readonly random?: Random;
  readonly codecs?: Codecs;
  readonly logger?: Logger;
  /** Told of appends, syncs and what else the log counts. */
  readonly observer?: LogObserver;
}

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
    return await start(options, settings, disk, lock);
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
  readonly #diskGuard: DiskGuard;
  readonly #clusterId: string;
  readonly #draining = new AbortController();

  constructor(parts: BrokerParts, diskGuard: DiskGuard, clusterId: string) {
    this.settings = parts.settings;
    this.clock = parts.clock;
    this.codecs = parts.codecs;
    this.random = parts.random;
    this.#parts = parts;
    this.#topics = new Topics(parts);
    this.#producerIds = new ProducerIds(parts.store);
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
    if (this.#draining.signal.aborted) throw new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
    const found = this.topic(request.topic, "produce");
    const { config } = found instanceof Promise ? await found : found;
    return await produce(this.#parts, config, request);
  }

  /** Each partition answers for itself; an error in one ends the wait for all. */
  fetch(request: FetchRequest): Promise<readonly FetchedPartition[]> {
    return fetch(this.#parts, request, this.#draining.signal);
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
    return this.#draining.signal.aborted;
  }

  /** First step of a shutdown: refuses produces, ends every waiting fetch with what it has; later fetches do not wait. */
  drain(): void {
    this.#draining.abort();
  }

  /** Closes the logs in order and gives the folder back. */
  async close(): Promise<void> {
    this.drain();
    this.#diskGuard.stop();
    this.#parts.image.close();
    await this.#parts.logs.close(this.settings.brokerId);
    await this.#parts.store.close();
  }

  async #autoCreate(name: string): Promise<TopicInfo> {
    await this.#topics.create({ name });
    return this.#topics.info(name)!;
  }
}

async function start(options: BrokerOptions, settings: Settings, disk: Disk, lock: FolderLock): Promise<Broker> {
  const clock = options.clock ?? new NodeClock();
  const random = options.random ?? new NodeRandom();
  const codecs = options.codecs ?? nodeCodecs;
  const logger = options.logger ?? silentLogger;
  const { dataDir } = settings;
  const metadataDir = `${dataDir}/${metadataFolder}`;
  if (!(await disk.stat(metadataDir))) await disk.makeDir(metadataDir);
  const store = await SingleNodeStore.open({ disk, directory: metadataDir, clock, codecs });
  const clusterId = await identify(disk, store, settings, random);
  const diskGuard = new DiskGuard({
    disk,
    clock,
    logger,
    directory: dataDir,
    lowDiskBytes: settings.lowDiskBytes,
    lowDiskCheckMs: settings.lowDiskCheckMs,
  });
  await diskGuard.start();
  const indexMemory = new IndexMemory(indexMemoryBytesMax);
  const observer = options.observer ?? silentObserver;
  const context: LogContext = { disk, clock, codecs, logger, observer, settings, indexMemory, diskGuard };
  const logs = await LogManager.open(context, dataDir, settings, lock);
  const image = await MetadataImage.follow(store);
  await loadLogs(store, image, logs, settings);
  if (logs.unclean) await raiseLeaderEpochs(store, image);
  const partitions = new Partitions(logs);
  await leadAll(image, logs, partitions, clock);
  return new Broker({ settings, clock, random, codecs, logger, store, image, logs, partitions }, diskGuard, clusterId);
}

async function makeFolder(disk: Disk, path: string): Promise<void> {
  if (await disk.stat(path)) return;
  const parent = path.slice(0, Math.max(0, path.replace(/\/+$/, "").lastIndexOf("/")));
  if (parent !== "") await makeFolder(disk, parent);
  await disk.makeDir(path);
  await disk.syncDir(parent === "" ? (path.startsWith("/") ? "/" : ".") : parent);
}

/** Whose folder this is; a folder of another broker or cluster, or one whose metadata is lost, is refused. */
async function identify(disk: Disk, store: SingleNodeStore, settings: Settings, random: Random): Promise<string> {
  const { dataDir, brokerId } = settings;
  const identity = await readIdentity(disk, dataDir);
  const stored = (await store.get(clusterKey))?.value as ClusterValue | undefined;
  if (identity && identity.brokerId !== brokerId)
    throw new DataFolderError(
      `${dataDir} belongs to broker ${identity.brokerId}, this is broker ${brokerId}; give --broker-id ${identity.brokerId} or another --data-dir`,
    );
  if (identity && stored && stored.clusterId !== identity.clusterId)
    throw new DataFolderError(
      `${dataDir} belongs to cluster ${identity.clusterId}, its metadata to ${stored.clusterId}`,
    );
  if (identity && !stored)
    throw new DataFolderError(
      `${dataDir} holds data of cluster ${identity.clusterId}, but its metadata is gone; put ${dataDir}/${metadataFolder} back from a copy`,
    );
  const clusterId = stored?.clusterId ?? formatTopicId(random.bytes(clusterIdBytes));
  if (!stored)
    await store.transaction(
      [{ key: clusterKey, modRevision: 0 }],
      [{ kind: "put", key: clusterKey, value: { clusterId } }],
    );
  if (!identity)
    await writeIdentity(disk, dataDir, {
      clusterId,
      brokerId,
      directoryId: formatTopicId(random.bytes(clusterIdBytes)),
    });
  return clusterId;
}

async function loadLogs(
  store: MetadataStore,
  image: MetadataImage,
  logs: LogManager,
  { appendGroupBytesMax }: Settings,
): Promise<void> {
  const known: KnownPartition[] = [];
  for (const topic of image.topics()) {
    const config = topicConfig(topic.config);
    // Recovery tells a torn write by its size, so a batch must never be larger than the largest write.
    if (config.maxMessageBytes > appendGroupBytesMax)
      throw new DataFolderError(
        `topic ${topic.name} takes batches of ${config.maxMessageBytes} bytes (max.message.bytes); appendGroupBytesMax is ${appendGroupBytesMax} and must not be less`,
      );
    for (let partition = 0; partition < topic.partitionCount; partition++)
      known.push({ topic: topic.name, topicId: topic.topicId, partition, config });
  }
  const { values: deleted } = await store.range(deletedPrefix);
  const deletedIds = new Set(deleted.map(({ key }) => key.slice(deletedPrefix.length)));
  await logs.load(known, (topicId) => deletedIds.has(topicId));
  // Their folders are gone now, so the records have done their work; and so have the partitions of topics that never came to be.
  const topicIds = new Set(image.topics().map(({ topicId }) => topicId));
  const { values: stored } = await store.range(partitionsPrefix);
  const orphans = stored.filter(({ key }) => !topicIds.has(key.split("/")[1]!));
  await inTransactions(
    store,
    [...deleted, ...orphans].map(({ key }) => ({ kind: "delete", key })),
  );
}

/** After an unclean stop: a broker never leads under an epoch that an earlier life of it has led in. */
async function raiseLeaderEpochs(store: MetadataStore, image: MetadataImage): Promise<void> {
  const raised: Operation[] = [];
  for (const topic of image.topics())
    for (let partition = 0; partition < topic.partitionCount; partition++) {
      const state = image.partition(topic.topicId, partition);
      if (!state) continue;
      const { modRevision: _seen, ...value } = state;
      raised.push({
        kind: "put",
        key: partitionKey(topic.topicId, partition),
        value: { ...value, leaderEpoch: value.leaderEpoch + 1, partitionEpoch: value.partitionEpoch + 1 },
      });
    }
  await image.reached(await inTransactions(store, raised));
}

/** Gives the revision of the last. Only at start, when nobody else writes. */
async function inTransactions(store: MetadataStore, operations: readonly Operation[]): Promise<number> {
  let revision = 0;
  for (let i = 0; i < operations.length; i += transactionOperationsMax) {
    const result = await store.transaction([], operations.slice(i, i + transactionOperationsMax));
    if (result.outcome !== "committed") throw new DataFolderError("the metadata store did not take a change at start");
    revision = result.revision;
  }
  return revision;
}

async function leadAll(image: MetadataImage, logs: LogManager, partitions: Partitions, clock: Clock): Promise<void> {
  await Promise.all(
    [...logs.logs()].map(async (log) => {
      const { topic, topicId, partition: number } = log.identity;
      const partition = new Partition(log, clock);
      await partition.lead(image.partition(topicId, number)?.leaderEpoch ?? 0);
      partitions.add(topic, number, partition);
    }),
  );
}
