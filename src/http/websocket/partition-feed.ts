// What all subscribers of one partition on this broker share: the reads of its log. Those who are at the same place wait for one read and
// get one range, so the records of a partition with 1,000 tails are fetched, decoded and encoded once. Who is behind reads for itself,
// and meets the others when it has caught up. Nobody is waited for: a reader that takes nothing is simply not in here.

import type { Broker, FetchedPartition, TopicInfo } from "../../broker/broker.ts";
import type { Counter } from "../../metrics/instruments.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import { unexpected } from "../problem.ts";
import type { RecordWalk } from "../record-walk.ts";
import { RecordRange } from "./record-range.ts";
import { rangeBytesMax, tailWaitMs } from "./socket-limits.ts";

export interface FeedReader {
  readonly position: number;
  /** Called once for each read(): the range begins at the reader's position. */
  arrived(range: RecordRange): void;
  /** Or this. */
  failed(error: BrokerError): void;
}

export interface FeedContext {
  readonly broker: Broker;
  readonly walk: RecordWalk;
  readonly bytesOut: Counter;
  /** A bug: told once for each read. */
  readonly bug: (error: unknown) => void;
}

interface SharedRead {
  readonly readers: Set<FeedReader>;
  readonly gone: AbortController;
}

export class PartitionFeed {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly #context: FeedContext;
  /** By the offset they begin at. */
  readonly #reads = new Map<number, SharedRead>();
  /** Subscriptions that hold this feed. */
  holders = 0;
  /** The last range, while somebody has not got all of it. */
  #latest: RecordRange | undefined;

  constructor(context: FeedContext, topic: TopicInfo, partition: number) {
    this.#context = context;
    this.topic = topic.name;
    this.topicId = topic.topicId;
    this.partition = partition;
  }

  /** The range that was read last, if it begins at or before an offset and goes beyond it. */
  latestFor(offset: number): RecordRange | undefined {
    const latest = this.#latest;
    return latest !== undefined && latest.from <= offset && offset < latest.nextOffset ? latest : undefined;
  }

  read(reader: FeedReader): void {
    const offset = reader.position;
    const known = this.#reads.get(offset);
    if (known !== undefined) {
      known.readers.add(reader);
      return;
    }
    const read: SharedRead = { readers: new Set([reader]), gone: new AbortController() };
    this.#reads.set(offset, read);
    void this.#run(offset, read);
  }

  /** A reader that does not want its range any more, from the place it asked from. */
  leave(reader: FeedReader, offset: number): void {
    const read = this.#reads.get(offset);
    if (read === undefined || !read.readers.delete(reader) || read.readers.size > 0) return;
    this.#reads.delete(offset);
    read.gone.abort();
  }

  /** The last holder has gone. */
  close(): void {
    this.#latest = undefined;
  }

  async #run(offset: number, read: SharedRead): Promise<void> {
    try {
      const fetched = await this.#fetch(offset, read);
      if (this.#reads.get(offset) !== read) return; // everybody left
      this.#reads.delete(offset);
      if (fetched !== undefined) this.#give(new RecordRange(fetched, offset, this.#context.walk), read.readers);
    } catch (error) {
      if (this.#reads.get(offset) === read) this.#reads.delete(offset);
      if (!(error instanceof BrokerError)) this.#context.bug(error);
      const refusal = error instanceof BrokerError ? error : unexpected(error);
      for (const reader of read.readers) reader.failed(refusal);
    }
  }

  /** Waits until there is something behind the offset. Undefined: nobody wants it any more, or the broker shuts down. */
  async #fetch(offset: number, { gone }: SharedRead): Promise<FetchedPartition | undefined> {
    const { broker, bytesOut } = this.#context;
    const partitions = [{ topic: this.topic, partition: this.partition, offset }];
    for (;;) {
      const topic = broker.topic(this.topic, "read");
      if ((topic instanceof Promise ? await topic : topic).topicId !== this.topicId) throw deletedTopic(this.topic);
      const limits = { maxBytes: rangeBytesMax, minBytes: 1, waitMs: tailWaitMs };
      const [fetched] = await broker.fetch({ partitions, ...limits, signal: gone.signal });
      if (fetched?.error !== undefined) throw fetched.error;
      if (fetched !== undefined && fetched.nextOffset > offset) {
        bytesOut.inc(fetched.batches.byteLength);
        return fetched;
      }
      if (gone.signal.aborted || broker.draining) return undefined;
    }
  }

  #give(range: RecordRange, readers: ReadonlySet<FeedReader>): void {
    this.#latest = range;
    for (const reader of readers) reader.arrived(range);
    let behind = false;
    for (const reader of readers) if (reader.position < range.batchesEnd) behind = true;
    if (!behind && this.#latest === range) this.#latest = undefined;
  }
}

const deletedTopic = (topic: string): BrokerError =>
  new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${topic} was deleted, and another one has its name now`);

/** The feeds that somebody holds. */
export class PartitionFeeds {
  readonly #feeds = new Map<string, PartitionFeed>();
  readonly #contextOf: (topic: string) => FeedContext;

  constructor(contextOf: (topic: string) => FeedContext) {
    this.#contextOf = contextOf;
  }

  /** A topic that was made anew under its name has feeds of its own. */
  hold(topic: TopicInfo, partition: number): PartitionFeed {
    const key = `${topic.topicId}-${partition}`;
    let feed = this.#feeds.get(key);
    if (feed === undefined) {
      feed = new PartitionFeed(this.#contextOf(topic.name), topic, partition);
      this.#feeds.set(key, feed);
    }
    feed.holders += 1;
    return feed;
  }

  release(feed: PartitionFeed): void {
    feed.holders -= 1;
    if (feed.holders > 0) return;
    feed.close();
    this.#feeds.delete(`${feed.topicId}-${feed.partition}`);
  }
}
