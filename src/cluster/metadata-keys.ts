// The keys of the metadata store and the shape of their values, once.

/** {clusterId}: made by the first broker of all. */
export const clusterKey = "cluster";
/** The next producer id that no broker has taken: a number; brokers take blocks by compare-and-set, none is ever given twice. */
export const nextProducerIdKey = "pids/next";

export const topicsPrefix = "topics/";
export const partitionsPrefix = "parts/";
export const deletedPrefix = "deleted/";
export const brokersPrefix = "brokers/";
export const brokerStatesPrefix = "brokerstate/";

/** {brokerId, brokerEpoch}: on the lease of the broker that is the controller. Gone with it. */
export const controllerKey = "controller";
/** A number; rises in the transaction that makes a controller. */
export const controllerEpochKey = "controller_epoch";

export const topicKey = (name: string): string => `${topicsPrefix}${name}`;
export const topicIdKey = (topicId: string): string => `topicids/${topicId}`;
export const partitionKey = (topicId: string, partition: number): string =>
  `${partitionsPrefix}${topicId}/${partition}`;
/** Stands for as long as a folder of the deleted topic may still be there. */
export const deletedKey = (topicId: string): string => `${deletedPrefix}${topicId}`;

/** On a lease: there while the broker lives. The broker's epoch is the revision that made this key. */
export const brokerKey = (brokerId: number): string => `${brokersPrefix}${brokerId}`;
/** Outlives the broker. */
export const brokerStateKey = (brokerId: number): string => `${brokerStatesPrefix}${brokerId}`;

export interface BrokerValue {
  /** Drawn anew by each process of the broker. */
  readonly incarnation: string;
  /** Where the other brokers reach it. */
  readonly url: string;
  /** Replicas are spread over racks; null: a rack of its own. */
  readonly rack: string | null;
}

/** Put with brokers/<id> in one transaction, so that `fenced` always speaks of the present broker epoch. */
export interface BrokerStateValue {
  /** The last epoch of this broker that a controller let in; −1: none yet. */
  readonly lastBrokerEpoch: number;
  /** Neither leads nor joins an in-sync set, until a controller has seen to what its return means. */
  readonly fenced: boolean;
  readonly shuttingDown: boolean;
  /** The broker vouches that it has lost nothing since this epoch of its own. Not lastBrokerEpoch: it was killed meanwhile. */
  readonly cleanEpoch: number;
}

export interface ControllerValue {
  readonly brokerId: number;
  readonly brokerEpoch: number;
}

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
  /** The broker epoch that the leader was elected in; absent where a broker is alone. It leads in no other. */
  readonly leaderBrokerEpoch?: number;
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
