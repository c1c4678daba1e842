// Replicas of one partition with the real rules of leader and follower over logs in memory, a store with compare-and-set, and a
// network that delays, loses and doubles. After every step the laws of replication are checked; who breaks one is a thrown Error.

import { LeaderEpochCache } from "../../src/log/leader-epoch-cache.ts";
import { judgeReplicaFetch, type ReplicaFetch } from "../../src/replication/follower-fetch.ts";
import {
  endsAfterAppend,
  followerStep,
  type LeaderEnds,
  nextReplicaFetch,
  type OwnLog,
  type ReplicaAnswer,
} from "../../src/replication/follower-state.ts";
import {
  type IsrAnswer,
  type IsrProposal,
  type LeaderEffects,
  LeaderState,
} from "../../src/replication/leader-state.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";

export interface StoredPartition {
  leader: number;
  leaderEpoch: number;
  partitionEpoch: number;
  inSyncReplicas: number[];
}

interface Entry {
  readonly epoch: number;
  readonly value: number;
}

type Message =
  | { readonly kind: "fetch"; readonly to: number; readonly life: number; readonly fetch: ReplicaFetch }
  | {
      readonly kind: "answer";
      readonly to: number;
      readonly life: number;
      readonly asked: ReplicaFetch;
      readonly answer: ReplicaAnswer;
      readonly entries: readonly Entry[];
    }
  | {
      readonly kind: "proposal";
      readonly from: number;
      readonly life: number;
      readonly proposal: IsrProposal;
    }
  | {
      readonly kind: "isrAnswer";
      readonly to: number;
      readonly life: number;
      readonly proposal: IsrProposal;
      readonly answer: IsrAnswer;
    };

const lagMaxMs = 100;
const disk = new SimulatedDisk().startProcess();

class Replica {
  readonly id: number;
  alive = true;
  /** Counts restarts; what was sent to an earlier life does not arrive. */
  life = 0;
  brokerEpoch = 0;
  entries: Entry[] = [];
  epochs = new LeaderEpochCache(disk, "/none");
  highWatermark = 0;
  view: StoredPartition;
  leader: LeaderState | undefined;
  /** The change of the in-sync set that the leader waits for: one call at a time. */
  inFlight: IsrProposal | undefined;
  /** The largest watermark that anybody read under, in this leader's term. */
  shown = 0;

  constructor(id: number, view: StoredPartition) {
    this.id = id;
    this.view = view;
  }

  get end(): number {
    return this.entries.length;
  }

  get log(): OwnLog {
    return {
      logStartOffset: 0,
      highWatermark: this.highWatermark,
      logEndOffset: this.end,
      lastEpoch: this.entries.at(-1)?.epoch,
      endOffsetFor: (epoch) => this.epochs.endOffsetFor(epoch, this.end),
    };
  }

  get ends(): LeaderEnds {
    return { logStartOffset: 0, highWatermark: this.highWatermark, logEndOffset: this.end };
  }
}

export class ProtocolWorld {
  readonly replicas: Replica[];
  readonly messages: Message[] = [];
  readonly minInSync: number;
  nowMs = 0;
  stored: StoredPartition;
  /** What the store says of each broker's present life; 0: its lease has ended. */
  readonly registered: number[];
  /** Everything that was committed under any leader, in order. */
  readonly acknowledged: Entry[] = [];
  #values = 0;
  #brokerEpochs: number;

  constructor(count: number, minInSync: number) {
    this.minInSync = minInSync;
    this.stored = {
      leader: 0,
      leaderEpoch: 0,
      partitionEpoch: 0,
      inSyncReplicas: Array.from({ length: count }, (_, i) => i),
    };
    this.replicas = Array.from({ length: count }, (_, id) => new Replica(id, { ...this.stored }));
    this.registered = this.replicas.map((_, id) => id + 1);
    this.#brokerEpochs = count;
    for (const replica of this.replicas) replica.brokerEpoch = replica.id + 1;
    this.#become(this.replicas[0]!);
  }

  get ids(): number[] {
    return this.replicas.map(({ id }) => id);
  }

