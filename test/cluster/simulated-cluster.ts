// Brokers' registrations and controllers over one store, on simulated disk and time. Each broker reaches the store through a line of
// its own that can be cut, and loses answers; it can be paused, killed, stopped and started again. The laws are checked at each change.

import { expect } from "vitest";
import { BrokerRegistration } from "../../src/cluster/broker-registration.ts";
import { Controller } from "../../src/cluster/controller.ts";
import type { InSyncAnswer } from "../../src/cluster/in-sync-change.ts";
import {
  type BrokerStateValue,
  brokerStateKey,
  type PartitionValue,
  partitionsPrefix,
} from "../../src/cluster/metadata-keys.ts";
import type { MetadataStore, TransactionResult, WatchHandler } from "../../src/cluster/metadata-store.ts";
import { SingleNodeStore } from "../../src/cluster/single-node-store.ts";
import type { Clock } from "../../src/io/clock.ts";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";

/** What the next transaction of a broker meets: its answer is lost, and it was done, was not, or is yet to be done. */
export type Ambiguity = "done" | "notDone" | "later";

export class SimulatedBroker {
  isCut = false;
  isLeaving = false;
  nextTransaction: Ambiguity | undefined;
  readonly brokerId: number;
  readonly registration: BrokerRegistration;
  readonly controller: Controller;
  readonly epochs: number[] = [];
  readonly lost: number[] = [];
  readonly uncleanElections: string[] = [];
  #isPaused = false;
  #isDead = false;
  #held: (() => void)[] = [];

  constructor(store: MetadataStore, clock: Clock, brokerId: number, incarnation: string, cleanEpoch: number) {
    this.brokerId = brokerId;
    const line = this.#line(store, clock);
    const ownClock = this.#clock(clock);
    this.registration = new BrokerRegistration({
      store: line,
      clock: ownClock,
      brokerId,
      broker: { incarnation, url: `http://broker-${brokerId}`, rack: null },
      cleanEpoch,
      listener: {
        registered: (epoch) => {
          this.epochs.push(epoch);
          this.controller.wake();
        },
        lost: (epoch) => this.lost.push(epoch),
      },
    });
    this.controller = new Controller({
      store: line,
      clock: ownClock,
      registration: this.registration,
      electedUncleanly: (key) => this.uncleanElections.push(key),
    });
    this.registration.start();
    this.controller.start();
  }

  get line(): MetadataStore {
    return this.#store!;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    for (const run of this.#held.splice(0)) this.#run(run);
  }

  kill(): void {
    this.#isDead = true;
    this.isCut = true;
    this.#held = [];
  }

  /** Announces its stop, if the store lets it. */
  async leave(clock: SimulatedClock): Promise<void> {
    if (this.#isPaused) return;
    this.isLeaving = true;
    await clock.runUntilSettled(this.registration.markShuttingDown().catch(() => {}));
  }

  async stop(): Promise<void> {
    this.resume();
    this.isCut = false;
    await this.controller.close();
    await this.registration.close();
    this.kill();
  }

  #store: MetadataStore | undefined;

  #run(run: () => void): void {
    if (this.#isDead) return;
    if (this.#isPaused) this.#held.push(run);
    else run();
  }

  #clock(clock: Clock): Clock {
    return {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      setTimer: (delayMs, run) => clock.setTimer(delayMs, () => this.#run(run)),
    };
  }

  #line(store: MetadataStore, clock: Clock): MetadataStore {
    const through = async <T>(call: () => Promise<T>): Promise<T> => {
      await new Promise<void>((resolve) => this.#run(resolve));
      if (this.isCut) throw new Error("the store is out of reach");
      return call();
    };
    const ambiguous = async (call: () => Promise<TransactionResult>): Promise<TransactionResult> => {
      const ambiguity = this.nextTransaction;
      this.nextTransaction = undefined;
      if (ambiguity === undefined) return call();
      if (ambiguity === "done") await call();
      if (ambiguity === "later") clock.setTimer(700, () => void call().catch(() => {}));
      return { outcome: "unknown", cause: new Error("the answer was lost") };
    };
    const held = (handler: WatchHandler): WatchHandler => ({
      changed: (events, revision) => this.#run(() => handler.changed(events, revision)),
      compacted: () => this.#run(() => handler.compacted()),
    });
    this.#store = {
      get: (key) => through(() => store.get(key)),
      range: (prefix) => through(() => store.range(prefix)),
      transaction: (compares, operations) => through(() => ambiguous(() => store.transaction(compares, operations))),
      watch: (prefix, fromRevision, handler) => store.watch(prefix, fromRevision, held(handler)),
      grantLease: (ttlSeconds) => through(() => store.grantLease(ttlSeconds)),
      keepAlive: (lease) => through(() => store.keepAlive(lease)),
      revokeLease: (lease) => through(() => store.revokeLease(lease)),
      close: () => Promise.resolve(),
    };
    return this.#store;
  }
}

export class SimulatedCluster {
  readonly clock = new SimulatedClock();
  readonly brokers = new Map<number, SimulatedBroker>();
  readonly store: SingleNodeStore;
  /** Every value a partition had. */
  readonly history = new Map<string, PartitionValue[]>();
  /**
   * Came back after a kill while in sync, and is in that set still: "<partition key> <broker>", with the last epoch of its life
   * before. Until it registers, the store may take it for alive in that one.
   */
  readonly #tainted = new Map<string, number>();
  readonly #lastEpochs = new Map<number, number>();
  #incarnations = 0;
  readonly broken: unknown[] = [];
  allowUnclean = false;

