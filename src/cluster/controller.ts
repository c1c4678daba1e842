// The controller: one broker at a time, which decides for partitions whose brokers come and go. Every broker runs one of these;
// the one whose entry is in the store acts. Who is the controller, and of what, is read from the store alone, so there is nothing
// to restore after a change of hands.
//
// Every write is pinned to the controller's own entry and to all that it was decided by. A controller that lost its place without
// knowing, a copy of the store that lags, an answer that never came: each makes a write fail, none makes it wrong.

import type { Clock, Timer } from "../io/clock.ts";
import { type Logger, silentLogger } from "../io/logger.ts";
import { type Election, elect, type LivingBroker } from "./election.ts";
import { FollowedKeys } from "./followed-keys.ts";
import {
  type BrokerStateValue,
  brokerKey,
  brokerStateKey,
  brokersPrefix,
  type ControllerValue,
  controllerEpochKey,
  controllerKey,
  type PartitionValue,
  partitionsPrefix,
  type TopicValue,
  topicsPrefix,
} from "./metadata-keys.ts";
import {
  type Compare,
  type MetadataStore,
  type Operation,
  type StoredValue,
  transactionOperationsMax,
} from "./metadata-store.ts";

/** The partitions changed by one transaction; the rest of its compares are for the brokers they rest on. */
const batchPartitionsMax = 60;
/** After a store that failed, or an answer that did not come, the next try is this far off. */
const retryMs = 500;

/** What the controller needs of this broker's registration. */
export interface OwnRegistration {
  readonly brokerId: number;
  readonly brokerEpoch: number | undefined;
  readonly lease: number | undefined;
  leaseValid(): boolean;
}

export interface ControllerOptions {
  readonly store: MetadataStore;
  readonly clock: Clock;
  readonly logger?: Logger;
  readonly registration: OwnRegistration;
  /** Preferred leaders get their partitions back this often. */
  readonly preferredLeadersMs?: number;
  /** Called once for each election of a leader that was not in sync. */
  readonly electedUncleanly?: (partitionKey: string) => void;
}

interface Change {
  readonly stored: StoredValue;
  readonly election: Election;
}

export class Controller {
  readonly #store: MetadataStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #registration: OwnRegistration;
  readonly #electedUncleanly: (partitionKey: string) => void;
  readonly #keys: FollowedKeys;
  readonly #preferredLeadersMs: number;
  #preferFirst = false;
  #preferTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #dirty = false;
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(options: ControllerOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger ?? silentLogger;
    this.#registration = options.registration;
    this.#electedUncleanly = options.electedUncleanly ?? (() => {});
    this.#preferredLeadersMs = options.preferredLeadersMs ?? 300_000;
    this.#keys = new FollowedKeys(options.store, () => this.wake());
  }

  start(): void {
    this.#preferLater();
    this.wake();
  }

  /** True while this broker is the controller and can prove it. */
  get isController(): boolean {
    const entry = this.#keys.get(controllerKey)?.value as ControllerValue | undefined;
    const { brokerId, brokerEpoch } = this.#registration;
    return entry?.brokerId === brokerId && entry.brokerEpoch === brokerEpoch && this.#registration.leaseValid();
  }

  /** Of the present controller, whoever it is; 0: there was none yet. */
  get controllerEpoch(): number {
    return (this.#keys.get(controllerEpochKey)?.value as number | undefined) ?? 0;
  }

  /** Looks again: the registration has changed, or the store's keys have. */
  wake(): void {
    this.#dirty = true;
    if (this.#closed) return;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#preferTimer?.cancel();
    this.#retryTimer?.cancel();
    this.#keys.close();
    await this.#working;
  }

  /** One at a time; a wake while it runs makes it run once more. */
  async #work(): Promise<void> {
    await undefined; // who wakes goes on first
    this.#retryTimer?.cancel();
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      try {
        await this.#pass();
      } catch (error) {
        this.#logger.warn({ err: error as Error }, "the controller's work has to wait for the store");
        break;
      }
    }
    // What an expired proof or a lost answer left undone is not told by any watch.
    if (!this.#closed) this.#retryTimer = this.#clock.setTimer(retryMs, () => this.wake());
  }

  async #pass(): Promise<void> {
    if (!this.#keys.isFollowing) await this.#keys.load();
    if (!this.#keys.get(controllerKey)) await this.#stand();
    if (!this.isController) {
      this.#preferFirst = false;
      return;
    }
    const brokers = this.#livingBrokers();
    const changes = this.#changesWanted(brokers);
    for (let from = 0; from < changes.length; ) {
      const done = await this.#carryOut(changes.slice(from, from + batchPartitionsMax), brokers);
      if (done === 0) return;
      from += done;
    }
    if (changes.length > 0) return; // the watch wakes us when it has told of them: nobody is let in before that
    this.#preferFirst = false;
    for (const [brokerId, broker] of brokers) if (broker.fenced) await this.#letIn(brokerId);
  }

  /** Whoever is first becomes the controller; the watch tells everyone, the winner too. */
  async #stand(): Promise<void> {
    const { brokerId, brokerEpoch, lease } = this.#registration;
    if (brokerEpoch === undefined || lease === undefined || !this.#registration.leaseValid()) return;
    const value: ControllerValue = { brokerId, brokerEpoch };
    const epoch = this.#keys.get(controllerEpochKey);
    const compares: Compare[] = [
      { key: controllerKey, createRevision: 0 },
      { key: controllerEpochKey, modRevision: epoch?.modRevision ?? 0 },
      { key: brokerKey(brokerId), createRevision: brokerEpoch },
    ];
    await this.#store.transaction(compares, [
      { kind: "put", key: controllerKey, value, lease },
      { kind: "put", key: controllerEpochKey, value: this.controllerEpoch + 1 },
    ]);
  }

