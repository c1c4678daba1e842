// What a leader knows of its followers, and what follows: the high watermark and who is in sync. Pure and synchronous: events come
// in, the effects that the shell has to carry out go out. The rules are Apache Kafka's (Partition.scala; KIP-279, 497, 841, 903).
//
// The maximal in-sync set is what the store may hold at this moment: while a change is asked for and not answered, the old members
// and the new. The high watermark is the minimum over it, so whoever can be elected has everything that was acknowledged.

import { assert } from "../assert.ts";

/** One replica of the in-sync set, with the life of its broker that it was seen in. */
export interface InSyncReplica {
  readonly brokerId: number;
  /** −1: the leader's own, or as the store has it. */
  readonly brokerEpoch: number;
}

/** What the store says of the partition, as far as a leader needs it. */
export interface LeadershipView {
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
}

export interface LeaderRules {
  readonly minInSyncReplicas: number;
  readonly replicaLagMaxMs: number;
}

export interface FollowerFetch {
  readonly brokerId: number;
  readonly brokerEpoch: number;
  /** Everything below is durable at the follower: its acknowledgement. */
  readonly fetchOffset: number;
  readonly logStartOffset: number;
}

/** A change to be made by compare-and-set on partitionEpoch, and on the broker epochs of who is added. */
export interface IsrProposal {
  readonly partitionEpoch: number;
  readonly inSyncReplicas: readonly InSyncReplica[];
}

export type IsrAnswer =
  | { readonly outcome: "changed"; readonly partitionEpoch: number }
  /** Refused for a reason that another try may not meet; nothing was changed. */
  | { readonly outcome: "ineligible" }
  /** The store has another partition epoch: only newer metadata tells what holds. */
  | { readonly outcome: "superseded" }
  /** Done or not. The set stays the maximal one. */
  | { readonly outcome: "unknown" };

export interface LeaderEffects {
  /** Undefined: as it was. */
  readonly highWatermark?: number;
  readonly propose?: IsrProposal;
}

/** Whether a broker may join the in-sync set: registered in this very life, neither fenced nor shutting down. */
export type Eligible = (brokerId: number, brokerEpoch: number) => boolean;

interface Follower {
  readonly brokerId: number;
  brokerEpoch: number;
  /** −1: has not fetched in this leader epoch. */
  logEndOffset: number;
  logStartOffset: number;
  lastFetchMs: number;
  /** The leader's log end at the follower's last fetch. */
  lastFetchLeaderEnd: number;
  lastCaughtUpMs: number;
}

interface Pending {
  readonly proposal: IsrProposal;
  /** Sent and not answered, or answered "unknown". */
  readonly maximal: ReadonlySet<number>;
}

export class LeaderState {
  readonly #brokerId: number;
  readonly #rules: () => LeaderRules;
  readonly #eligible: Eligible;
  readonly #epochStartOffset: number;
  readonly #leaderEpoch: number;
  readonly #followers = new Map<number, Follower>();
  #partitionEpoch: number;
  #committed: ReadonlySet<number>;
  #pending: Pending | undefined;
  #logEndOffset: number;
  #acknowledgedOffset: number;
  #highWatermark: number;

