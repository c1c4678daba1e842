// Judges what a consumer group gave its members: which promises of the broker it breaks. All members are honest: they handle in the
// order they are given, commit only what they handled, and drop everything when refused.
//
// undelivered         an acknowledged record was handled by nobody
// inconsistentValue   two handlings of an offset saw different values, or another one than was acknowledged
// skipped             a member was given records behind some that nobody had handled
// outOfOrder          a member that kept a partition went on elsewhere than behind its last record of it
// notOwner            a record was handled by a member although its partition had been given to another one since
// doubled             a record was handled again, and neither had the broker been killed since the first time, nor had its first
//                     handler died or hung. Answers that are lost, joins, leaves and moves of partitions excuse nothing
// committedAgain      a record below a committed offset that was known by then was handled again; nothing excuses this
// committedBack       the committed offset was seen below one that was known when it was asked for
// committedUnhandled  the committed offset was seen beyond a record that nobody had handled
// refusedWithoutCause a member was refused that had not hung, or had been refused for that already, or a commit was left out

import type { GroupEvent, GroupHistory, Handled, OffsetsSeen } from "./group-history.ts";

export interface GroupAnomaly {
  readonly kind:
    | "undelivered"
    | "inconsistentValue"
    | "skipped"
    | "outOfOrder"
    | "notOwner"
    | "doubled"
    | "committedAgain"
    | "committedBack"
    | "committedUnhandled"
    | "refusedWithoutCause";
  readonly detail: string;
}

export interface GroupVerdict {
  readonly anomalies: readonly GroupAnomaly[];
  /** Different records. */
  readonly handled: number;
  /** Handlings of a record that had been handled before. */
  readonly again: number;
  readonly events: Readonly<Record<GroupEvent["f"], number>>;
}

export interface AcknowledgedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
}

export function checkGroupHistory(
  history: Pick<GroupHistory, "events">,
  acknowledged: readonly AcknowledgedRecord[],
): GroupVerdict {
  return new Checker().run(history.events, acknowledged);
}

interface Handling {
  readonly at: number;
  readonly member: string;
  readonly value: string;
}

class PartitionState {
  readonly handled = new Map<number, Handling>();
  /** Every offset below was handled. */
  prefix = 0;
  owner: string | undefined;
  /** The largest committed offset that somebody knows of. */
  committed = 0;
  /** What `committed` was when somebody last asked for the offsets. */
  readonly committedWhenAsked = new Map<string, number>();
}

class Checker {
  readonly #anomalies: GroupAnomaly[] = [];
  readonly #partitions = new Map<number, PartitionState>();
  /** By member, the partitions it has, with where it goes on in each once it has handled something there. */
  readonly #held = new Map<string, Map<number, number | undefined>>();
  readonly #faultyAt = new Map<string, number>();
  readonly #refusable = new Set<string>();
  readonly #counts: Partial<Record<GroupEvent["f"], number>> = {};
  #killedAt = -1;
  #again = 0;