  produce(id: number): void {
    const replica = this.replicas[id]!;
    const { leader } = replica;
    if (!replica.alive || leader === undefined || !leader.hasEnoughInSync) return;
    replica.entries.push({ epoch: leader.leaderEpoch, value: ++this.#values });
    this.#carryOut(replica, leader.appended(replica.end, replica.end));
  }

  fetch(id: number): void {
    const replica = this.replicas[id]!;
    const { leader, leaderEpoch } = replica.view;
    if (!replica.alive || replica.leader || leader === id || leader < 0) return;
    const fetch = nextReplicaFetch({ brokerId: id, brokerEpoch: replica.brokerEpoch, leaderEpoch }, replica.log);
    this.messages.push({ kind: "fetch", to: leader, life: replica.life, fetch });
  }

  deliver(index: number, keep = false): void {
    const message = this.messages[index % Math.max(1, this.messages.length)];
    if (message === undefined) return;
    if (!keep) this.messages.splice(this.messages.indexOf(message), 1);
    if (message.kind === "fetch") this.#serve(message.to, message.life, message.fetch);
    else if (message.kind === "answer") this.#take(message);
    else if (message.kind === "proposal") this.#propose(message);
    else {
      const replica = this.replicas[message.to]!;
      if (!replica.alive || replica.inFlight !== message.proposal) return; // the call it answers was given up
      this.#carryOut(replica, replica.leader!.answered(message.answer, this.nowMs));
    }
  }

  lose(index: number): void {
    const [lost] = this.messages.splice(index % Math.max(1, this.messages.length), 1);
    // Whoever waits for the store always hears something in the end.
    if (lost?.kind === "proposal" || lost?.kind === "isrAnswer") {
      const to = lost.kind === "proposal" ? lost.from : lost.to;
      this.messages.push({
        kind: "isrAnswer",
        to,
        life: lost.life,
        proposal: lost.proposal,
        answer: { outcome: "unknown" },
      });
    }
  }

  /** The process ends; what it had synced stays, which is all that it has acknowledged. */
  kill(id: number): void {
    const replica = this.replicas[id]!;
    replica.alive = false;
    replica.leader = undefined;
    replica.inFlight = undefined;
  }

  /** The store lets the lease of a silent broker go. A living one (paused) may lose it too. */
  expire(id: number): void {
    this.registered[id] = 0;
  }

  restart(id: number): void {
    const replica = this.replicas[id]!;
    if (replica.alive) return;
    replica.alive = true;
    replica.life += 1;
    replica.view = { ...this.stored, leader: -1 };
    replica.brokerEpoch = -1;
    this.register(id);
  }

  register(id: number): void {
    const replica = this.replicas[id]!;
    if (!replica.alive || this.registered[id] === replica.brokerEpoch) return;
    replica.brokerEpoch = ++this.#brokerEpochs;
    this.registered[id] = replica.brokerEpoch;
    this.#strip(id);
  }

  /** The broker sees what the store holds. */
  learn(id: number): void {
    const replica = this.replicas[id]!;
    if (!replica.alive || this.stored.partitionEpoch < replica.view.partitionEpoch) return;
    const before = replica.view;
    replica.view = { ...this.stored, inSyncReplicas: [...this.stored.inSyncReplicas] };
    const leads = this.stored.leader === id;
    if (leads && replica.leader?.leaderEpoch === this.stored.leaderEpoch)
      this.#carryOut(replica, replica.leader.metadata({ ...replica.view, replicas: this.ids }, this.nowMs));
    else if (leads && this.stored.leaderEpoch > before.leaderEpoch) this.#become(replica);
    else if (!leads) {
      replica.leader = undefined;
      replica.inFlight = undefined;
    }
  }

  /** The controller: who is gone leaves the set, but for its last member, and a leader that is gone is replaced. */
  control(): void {
    for (const id of this.ids) if (this.registered[id] === 0) this.#strip(id);
    const { leader, inSyncReplicas } = this.stored;
    if (leader >= 0 && this.registered[leader] !== 0) return;
    const elected = inSyncReplicas.find((id) => this.registered[id] !== 0) ?? -1;
    if (elected === leader) return;
    this.#change({ leader: elected, leaderEpoch: this.stored.leaderEpoch + 1 });
  }

  pass(ms: number): void {
    this.nowMs += ms;
  }

  tick(id: number): void {
    const replica = this.replicas[id]!;
    if (replica.alive && replica.leader) this.#carryOut(replica, replica.leader.tick(this.nowMs));
  }

  /** Faults have ended: everything is delivered until nothing changes. */
  heal(): void {
    for (const id of this.ids) this.restart(id);
    for (let round = 0; round < 60; round++) {
      for (const id of this.ids) this.register(id);
      this.control();
      for (const id of this.ids) this.learn(id);
      for (const id of this.ids) this.fetch(id);
      while (this.messages.length > 0) {
        this.deliver(0);
        this.check();
      }
      this.pass(10);
      for (const id of this.ids) this.tick(id);
    }
  }

  check(): void {
    for (const replica of this.replicas) {
      if (replica.highWatermark > replica.end) throw new Error(`${replica.id}: watermark above the log's end`);
      this.#checkLeader(replica);
    }
    this.#checkMatching();
  }

  #checkLeader(replica: Replica): void {
    const { leader } = replica;
    if (!replica.alive || leader === undefined) return;
    if (leader.leaderEpoch === this.stored.leaderEpoch && this.stored.leader === replica.id) {
      for (const id of this.stored.inSyncReplicas)
        if (!leader.maximalInSync.has(id)) throw new Error(`${id} is in sync, and its leader does not wait for it`);
      for (const [offset, entry] of this.acknowledged.entries())
        if (replica.entries[offset]?.value !== entry.value)
          throw new Error(`leader ${replica.id} lacks offset ${offset}`);
    }
  }

  /** Where two logs have the same epoch at an offset they are the same from there down. */
  #checkMatching(): void {
    for (const a of this.replicas) {
      for (const b of this.replicas) {
        if (a.id >= b.id) continue;
        let same = false;
        for (let offset = Math.min(a.end, b.end) - 1; offset >= 0; offset--) {
          const [one, other] = [a.entries[offset]!, b.entries[offset]!];
          if (one.epoch === other.epoch) same = true;
          if (same && one.value !== other.value) throw new Error(`${a.id} and ${b.id} differ at ${offset}`);
        }
      }
    }
  }