  #livingBrokers(): Map<number, LivingBroker> {
    const brokers = new Map<number, LivingBroker>();
    for (const { key, createRevision: brokerEpoch } of this.#keys.range(brokersPrefix)) {
      const brokerId = Number(key.slice(brokersPrefix.length));
      const state = this.#keys.get(brokerStateKey(brokerId))?.value as BrokerStateValue | undefined;
      if (state === undefined) continue; // both are put at once: somebody has deleted it, and the broker is nobody's
      const { fenced, shuttingDown } = state;
      const unclean = fenced && state.cleanEpoch !== state.lastBrokerEpoch;
      brokers.set(brokerId, { brokerEpoch, fenced, shuttingDown, unclean });
    }
    return brokers;
  }

  #changesWanted(brokers: ReadonlyMap<number, LivingBroker>): Change[] {
    const uncleanTopics = new Set<string>();
    for (const { value } of this.#keys.range(topicsPrefix)) {
      const { topicId, config } = value as TopicValue;
      if (config["unclean.leader.election.enable"] === true) uncleanTopics.add(topicId);
    }
    const changes: Change[] = [];
    for (const stored of this.#keys.range(partitionsPrefix)) {
      const topicId = stored.key.slice(partitionsPrefix.length).split("/")[0]!;
      const rules = { allowUnclean: uncleanTopics.has(topicId), preferFirst: this.#preferFirst };
      const election = elect(stored.value as PartitionValue, brokers, rules);
      if (election) changes.push({ stored, election });
    }
    return changes;
  }

  /** How many of them are done; 0: all must be decided anew. */
  async #carryOut(changes: readonly Change[], brokers: ReadonlyMap<number, LivingBroker>): Promise<number> {
    const own = this.#ownPin();
    if (own === undefined) return 0;
    const pins = new Map<string, Compare>([[own.key, own]]);
    const operations: Operation[] = [];
    for (const change of changes) {
      const needed = this.#pinsOf(change, brokers).filter(({ key }) => !pins.has(key));
      if (pins.size + needed.length > transactionOperationsMax) break;
      for (const pin of needed) pins.set(pin.key, pin);
      operations.push({ kind: "put", key: change.stored.key, value: change.election.value });
    }
    const { outcome } = await this.#store.transaction([...pins.values()], operations);
    if (outcome !== "committed") return 0;
    for (const { stored, election } of changes.slice(0, operations.length)) {
      if (!election.unclean) continue;
      this.#logger.error({ partition: stored.key }, "elected a leader that was not in sync: records may be lost");
      this.#electedUncleanly(stored.key);
    }
    return operations.length;
  }

  /** Who was dead is dead still, who is in sync lives the same life, and a new leader is as free to lead as it was. */
  #pinsOf({ stored, election }: Change, brokers: ReadonlyMap<number, LivingBroker>): Compare[] {
    const before = stored.value as PartitionValue;
    const { leader } = election.value;
    const pins: Compare[] = [{ key: stored.key, modRevision: stored.modRevision }];
    const ids = new Set([...before.inSyncReplicas, ...election.value.inSyncReplicas]);
    for (const id of ids) pins.push({ key: brokerKey(id), createRevision: brokers.get(id)?.brokerEpoch ?? 0 });
    const state = this.#keys.get(brokerStateKey(leader));
    if (state) pins.push({ key: state.key, modRevision: state.modRevision });
    return pins;
  }

  /** Its in-sync sets are as they should be: it may lead and join. */
  async #letIn(brokerId: number): Promise<void> {
    const own = this.#ownPin();
    const entry = this.#keys.get(brokerKey(brokerId));
    const stored = this.#keys.get(brokerStateKey(brokerId));
    if (own === undefined || entry === undefined || stored === undefined) return;
    const state = stored.value as BrokerStateValue;
    const { createRevision } = entry;
    const value: BrokerStateValue = { ...state, fenced: false, lastBrokerEpoch: createRevision };
    const compares = [own, { key: entry.key, createRevision }, { key: stored.key, modRevision: stored.modRevision }];
    await this.#store.transaction(compares, [{ kind: "put", key: stored.key, value }]);
  }

  #ownPin(): Compare | undefined {
    const entry = this.#keys.get(controllerKey);
    if (!entry || !this.isController) return undefined;
    return { key: controllerKey, createRevision: entry.createRevision };
  }

  #preferLater(): void {
    this.#preferTimer = this.#clock.setTimer(this.#preferredLeadersMs, () => {
      this.#preferFirst = true;
      this.wake();
      this.#preferLater();
    });
  }
}
