// Judges a history: which promises of the broker it breaks. Knows nothing of how the broker works.
//
// lostWrite            an acknowledged value is not there in the end
// lostRead             a value that somebody read is not there in the end
// phantomRead          a value was read that nobody sent
// abortedRead          a value was read whose every send was refused for certain
// inconsistentOffsets  an offset held two values, or an acknowledged value is not at its offset
// duplicate            a value of an idempotent producer is at two offsets
// nonmonotonicSend     values of one process stand in another order than they were sent in
// realTimeOrder        a value sent after the acknowledgement of another stands before it
// skippedPoll          a poll began or went on beyond the next record
// nonmonotonicPoll     a poll gave records below where it began, or out of order
// highWatermarkBack    a poll told of a high watermark below what was read or acknowledged before it was sent

import type { History, HistoryEvent, Place, Polled, SendInvoked } from "./history.ts";

export type AnomalyKind =
  | "lostWrite"
  | "lostRead"
  | "phantomRead"
  | "abortedRead"
  | "inconsistentOffsets"
  | "duplicate"
  | "nonmonotonicSend"
  | "realTimeOrder"
  | "skippedPoll"
  | "nonmonotonicPoll"
  | "highWatermarkBack";

export interface Anomaly {
  readonly kind: AnomalyKind;
  readonly detail: string;
}

export interface Verdict {
  readonly anomalies: readonly Anomaly[];
  readonly acknowledged: number;
  /** Values whose sender never learnt whether they are there, and how many of them are. */
  readonly inDoubt: number;
  readonly inDoubtThere: number;
  readonly finalRecords: number;
}

type Outcome = "acknowledged" | "refused" | "inDoubt";

interface Operation {
  readonly invoked: SendInvoked;
  outcome: Outcome;
  placed: readonly Place[];
  /** By partition, the largest acknowledged offset when the operation was first invoked, and whose it was. */
  readonly acknowledgedBefore: ReadonlyMap<number, Bound>;
}

interface Bound {
  readonly offset: number;
  readonly process: string;
}

interface Sent {
  readonly operation: Operation;
  readonly index: number;
}

export function checkHistory(history: Pick<History, "events">): Verdict {
  return new Checker(history.events).run();
}

class Checker {
  readonly #events: readonly HistoryEvent[];
  readonly #anomalies: Anomaly[] = [];
  readonly #operations: ReadonlyMap<number, Operation>;
  readonly #sent = new Map<string, Sent>();
  /** Where a value was in the final reads. */
  readonly #there = new Map<string, Place[]>();

  constructor(events: readonly HistoryEvent[]) {
    this.#events = events;
    this.#operations = operationsOf(events);
    for (const operation of this.#operations.values()) {
      operation.invoked.values.forEach((value, index) => {
        if (this.#sent.has(value)) throw new Error(`the history sends ${shown(value)} twice: values must be unique`);
        this.#sent.set(value, { operation, index });
      });
    }
  }

  run(): Verdict {
    const polls = this.#events.filter((event) => event.f === "poll");
    for (const poll of polls) if (poll.final) this.#noteFinal(poll);
    this.#checkReads(polls);
    this.#checkSends();
    this.#checkOffsets(polls);
    this.#checkOrder();
    this.#checkPollOrder(polls);
    this.#checkHighWatermarks();
    return this.#verdict();
  }

  #add(kind: AnomalyKind, detail: string): void {
    this.#anomalies.push({ kind, detail });
  }

