// Topics: made, described, changed and deleted. Folders first, then the transaction that makes a topic known; deletion the other
// way round. Changes run one after the other; the store's compares decide, not what is remembered here.

import type { TopicImage } from "../cluster/metadata-image.ts";
import {
  type DeletedValue,
  deletedKey,
  type PartitionValue,
  partitionKey,
  partitionsPrefix,
  type TopicValue,
  topicIdKey,
  topicKey,
} from "../cluster/metadata-keys.ts";
import { type Operation, transactionOperationsMax } from "../cluster/metadata-store.ts";
import type { KnownPartition } from "../log/log-manager.ts";
import { effectiveTopicConfig, parseTopicConfig, type TopicConfig, topicConfig } from "../log/topic-config.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { isInternalTopic, isLegalTopicName, newTopicId, topicIdBytes } from "../protocol/topic-partition.ts";
import { Partition } from "../replication/partition.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { description, summary, type TopicDescription, type TopicInfo, type TopicSummary } from "./topic-description.ts";

/** More would make one folder's start slow; spread them over topics. */
export const partitionCountMax = 10_000;

export interface CreateTopic {
  readonly name: string;
  readonly partitionCount?: number | undefined;
  readonly replicationFactor?: number | undefined;
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

export interface AlterTopic {
  readonly partitionCount?: number | undefined;
  /** null restores a default. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

export class Topics {
  readonly #parts: BrokerParts;
  readonly #infos = new Map<string, { modRevision: number; info: TopicInfo }>();
  /** The end of the queue of changes. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(parts: BrokerParts) {
    this.#parts = parts;
  }

  list(query: {
    prefix?: string | undefined;
    after?: string | undefined;
    limit?: number | undefined;
    internal?: boolean | undefined;
  }): {
    topics: TopicSummary[];
    next?: string;
  } {
    const { prefix = "", after = "", limit = Number.POSITIVE_INFINITY, internal = false } = query;
    const all = this.#parts.image.topics();
    const found = all.filter(
      ({ name }) => name.startsWith(prefix) && name > after && (internal || !isInternalTopic(name)),
    );
    const topics = found.slice(0, limit).map(summary);
    const last = topics.at(-1);
    return found.length > topics.length && last ? { topics, next: last.name } : { topics };
  }

  /** undefined when this broker knows of no such topic. */
  info(name: string): TopicInfo | undefined {
    const topic = this.#parts.image.topic(name);
    if (!topic) return undefined;
    const known = this.#infos.get(name);
    if (known?.modRevision === topic.modRevision) return known.info;
    const info = { ...summary(topic), config: topicConfig(topic.config) };
    this.#infos.set(name, { modRevision: topic.modRevision, info });
    return info;
  }

  describe(name: string): TopicDescription {
    return description(this.#require(name), this.#parts);
  }

  /** Repeating it changes nothing; what exists and differs in something that was given is TOPIC_ALREADY_EXISTS. */
  create(request: CreateTopic): Promise<{ created: boolean; topic: TopicDescription }> {
    const { name } = request;
    if (!isLegalTopicName(name))
      throw new BrokerError(
        "INVALID_TOPIC_EXCEPTION",
        `${JSON.stringify(name)} is not a topic name: 1 to 249 of a-z A-Z 0-9 . _ -, and not . or ..`,
      );
    if (isInternalTopic(name))
      throw new BrokerError("INVALID_TOPIC_EXCEPTION", "names that begin with __ are the broker's own");
    return this.createInternal(request);
  }

  /** The same for a topic of the broker's own, whose name no client can use. */
  createInternal(request: CreateTopic): Promise<{ created: boolean; topic: TopicDescription }> {
    const { name } = request;
    const wanted = this.#wanted(request);
    return this.#serially(async () => {
      await this.#catchUp(name);
      const existing = this.#parts.image.topic(name);
      if (existing) {
        const differences = differencesOf(existing, request, wanted);
        if (differences.length === 0) return { created: false, topic: this.describe(name) };
        throw new BrokerError("TOPIC_ALREADY_EXISTS", `topic ${name} exists and differs`, { fields: { differences } });
      }
      await this.#make(name, wanted);
      return { created: true, topic: this.describe(name) };
    });
  }

