// One partition as a subscription of a group delivers it: what waits to be taken, and how much of the window it uses.

import type { Position } from "./admin-answers.ts";
import { type FetchedRecord, fetchedBytes } from "./consumed-record.ts";

/** One that was sent. */
export interface Commit {
  readonly nextOffset: number;
  isDone: boolean;
  code?: string;
}

export class GroupCursor {
  readonly topic: string;
  readonly partition: number;
  records: FetchedRecord[] = [];
  /** Where `records` begins, and where the broker goes on. */
  begin: number;
  next: number;
  committed: number;
  /** On their way to the broker: what comes before their answers is of before. */
  readonly seeks = new Set<object>();
  unackedRecords = 0;
  unackedBytes = 0;
  isRevoking = false;
  #acked: number;

  constructor({ topic, partition, nextOffset }: Position) {
    this.topic = topic;
    this.partition = partition;
    this.begin = this.next = this.committed = this.#acked = nextOffset;
  }

  deliver(records: readonly FetchedRecord[], nextOffset: number): void {
    if (this.isRevoking || this.seeks.size > 0) return;
    for (const record of records) {
      this.records.push(record);
      this.unackedRecords++;
      this.unackedBytes += fetchedBytes(record);
    }
    this.next = nextOffset;
  }

  take(): readonly FetchedRecord[] {
    const { records } = this;
    this.records = [];
    this.begin = this.next;
    return records;
  }

  /** What is left of the window's use is judged by offsets: near enough to know when to make room. */
  ack(nextOffset: number): void {
    const left = Math.min(1, Math.max(0, this.next - nextOffset) / Math.max(1, this.next - this.#acked));
    this.unackedRecords *= left;
    this.unackedBytes *= left;
    this.#acked = nextOffset;
  }

  moveTo(nextOffset: number): void {
    this.begin = this.next = this.#acked = nextOffset;
    this.#forget();
  }

  revoke(): void {
    this.isRevoking = true;
    this.#forget();
  }

  #forget(): void {
    this.records = [];
    this.unackedRecords = this.unackedBytes = 0;
  }
}
