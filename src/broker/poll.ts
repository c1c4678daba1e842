// A member's poll: its commit and heartbeat go to the group, then the assigned partitions are read. With nothing to read it waits,
// for records, for news of its assignment, for the end of its time; a poll that finds records sets no timer. The broker keeps
// no position between two polls, so any of them can be repeated.

import type { GroupCoordinator, PolledGroup } from "../consumer-groups/coordinator.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { Draining } from "./draining.ts";
import { type FetchedPartition, fetch, moreToRead } from "./fetch.ts";
import type { PartitionPlace, PollAnswer, PollCall } from "./group-calls.ts";
import { refuseBeyondLogEnd } from "./group-offsets.ts";
import { PollPlaces } from "./poll-places.ts";
import { PollWait, requestOf } from "./poll-wait.ts";

/** A partition is assigned a moment before it can be read, when its topic is new; then the poll looks again after this. */
const lookAgainMs = 100;

export class Polls {
  readonly #parts: BrokerParts;
  readonly #coordinator: GroupCoordinator;
  readonly #draining: Draining;
  /** The latest poll for records of each member. */
  readonly #latest = new Map<string, PollWait>();

  constructor(parts: BrokerParts, coordinator: GroupCoordinator, draining: Draining) {
    this.#parts = parts;
    this.#coordinator = coordinator;
    this.#draining = draining;
  }

  async poll(call: PollCall): Promise<PollAnswer> {
    refuseBeyondLogEnd(this.#parts, call.commit ?? []);
    const key = `${call.groupId}/${call.memberId}`; // neither has a slash
    return call.forRecords ? await this.#pollForRecords(call, key) : await this.#heartbeat(call, key);
  }

  async #heartbeat(call: PollCall, key: string): Promise<PollAnswer> {
    const group = await this.#coordinator.poll(requestOf(call));
    this.#latest.get(key)?.tellOfHeartbeat(call.memberEpoch, group);
    return answerOf(group, group.notCommitted, { hasNews: true, positions: [], fetched: [], reset: [] });
  }

  async #pollForRecords(call: PollCall, key: string): Promise<PollAnswer> {
    const wait = new PollWait(call, this.#parts.clock, this.#coordinator);
    try {
      return await this.#read(call, key, wait);
    } finally {
      wait.close();
      if (this.#latest.get(key) === wait) this.#latest.delete(key);
    }
  }

  async #read(call: PollCall, key: string, wait: PollWait): Promise<PollAnswer> {
    const deadlineMs = this.#parts.clock.monotonicMs() + call.waitMs;
    const { notCommitted, changed } = await wait.begin();
    // Not sooner: a client whose poll is refused must not end the wait of the one that has the member.
    this.#latest.get(key)?.end();
    this.#latest.set(key, wait);
    const places = new PollPlaces(this.#parts.partitions, call, wait.group);
    for (let isChanged = changed; ; isChanged = await wait.renew()) {
      const positions = places.of(wait.group);
      const read = wait.isOver ? [] : await this.#fetch(positions, call.maxBytes);
      const fetched = read.filter(({ error }) => error === undefined);
      const leftMs = deadlineMs - this.#parts.clock.monotonicMs();
      const hasRecords = fetched.some(({ batches }) => batches.byteLength > 0);
      const isDue = isChanged || wait.group.revoking || wait.isOver || this.#draining.begun;
      if (hasRecords || isDue || leftMs <= 0) {
        if (!hasRecords && !isDue) refuseDamaged(read, wait.group);
        return answerOf(wait.group, notCommitted, { hasNews: isDue, positions, fetched, reset: places.reset });
      }
      const waitMs = this.#areAllOpen(read, wait.group) ? leftMs : Math.min(leftMs, lookAgainMs);
      await wait.park((signal) => moreToRead(this.#parts, fetched, waitMs, this.#draining, signal));
    }
  }

  /** Each time from another partition on, so that a full one does not keep the others from being read. */
  #fetch(positions: readonly PartitionPlace[], maxBytes: number): Promise<readonly FetchedPartition[]> {
    const first = Math.floor(this.#parts.random.fraction() * positions.length);
    const partitions = [...positions.slice(first), ...positions.slice(0, first)].map(
      ({ topic, partition, nextOffset }) => ({ topic, partition, offset: nextOffset }),
    );
    return fetch(this.#parts, { partitions, maxBytes, minBytes: 1, waitMs: 0 }, this.#draining);
  }

  /** Whether appends, and news, will tell of everything there is to wait for; storage that is offline stays so. */
  #areAllOpen(read: readonly FetchedPartition[], { assignment }: PolledGroup): boolean {
    if (read.some(({ error }) => error !== undefined && error.code !== "KAFKA_STORAGE_ERROR")) return false;
    return assignment.every(({ topic, partitions }) =>
      partitions.every((partition) => this.#parts.partitions.isSettled(topic, partition)),
    );
  }
}

/** A batch that cannot be read would hold up its partition for good, and nobody would know. */
function refuseDamaged(read: readonly FetchedPartition[], { memberEpoch }: PolledGroup): void {
  const damaged = read.find(({ error }) => error?.fields["lastOffset"] !== undefined);
  if (damaged === undefined) return;
  const { topic, partition, error } = damaged;
  const nextOffset = Number(error!.fields["lastOffset"]) + 1;
  const fields = { ...error!.fields, topic, partition, nextOffset, memberEpoch };
  throw new BrokerError(error!.code, error!.message, { fields, cause: error });
}

function answerOf(
  { memberEpoch, heartbeatIntervalMs, assignment }: PolledGroup,
  notCommitted: PollAnswer["notCommitted"],
  read: Pick<PollAnswer, "hasNews" | "positions" | "fetched" | "reset">,
): PollAnswer {
  return {
    memberEpoch,
    heartbeatIntervalMs,
    assignment: assignment.map(({ topic, partitions }) => ({ topic, partitions })),
    ...read,
    notCommitted,
  };
}