  run(events: readonly GroupEvent[], acknowledged: readonly AcknowledgedRecord[]): GroupVerdict {
    events.forEach((event, at) => {
      this.#counts[event.f] = (this.#counts[event.f] ?? 0) + 1;
      this.#take(event, at);
    });
    for (const { partition, offset, value } of acknowledged) {
      const handling = this.#partition(partition).handled.get(offset);
      if (handling === undefined) this.#add("undelivered", `nobody handled ${partition}:${offset}, ${shown(value)}`);
      else if (handling.value !== value) {
        const detail = `${partition}:${offset} was acknowledged as ${shown(value)}, handled as ${shown(handling.value)}`;
        this.#add("inconsistentValue", detail);
      }
    }
    let handled = 0;
    for (const state of this.#partitions.values()) handled += state.handled.size;
    const events_ = this.#counts as Record<GroupEvent["f"], number>;
    return { anomalies: this.#anomalies, handled, again: this.#again, events: events_ };
  }

  #add(kind: GroupAnomaly["kind"], detail: string): void {
    this.#anomalies.push({ kind, detail });
  }

  #take(event: GroupEvent, at: number): void {
    switch (event.f) {
      case "assigned":
        this.#assign(event.member, event.partitions);
        break;
      case "handled":
        this.#handle(event, at);
        break;
      case "committed": {
        const state = this.#partition(event.partition);
        state.committed = Math.max(state.committed, event.nextOffset);
        break;
      }
      case "notCommitted":
        this.#add("refusedWithoutCause", `${event.member}'s commit of ${event.partition}: ${event.code}`);
        break;
      case "refused":
        if (!this.#refusable.delete(event.member)) {
          this.#add("refusedWithoutCause", `${event.member}, event ${at}: ${event.code}`);
        }
        this.#held.delete(event.member);
        break;
      case "died":
        this.#faultyAt.set(event.member, at);
        break;
      case "hung":
        this.#faultyAt.set(event.member, at);
        this.#refusable.add(event.member);
        break;
      case "brokerKilled":
        this.#killedAt = at;
        break;
      case "offsetsAsked":
        for (const state of this.#partitions.values()) state.committedWhenAsked.set(event.by, state.committed);
        break;
      case "offsetsSeen":
        this.#seen(event);
        break;
      default: // left, answerLost, unanswered: nothing changes and nothing is excused
        break;
    }
  }

  #assign(member: string, partitions: readonly number[]): void {
    const before = this.#held.get(member);
    this.#held.set(member, new Map(partitions.map((partition) => [partition, before?.get(partition)])));
    for (const partition of partitions) this.#partition(partition).owner = member;
  }

  #handle({ member, partition, offset, value }: Handled, at: number): void {
    const state = this.#partition(partition);
    const what = `${partition}:${offset}, event ${at}, by ${member}`;
    const held = this.#held.get(member);
    const expected = held?.get(partition);
    if (state.owner !== member || !held?.has(partition)) this.#add("notOwner", `${what}; it is ${state.owner}'s`);
    if (expected !== undefined && offset !== expected)
      this.#add("outOfOrder", `${what}; it was to go on at ${expected}`);
    if (offset > state.prefix) this.#add("skipped", `${what}; ${state.prefix} was not handled`);
    held?.set(partition, offset + 1);
    const first = state.handled.get(offset);
    if (first !== undefined) this.#judgeRepeat(state, offset, value, first, what);
    state.handled.set(offset, { at, member, value });
    while (state.handled.has(state.prefix)) state.prefix++;
  }

  #judgeRepeat(state: PartitionState, offset: number, value: string, first: Handling, what: string): void {
    this.#again++;
    const before = `${first.member} handled it in event ${first.at}`;
    if (first.value !== value)
      this.#add("inconsistentValue", `${what}: ${shown(value)}; ${before} as ${shown(first.value)}`);
    if (offset < state.committed) this.#add("committedAgain", `${what}; ${before}; ${state.committed} is committed`);
    const faultyAt = this.#faultyAt.get(first.member) ?? -1;
    if (this.#killedAt < first.at && faultyAt < first.at) this.#add("doubled", `${what}; ${before}`);
  }

  #seen({ by, positions }: OffsetsSeen): void {
    for (const { partition, nextOffset } of positions) {
      const state = this.#partition(partition);
      const what = `partition ${partition} is at ${nextOffset}`;
      const before = state.committedWhenAsked.get(by) ?? 0;
      if (nextOffset < before) this.#add("committedBack", `${what}; it was at ${before} before`);
      if (nextOffset > state.prefix) this.#add("committedUnhandled", `${what}; ${state.prefix} was not handled`);
      state.committed = Math.max(state.committed, nextOffset);
    }
    // One that is left out has nothing committed any more.
    const there = new Set(positions.map(({ partition }) => partition));
    for (const [partition, { committedWhenAsked }] of this.#partitions) {
      const before = committedWhenAsked.get(by) ?? 0;
      if (before === 0 || there.has(partition)) continue;
      this.#add("committedBack", `partition ${partition} has no committed offset; it was at ${before}`);
    }
  }

  #partition(partition: number): PartitionState {
    const known = this.#partitions.get(partition);
    if (known) return known;
    const state = new PartitionState();
    this.#partitions.set(partition, state);
    return state;
  }
}

function shown(value: string): string {
  return JSON.stringify(value.slice(0, 30));
}