  #noteFinal({ partition, records }: Polled): void {
    for (const { offset, value } of records) {
      const places = this.#there.get(value);
      if (places === undefined) this.#there.set(value, [{ partition, offset }]);
      else places.push({ partition, offset });
    }
  }

  #checkReads(polls: readonly Polled[]): void {
    const read = new Set<string>();
    for (const poll of polls) {
      for (const { value, offset } of poll.records) {
        if (read.has(value)) continue;
        read.add(value);
        const where = `${shown(value)} was read at ${poll.partition}:${offset}`;
        const sent = this.#sent.get(value);
        if (sent === undefined) this.#add("phantomRead", `${where}, and nobody sent it`);
        else if (sent.operation.outcome === "refused") this.#add("abortedRead", `${where}, and its send was refused`);
        // One that was acknowledged is reported as a lost write.
        if (!this.#there.has(value) && sent?.operation.outcome !== "acknowledged") {
          this.#add("lostRead", `${where} and is not there in the end`);
        }
      }
    }
  }

  #checkSends(): void {
    for (const { invoked, outcome, placed } of this.#operations.values()) {
      invoked.values.forEach((value, index) => {
        const places = this.#there.get(value) ?? [];
        if (outcome === "acknowledged" && places.length === 0) {
          this.#add(
            "lostWrite",
            `${shown(value)} was acknowledged at ${at(placed[index])} and is not there in the end`,
          );
        }
        if (invoked.idempotent && places.length > 1) {
          this.#add("duplicate", `${shown(value)} is at ${places.map(at).join(" and ")}`);
        }
        if (
          outcome === "acknowledged" &&
          places.length > 0 &&
          !places.some((place) => at(place) === at(placed[index]))
        ) {
          this.#add(
            "inconsistentOffsets",
            `${shown(value)} was acknowledged at ${at(placed[index])} and is at ${places.map(at).join(" and ")}`,
          );
        }
      });
    }
  }

  #checkOffsets(polls: readonly Polled[]): void {
    const values = new Map<string, string>();
    for (const { partition, records } of polls) {
      for (const { offset, value } of records) {
        const place = at({ partition, offset });
        const other = values.get(place);
        if (other === undefined) values.set(place, value);
        else if (other !== value) {
          this.#add("inconsistentOffsets", `${place} was ${shown(other)} and then ${shown(value)}`);
        }
      }
    }
  }

  #checkOrder(): void {
    const last = new Map<string, { offset: number; value: string }>();
    for (const operation of this.#operations.values()) {
      const { invoked, acknowledgedBefore } = operation;
      invoked.values.forEach((value, index) => {
        const place = this.#there.get(value)?.[0] ?? operation.placed[index];
        if (place === undefined) return;
        const lane = `${invoked.process} ${place.partition}`;
        const before = last.get(lane);
        if (before !== undefined && place.offset < before.offset) {
          const details = `${shown(value)} at ${at(place)} was sent after ${shown(before.value)} at offset ${before.offset}`;
          this.#add("nonmonotonicSend", `${invoked.process}: ${details}`);
        }
        last.set(lane, { offset: place.offset, value });
        const bound = acknowledgedBefore.get(place.partition);
        if (bound !== undefined && place.offset <= bound.offset && bound.process !== invoked.process) {
          const details = `stands at ${at(place)}; ${bound.process} had offset ${bound.offset} acknowledged before`;
          this.#add("realTimeOrder", `${shown(value)} of ${invoked.process} ${details}`);
        }
      });
    }
  }

  #checkPollOrder(polls: readonly Polled[]): void {
    const next = new Map<string, number>();
    for (const poll of polls) {
      const reader = `${poll.process} ${poll.partition}`;
      const expected = next.get(reader) ?? poll.from;
      if (poll.from > expected)
        this.#add("skippedPoll", `${reader} went on from ${poll.from} and not from ${expected}`);
      let offset = poll.from;
      for (const record of poll.records) {
        if (record.offset > offset) this.#add("skippedPoll", `${reader} got ${record.offset} and not ${offset}`);
        if (record.offset < offset) {
          this.#add("nonmonotonicPoll", `${reader} got ${record.offset} when ${offset} was next`);
        }
        offset = record.offset + 1;
      }
      next.set(reader, offset);
    }
  }

  #checkHighWatermarks(): void {
    /** By partition, the lowest high watermark that is possible, after each event that raised it. */
    const bounds = new Map<number, { after: number; least: number }[]>();
    this.#events.forEach((event, index) => {
      if (event.f === "poll") {
        const { partition, highWatermark, invokedAfter, records } = event;
        const known = bounds.get(partition)?.findLast(({ after }) => after <= invokedAfter)?.least ?? 0;
        if (highWatermark < known) {
          this.#add(
            "highWatermarkBack",
            `${event.process} was told ${highWatermark} of partition ${partition}, known: ${known}`,
          );
        }
        const read = (records.at(-1)?.offset ?? -1) + 1;
        raise(bounds, partition, Math.max(highWatermark, read), index + 1);
      } else if (event.type === "ok") {
        for (const { partition, offset } of event.placed) raise(bounds, partition, offset + 1, index + 1);
      }
    });
  }

  #verdict(): Verdict {
    const counts = { acknowledged: 0, inDoubt: 0, inDoubtThere: 0 };
    for (const { invoked, outcome } of this.#operations.values()) {
      if (outcome === "acknowledged") counts.acknowledged += invoked.values.length;
      if (outcome !== "inDoubt") continue;
      counts.inDoubt += invoked.values.length;
      counts.inDoubtThere += invoked.values.filter((value) => this.#there.has(value)).length;
    }
    const finalRecords = [...this.#there.values()].reduce((sum, places) => sum + places.length, 0);
    return { anomalies: this.#anomalies, ...counts, finalRecords };
  }
}

/** In the order of their first invocation. */
function operationsOf(events: readonly HistoryEvent[]): Map<number, Operation> {
  const operations = new Map<number, Operation>();
  const acknowledged = new Map<number, Bound>();
  const doubtful = new Set<number>();
  for (const event of events) {
    if (event.f === "poll") continue;
    const known = operations.get(event.operation);
    if (event.type === "invoke") {
      if (known !== undefined) {
        known.outcome = "inDoubt";
        continue;
      }
      const acknowledgedBefore = new Map(acknowledged);
      operations.set(event.operation, { invoked: event, outcome: "inDoubt", placed: [], acknowledgedBefore });
      continue;
    }
    if (known === undefined) throw new Error(`operation ${event.operation} was answered and never invoked`);
    if (event.type === "info") doubtful.add(event.operation);
    // Refused only if none of its attempts is in doubt.
    if (event.type === "fail" && !doubtful.has(event.operation)) known.outcome = "refused";
    if (event.type !== "ok") continue;
    known.outcome = "acknowledged";
    known.placed = event.placed;
    for (const { partition, offset } of event.placed) {
      const bound = acknowledged.get(partition);
      if (bound === undefined || offset > bound.offset) acknowledged.set(partition, { offset, process: event.process });
    }
  }
  return operations;
}

function raise(
  bounds: Map<number, { after: number; least: number }[]>,
  partition: number,
  least: number,
  after: number,
) {
  const steps = bounds.get(partition);
  if (steps === undefined) bounds.set(partition, [{ after, least }]);
  else if (least > steps.at(-1)!.least) steps.push({ after, least });
}

function at(place: Place | undefined): string {
  return place === undefined ? "no offset" : `${place.partition}:${place.offset}`;
}

const shownCharactersMax = 40;

function shown(value: string): string {
  return value.length <= shownCharactersMax ? value : `${value.slice(0, shownCharactersMax)}…`;
}
