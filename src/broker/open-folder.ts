// Opens a data folder: whose it is, what the store knows, the logs recovered, every partition led. All that a broker works with.

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
import type { Settings } from "../config.ts";
import { nodeCodecs } from "../io/codecs.ts";
import type { Disk, FolderLock } from "../io/disk.ts";
import { silentLogger } from "../io/logger.ts";
import { NodeClock } from "../io/node-clock.ts";
import { NodeRandom } from "../io/node-random.ts";
import type { Random } from "../io/random.ts";
import { DataFolderError, readIdentity, writeIdentity } from "../log/data-folder.ts";
import { DiskGuard } from "../log/disk-guard.ts";
import { IndexMemory } from "../log/index-memory.ts";
import { type LogContext, silentObserver } from "../log/log-context.ts";
import { type KnownPartition, LogManager } from "../log/log-manager.ts";
import { topicConfig } from "../log/topic-config.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { formatTopicId } from "../protocol/topic-partition.ts";
import { Partition } from "../replication/partition.ts";
import type { BrokerOptions } from "./broker-options.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { Partitions } from "./partitions.ts";

/** Indexes of sealed segments that are kept in memory, all partitions together. */
const indexMemoryBytesMax = 32 * 1024 * 1024;
const clusterIdBytes = 16;
const metadataFolder = "metadata";

export interface OpenedFolder {
  readonly parts: BrokerParts;
  readonly diskGuard: DiskGuard;
  readonly clusterId: string;
}

/** Takes a folder whose lock the caller holds; on success the log manager gives the lock back when it is closed. */
export async function openFolder(
  options: BrokerOptions,
  settings: Settings,
  disk: Disk,
  lock: FolderLock,
): Promise<OpenedFolder> {
  const { clock = new NodeClock(), random = new NodeRandom(), codecs = nodeCodecs, logger = silentLogger } = options;
  const { dataDir, lowDiskBytes, lowDiskCheckMs } = settings;
  const metadataDir = `${dataDir}/${metadataFolder}`;
  if (!(await disk.stat(metadataDir))) await disk.makeDir(metadataDir);
  const store = await SingleNodeStore.open({ disk, directory: metadataDir, clock, codecs, logger });
  const clusterId = await identify(disk, store, settings, random);
  const diskGuard = new DiskGuard({ disk, clock, logger, directory: dataDir, lowDiskBytes, lowDiskCheckMs });
  await diskGuard.start();
  try {
    const indexMemory = new IndexMemory(indexMemoryBytesMax);
    const observer = options.observer ?? silentObserver;
    const context: LogContext = { disk, clock, codecs, logger, observer, settings, indexMemory, diskGuard };
    const logs = await LogManager.open(context, dataDir, settings, lock);
    const image = await MetadataImage.follow(store);
    await loadLogs(store, image, logs, settings);
    if (logs.unclean) await raiseLeaderEpochs(store, image);
    const partitions = new Partitions(logs);
    await leadAll(context, image, logs, partitions);
    return { parts: { settings, clock, random, codecs, logger, store, image, logs, partitions }, diskGuard, clusterId };
  } catch (error) {
    diskGuard.stop();
    throw error;
  }
}

/** Makes a folder and what is missing above it, durably. */
export async function makeFolder(disk: Disk, path: string): Promise<void> {
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

/** A partition that cannot be led is offline, and says so to its clients; the others serve. */
async function leadAll(
  context: LogContext,
  image: MetadataImage,
  logs: LogManager,
  partitions: Partitions,
): Promise<void> {
  await Promise.all(
    [...logs.logs()].map(async (log) => {
      const { topic, topicId, partition: number } = log.identity;
      const partition = new Partition(log, context.clock);
      partitions.add(topic, number, partition);
      try {
        await partition.lead(image.partition(topicId, number)?.leaderEpoch ?? 0);
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error;
        context.logger.error(
          { err: error, topic, partition: number },
          "a partition cannot be led and takes no records",
        );
      }
    }),
  );
}
