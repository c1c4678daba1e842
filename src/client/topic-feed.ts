// Reads a topic, or some of its partitions, without a group: from a place, to a place or for ever.

import { cursorPartitionsMax } from "../protocol/offset-expression.ts";
import type { Position, ResolvedOffset } from "./admin-answers.ts";
import type { FetchedRecord } from "./consumed-record.ts";
import type { Feed, FeedParts } from "./feed.ts";
import { FetchLoop } from "./fetch-loop.ts";
import type { PartitionInbox } from "./inbox.ts";
import { MillraceError } from "./millrace-error.ts";
import { type Page, readPage } from "./read-page.ts";
import type { Sockets } from "./sockets.ts";
import type { TopicCache, TopicFacts } from "./topic-cache.ts";
import { TopicStream } from "./topic-stream.ts";

/** What a consumer without a group reads. */
export interface TopicSource {
  readonly topic: string;
  /** All by default, those that are added later too. */
  readonly partitions?: readonly number[];
  /** Where to begin: `earliest` (default), `latest`, `-10`, `@2026-11-21T10:00:00Z`, a number (one partition), or positions. */
  readonly offset?: string | number | readonly Position[];
  /** Where to end, in the same words, as it is when the consumer starts. Without it the consumer waits for more. */
  readonly until?: string | number | readonly Position[];
  /** Where to go on when a place is not in the log any more. `error` by default. */
  readonly offsetReset?: "earliest" | "latest" | "error";
}

export class TopicFeed implements Feed {
  readonly #source: TopicSource;
  readonly #parts: FeedParts;
  readonly #topics: TopicCache;
  readonly #sockets: Sockets | undefined;
  readonly #loop: FetchLoop;
  #topicId: string | undefined;
  #until: ReadonlyMap<number, number> | undefined;

