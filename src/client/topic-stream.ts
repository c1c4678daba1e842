// A topic read over a WebSocket: one subscription whose window is the consumer's buffer. What the consumer takes is acked,
// and so makes room for more.

import type { FetchedRecord } from "./consumed-record.ts";
import { fetchedBytes } from "./consumed-record.ts";
import type { ConsumerEmitter } from "./consumer-events.ts";
import { problemError } from "./http-answer.ts";
import type { Inbox, PartitionInbox } from "./inbox.ts";
import { abortedError, MillraceError, type Problem } from "./millrace-error.ts";
import type { ClientClock } from "./platform.ts";
import type { Frame, SocketConnection } from "./socket-connection.ts";
import { changeWithin, linkSignals } from "./waiting.ts";

export interface TopicStreamParts {
  readonly topic: string;
  readonly offsetReset: "earliest" | "latest" | "error";
  /** Each with a place to begin. */
  readonly wanted: readonly PartitionInbox[];
  readonly inbox: Inbox;
  readonly events: ConsumerEmitter;
  readonly clock: ClientClock;
}

const checkMs = 60_000;
const windowRecords = 10_000;
/** An ack goes out when so much of the window was taken, */
const ackShare = 1 / 4;
/** or when nothing was taken for so long: the next record may be one that wants the window for itself. */
const ackQuietMs = 100;

export class TopicStream {
  onRecords: (inbox: PartitionInbox, records: readonly FetchedRecord[], nextOffset: number) => void = () => {};
  readonly #parts: TopicStreamParts;
  readonly #byPartition: ReadonlyMap<number, { readonly inbox: PartitionInbox; readonly version: number }>;
  readonly #windowBytes: number;
  readonly #acked = new Map<PartitionInbox, number>();
  #deliveredRecords = 0;
  #deliveredBytes = 0;
  #ackedRecords = 0;
  #ackedBytes = 0;

  constructor(parts: TopicStreamParts) {
    this.#parts = parts;
    this.#windowBytes = Math.min(parts.inbox.bytesMax, 32 * 1024 * 1024);
    this.#byPartition = new Map(
      parts.wanted.map((inbox) => [inbox.partition, { inbox, version: inbox.version }] as const),
    );
  }

  /** It has brought something: when it breaks, that is a new trouble and not the next attempt in an old one. */
  get hasDelivered(): boolean {
    return this.#deliveredRecords > 0;
  }

  /** Resolves once `isDone`, which is asked after each delivery and now and then; rejects when the signal is aborted or the subscription ends otherwise. */
  async run(connection: SocketConnection, signal: AbortSignal, isDone: () => boolean): Promise<void> {
    const { topic, wanted, offsetReset, inbox, clock } = this.#parts;
    const ended = linkSignals(signal);
    let failure: MillraceError | undefined;
    const fail = (error: MillraceError): void => {
      failure ??= error;
      ended.abort();
    };
    const stop = connection.listen(
      {
        type: "subscribe",
        topic,
        partitions: wanted.map(({ partition }) => partition),
        positions: wanted.map(({ partition, fetchPosition }) => ({ topic, partition, nextOffset: fetchPosition })),
        window: { records: windowRecords, bytes: this.#windowBytes },
        ...(offsetReset === "error" ? {} : { offsetReset }),
      },
      {
        lost: fail,
        frame: (frame) => {
          this.#take(frame, fail);
          if (isDone()) ended.abort();
        },
      },
    );
    try {
      while (!ended.signal.aborted) {
        const before = this.#takenRecords;
        await changeWithin(inbox.drained, clock, before > this.#ackedRecords ? ackQuietMs : checkMs, ended.signal);
        if (isDone()) break;
        this.#ack(connection, stop.id, this.#takenRecords === before);
      }
    } finally {
      stop();
      ended.release();
      connection.send({ type: "unsubscribe", id: stop.id });
    }
    if (signal.aborted) throw abortedError(signal);
    if (failure !== undefined) throw failure;
  }

  #take(frame: Frame, fail: (error: MillraceError) => void): void {
    if (frame.type === "problem") fail(problemError(frame["problem"] as Problem));
    else if (frame.type === "closed") fail(endedByBroker(frame));
    else if (frame.type === "subscribed") this.#moved(frame);
    else if (frame.type === "records") this.#delivered(frame);
  }

  /** At first where it begins; later where offsetReset went on. */
  #moved(frame: Frame): void {
    const { topic, events } = this.#parts;
    type Reset = { readonly partition: number; readonly from: number | string; readonly to: number };
    for (const { partition, from, to } of (frame["reset"] ?? []) as readonly Reset[]) {
      const target = this.#byPartition.get(partition);
      if (target !== undefined && target.inbox.version === target.version) target.inbox.fetchPosition = to;
      events.emit("reset", { topic, from: `${partition}:${from}`, to: `${partition}:${to}` });
    }
  }

  #delivered(frame: Frame): void {
    const target = this.#byPartition.get(frame["partition"] as number);
    // A seek since then has moved it: this stream is about to end.
    if (target === undefined || target.inbox.version !== target.version) return;
    const records = frame["records"] as readonly FetchedRecord[];
    this.#deliveredRecords += records.length;
    for (const record of records) this.#deliveredBytes += fetchedBytes(record);
    this.onRecords(target.inbox, records, frame["nextOffset"] as number);
  }

  get #takenRecords(): number {
    return this.#deliveredRecords - this.#parts.wanted.reduce((sum, { waiting }) => sum + waiting, 0);
  }

  #ack(connection: SocketConnection, id: number, isQuiet: boolean): void {
    const { topic, inbox: all, wanted } = this.#parts;
    const takenBytes = this.#deliveredBytes - all.bytes;
    const takenRecords = this.#takenRecords;
    const isDue =
      (isQuiet && takenRecords > this.#ackedRecords) ||
      takenBytes - this.#ackedBytes >= this.#windowBytes * ackShare ||
      takenRecords - this.#ackedRecords >= windowRecords * ackShare;
    if (!isDue) return;
    this.#ackedBytes = takenBytes;
    this.#ackedRecords = takenRecords;
    const positions = wanted.flatMap((inbox) => {
      const nextOffset = inbox.takenPosition;
      if (nextOffset === undefined || nextOffset === this.#acked.get(inbox)) return [];
      this.#acked.set(inbox, nextOffset);
      return [{ topic, partition: inbox.partition, nextOffset }];
    });
    if (positions.length > 0) connection.send({ type: "ack", id, positions });
  }
}

/** A subscription that was closed without a problem before it, and not by our wish. */
const endedByBroker = ({ code }: Frame): MillraceError =>
  new MillraceError(typeof code === "string" ? code : "CONNECTION_FAILED", "the broker closed the subscription", {
    retriable: true,
  });
