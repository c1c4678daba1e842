// Plugs the group coordinator into this broker: its topics from the metadata image, its log from __consumer_offsets.

import type { MetadataImage } from "../cluster/metadata-image.ts";
import { GroupCoordinator } from "../consumer-groups/coordinator.ts";
import type { TopicLookup } from "../consumer-groups/group-requests.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { OffsetsTopic } from "./group-logs.ts";
import type { Topics } from "./topics.ts";

export function coordinatorOf(parts: BrokerParts, topics: Topics): GroupCoordinator {
  const { clock, logger, image, settings } = parts;
  const coordinator = new GroupCoordinator({
    logs: new OffsetsTopic(parts, topics),
    topics: new KnownTopics(image),
    settings: {
      groupMembersMax: settings.groupMembersMax,
      sessionTimeoutMs: settings.groupSessionTimeoutMs,
      heartbeatIntervalMs: settings.groupHeartbeatIntervalMs,
      offsetsRetentionMs: settings.offsetsRetentionMs,
      offsetsRetentionCheckMs: settings.offsetsRetentionCheckMs,
    },
    clock,
    logger,
  });
  image.listen(coordinator);
  void coordinator.load(); // who asks for a group meanwhile waits for its shard alone
  return coordinator;
}

class KnownTopics implements TopicLookup {
  readonly #image: MetadataImage;

  constructor(image: MetadataImage) {
    this.#image = image;
  }

  get revision(): number {
    return this.#image.topicsRevision;
  }

  topic(name: string): { readonly topicId: string; readonly partitionCount: number } | undefined {
    return this.#image.topic(name);
  }

  nameOf(topicId: string): string | undefined {
    return this.#image.nameOf(topicId);
  }
}