  constructor(source: TopicSource, parts: FeedParts, topics: TopicCache, sockets: Sockets | undefined) {
    this.#source = source;
    this.#parts = parts;
    this.#topics = topics;
    this.#sockets = sockets;
    this.#loop = new FetchLoop({
      inbox: parts.inbox,
      clock: parts.http.clock,
      canFetch: () => this.#topicId === undefined || this.#wanted().length > 0,
      fetch: (signal) => this.#fetch(signal),
    });
  }

  start(): void {
    this.#loop.start();
  }

  refetch(): void {
    this.#loop.restart();
  }

  progressed(): void {}

  commit(): Promise<void> {
    const message = "without a group there is nothing to commit to; keep consumer.positions yourself";
    return Promise.reject(new MillraceError("INVALID_ARGUMENT", message));
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async leave(): Promise<void> {}

  async #fetch(signal: AbortSignal): Promise<void> {
    const { http, events } = this.#parts;
    const onRetry = (news: Parameters<typeof events.emit<"retrying">>[1]) => events.emit("retrying", news);
    await http.retry.run({ deadlineMs: Number.POSITIVE_INFINITY, signal, onRetry }, async (attempt) => {
      if (this.#topicId === undefined) await this.#begin(signal);
      else await this.#readOn(this.#topicId, signal, attempt);
    });
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { topic, offset = "earliest", until } = this.#source;
    const facts = await this.#topics.get(topic, { signal });
    const partitions = this.#source.partitions ?? Array.from({ length: facts.partitionCount }, (_, at) => at);
    checkPartitions(topic, partitions, facts);
    const start = await this.#resolve(offset, partitions, signal);
    this.#until = until === undefined ? undefined : await this.#resolve(until, partitions, signal);
    for (const partition of partitions) this.#parts.inbox.open(topic, partition, start.get(partition));
    this.#topicId = facts.topicId;
    this.#parts.events.emit("assigned", { partitions: [{ topic, partitions }] });
    this.#endIfRead();
  }

  async #resolve(
    place: string | number | readonly Position[],
    partitions: readonly number[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, number>> {
    const { topic } = this.#source;
    if (typeof place === "number") {
      if (partitions.length === 1) return new Map([[partitions[0]!, place]]);
      throw new MillraceError("INVALID_ARGUMENT", "a number is a place in one partition; over several give positions");
    }
    if (typeof place !== "string") return new Map(place.map(({ partition, nextOffset }) => [partition, nextOffset]));
    const path = `/v1/topics/${encodeURIComponent(topic)}/offsets`;
    const answer = await this.#parts.http.call({ method: "GET", path, query: { at: place }, signal });
    const { offsets } = answer as { readonly offsets: readonly ResolvedOffset[] };
    return new Map(offsets.map(({ partition, offset }) => [partition, offset]));
  }

  /** A stream, until it breaks or what is wanted changes; without a socket a page. */
  async #readOn(topicId: string, signal: AbortSignal, attempt: number): Promise<void> {
    this.#openNewPartitions();
    const connection = await this.#sockets?.get();
    const wanted = this.#wanted();
    if (connection === undefined || wanted.some(({ fetchPosition }) => fetchPosition === undefined)) {
      await this.#read(topicId, signal, attempt);
      return;
    }
    const { topic, offsetReset = "error" } = this.#source;
    const { inbox: all, events, http } = this.#parts;
    const stream = new TopicStream({ topic, offsetReset, wanted, inbox: all, events, clock: http.clock });
    stream.onRecords = (inbox, records, nextOffset) => this.#deliver(inbox, records, nextOffset);
    const isDone = () => all.isEnded || this.#wanted().length < wanted.length || this.#newPartitions().length > 0;
    try {
      await stream.run(connection, signal, isDone);
    } catch (error) {
      const isNew = stream.hasDelivered && error instanceof MillraceError && error.retriable && !signal.aborted;
      if (!isNew) throw error;
    }
  }

  async #read(topicId: string, signal: AbortSignal, attempt: number): Promise<void> {
    const { topic, offsetReset = "error" } = this.#source;
    const { http, maxBytes, maxRecords, waitMs } = this.#parts;
    const wanted = this.#wanted();
    const versions = new Map(wanted.map((inbox) => [inbox, inbox.version]));
    const positions = new Map(wanted.map(({ partition, fetchPosition }) => [partition, fetchPosition]));
    const query = { topic, topicId, positions, offsetReset, maxBytes, maxRecords, waitMs, signal };
    this.#take(await readPage(http, query, attempt), versions);
  }

  #take({ records, next, reset }: Page, versions: ReadonlyMap<PartitionInbox, number>): void {
    const { topic } = this.#source;
    for (const [inbox, version] of versions) {
      if (inbox.version !== version) continue;
      const mine = records.filter(({ partition }) => partition === inbox.partition);
      this.#deliver(inbox, mine, next.get(inbox.partition) ?? inbox.fetchPosition);
    }
    if (reset !== undefined) {
      this.#parts.events.emit("reset", { topic, from: String(reset.from), to: String(reset.to) });
    }
  }

  #deliver(inbox: PartitionInbox, records: readonly FetchedRecord[], nextOffset: number | undefined): void {
    const end = this.#until?.get(inbox.partition);
    inbox.fetchPosition = nextOffset;
    this.#parts.inbox.add(inbox, end === undefined ? records : records.filter(({ offset }) => offset < end));
    this.#endIfRead();
  }

  /** What is read now: not what is paused, nor what has reached its end. */
  #wanted(): readonly PartitionInbox[] {
    return this.#parts.inbox.partitions.filter((inbox) => !inbox.isPaused && !this.#isRead(inbox));
  }

  #isRead({ partition, fetchPosition }: PartitionInbox): boolean {
    const end = this.#until?.get(partition);
    return end !== undefined && (fetchPosition ?? 0) >= end;
  }

  #endIfRead(): void {
    if (this.#until !== undefined && this.#parts.inbox.partitions.every((inbox) => this.#isRead(inbox))) {
      this.#parts.inbox.end();
    }
  }

  #openNewPartitions(): void {
    const added = this.#newPartitions();
    if (added.length === 0) return;
    const { topic } = this.#source;
    for (const partition of added) this.#parts.inbox.open(topic, partition);
    this.#parts.events.emit("assigned", { partitions: [{ topic, partitions: added }] });
  }

  /** Of a topic that is read whole, those that were added to it since. */
  #newPartitions(): readonly number[] {
    const { topic, partitions } = this.#source;
    if (partitions !== undefined || this.#until !== undefined) return [];
    const count = Math.min(this.#topics.known(topic)?.partitionCount ?? 0, cursorPartitionsMax);
    const have = this.#parts.inbox.partitions.length;
    return Array.from({ length: Math.max(0, count - have) }, (_, at) => have + at);
  }
}

function checkPartitions(topic: string, partitions: readonly number[], { partitionCount }: TopicFacts): void {
  if (partitions.length > cursorPartitionsMax) {
    const message = `one consumer reads at most ${cursorPartitionsMax} partitions without a group; name them`;
    throw new MillraceError("INVALID_ARGUMENT", message);
  }
  for (const partition of partitions) {
    if (Number.isInteger(partition) && partition >= 0 && partition < partitionCount) continue;
    throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic} has no partition ${partition}`);
  }
}
