// One replica of a log in a data folder of its own on a simulated disk, and the pure protocol that keeps it with its leader.

import type { LogContext } from "../../src/log/log-context.ts";
import { LogManager } from "../../src/log/log-manager.ts";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import type { AppendInfo } from "../../src/log/write-group.ts";
import { judgeReplicaFetch } from "../../src/replication/follower-fetch.ts";
import {
  endsAfterAppend,
  followerStep,
  nextReplicaFetch,
  type ReplicaAnswer,
} from "../../src/replication/follower-state.ts";
import { observe, signatureOf } from "../simulation/log-observation.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { append, type BatchSketch, compactionSettings, logContext } from "./log-fixture.ts";
import type { GatedDisk } from "./log-world.ts";

const topicId = "AAAAAAAAAAAAAAAAAAAAAA";
export const folder = "data/t-0";
export const appendGroupBytesMax = 2048;
export const checkpointIntervalMs = 5_000;

export interface ReplicaOptions {
  readonly overrides?: Record<string, unknown>;
  readonly settings?: Partial<LogContext["settings"]>;
  readonly gate?: GatedDisk;
  readonly guard?: LogContext["diskGuard"];
}

export const smallSegments = { "segment.bytes": 1024, "index.interval.bytes": 200 };

export class Replica {
  readonly disk: SimulatedDisk;
  readonly clock: SimulatedClock;
  readonly manager: LogManager;
  readonly #options: ReplicaOptions;

  private constructor(disk: SimulatedDisk, clock: SimulatedClock, manager: LogManager, options: ReplicaOptions) {
    this.disk = disk;
    this.clock = clock;
    this.manager = manager;
    this.#options = options;
  }

  /** An empty log on a new disk. */
  static async make(options: ReplicaOptions = {}): Promise<Replica> {
    const replica = await Replica.#start(new SimulatedDisk({ folders: ["data"] }), options, false);
    await replica.manager.create([knownBy(options)]);
    return replica;
  }

  /** What a start finds on the disk of an ended process. */
  static open(disk: SimulatedDisk, options: ReplicaOptions = {}): Promise<Replica> {
    return Replica.#start(disk, options, true);
  }

