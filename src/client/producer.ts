// Sends records. What it promises stands in docs/client.md.

import { partitionForKey } from "../protocol/partitioner.ts";
import { batchHeaderBytes } from "../protocol/record-batch.ts";
import { asyncDispose } from "./async-dispose.ts";
import { type Codec, json, string } from "./codec.ts";
import type { HttpTransport } from "./http-transport.ts";
import { abortedError, MillraceError } from "./millrace-error.ts";
import { type LaneParts, PartitionLane } from "./partition-lane.ts";
import type { ClientRandom } from "./platform.ts";
import type { ProduceTransport } from "./produce-transport.ts";
import { ProducedRecord, type RecordToSend, type SentRecord, toWrite } from "./produced-record.ts";
import { ProducerIdentity } from "./producer-identity.ts";
import type { RetryNews } from "./retry.ts";
import { SendBuffer } from "./send-buffer.ts";
import type { TopicCache, TopicFacts } from "./topic-cache.ts";
import { orAborted } from "./waiting.ts";

/** How a producer behaves; every field has a default. */
export interface ProducerOptions<K = string, V = unknown> {
  /** string() by default. */
  readonly key?: Codec<K>;
  /** json() by default. */
  readonly value?: Codec<V>;
  /** "all" (default): on every in-sync replica and durable. 1: on the leader. */
  readonly acks?: "all" | 1;
  /** Default true. Without it a record in doubt is not sent again, but rejected with maybeAppended. */
  readonly idempotent?: boolean;
  /** Bytes of records that may be on their way at once. 32 MiB by default. */
  readonly bufferBytesMax?: number;
  /** When the buffer is full, send() waits (default) or rejects with BUFFER_FULL. */
  readonly whenFull?: "wait" | "reject";
  /** The largest batch, if the topic's max.message.bytes is not smaller. 1 MiB by default. */
  readonly batchBytesMax?: number;
  /** From send() until the record is in the log or given up, in milliseconds. 120 s by default. */
  readonly deliveryTimeoutMs?: number;
  /** Told of each attempt that failed and will be made again. */
  readonly onRetry?: (news: RetryNews) => void;
}

export interface ProducerParts {
  readonly http: HttpTransport;
  readonly transport: ProduceTransport;
  readonly topics: TopicCache;
  readonly random: ClientRandom;
  readonly onClose: () => void;
}

const batchRecordsMax = 100_000;

/** A topic as the producer knows it. */
interface TopicLanes {
  readonly lanes: Map<number, PartitionLane>;
  /** Records that came before the topic was known, in their order. */
  readonly waiting: ProducedRecord[];
  asking: boolean;
  /** Where keyless records gather. */
  sticky: number | undefined;
  /** What has gathered there. */
  stickyBytes: number;
}

