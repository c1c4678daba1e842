// What clients of a broker did and saw, in the order it happened: the one thing that check-history judges by. An event is
// written down when the client knows of it and not later, so what stood before it had truly happened before it.

/** A value is unique in its run: `producer.counter`, and padding that only makes it longer. */
export type HistoryEvent = SendInvoked | SendAcknowledged | SendUnanswered | Polled;

interface SendEvent {
  readonly f: "send";
  /** Sends of one process to one partition are to stand there in the order in which they were invoked. */
  readonly process: string;
  /** Unique in the history. A send that is repeated with the same sequence or Idempotency-Key stays one operation. */
  readonly operation: number;
}

/** Each attempt of an operation is invoked, then ok, fail or info; after ok nothing follows. */
export interface SendInvoked extends SendEvent {
  readonly type: "invoke";
  readonly idempotent: boolean;
  readonly values: readonly string[];
}

export interface SendAcknowledged extends SendEvent {
  readonly type: "ok";
  /** Where each value is, in the order of `values`. */
  readonly placed: readonly Place[];
}

/** `fail`: the broker refused it for certain. `info`: nobody can say whether it is in the log. */
export interface SendUnanswered extends SendEvent {
  readonly type: "fail" | "info";
  readonly reason: string;
}

/** A read of one partition that was answered. Polls of one process follow one another: each begins where the last ended. */
export interface Polled {
  readonly type: "ok";
  readonly f: "poll";
  readonly process: string;
  readonly partition: number;
  /** Where the read was asked to begin. */
  readonly from: number;
  readonly records: readonly { readonly offset: number; readonly value: string }[];
  readonly highWatermark: number;
  /** The number of events in the history when the poll was sent: what those told had happened before. */
  readonly invokedAfter: number;
  /** Set on the polls made when all faults were over; together they hold whole partitions. */
  readonly final?: true;
}

export interface Place {
  readonly partition: number;
  readonly offset: number;
}

export class History {
  readonly events: HistoryEvent[] = [];
  #operations = 0;

  get length(): number {
    return this.events.length;
  }

  newOperation(): number {
    return this.#operations++;
  }

  add(event: HistoryEvent): void {
    this.events.push(event);
  }

  toJsonLines(): string {
    return this.events.map((event) => `${JSON.stringify(event)}\n`).join("");
  }
}
