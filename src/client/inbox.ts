// What was fetched and not yet handled, partition by partition, bounded in bytes. Feeds put in, the consumer takes out.

import { type FetchedRecord, fetchedBytes } from "./consumed-record.ts";
import { type Mark, Progress } from "./progress.ts";
import { Change } from "./waiting.ts";

/** So many records of a partition are taken before the next one has its turn. */
const turnRecordsMax = 100;

/** One partition that is being consumed. */
export class PartitionInbox {
  readonly topic: string;
  readonly partition: number;
  readonly progress = new Progress();
  /** Aborted when the partition is lost while its records are being handled. */
  readonly lost = new AbortController();
  /** leaving: it goes to another member once what was begun is finished. */
  state: "active" | "leaving" | "gone" = "active";
  isPaused = false;
  /** A handler has a batch of it: no other may begin one. */
  isHeld = false;
  /** Where the next fetch begins; undefined: the broker knows. */
  fetchPosition: number | undefined;
  /** What the broker holds as committed, as far as we know. */
  committed: number | undefined;
  /** Rises with each seek: what was asked for before does not belong here any more. */
  version = 0;
  #records: FetchedRecord[] = [];
  #taken = 0;

  constructor(topic: string, partition: number, fetchPosition?: number) {
    this.topic = topic;
    this.partition = partition;
    this.fetchPosition = fetchPosition;
  }

  get waiting(): number {
    return this.#records.length - this.#taken;
  }

  /** Everything below it was taken. */
  get takenPosition(): number | undefined {
    return this.#records[this.#taken]?.offset ?? this.fetchPosition;
  }

  /** Records may be taken from it now. */
  get isReady(): boolean {
    return this.state === "active" && !this.isPaused && !this.isHeld && this.waiting > 0;
  }

  add(records: readonly FetchedRecord[]): void {
    if (this.#taken > 0) {
      this.#records.splice(0, this.#taken);
      this.#taken = 0;
    }
    for (const record of records) this.#records.push(record);
  }

  take(): FetchedRecord | undefined {
    const record = this.#records[this.#taken];
    if (record !== undefined) this.#taken++;
    return record;
  }

  /** Puts records back where they were, in the order of their offsets. */
  putBack(records: readonly FetchedRecord[]): void {
    this.#records = [...records, ...this.#records.slice(this.#taken)].sort((a, b) => a.offset - b.offset);
    this.#taken = 0;
  }

  /** Drops what is waiting; returns its bytes. */
  clear(): number {
    let bytes = 0;
    for (let at = this.#taken; at < this.#records.length; at++) bytes += fetchedBytes(this.#records[at]!);
    this.#records = [];
    this.#taken = 0;
    return bytes;
  }
}

/** A record that was taken, and where it came from. */
export interface Taken {
  readonly inbox: PartitionInbox;
  readonly record: FetchedRecord;
  readonly mark: Mark;
}

export class Inbox {
  /** Something can be taken, or something ended. */
  readonly arrived = new Change();
  /** There is room again. */
  readonly drained = new Change();
  readonly #bytesMax: number;
  readonly #partitions = new Map<string, PartitionInbox>();
  #order: PartitionInbox[] = [];
  #turn = 0;
  #turnRecords = 0;
  #bytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #isEnded = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get partitions(): readonly PartitionInbox[] {
    return this.#order;
  }

  get isFull(): boolean {
    return this.#bytes >= this.#bytesMax;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing more will come. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get(topic: string, partition: number): PartitionInbox | undefined {
    return this.#partitions.get(`${topic}/${partition}`);
  }

  open(topic: string, partition: number, fetchPosition?: number): PartitionInbox {
    const opened = new PartitionInbox(topic, partition, fetchPosition);
    this.#partitions.set(`${topic}/${partition}`, opened);
    this.#order = [...this.#partitions.values()];
    return opened;
  }

  /** Nothing more is taken from it. */
  drop(inbox: PartitionInbox): void {
    this.clear(inbox);
    inbox.state = "gone";
    this.#partitions.delete(`${inbox.topic}/${inbox.partition}`);
    this.#order = [...this.#partitions.values()];
    this.arrived.tell();
  }

  clear(inbox: PartitionInbox): void {
    this.#free(inbox.clear());
  }

  add(inbox: PartitionInbox, records: readonly FetchedRecord[]): void {
    if (records.length === 0) return;
    inbox.add(records);
    for (const record of records) this.#bytes += fetchedBytes(record);
    this.arrived.tell();
  }

  /** The next record, from the partitions in turn. Throws what the feed failed with once nothing is left. */
  take(): Taken | undefined {
    const inbox = this.#next();
    if (inbox === undefined) return undefined;
    this.#turnRecords++;
    return this.#takeFrom(inbox);
  }

  /** What is waiting of one partition, up to `recordsMax`. */
  takeBatch(recordsMax: number): Taken[] {
    const inbox = this.#next();
    if (inbox === undefined) return [];
    const taken: Taken[] = [];
    while (taken.length < recordsMax && inbox.waiting > 0) taken.push(this.#takeFrom(inbox));
    this.#turnRecords = turnRecordsMax;
    return taken;
  }

  /** Records that were taken and not handled. */
  putBack(taken: readonly Taken[]): void {
    const partitions = new Map<PartitionInbox, FetchedRecord[]>();
    for (const { inbox, record, mark } of taken) {
      const isCurrent = inbox.progress.putBack(mark);
      if (inbox.state !== "active" || !isCurrent) continue;
      const records = partitions.get(inbox);
      if (records === undefined) partitions.set(inbox, [record]);
      else records.push(record);
    }
    for (const [inbox, records] of partitions) {
      inbox.putBack(records);
      for (const record of records) this.#bytes += fetchedBytes(record);
    }
    this.arrived.tell();
  }

  /** Whoever waits for a record gets the error, once what was fetched is handled. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.arrived.tell();
  }

  end(): void {
    this.#isEnded = true;
    this.arrived.tell();
  }

  #takeFrom(inbox: PartitionInbox): Taken {
    const record = inbox.take()!;
    this.#free(fetchedBytes(record));
    return { inbox, record, mark: inbox.progress.begin(record.offset) };
  }

  #next(): PartitionInbox | undefined {
    const count = this.#order.length;
    for (let step = 0; step < count; step++) {
      const inbox = this.#order[this.#turn % count]!;
      if (inbox.isReady && this.#turnRecords < turnRecordsMax) return inbox;
      this.#turn = (this.#turn + 1) % count;
      this.#turnRecords = 0;
    }
    const inbox = count === 0 ? undefined : this.#order[this.#turn % count];
    if (inbox?.isReady) return inbox;
    if (this.#failure !== undefined) throw this.#failure.error;
    return undefined;
  }

  #free(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes <= this.#bytesMax / 2) this.drained.tell();
  }
}
