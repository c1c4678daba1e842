// What a topic looks like from outside: its summary in lists, its configs, its partitions as they are at the moment.

import type { TopicImage } from "../cluster/metadata-image.ts";
import { effectiveTopicConfig, type TopicConfig } from "../log/topic-config.ts";
import { isInternalTopic } from "../protocol/topic-partition.ts";
import type { BrokerParts } from "./broker-parts.ts";

export interface TopicSummary {
  readonly name: string;
  readonly topicId: string;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  readonly internal: boolean;
}

/** What produce and read go by. */
export interface TopicInfo extends TopicSummary {
  readonly config: TopicConfig;
}

export interface PartitionDescription {
  readonly partition: number;
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
  /** null while the partition is offline. */
  readonly logStartOffset: number | null;
  readonly highWatermark: number | null;
  readonly logEndOffset: number | null;
  readonly sizeBytes: number | null;
}

export interface TopicDescription extends TopicSummary {
  /** What was set for this topic. */
  readonly config: Readonly<Record<string, unknown>>;
  /** All configs, defaults included. */
  readonly effectiveConfig: Readonly<Record<string, unknown>>;
  readonly partitions: readonly PartitionDescription[];
}

export function summary({ name, topicId, partitionCount, replicationFactor }: TopicImage): TopicSummary {
  return { name, topicId, partitionCount, replicationFactor, internal: isInternalTopic(name) };
}

export function description(topic: TopicImage, parts: BrokerParts): TopicDescription {
  return {
    ...summary(topic),
    config: topic.config,
    effectiveConfig: effectiveTopicConfig(topic.config),
    partitions: Array.from({ length: topic.partitionCount }, (_, partition) =>
      partitionDescription(topic, partition, parts),
    ),
  };
}

function partitionDescription(
  topic: TopicImage,
  partition: number,
  { image, partitions }: BrokerParts,
): PartitionDescription {
  const state = image.partition(topic.topicId, partition);
  const here = partitions.find(topic.name, partition);
  const log = here?.log.offline === undefined ? here?.log : undefined;
  return {
    partition,
    leader: log ? (state?.leader ?? -1) : -1,
    leaderEpoch: state?.leaderEpoch ?? -1,
    replicas: state?.replicas ?? [],
    inSyncReplicas: state?.inSyncReplicas ?? [],
    logStartOffset: log?.logStartOffset ?? null,
    highWatermark: log?.highWatermark ?? null,
    logEndOffset: log?.logEndOffset ?? null,
    sizeBytes: log?.sizeBytes ?? null,
  };
}