  private constructor(store: SingleNodeStore, clock: SimulatedClock) {
    this.store = store;
    this.clock = clock;
    store.watch(partitionsPrefix, 1, {
      changed: (events) => {
        try {
          for (const event of events)
            if (event.kind === "put") this.#law(event.value.key, event.value.value as PartitionValue);
        } catch (error) {
          this.broken.push(error);
        }
      },
      compacted: () => this.broken.push(new Error("the laws were not told of everything")),
    });
  }

  static async open(): Promise<SimulatedCluster> {
    const clock = new SimulatedClock();
    const disk = new SimulatedDisk({ folders: ["/data"] }).startProcess();
    const store = await SingleNodeStore.open({ disk, directory: "/data/metadata", clock, codecs: nodeCodecs });
    return new SimulatedCluster(store, clock);
  }

  start(brokerId: number): SimulatedBroker {
    const isClean = !this.#killed.has(brokerId);
    const cleanEpoch = isClean ? (this.#lastEpochs.get(brokerId) ?? -1) : -1;
    if (!isClean)
      for (const [key, values] of this.history)
        if (values.at(-1)!.inSyncReplicas.includes(brokerId))
          this.#tainted.set(`${key} ${brokerId}`, this.#lastEpochs.get(brokerId)!);
    this.#killed.delete(brokerId);
    const broker = new SimulatedBroker(this.store, this.clock, brokerId, `process ${++this.#incarnations}`, cleanEpoch);
    this.brokers.set(brokerId, broker);
    return broker;
  }

  readonly #killed = new Set<number>();

  kill(brokerId: number): void {
    this.#killed.add(brokerId);
    this.#remove(brokerId).kill();
  }

  async stop(brokerId: number): Promise<void> {
    await this.clock.runUntilSettled(this.#remove(brokerId).stop());
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    if (this.broken.length > 0) throw this.broken[0];
  }

  /** What a leader was told about its change, against what the store had. */
  answered(key: string, seen: PartitionValue, wanted: readonly number[], answer: InSyncAnswer): void {
    const after = this.history.get(key)!.find(({ partitionEpoch }) => partitionEpoch === seen.partitionEpoch + 1);
    try {
      if (answer.outcome === "changed") expect([...after!.inSyncReplicas].sort()).toEqual([...wanted].sort());
    } catch (error) {
      this.broken.push(error);
    }
  }

  get controllers(): SimulatedBroker[] {
    return [...this.brokers.values()].filter(({ controller }) => controller.isController);
  }

  async put(key: string, value: unknown): Promise<void> {
    await this.store.transaction([], [{ kind: "put", key, value }]);
  }

  async partition(key: string): Promise<PartitionValue> {
    return (await this.store.get(key))!.value as PartitionValue;
  }

  async state(brokerId: number): Promise<BrokerStateValue> {
    return (await this.store.get(brokerStateKey(brokerId)))!.value as BrokerStateValue;
  }

  #remove(brokerId: number): SimulatedBroker {
    const broker = this.brokers.get(brokerId)!;
    this.brokers.delete(brokerId);
    this.#lastEpochs.set(brokerId, broker.registration.vouchedEpoch);
    return broker;
  }

  #law(key: string, value: PartitionValue): void {
    const values = this.history.get(key) ?? [];
    this.history.set(key, [...values, value]);
    expect(value.inSyncReplicas.length).toBeGreaterThan(0);
    if (value.leader !== -1) expect(value.inSyncReplicas).toContain(value.leader);
    const before = values.at(-1);
    if (!before) return;
    expect(value.partitionEpoch).toBe(before.partitionEpoch + 1);
    expect(value.leaderEpoch).toBeGreaterThanOrEqual(before.leaderEpoch);
    for (const other of values.filter(({ leaderEpoch }) => leaderEpoch === value.leaderEpoch)) {
      expect([other.leader, other.leaderBrokerEpoch]).toEqual([value.leader, value.leaderBrokerEpoch]);
    }
    const isElection = value.leaderEpoch > before.leaderEpoch && value.leader !== -1;
    if (isElection && !this.allowUnclean) expect(before.inSyncReplicas).toContain(value.leader);
    const epochBefore = this.#tainted.get(`${key} ${value.leader}`);
    if (isElection && epochBefore !== undefined && value.leaderBrokerEpoch! > epochBefore) {
      expect(before.inSyncReplicas).toEqual([value.leader]);
      this.#tainted.delete(`${key} ${value.leader}`);
    }
    for (const id of before.inSyncReplicas)
      if (!value.inSyncReplicas.includes(id)) this.#tainted.delete(`${key} ${id}`);
  }
}