  static async #start(disk: SimulatedDisk, options: ReplicaOptions, isKnown: boolean): Promise<Replica> {
    const clock = new SimulatedClock({ wallMs: 1_000_000 });
    const process = disk.startProcess();
    const lock = await process.lock("data");
    const settings = { appendGroupBytesMax, fileDeleteDelayMs: 1000, ...options.settings };
    const usual = logContext(options.gate?.over(process) ?? process, clock, settings);
    const context = { ...usual, ...(options.guard && { diskGuard: options.guard }) };
    const checks = { retentionCheckMs: 1e12, checkpointIntervalMs, recoveryConcurrency: 1 };
    const manager = await LogManager.open(context, "data", { ...compactionSettings, ...checks }, lock);
    await manager.load(isKnown ? [knownBy(options)] : [], () => false);
    return new Replica(disk, clock, manager, options);
  }

  /** Throws why it is offline. */
  get log(): PartitionLog {
    return this.manager.get("t", 0)!;
  }

  /** kill -9 and the next process; with `powerCut` only what was synced is there. */
  async restart(powerCut = false): Promise<Replica> {
    this.disk.kill();
    if (powerCut) this.disk.powerCut({ keep: "nothing" });
    return await Replica.open(this.disk, this.#options);
  }

  /** The same log as a start on a copy of the disk finds it. */
  async asRecovered(): Promise<string> {
    const copy = this.disk.copy();
    copy.kill();
    return signatureOf(await observe((await Replica.open(copy, this.#options)).log));
  }

  /** Leads in `epoch`; all that is acknowledged is committed at once unless another says what is. */
  async lead(epoch: number, commits = true): Promise<void> {
    const { log } = this;
    const advanced = () => commits && log.advanceHighWatermark(log.acknowledgedOffset);
    log.listen({ advanced: () => void advanced(), wentOffline() {} });
    await log.becomeLeader(epoch);
    advanced();
  }

  send(...sketches: readonly BatchSketch[]): Promise<AppendInfo[]> {
    return Promise.all(sketches.map((sketch) => append(this.log, sketch)));
  }

  /** All bytes of its segments, front to back. */
  async bytes(): Promise<Buffer> {
    const disk = this.disk.copy();
    disk.kill();
    const process = disk.startProcess();
    const names = (await process.list(folder)).map(({ name }) => name).filter((name) => name.endsWith(".log"));
    return Buffer.concat(await Promise.all(names.sort().map((name) => process.readFile(`${folder}/${name}`))));
  }

  async names(): Promise<string[]> {
    const disk = this.disk.copy();
    disk.kill();
    return (await disk.startProcess().list(folder)).map(({ name }) => name).sort();
  }
}

function knownBy({ overrides = smallSegments }: ReplicaOptions) {
  return { topic: "t", topicId, partition: 0, config: topicConfig(overrides) };
}

/** What the leader of `leaderEpoch` has for `follower`, and the step that is due then. */
async function nextStep(leader: PartitionLog, leaderEpoch: number, follower: PartitionLog, bytesMax: number) {
  const asked = nextReplicaFetch({ brokerId: 2, brokerEpoch: 1, leaderEpoch }, follower.replica);
  const replicas = { leaderEpoch, replicas: [1, 2], knownBrokerEpoch: () => 1 };
  const { logStartOffset, highWatermark, logEndOffset } = leader;
  const verdict = judgeReplicaFetch(asked, replicas, leader.replica);
  const ends = { logStartOffset, highWatermark, logEndOffset };
  let answer: ReplicaAnswer;
  if (verdict.kind === "sound")
    answer = { kind: "batches", batches: await leader.read(asked.fetchOffset, bytesMax, logEndOffset), ...ends };
  else if (verdict.kind === "diverging") answer = verdict;
  else if (verdict.kind === "outOfRange") answer = { kind: "outOfRange", ...ends };
  else throw new Error(`the leader refuses: ${verdict.kind}`);
  return followerStep(asked, answer, follower.replica);
}

export interface CatchUp {
  readonly bytesMax?: number;
  /** Ends after so many steps. */
  readonly stepsMax?: number;
  /** Told of each step that is done. */
  readonly done?: (kind: string) => void | Promise<void>;
}

/** The follower takes over what the leader has, as src/replication asks for it. Gives the kinds of the steps. */
export async function catchUp(
  leader: PartitionLog,
  leaderEpoch: number,
  follower: PartitionLog,
  { bytesMax = 700, stepsMax = 10_000, done = () => {} }: CatchUp = {},
): Promise<string[]> {
  const kinds: string[] = [];
  for (let steps = 0; ; steps++) {
    if (steps > 1000) throw new Error(`there is no end to it: ${kinds.slice(-5)}`);
    const step = await nextStep(leader, leaderEpoch, follower, bytesMax);
    if (step.kind === "append") {
      await follower.replica.append(step.batches, step.ends.logStartOffset);
      await done(step.kind);
      await follower.replica.followEnds(endsAfterAppend(step.ends, follower.replica));
      await done("ends");
      if (step.batches.byteLength === 0) return kinds;
    } else if (step.kind === "truncate") await follower.replica.truncateTo(step.offset);
    else if (step.kind === "startOver") await follower.replica.startOver(step.offset);
    else throw new Error(`nothing else happens here, but: ${step.kind}`);
    if (step.kind !== "append") await done(step.kind);
    kinds.push(step.kind);
    if (kinds.length === stepsMax) return kinds;
  }
}

/** What is remembered of producers, as two replicas of one log must agree on it; in the order in which it is forgotten. */
export function rememberedBy(log: PartitionLog): string[] {
  return log.producers().map((entry) => JSON.stringify({ ...entry, producerId: `${entry.producerId}`, seenMs: 0 }));
}
