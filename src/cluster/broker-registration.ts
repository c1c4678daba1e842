// This broker's entry among the living: brokers/<id> on a lease that is kept alive. The revision that made the entry is the broker's
// epoch; a lost lease means a new entry and a new epoch, and whoever acts for the cluster pins what it writes to its epoch.
//
// The lease counts as held only for as long as the last keep-alive proves, reckoned from the time it was sent: the store counts
// from when it came, which is later, so it never gives the broker up while the broker still believes.

import type { Clock, Timer } from "../io/clock.ts";
import { type Logger, silentLogger } from "../io/logger.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { type BrokerStateValue, type BrokerValue, brokerKey, brokerStateKey } from "./metadata-keys.ts";
import type { MetadataStore } from "./metadata-store.ts";

/** How often the mark of a shutdown is tried. */
const markAttemptsMax = 10;

export interface BrokerRegistrationOptions {
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly logger?: Logger;
  readonly brokerId: number;
  readonly broker: BrokerValue;
  /** The broker epoch of the last process, if it stopped in good order; −1: it did not, or there was none. */
  readonly cleanEpoch: number;
  readonly ttlSeconds?: number;
  /** Called in order, each time that it becomes or ceases to be so. */
  readonly listener?: RegistrationListener;
}

export interface RegistrationListener {
  registered(brokerEpoch: number): void;
  /** The entry is gone; leave every role. Registering anew is under way. */
  lost(brokerEpoch: number): void;
}

interface Held {
  readonly lease: number;
  readonly brokerEpoch: number;
}

interface Proof {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export class BrokerRegistration {
  readonly brokerId: number;
  readonly #store: MetadataStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #broker: BrokerValue;
  readonly #listener: RegistrationListener | undefined;
  readonly #ttlMs: number;
  /** Epochs since which this broker has lost nothing. */
  readonly #intactEpochs: Set<number>;
  #vouchedEpoch: number;
  #lease: number | undefined;
  #proof: Proof | undefined;
  #held: Held | undefined;
  #timer: Timer | undefined;
  #step: Promise<void> | undefined;
  #closed = false;

  constructor(options: BrokerRegistrationOptions) {
    this.brokerId = options.brokerId;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger ?? silentLogger;
    this.#broker = options.broker;
    this.#listener = options.listener;
    this.#ttlMs = (options.ttlSeconds ?? 10) * 1000;
    this.#vouchedEpoch = options.cleanEpoch;
    this.#intactEpochs = new Set([options.cleanEpoch]);
  }

  /** Registers now, and again and again until it works and whenever the entry is lost, until close. */
  start(): void {
    this.#tick();
  }

  /** Undefined while there is no entry. */
  get brokerEpoch(): number | undefined {
    return this.#held?.brokerEpoch;
  }

  /** For the next process to give as its cleanEpoch, if this one stops in good order. */
  get vouchedEpoch(): number {
    return this.#vouchedEpoch;
  }

  /** What hangs on the broker's life hangs on this. */
  get lease(): number | undefined {
    return this.#held?.lease;
  }

