// The partitions this broker takes part in, by topic and number.

import type { LogManager } from "../log/log-manager.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { Partition } from "../replication/partition.ts";

export class Partitions {
  readonly #logs: LogManager;
  readonly #byTopic = new Map<string, Map<number, Partition>>();

  constructor(logs: LogManager) {
    this.#logs = logs;
  }

  /** UNKNOWN_TOPIC_OR_PARTITION when there is none, KAFKA_STORAGE_ERROR when its log could not be opened. */
  get(topic: string, partition: number): Partition {
    const found = this.#byTopic.get(topic)?.get(partition);
    if (found) return found;
    this.#logs.get(topic, partition); // tells why it is offline, if that is the reason
    throw new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic} has no partition ${partition}`);
  }

  /** False while it is still to be opened: neither here nor known to be offline. */
  isSettled(topic: string, partition: number): boolean {
    return this.find(topic, partition) !== undefined || this.#logs.isOffline(topic, partition);
  }

  find(topic: string, partition: number): Partition | undefined {
    return this.#byTopic.get(topic)?.get(partition);
  }

  add(topic: string, partition: number, added: Partition): void {
    const partitions = this.#byTopic.get(topic) ?? new Map<number, Partition>();
    this.#byTopic.set(topic, partitions.set(partition, added));
  }

  /** Takes the topic's partitions out and ends every wait on them. */
  removeTopic(topic: string, error: BrokerError): void {
    for (const partition of this.#byTopic.get(topic)?.values() ?? []) partition.waiters.failAll(error);
    this.#byTopic.delete(topic);
  }

  *all(): Iterable<Partition> {
    for (const partitions of this.#byTopic.values()) yield* partitions.values();
  }
}
