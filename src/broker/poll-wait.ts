// What one poll for records knows of its member while it waits: the newest that the group said, whether there is news, and what
// ends the wait. While it is parked, a timer keeps the member's session alive. Nothing of it is left after close().

import { assert } from "../assert.ts";
import type { GroupCoordinator, PolledGroup } from "../consumer-groups/coordinator.ts";
import type { PollRequest } from "../consumer-groups/group-requests.ts";
import type { Clock, Timer } from "../io/clock.ts";
import type { PollCall } from "./group-calls.ts";

export class PollWait {
  readonly #call: PollCall;
  readonly #clock: Clock;
  readonly #coordinator: GroupCoordinator;
  readonly #stopListening: () => void;
  #group: PolledGroup | undefined;
  /** The member's epoch that the client itself has shown to know: were the answer lost, it would poll with this one. */
  #sentEpoch = 0;
  #isOver = false;
  #hasNews = false;
  #failure: { readonly error: unknown } | undefined;
  #parked: AbortController | undefined;
  #keepAlive: Timer | undefined;

  /** Listens for news from before the group is asked, so that none is missed. */
  constructor(call: PollCall, clock: Clock, coordinator: GroupCoordinator) {
    this.#call = call;
    this.#clock = clock;
    this.#coordinator = coordinator;
    this.#stopListening = coordinator.listen(call.groupId, call.memberId, this.tell);
  }

  /** Sends the client's own call to the group. */
  async begin(): Promise<PolledGroup> {
    this.#group = await this.#coordinator.poll(requestOf(this.#call));
    this.#sentEpoch = this.#call.memberEpoch ?? this.#group.memberEpoch;
    return this.#group;
  }

  /** The newest that the group said to this member. */
  get group(): PolledGroup {
    assert(this.#group !== undefined, "a poll waits before it has begun");
    return this.#group;
  }

  /** Another poll has taken its place, or the client is gone. */
  get isOver(): boolean {
    return this.#isOver || this.#call.signal?.aborted === true;
  }

  readonly end = (): void => {
    this.#isOver = true;
    this.#parked?.abort();
  };

  readonly tell = (): void => {
    this.#hasNews = true;
    this.#parked?.abort();
  };

  /** A heartbeat beside this poll was answered: it may have moved the member, of which the group tells nobody else. */
  tellOfHeartbeat(sentEpoch: number | undefined, reply: PolledGroup): void {
    // An epoch this poll has not heard of is that of a process which took the id over.
    if (sentEpoch === undefined || sentEpoch < this.#sentEpoch || sentEpoch > this.group.memberEpoch) return;
    this.#sentEpoch = sentEpoch;
    if (reply.memberEpoch !== this.group.memberEpoch || !sameAssignment(reply, this.group)) this.tell();
  }

  /** Runs `wait` until it ends by itself, or is ended; throws when the member's session could not be kept alive. */
  async park(wait: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#throwFailure();
    if (this.isOver || this.#hasNews) return;
    if (this.#keepAlive === undefined) {
      this.#call.signal?.addEventListener("abort", this.end);
      this.#armKeepAlive();
    }
    this.#parked = new AbortController();
    await wait(this.#parked.signal);
    this.#parked = undefined;
    this.#throwFailure();
  }

  /** Asks the group again if there is news. True when the assignment is another one now. */
  async renew(): Promise<boolean> {
    if (!this.#hasNews || this.#call.signal?.aborted) return false;
    this.#hasNews = false;
    const { groupId, memberId } = this.#call;
    const before = this.group;
    const memberEpoch = this.#sentEpoch;
    this.#group = await this.#coordinator.poll({ kind: "poll", groupId, memberId, memberEpoch, forRecords: false });
    return !sameAssignment(before, this.#group);
  }

  close(): void {
    this.#isOver = true;
    this.#stopListening();
    this.#keepAlive?.cancel();
    this.#call.signal?.removeEventListener("abort", this.end);
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  #armKeepAlive(): void {
    this.#keepAlive = this.#clock.setTimer(this.group.heartbeatIntervalMs, () => void this.#sendKeepAlive());
  }

  async #sendKeepAlive(): Promise<void> {
    if (this.isOver) return;
    const { groupId, memberId } = this.#call;
    try {
      await this.#coordinator.request({ kind: "keepAlive", groupId, memberId, memberEpoch: this.#sentEpoch });
      if (!this.isOver) this.#armKeepAlive();
    } catch (error) {
      this.#failure = { error };
      this.#parked?.abort();
    }
  }
}

export function requestOf(call: PollCall): PollRequest {
  const { groupId, memberId, memberEpoch, topics, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, assignor } = call;
  const { commit, positions, owned, forRecords } = call;
  const wishes = { topics, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, assignor };
  return { kind: "poll", groupId, memberId, memberEpoch, ...wishes, commit, positions, owned, forRecords };
}

function sameAssignment(a: PolledGroup, b: PolledGroup): boolean {
  if (a.assignment.length !== b.assignment.length) return false;
  return a.assignment.every(({ topicId, partitions }, i) => {
    const other = b.assignment[i]!;
    if (other.topicId !== topicId || other.partitions.length !== partitions.length) return false;
    return partitions.every((partition, j) => partition === other.partitions[j]);
  });
}