  constructor(
    brokerId: number,
    view: LeadershipView,
    log: { readonly logEndOffset: number; readonly acknowledgedOffset: number; readonly highWatermark: number },
    surroundings: { readonly rules: () => LeaderRules; readonly eligible: Eligible },
    nowMs: number,
  ) {
    this.#brokerId = brokerId;
    this.#rules = surroundings.rules;
    this.#eligible = surroundings.eligible;
    this.#leaderEpoch = view.leaderEpoch;
    this.#partitionEpoch = view.partitionEpoch;
    this.#committed = new Set(view.inSyncReplicas);
    this.#epochStartOffset = log.logEndOffset;
    this.#logEndOffset = log.logEndOffset;
    this.#acknowledgedOffset = log.acknowledgedOffset;
    this.#highWatermark = log.highWatermark;
    for (const replica of view.replicas) if (replica !== brokerId) this.#follow(replica, nowMs);
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch;
  }
  get partitionEpoch(): number {
    return this.#partitionEpoch;
  }
  get highWatermark(): number {
    return this.#highWatermark;
  }
  /** Below it "latest" could go back over an election (KIP-207). */
  get epochStartOffset(): number {
    return this.#epochStartOffset;
  }
  get inSyncReplicas(): readonly number[] {
    return [...this.#committed];
  }
  /** Whoever the store may hold as in sync. */
  get maximalInSync(): ReadonlySet<number> {
    return this.#pending?.maximal ?? this.#committed;
  }
  get isChangePending(): boolean {
    return this.#pending !== undefined;
  }
  /** Fewer, and nothing that needs them all is taken or acknowledged. */
  get hasEnoughInSync(): boolean {
    return this.#committed.size >= this.#minInSync;
  }

  /** For gauges: records the follower is behind, null when it has not fetched in this leader epoch. */
  lagOf(brokerId: number): number | null {
    const follower = this.#followers.get(brokerId);
    return follower === undefined || follower.logEndOffset < 0 ? null : this.#logEndOffset - follower.logEndOffset;
  }

  isInSync(brokerId: number): boolean {
    return this.#committed.has(brokerId);
  }

  /** The leader's own log has grown, or more of it is durable. */
  appended(logEndOffset: number, acknowledgedOffset: number): LeaderEffects {
    assert(logEndOffset >= this.#logEndOffset, "a leader's log never shrinks");
    this.#logEndOffset = logEndOffset;
    this.#acknowledgedOffset = acknowledgedOffset;
    return this.#effects(undefined);
  }

  /** A fetch that was judged sound: right epoch, no divergence, not below the log start. */
  fetched(fetch: FollowerFetch, nowMs: number): LeaderEffects {
    const follower = this.#followers.get(fetch.brokerId);
    if (follower === undefined) return {};
    if (fetch.fetchOffset >= this.#logEndOffset) follower.lastCaughtUpMs = Math.max(follower.lastCaughtUpMs, nowMs);
    else if (fetch.fetchOffset >= follower.lastFetchLeaderEnd)
      follower.lastCaughtUpMs = Math.max(follower.lastCaughtUpMs, follower.lastFetchMs);
    follower.brokerEpoch = fetch.brokerEpoch;
    follower.logEndOffset = fetch.fetchOffset;
    follower.logStartOffset = fetch.logStartOffset;
    follower.lastFetchMs = nowMs;
    follower.lastFetchLeaderEnd = this.#logEndOffset;
    return this.#effects(this.#expansion(follower), nowMs);
  }

  /** Newer metadata of the same leader epoch. What it replaces in flight has come to nothing, or is what it says. */
  metadata(view: LeadershipView, nowMs: number): LeaderEffects {
    assert(view.leaderEpoch === this.#leaderEpoch, "another leader epoch needs another state");
    if (view.partitionEpoch <= this.#partitionEpoch) return {};
    this.#partitionEpoch = view.partitionEpoch;
    this.#committed = new Set(view.inSyncReplicas);
    this.#pending = undefined;
    for (const replica of this.#followers.keys()) if (!view.replicas.includes(replica)) this.#followers.delete(replica);
    for (const replica of view.replicas) {
      if (replica !== this.#brokerId && !this.#followers.has(replica)) this.#follow(replica, nowMs);
    }
    return this.#effects(undefined, nowMs);
  }

  /** The answer to the proposal in flight. */
  answered(answer: IsrAnswer, nowMs: number): LeaderEffects {
    const pending = this.#pending;
    if (pending === undefined) return {}; // newer metadata has overtaken it
    switch (answer.outcome) {
      case "changed":
        this.#partitionEpoch = Math.max(this.#partitionEpoch, answer.partitionEpoch);
        this.#committed = new Set(pending.proposal.inSyncReplicas.map(({ brokerId }) => brokerId));
        this.#pending = undefined;
        return this.#effects(undefined, nowMs);
      case "ineligible":
        this.#pending = undefined;
        return this.#effects(undefined, nowMs);
      case "superseded":
        return {}; // pending still: the set stays the maximal one until newer metadata says what holds
      case "unknown":
        return { propose: pending.proposal };
    }
  }

  /** To be called every half replicaLagMaxMs: who has fallen behind leaves the set. */
  tick(nowMs: number): LeaderEffects {
    if (this.#pending) return {};
    const lagging = [...this.#committed].filter((id) => id !== this.#brokerId && !this.#isCaughtUp(id, nowMs));
    if (lagging.length === 0) return {};
    const kept = [...this.#committed].filter((id) => !lagging.includes(id));
    // The old set stays the maximal one: a shrink that is not committed frees nobody.
    return this.#effects(this.#ask(kept, this.#committed), nowMs);
  }

  get #minInSync(): number {
    return Math.min(this.#rules().minInSyncReplicas, this.#followers.size + 1);
  }

  #follow(brokerId: number, nowMs: number): void {
    this.#followers.set(brokerId, {
      brokerId,
      brokerEpoch: -1,
      logEndOffset: -1,
      logStartOffset: -1,
      lastFetchMs: Number.NEGATIVE_INFINITY,
      lastFetchLeaderEnd: Number.POSITIVE_INFINITY,
      // Members of the set have the whole lag time to make their first fetch.
      lastCaughtUpMs: this.#committed.has(brokerId) ? nowMs : Number.NEGATIVE_INFINITY,
    });
  }

  #isCaughtUp(brokerId: number, nowMs: number): boolean {
    const follower = this.#followers.get(brokerId);
    if (follower === undefined) return false;
    return (
      follower.logEndOffset === this.#logEndOffset || nowMs - follower.lastCaughtUpMs <= this.#rules().replicaLagMaxMs
    );
  }

  #expansion(follower: Follower): IsrProposal | undefined {
    const { brokerId, brokerEpoch, logEndOffset } = follower;
    if (this.#pending || this.#committed.has(brokerId)) return undefined;
    // Not below the epoch's start either: the watermark may lag behind what an earlier leader acknowledged (KAFKA-7128).
    if (logEndOffset < Math.max(this.#highWatermark, this.#epochStartOffset)) return undefined;
    if (!this.#eligible(brokerId, brokerEpoch)) return undefined;
    const wanted = [...this.#committed, brokerId];
    return this.#ask(wanted, new Set(wanted));
  }

  #ask(wanted: readonly number[], maximal: ReadonlySet<number>): IsrProposal {
    const inSyncReplicas = wanted.map((brokerId) => ({
      brokerId,
      brokerEpoch: this.#followers.get(brokerId)?.brokerEpoch ?? -1,
    }));
    const proposal = { partitionEpoch: this.#partitionEpoch, inSyncReplicas };
    this.#pending = { proposal, maximal };
    return proposal;
  }

  #effects(propose: IsrProposal | undefined, nowMs?: number): LeaderEffects {
    const before = this.#highWatermark;
    this.#advance(nowMs);
    return {
      ...(this.#highWatermark > before ? { highWatermark: this.#highWatermark } : {}),
      ...(propose === undefined ? {} : { propose }),
    };
  }

  /** Never back; never with too few in sync, or an acknowledged record could be on too few brokers (KAFKA-15583). */
  #advance(nowMs: number | undefined): void {
    if (!this.hasEnoughInSync) return;
    let least = this.#acknowledgedOffset;
    for (const follower of this.#followers.values()) {
      if (!this.#counts(follower, nowMs)) continue;
      least = Math.min(least, follower.logEndOffset);
    }
    if (least > this.#highWatermark) this.#highWatermark = least;
  }

  /** Who is about to join is waited for already, so that it is not left behind the moment it has. */
  #counts({ brokerId, brokerEpoch, lastCaughtUpMs }: Follower, nowMs: number | undefined): boolean {
    if (this.maximalInSync.has(brokerId)) return true;
    if (nowMs === undefined || nowMs - lastCaughtUpMs > this.#rules().replicaLagMaxMs) return false;
    return this.#eligible(brokerId, brokerEpoch);
  }
}