  /** True while the store surely holds the entry. To be asked right before an answer that rests on it. */
  leaseValid(): boolean {
    if (!this.#held || !this.#proof) return false;
    const passedMs = this.#clock.monotonicMs() - this.#proof.monotonicMs;
    // A machine that slept stops the one clock and not the other.
    const wallAheadMs = this.#clock.nowMs() - this.#proof.wallMs - passedMs;
    return passedMs < this.#ttlMs - this.#marginMs && Math.abs(wallAheadMs) <= this.#marginMs;
  }

  /** Says that this broker is about to stop: the controller moves its leaders. Rejects when the store does not take it. */
  async markShuttingDown(): Promise<void> {
    for (let attempt = 0; attempt < markAttemptsMax; attempt++) {
      const held = this.#held;
      const key = brokerStateKey(this.brokerId);
      const stored = await this.#store.get(key);
      if (!held || !stored) break;
      const state = stored.value as BrokerStateValue;
      if (state.shuttingDown) return;
      const compares = [
        { key: brokerKey(this.brokerId), createRevision: held.brokerEpoch },
        { key, modRevision: stored.modRevision },
      ];
      const operation = { kind: "put", key, value: { ...state, shuttingDown: true } } as const;
      const { outcome } = await this.#store.transaction(compares, [operation]);
      if (outcome === "committed") return;
    }
    throw new BrokerError("REQUEST_TIMED_OUT", "the broker's shutdown could not be announced");
  }

  /** Gives the entry up at once. What the broker leads should have moved before. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#step;
    const lease = this.#lease;
    this.#drop();
    if (lease !== undefined) await this.#store.revokeLease(lease);
  }

  get #marginMs(): number {
    return this.#ttlMs / 10;
  }

  #tick(): void {
    this.#timer = this.#clock.setTimer(this.#ttlMs / 3, () => this.#tick());
    if (this.#step) return; // it is still waiting for the store
    const work = this.#held ? this.#keepAlive() : this.#register();
    this.#step = work
      .catch((error: Error) => this.#logger.warn({ err: error }, "the broker's registration could not be renewed"))
      .then(() => {
        this.#step = undefined;
      });
  }

  async #keepAlive(): Promise<void> {
    const { lease, brokerEpoch } = this.#held!;
    const sent = this.#now();
    const isAlive = await this.#store.keepAlive(lease);
    // The lease may live and the entry not: somebody else may have deleted it.
    const entry = isAlive ? await this.#store.get(brokerKey(this.brokerId)) : undefined;
    if (isAlive && entry?.createRevision === brokerEpoch) {
      this.#proof = sent;
      return;
    }
    this.#logger.warn({ brokerEpoch }, "the broker's registration was lost");
    this.#drop();
    if (!this.#closed) await this.#register();
  }

  async #register(): Promise<void> {
    const sent = this.#now();
    if (this.#lease !== undefined && !(await this.#store.keepAlive(this.#lease))) this.#lease = undefined;
    this.#lease ??= await this.#store.grantLease(this.#ttlMs / 1000);
    const key = brokerKey(this.brokerId);
    const stateKey = brokerStateKey(this.brokerId);
    const entry = await this.#store.get(key);
    if (entry !== undefined && (await this.#isTaken(entry.value as BrokerValue, entry.createRevision))) return;
    const stored = await this.#store.get(stateKey);
    const compares = [
      { key, createRevision: 0 },
      { key: stateKey, modRevision: stored?.modRevision ?? 0 },
    ];
    const lastBrokerEpoch = (stored?.value as BrokerStateValue | undefined)?.lastBrokerEpoch ?? -1;
    const state: BrokerStateValue = {
      lastBrokerEpoch,
      fenced: true,
      shuttingDown: false,
      cleanEpoch: this.#intactEpochs.has(lastBrokerEpoch) ? lastBrokerEpoch : -1,
    };
    const lease = this.#lease;
    const result = await this.#store.transaction(compares, [
      { kind: "put", key, value: this.#broker, lease },
      { kind: "put", key: stateKey, value: state },
    ]);
    if (result.outcome !== "committed" || this.#closed) return; // the next tick reads again
    this.#held = { lease, brokerEpoch: result.revision };
    this.#proof = sent;
    this.#vouchedEpoch = result.revision;
    this.#intactEpochs.add(result.revision);
    this.#listener?.registered(result.revision);
  }

  /** An entry of this very process, from a lease or an attempt it lost sight of, is taken away; any other must run out. */
  async #isTaken(entry: BrokerValue, createRevision: number): Promise<boolean> {
    const { brokerId } = this;
    if (entry.incarnation !== this.#broker.incarnation) {
      this.#logger.warn({ brokerId }, "another process is registered under this broker's id, or was until just now");
      return true;
    }
    const key = brokerKey(brokerId);
    const result = await this.#store.transaction([{ key, createRevision }], [{ kind: "delete", key }]);
    return result.outcome !== "committed";
  }

  #drop(): void {
    const held = this.#held;
    this.#held = undefined;
    this.#proof = undefined;
    if (held === undefined) return;
    this.#lease = undefined;
    this.#listener?.lost(held.brokerEpoch);
  }

  #now(): Proof {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.nowMs() };
  }
}