  #become(replica: Replica): void {
    replica.view = { ...this.stored, inSyncReplicas: [...this.stored.inSyncReplicas] };
    replica.epochs.assign(this.stored.leaderEpoch, replica.end);
    const log = { logEndOffset: replica.end, acknowledgedOffset: replica.end, highWatermark: replica.highWatermark };
    replica.leader = new LeaderState(
      replica.id,
      { ...replica.view, replicas: this.ids },
      log,
      {
        rules: () => ({ minInSyncReplicas: this.minInSync, replicaLagMaxMs: lagMaxMs }),
        eligible: (id, brokerEpoch) => this.registered[id] === brokerEpoch,
      },
      this.nowMs,
    );
    this.#carryOut(replica, replica.leader.appended(replica.end, replica.end));
  }

  #serve(to: number, life: number, fetch: ReplicaFetch): void {
    const replica = this.replicas[to]!;
    const { leader } = replica;
    if (!replica.alive) return;
    const answer = (reply: ReplicaAnswer, entries: readonly Entry[] = []) =>
      this.messages.push({ kind: "answer", to: fetch.brokerId, life, asked: fetch, answer: reply, entries });
    if (leader === undefined) return void answer({ kind: "refused", code: "NOT_LEADER_OR_FOLLOWER" });
    const judged = {
      leaderEpoch: leader.leaderEpoch,
      replicas: this.ids,
      knownBrokerEpoch: (id: number) => this.registered[id]!,
    };
    const verdict = judgeReplicaFetch(fetch, judged, replica.log);
    if (verdict.kind === "fenced") return void answer({ kind: "refused", code: verdict.code });
    if (verdict.kind === "notReplica") return void answer({ kind: "refused", code: "NOT_LEADER_OR_FOLLOWER" });
    if (verdict.kind === "outOfRange") return void answer({ kind: "outOfRange", ...replica.ends });
    if (verdict.kind === "diverging") return void answer(verdict);
    this.#carryOut(replica, leader.fetched(fetch, this.nowMs));
    const entries = replica.entries.slice(fetch.fetchOffset, fetch.fetchOffset + 3);
    answer({ kind: "batches", batches: new Uint8Array(0), ...replica.ends }, entries);
  }

  #take({ to, life, asked, answer, entries }: Extract<Message, { kind: "answer" }>): void {
    const replica = this.replicas[to]!;
    const following = replica.alive && replica.life === life && !replica.leader;
    if (!following || replica.view.leaderEpoch !== asked.leaderEpoch) return;
    const step = followerStep(asked, answer, replica.log);
    if (step.kind === "append") {
      for (const entry of entries) {
        replica.epochs.assign(entry.epoch, replica.end);
        replica.entries.push(entry);
      }
      replica.highWatermark = endsAfterAppend(step.ends, replica.log).highWatermark;
    } else if (step.kind === "truncate" || step.kind === "startOver") {
      for (const [offset, entry] of this.acknowledged.entries())
        if (offset >= step.offset && replica.entries[offset]?.value === entry.value && this.#mayBeElected(to))
          throw new Error(`${to} cuts acknowledged offset ${offset}`);
      replica.entries.length = Math.min(step.offset, replica.end);
      replica.epochs.truncateFromEnd(replica.end);
      replica.highWatermark = Math.min(replica.highWatermark, replica.end);
    }
  }

  #mayBeElected(id: number): boolean {
    return this.stored.inSyncReplicas.includes(id) && this.registered[id] === this.replicas[id]!.brokerEpoch;
  }

  #propose({ from, life, proposal }: Extract<Message, { kind: "proposal" }>): void {
    const answer = (outcome: IsrAnswer) =>
      this.messages.push({ kind: "isrAnswer", to: from, life, proposal, answer: outcome });
    if (this.stored.partitionEpoch !== proposal.partitionEpoch || this.stored.leader !== from)
      return void answer({ outcome: "superseded" });
    const added = proposal.inSyncReplicas.filter(({ brokerId }) => !this.stored.inSyncReplicas.includes(brokerId));
    if (added.some(({ brokerId, brokerEpoch }) => this.registered[brokerId] !== brokerEpoch))
      return void answer({ outcome: "ineligible" });
    this.#change({ inSyncReplicas: proposal.inSyncReplicas.map(({ brokerId }) => brokerId) });
    answer({ outcome: "changed", partitionEpoch: this.stored.partitionEpoch });
  }

  /** The last member stays: it has everything. Whoever led leads again under a higher epoch only. */
  #strip(id: number): void {
    const kept = this.stored.inSyncReplicas.filter((other) => other !== id);
    const inSyncReplicas = kept.length === 0 ? this.stored.inSyncReplicas : kept;
    const led = this.stored.leader === id;
    if (inSyncReplicas.length === this.stored.inSyncReplicas.length && !led) return;
    this.#change({ inSyncReplicas, ...(led ? { leader: -1, leaderEpoch: this.stored.leaderEpoch + 1 } : {}) });
  }

  #change(changed: Partial<StoredPartition>): void {
    this.stored = { ...this.stored, ...changed, partitionEpoch: this.stored.partitionEpoch + 1 };
  }

  #carryOut(replica: Replica, { highWatermark, propose }: LeaderEffects): void {
    const { leader } = replica;
    if (leader === undefined) return;
    if (highWatermark !== undefined) {
      if (highWatermark < replica.highWatermark) throw new Error("a leader's watermark went back");
      replica.highWatermark = highWatermark;
      for (let offset = this.acknowledged.length; offset < highWatermark; offset++)
        this.acknowledged.push(replica.entries[offset]!);
      for (let offset = 0; offset < highWatermark; offset++)
        if (this.acknowledged[offset]!.value !== replica.entries[offset]!.value)
          throw new Error(`leader ${replica.id} commits another record at ${offset}`);
    }
    if (propose) this.messages.push({ kind: "proposal", from: replica.id, life: replica.life, proposal: propose });
    replica.inFlight = leader.isChangePending ? (propose ?? replica.inFlight) : undefined;
  }
}