  alter(name: string, request: AlterTopic): Promise<TopicDescription> {
    return this.#serially(async () => {
      const topic = this.#requireOfClients(name);
      const config = this.#mergedConfig(topic, request.config ?? {});
      const partitionCount = request.partitionCount ?? topic.partitionCount;
      if (partitionCount < topic.partitionCount)
        throw new BrokerError(
          "INVALID_PARTITIONS",
          `topic ${name} has ${topic.partitionCount} partitions; their number can only grow`,
        );
      checkPartitionCount(partitionCount);
      const added = range(topic.partitionCount, partitionCount);
      const value: TopicValue = {
        topicId: topic.topicId,
        partitionCount,
        replicationFactor: topic.replicationFactor,
        config,
      };
      // Strict before the store says so: a crash in between must not find unsynced writes in a topic that is known to be strict.
      const after = topicConfig(config);
      if (after.flushMessages === 1) await this.#configure(topic, { ...topicConfig(topic.config), flushMessages: 1 });
      await this.#commitWith(name, value, added, topic.modRevision, []);
      await this.#configure(topic, after);
      return this.describe(name);
    });
  }

  async #configure({ name, partitionCount }: TopicImage, config: TopicConfig): Promise<void> {
    for (const partition of range(0, partitionCount)) {
      const log = this.#parts.partitions.find(name, partition)?.log;
      if (log?.offline === undefined) await log?.changeConfig(config); // an offline one reads the store when it is opened again
    }
  }

  delete(name: string): Promise<void> {
    return this.#serially(async () => {
      const topic = this.#requireOfClients(name);
      const { topicId, partitionCount } = topic;
      const done = await this.#commit(topicKey(name), topic.modRevision, [
        { kind: "delete", key: topicKey(name) },
        { kind: "put", key: deletedKey(topicId), value: { name, partitionCount } satisfies DeletedValue },
        { kind: "delete", key: topicIdKey(topicId) },
      ]);
      if (!done) throw changedMeanwhile();
      this.#infos.delete(name);
      this.#parts.partitions.removeTopic(
        name,
        new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} was deleted`),
      );
      await this.#parts.logs.delete(range(0, partitionCount).map((partition) => ({ topic: name, topicId, partition })));
      await this.#forgetPartitions(topicId);
    });
  }

  /** The image is as new as the store was, for this topic at least. */
  async #catchUp(name: string): Promise<void> {
    const { revision } = await this.#parts.store.range(topicKey(name));
    await this.#parts.image.reached(revision);
  }

  #require(name: string): TopicImage {
    const topic = this.#parts.image.topic(name);
    if (!topic) throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `there is no topic ${name}`);
    return topic;
  }

  #requireOfClients(name: string): TopicImage {
    const topic = this.#require(name);
    if (!isInternalTopic(name)) return topic;
    throw new BrokerError("INVALID_TOPIC_EXCEPTION", `${name} is the broker's own and cannot be changed or deleted`);
  }

  #wanted({ partitionCount, replicationFactor = 1, config = {} }: CreateTopic): TopicValue {
    const { random, settings } = this.#parts;
    const count = partitionCount ?? settings.defaultPartitionCount;
    checkPartitionCount(count);
    if (replicationFactor !== 1)
      throw new BrokerError(
        "INVALID_REPLICATION_FACTOR",
        `${replicationFactor} replicas were asked for, 1 broker is there`,
        {
          fields: { available: 1 },
        },
      );
    return {
      topicId: newTopicId(random.bytes(topicIdBytes)),
      partitionCount: count,
      replicationFactor,
      config: parseTopicConfig(config, settings),
    };
  }

  #make(name: string, value: TopicValue): Promise<void> {
    const idOperation: Operation = { kind: "put", key: topicIdKey(value.topicId), value: name };
    return this.#commitWith(name, value, range(0, value.partitionCount), 0, [idOperation]);
  }

  /** Folders and partition keys of `added` first; nobody sees them before the topic's own key, the last, names them. */
  async #commitWith(
    name: string,
    value: TopicValue,
    added: readonly number[],
    modRevision: number,
    operations: readonly Operation[],
  ): Promise<void> {
    const { logs } = this.#parts;
    const config = topicConfig(value.config);
    const partitions = added.map(
      (partition): KnownPartition => ({ topic: name, topicId: value.topicId, partition, config }),
    );
    if (partitions.length > 0) await logs.create(partitions);
    const key = topicKey(name);
    try {
      await this.#putPartitions(value.topicId, added);
    } catch (error) {
      logs.forget(partitions);
      throw error;
    }
    // If this rejects nobody knows whether the topic names them now: they stay as they are.
    const done = await this.#commit(key, modRevision, [{ kind: "put", key, value }, ...operations]);
    if (!done) {
      logs.forget(partitions);
      throw changedMeanwhile();
    }
    await this.#leadAll(name, value, added);
  }

  async #putPartitions(topicId: string, partitions: readonly number[]): Promise<void> {
    const { brokerId } = this.#parts.settings;
    const state: PartitionValue = {
      replicas: [brokerId],
      inSyncReplicas: [brokerId],
      leader: brokerId,
      leaderEpoch: 0,
      partitionEpoch: 0,
    };
    const puts = partitions.map(
      (partition): Operation => ({ kind: "put", key: partitionKey(topicId, partition), value: state }),
    );
    await this.#write(puts);
  }

  async #leadAll(name: string, value: TopicValue, partitions: readonly number[]): Promise<void> {
    const { clock, image, logs, partitions: registry } = this.#parts;
    for (const number of partitions) {
      const log = logs.get(name, number);
      if (!log) continue;
      const partition = new Partition(log, clock);
      await partition.lead(image.partition(value.topicId, number)?.leaderEpoch ?? 0);
      registry.add(name, number, partition);
    }
  }

  #mergedConfig(topic: TopicImage, patch: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const merged: Record<string, unknown> = { ...topic.config };
    const set = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== null));
    for (const [key, value] of Object.entries(patch)) if (value === null) delete merged[key];
    return { ...merged, ...parseTopicConfig(set, this.#parts.settings) };
  }

  async #forgetPartitions(topicId: string): Promise<void> {
    const { values } = await this.#parts.store.range(`${partitionsPrefix}${topicId}/`);
    await this.#write(values.map(({ key }) => ({ kind: "delete", key })));
  }

  /** Keys that no one else writes and no one yet reads: in as many transactions as it takes. */
  async #write(operations: readonly Operation[]): Promise<void> {
    const { image, store } = this.#parts;
    for (let i = 0; i < operations.length; i += transactionOperationsMax) {
      const result = await store.transaction([], operations.slice(i, i + transactionOperationsMax));
      if (result.outcome !== "committed") throw changedMeanwhile();
      await image.reached(result.revision);
    }
  }

  /**
   * Does `operations`, the first of which is on `key`, if `key` is still as of `modRevision`. False when nothing was done. An answer that
   * tells neither is looked up; rejects when that cannot be done either.
   */
  async #commit(key: string, modRevision: number, operations: readonly Operation[]): Promise<boolean> {
    const { image, store } = this.#parts;
    const result = await store.transaction([{ key, modRevision }], operations);
    if (result.outcome === "conflict") return false;
    if (result.outcome === "committed") {
      await image.reached(result.revision);
      return true;
    }
    const { values, revision } = await store.range(key);
    await image.reached(revision);
    const stored = values.find((value) => value.key === key);
    const wanted = operations[0]?.kind === "put" ? operations[0].value : undefined;
    return (stored?.modRevision ?? 0) !== modRevision && JSON.stringify(stored?.value) === JSON.stringify(wanted);
  }

  #serially<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => {});
    return result;
  }
}

/** What was given and is otherwise, by field name. */
function differencesOf(
  existing: TopicImage,
  request: CreateTopic,
  wanted: TopicValue,
): { field: string; existing: unknown; given: unknown }[] {
  const differences: { field: string; existing: unknown; given: unknown }[] = [];
  for (const field of ["partitionCount", "replicationFactor"] as const)
    if (request[field] !== undefined && existing[field] !== request[field])
      differences.push({ field, existing: existing[field], given: request[field] });
  const effective = effectiveTopicConfig(existing.config);
  const given = effectiveTopicConfig(wanted.config);
  for (const name of Object.keys(wanted.config))
    if (effective[name] !== given[name])
      differences.push({ field: name, existing: effective[name], given: given[name] });
  return differences;
}

function checkPartitionCount(count: number): void {
  if (Number.isSafeInteger(count) && count >= 1 && count <= partitionCountMax) return;
  throw new BrokerError("INVALID_PARTITIONS", `a topic has 1 to ${partitionCountMax} partitions, not ${count}`, {
    fields: { limit: { name: "partitionCount", value: partitionCountMax } },
  });
}

function changedMeanwhile(): BrokerError {
  return new BrokerError("REQUEST_TIMED_OUT", "the topic was changed by another request at the same time; try again");
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
