// What the admin calls take and give, as docs/http-api.md has it.

/** Where to go on: the last handled record's offset + 1. */
export interface Position {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
}

/** Part of a list, sorted by name. */
export interface ListQuery {
  readonly prefix?: string;
  readonly after?: string;
  readonly limit?: number;
}

/** Topic configs by Kafka's names (`retention.ms`, `cleanup.policy`, …). */
export type TopicConfig<More = never> = Readonly<Record<string, string | number | boolean | More>>;

/** A topic to make. */
export interface CreateTopic {
  readonly name: string;
  /** 1 by default. */
  readonly partitionCount?: number;
  readonly replicationFactor?: number;
  readonly config?: TopicConfig;
}

/** A topic in a list. */
export interface TopicSummary {
  readonly name: string;
  /** Differs from that of an earlier topic of this name. */
  readonly topicId: string;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Kept by the broker itself: readable, not writable. */
  readonly internal: boolean;
}

/** A topic whole. */
export interface TopicDescription extends TopicSummary {
  /** What was set for this topic. */
  readonly config: TopicConfig;
  /** All configs, defaults included. */
  readonly effectiveConfig: TopicConfig;
  readonly partitions: readonly PartitionDescription[];
}

/** A partition of a topic; what its leader alone knows is null while it cannot be asked. */
export interface PartitionDescription {
  readonly partition: number;
  readonly leader: number | null;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
  readonly logStartOffset: number | null;
  readonly highWatermark: number | null;
  readonly logEndOffset: number | null;
  readonly sizeBytes: number | null;
}

/** Where a place is in one partition. */
export interface ResolvedOffset {
  readonly partition: number;
  readonly offset: number;
  /** Of the record there; null if there is none. */
  readonly timestamp: number | null;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly logEndOffset: number;
}

/** A consumer group in a list. */
export interface GroupSummary {
  readonly groupId: string;
  readonly state: string;
  readonly members: number;
  /** Records not yet read, with `lag: true`. */
  readonly lag?: number;
  /** Age of the oldest unread record, with `lag: true`. */
  readonly lagMs?: number | null;
}

/** Partitions of one topic. */
export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

/** A consumer group whole. */
export interface GroupDescription {
  readonly groupId: string;
  readonly state: string;
  readonly groupEpoch: number;
  readonly assignmentEpoch: number;
  readonly coordinator: number | null;
  readonly members: readonly {
    readonly memberId: string;
    readonly instanceId?: string;
    readonly memberEpoch: number;
    readonly topics: readonly string[];
    readonly assignment: readonly TopicPartitions[];
  }[];
}

/** How far a group is in one partition. */
export interface GroupOffset {
  readonly topic: string;
  readonly partition: number;
  /** null: nothing was committed. */
  readonly nextOffset: number | null;
  readonly metadata: string | null;
  readonly highWatermark: number;
  readonly lag: number;
  readonly lagMs: number | null;
  readonly memberId: string | null;
}

/** Where to move a group. */
export interface ResetOffsets {
  /** `earliest`, `latest`, `-10`, `@2026-11-21T10:00:00Z`, a number, `0:43,1:99`. */
  readonly to: string;
  /** The topics committed so far by default. */
  readonly topics?: readonly string[];
  readonly partitions?: readonly number[];
  readonly dryRun?: boolean;
}

/** Where a group was moved in one partition. */
export interface ResetPosition {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
  readonly previous: number | null;
}

/** Brokers, features and limits. */
export interface ClusterDescription {
  readonly clusterId: string;
  readonly version: string;
  readonly features: readonly string[];
  readonly controller: number | null;
  readonly brokers: readonly {
    readonly id: number;
    readonly url: string | null;
    readonly rack: string | null;
    readonly state: string;
  }[];
  readonly limits: Readonly<Record<string, number>>;
}
