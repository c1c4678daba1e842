// The keys of the metadata store and the shape of their values, once.

/** {clusterId}: made by the first broker of all. */
export const clusterKey = "cluster";
/** The next producer id that no broker has taken: a number; brokers take blocks by compare-and-set, none is ever given twice. */
export const nextProducerIdKey = "pids/next";

export const topicsPrefix = "topics/";
export const partitionsPrefix = "parts/";
export const deletedPrefix = "deleted/";

export const topicKey = (name: string): string => `${topicsPrefix}${name}`;
export const topicIdKey = (topicId: string): string => `topicids/${topicId}`;
export const partitionKey = (topicId: string, partition: number): string =>
  `${partitionsPrefix}${topicId}/${partition}`;
/** Stands for as long as a folder of the deleted topic may still be there. */
export const deletedKey = (topicId: string): string => `${deletedPrefix}${topicId}`;

export interface TopicValue {
  readonly topicId: string;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** What was set for this topic, by Kafka's config names; the rest are defaults. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface PartitionValue {
  /** Broker ids, the preferred leader first. */
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
  /** −1: none. */
  readonly leader: number;
  readonly leaderEpoch: number;
  /** Rises with every change of this value. */
  readonly partitionEpoch: number;
}

export interface ClusterValue {
  readonly clusterId: string;
}

export interface DeletedValue {
  readonly name: string;
  readonly partitionCount: number;
}
