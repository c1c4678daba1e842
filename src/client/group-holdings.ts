// What a member has of its group: partitions that are its own, and partitions that go to another once their handlers end.

import type { Position, TopicPartitions } from "./admin-answers.ts";
import { byTopic } from "./consumer-events.ts";
import type { Inbox, PartitionInbox } from "./inbox.ts";

export class GroupHoldings {
  readonly #inbox: Inbox;
  /** What is handled is committed on its own, so letting go waits for that too. */
  readonly #isAuto: boolean;

  constructor(inbox: Inbox, isAuto: boolean) {
    this.#inbox = inbox;
    this.#isAuto = isAuto;
  }

  get active(): readonly PartitionInbox[] {
    return this.#inbox.partitions.filter(({ state }) => state === "active");
  }

  /** Everything that is ours or still in a handler's hands. */
  get owned(): readonly TopicPartitions[] {
    return byTopic(this.#inbox.partitions);
  }

  /** Nothing can be read: it is paused, or has to be let go of first. */
  get isIdle(): boolean {
    const { partitions } = this.#inbox;
    return partitions.length > 0 && partitions.every(({ state, isPaused }) => state === "leaving" || isPaused);
  }

  /**
   * Read by pages, beside beats: a poll would read what is paused too, and would not wait while something that left the
   * assignment is still ours, unless `waitsWhileLeaving`. It takes a poll to learn where a partition begins.
   */
  readsPages(waitsWhileLeaving: boolean): boolean {
    const { partitions } = this.#inbox;
    return (
      partitions.some(({ state, isPaused }) => (state === "leaving" && !waitsWhileLeaving) || isPaused) &&
      this.active.every(({ isPaused, fetchPosition }) => isPaused || fetchPosition !== undefined)
    );
  }

  /** Something that goes to another member can be let go of. */
  get hasFinished(): boolean {
    return this.#inbox.partitions.some((inbox) => inbox.state === "leaving" && this.#isFinished(inbox));
  }

  /** Takes a new assignment, which is always whole. What left it stays ours until release(). */
  assign(assignment: readonly TopicPartitions[]): {
    readonly added: readonly PartitionInbox[];
    readonly isLeaving: boolean;
  } {
    const wanted = new Set<PartitionInbox>();
    const added: PartitionInbox[] = [];
    for (const { topic, partitions } of assignment) {
      for (const partition of partitions) {
        let inbox = this.#inbox.get(topic, partition);
        if (inbox === undefined) {
          inbox = this.#inbox.open(topic, partition);
          added.push(inbox);
        }
        wanted.add(inbox);
      }
    }
    let isLeaving = false;
    for (const inbox of this.active) {
      if (wanted.has(inbox)) continue;
      inbox.state = "leaving";
      this.#inbox.clear(inbox);
      isLeaving = true;
    }
    return { added, isLeaving };
  }

  /** Lets go of what left the assignment, where handlers have ended and what they did is committed. */
  release(): readonly PartitionInbox[] {
    const released = this.#inbox.partitions.filter((inbox) => inbox.state === "leaving" && this.#isFinished(inbox));
    for (const inbox of released) this.#inbox.drop(inbox);
    return released;
  }

  /** Where each partition would go on, if the group does not know it yet. */
  uncommitted(): readonly Position[] {
    return this.#inbox.partitions.flatMap((inbox) => {
      const { topic, partition, progress, committed, fetchPosition } = inbox;
      // All that was fetched is handled: gaps at its end are passed, and the first place of all is made to last.
      if (inbox.waiting === 0 && fetchPosition !== undefined && inbox.state === "active")
        progress.passTo(fetchPosition);
      const nextOffset = progress.position;
      return nextOffset === undefined || nextOffset === committed ? [] : [{ topic, partition, nextOffset }];
    });
  }

  #isFinished({ progress, committed }: PartitionInbox): boolean {
    return progress.isIdle && (!this.#isAuto || progress.position === undefined || progress.position === committed);
  }
}
