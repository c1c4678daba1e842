// One partition of a subscription: where it is, what it may send, and the deliveries themselves. It moves when something happens to it (a
// range arrived, an ack made room, the socket was read) and keeps nothing of the log while it cannot.

import type { BrokerError } from "../../protocol/error-codes.ts";
import { unreadableBatch } from "../record-walk.ts";
import { type AckWindow, Unacked } from "./ack-window.ts";
import type { FrameId } from "./client-frames.ts";
import type { FrameSender } from "./frame-sender.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { FeedReader, PartitionFeed } from "./partition-feed.ts";
import type { RecordRange, RecordStyle } from "./record-range.ts";

/** What the partitions of one subscription share. */
export interface CursorOwner {
  readonly id: FrameId;
  readonly sender: FrameSender;
  readonly writer: FrameWriter;
  /** Undefined: stored batches. */
  readonly style: RecordStyle | undefined;
  readonly window: AckWindow | undefined;
  /** The socket is full: pump() is to be called when it has been read. */
  waitForSocket(cursor: PartitionCursor): void;
  /** It has come to its end. */
  finished(cursor: PartitionCursor): void;
  failed(cursor: PartitionCursor, error: BrokerError): void;
}

export class PartitionCursor implements FeedReader {
  readonly feed: PartitionFeed;
  readonly until: number;
  /** Up to where was delivered. */
  position: number;
  readonly unacked = new Unacked();
  readonly #owner: CursorOwner;
  /** The place it waits for a read from. */
  #readingFrom = -1;
  #stopped = false;

  constructor(owner: CursorOwner, feed: PartitionFeed, from: number, until: number) {
    this.#owner = owner;
    this.feed = feed;
    this.position = from;
    this.until = until;
  }

  /** Delivers what it can, then asks for more or waits for room. */
  pump(): void {
    const { window, sender } = this.#owner;
    while (!this.#stopped && this.#readingFrom < 0) {
      if (this.position >= this.until) {
        this.#owner.finished(this);
        return;
      }
      if (window?.isFull) return;
      if (sender.isFull()) {
        this.#owner.waitForSocket(this);
        return;
      }
      const range = this.#owner.style === undefined ? undefined : this.feed.latestFor(this.position);
      if (range === undefined) {
        this.#readingFrom = this.position;
        this.feed.read(this);
      } else if (!this.#deliver(range)) return;
    }
  }

  arrived(range: RecordRange): void {
    this.#readingFrom = -1;
    if (this.#stopped) return;
    const { window, sender } = this.#owner;
    if (window?.isFull) return;
    if (sender.isFull()) this.#owner.waitForSocket(this);
    else if (this.#deliver(range)) this.pump();
  }

  failed(error: BrokerError): void {
    this.#readingFrom = -1;
    if (!this.#stopped) this.#owner.failed(this, error);
  }

  /** Goes on from elsewhere. */
  seek(nextOffset: number): void {
    this.#stopReading();
    this.#owner.window?.forget(this.unacked);
    this.position = nextOffset;
  }

  /** Delivers nothing more. What is un-acked still counts until forget(). */
  stop(): void {
    this.#stopped = true;
    this.#stopReading();
  }

  #stopReading(): void {
    if (this.#readingFrom >= 0) this.feed.leave(this, this.#readingFrom);
    this.#readingFrom = -1;
  }

  /** False: the window has no room for what comes next. */
  #deliver(range: RecordRange): boolean {
    return this.#owner.style === undefined
      ? this.#deliverBatches(range)
      : this.#deliverRecords(range, this.#owner.style);
  }

  #deliverRecords(range: RecordRange, style: RecordStyle): boolean {
    const { window, writer, sender } = this.#owner;
    const { unreadable } = range;
    if (unreadable !== undefined) {
      this.#owner.failed(
        this,
        unreadableBatch(unreadable, `a position with nextOffset ${unreadable.lastOffset + 1}`, {
          topic: range.topic,
          partition: range.partition,
        }),
      );
      return false;
    }
    const cut = range.cut(this.#limits(window));
    if (cut.nextOffset === this.position) return false;
    const { start, end, bytes, nextOffset } = cut;
    this.position = nextOffset;
    if (end > start) {
      window?.delivered(this.unacked, { index: range.index, start, end, nextOffset, records: end - start, bytes });
    }
    sender.sendShared(writer.recordsHead(this.#head(range), end - start), range.encoded(style, cut));
    return true;
  }

  #deliverBatches(range: RecordRange): boolean {
    const { window, writer, sender } = this.#owner;
    const { bytes, records, nextOffset } = range.batches(this.#limits(window));
    if (nextOffset === this.position) return false;
    this.position = nextOffset;
    if (bytes.byteLength > 0) {
      window?.delivered(this.unacked, {
        index: undefined,
        start: 0,
        end: 0,
        nextOffset,
        records,
        bytes: bytes.byteLength,
      });
    }
    sender.sendShared(writer.batchesHead(this.#head(range), bytes.byteLength), bytes);
    return true;
  }

  #limits(window: AckWindow | undefined) {
    return {
      from: this.position,
      until: this.until,
      records: window?.recordsLeft ?? Number.POSITIVE_INFINITY,
      bytes: window?.bytesLeft ?? Number.POSITIVE_INFINITY,
      atLeastOne: window?.isEmpty ?? true,
    };
  }

  #head(range: RecordRange) {
    return {
      id: this.#owner.id,
      topic: range.topic,
      partition: range.partition,
      nextOffset: this.position,
      highWatermark: range.highWatermark,
      leaderEpoch: range.leaderEpochBefore(this.position),
    };
  }
}
