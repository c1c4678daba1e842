// What a consumer tells whoever listens.

import type { Position, TopicPartitions } from "./admin-answers.ts";
import type { RetryNews } from "./retry.ts";

/** The events of a consumer, by name. */
export interface ConsumerEvents {
  /** Partitions were added to this consumer. */
  readonly assigned: { readonly partitions: readonly TopicPartitions[] };
  /** Partitions went to another member; what was handled of them is committed. */
  readonly revoked: { readonly partitions: readonly TopicPartitions[] };
  /** Partitions went to another member while records of them were in hand: their handlers' signals are aborted, the records come again there. */
  readonly lost: { readonly partitions: readonly TopicPartitions[] };
  /** The group did not hear from this member, or another took its place: what it held is lost, and it joins again. */
  readonly fenced: { readonly code: string; readonly partitions: readonly TopicPartitions[] };
  /** A place is not in the log any more, and offsetReset said where to go on. */
  readonly reset: { readonly topic: string; readonly from: string; readonly to: string };
  /** A record has been in its handler for longer than stallAfterMs. Told once for each record. */
  readonly stalled: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly runningMs: number;
  };
  /** A commit was refused for a partition that has gone to another member: its records are delivered again there. */
  readonly notCommitted: { readonly positions: readonly (Omit<Position, "nextOffset"> & { readonly code: string })[] };
  /** A call failed and is made again. */
  readonly retrying: RetryNews;
}

export class ConsumerEmitter {
  readonly #listeners = new Map<keyof ConsumerEvents, Set<(event: never) => void>>();

  on<Name extends keyof ConsumerEvents>(name: Name, listener: (event: ConsumerEvents[Name]) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(name, listeners);
    }
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** A listener that throws does so on its own: the consumer goes on. */
  emit<Name extends keyof ConsumerEvents>(name: Name, event: ConsumerEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        (listener as (event: ConsumerEvents[Name]) => void)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** Partitions sorted into their topics. */
export function byTopic(
  partitions: Iterable<{ readonly topic: string; readonly partition: number }>,
): TopicPartitions[] {
  const topics = new Map<string, number[]>();
  for (const { topic, partition } of partitions) {
    const found = topics.get(topic);
    if (found === undefined) topics.set(topic, [partition]);
    else found.push(partition);
  }
  return Array.from(topics, ([topic, all]) => ({ topic, partitions: all.sort((a, b) => a - b) }));
}