/** Made by `millrace.producer()`. */
export class Producer<K = string, V = unknown> implements AsyncDisposable {
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;
  readonly #parts: ProducerParts;
  readonly #laneParts: LaneParts;
  readonly #deliveryTimeoutMs: number;
  readonly #buffer: SendBuffer;
  readonly #topics = new Map<string, TopicLanes>();
  readonly #unsettled = new Set<ProducedRecord>();
  readonly #giveUp = new AbortController();
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(options: ProducerOptions<K, V>, parts: ProducerParts) {
    // Whoever leaves a codec out has K = string or V = unknown.
    this.#key = options.key ?? (string() as unknown as Codec<K>);
    this.#value = options.value ?? json<V>();
    this.#parts = parts;
    this.#deliveryTimeoutMs = options.deliveryTimeoutMs ?? 120_000;
    this.#buffer = new SendBuffer(options.bufferBytesMax ?? 32 * 1024 * 1024, options.whenFull ?? "wait");
    this.#laneParts = {
      transport: parts.transport,
      identity: (options.idempotent ?? true) ? new ProducerIdentity(parts.http) : undefined,
      retry: parts.http.retry,
      clock: parts.http.clock,
      acks: options.acks ?? "all",
      batchBytesMax: options.batchBytesMax ?? 1024 * 1024,
      batchRecordsMax,
      signal: this.#giveUp.signal,
      onRetry: options.onRetry ?? (() => {}),
      onTopicChanged: (topic) => parts.topics.forget(topic),
    };
  }

  /** Bytes of records that are on their way. */
  get bufferedBytes(): number {
    return this.#buffer.usedBytes;
  }

  /**
   * Sends a record; resolves once it is in the log. Records are sent in the order of the calls. An aborted signal takes the
   * record back if it is not on its way yet; if it is, the rejection says `maybeAppended`.
   */
  async send(record: RecordToSend<K, V>, { signal }: { readonly signal?: AbortSignal } = {}): Promise<SentRecord> {
    if (this.#closed !== undefined) throw new MillraceError("CLOSED", "the producer is closed");
    if (signal?.aborted) throw abortedError(signal);
    if (record.partition !== undefined && !(Number.isInteger(record.partition) && record.partition >= 0)) {
      throw new MillraceError("INVALID_ARGUMENT", `there is no partition ${record.partition}`);
    }
    const { clock } = this.#parts.http;
    const written = toWrite(record, this.#key, this.#value, clock.nowMs());
    const deadlineMs = clock.monotonicMs() + this.#deliveryTimeoutMs;
    const produced = new ProducedRecord(record.topic, written, record.partition, deadlineMs);
    this.#enter(produced);
    return signal === undefined ? produced.sent : this.#abortable(produced, signal);
  }

  /** Resolves once every record that was sent before is in the log or was rejected. */
  async flush({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const settled = Promise.allSettled(Array.from(this.#unsettled, ({ sent }) => sent));
    await orAborted(settled, signal);
  }

  /** Flushes, and takes no more. An aborted signal gives up what is still on its way: it rejects. */
  close({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const giveUp = (): void => {
      const error = new MillraceError("CLOSED", "the producer was closed before the record was sent");
      this.#giveUp.abort(error);
      for (const record of this.#unsettled) record.reject(error.withDoubt(record.isTaken));
    };
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    this.#closed ??= this.flush().then(this.#parts.onClose);
    return this.#closed.finally(() => signal?.removeEventListener("abort", giveUp));
  }

  /** close() */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #enter(produced: ProducedRecord): void {
    let stopWaiting = (): boolean => false;
    produced.onSettled = () => {
      this.#unsettled.delete(produced);
      if (!stopWaiting()) this.#buffer.leave(produced.sizeBytes);
    };
    this.#unsettled.add(produced);
    try {
      stopWaiting = this.#buffer.enter(produced.sizeBytes, () => this.#accept(produced));
    } catch (error) {
      this.#unsettled.delete(produced);
      throw error;
    }
  }

  #abortable(produced: ProducedRecord, signal: AbortSignal): Promise<SentRecord> {
    const abort = () => produced.reject(abortedError(signal).withDoubt(produced.isTaken));
    signal.addEventListener("abort", abort, { once: true });
    return produced.sent.finally(() => signal.removeEventListener("abort", abort));
  }

  #accept(record: ProducedRecord): void {
    const topic = this.#topic(record.topic);
    const facts = this.#parts.topics.known(record.topic);
    if (facts !== undefined && topic.waiting.length === 0) {
      this.#route(topic, facts, record);
      return;
    }
    topic.waiting.push(record);
    if (topic.asking) return;
    topic.asking = true;
    void this.#ask(topic, record);
  }

  async #ask(topic: TopicLanes, { topic: name }: ProducedRecord): Promise<void> {
    try {
      const { signal, onRetry } = this.#laneParts;
      const facts = await this.#parts.topics.get(name, { signal, deadlineInMs: this.#deliveryTimeoutMs, onRetry });
      for (const record of topic.waiting.splice(0)) if (!record.isSettled) this.#route(topic, facts, record);
    } catch (error) {
      const told = error instanceof MillraceError ? error.withDoubt(false) : error;
      for (const record of topic.waiting.splice(0)) record.reject(told);
    } finally {
      topic.asking = false;
    }
  }

  #route(topic: TopicLanes, facts: TopicFacts, record: ProducedRecord): void {
    const { key } = record.record;
    const partition =
      record.partition ??
      (key === null
        ? this.#keylessPartition(topic, facts, record.sizeBytes)
        : partitionForKey(key, facts.partitionCount));
    if (partition >= facts.partitionCount) {
      const message = `topic ${record.topic} has no partition ${partition}`;
      record.reject(new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", message));
      return;
    }
    const lane = this.#lane(topic, record.topic, partition);
    lane.limitBatches(facts.maxMessageBytes);
    lane.push(record);
  }

  /**
   * The same while a batch gathers; then one whose lane is idle, if there is any. When the batch is full before it is taken,
   * the next partition: a burst is many batches at once, and not one after the other.
   */
  #keylessPartition(topic: TopicLanes, { partitionCount, maxMessageBytes }: TopicFacts, sizeBytes: number): number {
    const batchBytesMax = Math.min(this.#laneParts.batchBytesMax, maxMessageBytes);
    let start = topic.sticky;
    if (start !== undefined && start < partitionCount) {
      topic.stickyBytes += sizeBytes;
      if (topic.stickyBytes <= batchBytesMax) return start;
      start += 1;
    } else start = Math.floor(this.#parts.random.fraction() * partitionCount);
    let chosen = start % partitionCount;
    for (let step = 0; step < partitionCount; step++) {
      const partition = (start + step) % partitionCount;
      if (topic.lanes.get(partition)?.isBusy) continue;
      chosen = partition;
      break;
    }
    topic.sticky = chosen;
    topic.stickyBytes = batchHeaderBytes + sizeBytes;
    return chosen;
  }

  #topic(name: string): TopicLanes {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { lanes: new Map(), waiting: [], asking: false, sticky: undefined, stickyBytes: 0 };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  #lane(topic: TopicLanes, name: string, partition: number): PartitionLane {
    let lane = topic.lanes.get(partition);
    if (lane === undefined) {
      lane = new PartitionLane(name, partition, this.#laneParts);
      lane.onTake = () => {
        if (topic.sticky === partition) topic.sticky = undefined;
      };
      topic.lanes.set(partition, lane);
    }
    return lane;
  }
}
