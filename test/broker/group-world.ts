// Consumer groups over a real coordinator and real logs, on a simulated disk and clock, with a view of what is left behind: timers,
// listeners, waiters.

import { getEventListeners } from "node:events";
import { Draining } from "../../src/broker/draining.ts";
import type { PollAnswer, PollCall, Position } from "../../src/broker/group-calls.ts";
import { coordinatorOf } from "../../src/broker/group-coordinator.ts";
import { Groups } from "../../src/broker/groups.ts";
import { makeFolder, openFolder } from "../../src/broker/open-folder.ts";
import { Polls } from "../../src/broker/poll.ts";
import { Topics } from "../../src/broker/topics.ts";
import { defaultSettings, type Settings } from "../../src/config.ts";
import type { GroupCoordinator } from "../../src/consumer-groups/coordinator.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { batchSizeAt, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

type Opened = Awaited<ReturnType<typeof openFolder>>;

export class GroupWorld {
  readonly disk: SimulatedDisk;
  readonly clock: SimulatedClock;
  readonly parts: Opened["parts"];
  readonly topics: Topics;
  readonly draining = new Draining();
  readonly coordinator: GroupCoordinator;
  readonly polls: Polls;
  readonly groups: Groups;
  /** Calls of the coordinator's poll and request, by kind. */
  readonly turns: string[] = [];
  /** Of every timer that was set. */
  readonly delaysMs: number[] = [];
  listening = 0;

  private constructor({ parts }: Opened, disk: SimulatedDisk, clock: SimulatedClock) {
    this.disk = disk;
    this.clock = clock;
    this.parts = parts;
    this.topics = new Topics(parts);
    this.coordinator = coordinatorOf(parts, this.topics);
    this.#watch();
    this.polls = new Polls(parts, this.coordinator, this.draining);
    this.groups = new Groups(parts, this.coordinator);
  }

  static async start(settings: Partial<Settings> = {}): Promise<GroupWorld> {
    const disk = new SimulatedDisk({ folders: ["srv"] });
    const clock = new SimulatedClock({ wallMs: 1_700_000_000_000 });
    const process = disk.startProcess();
    const all = { ...defaultSettings, groupPartitionCount: 2, ...settings, dataDir: "srv/data" };
    await makeFolder(process, all.dataDir);
    const options = { dataDir: all.dataDir, codecs, clock, random: new SimulatedRandom(1) };
    const opened = await openFolder(options, all, process, await process.lock(all.dataDir));
    return new GroupWorld(opened, disk, clock);
  }

  async topic(name: string, partitionCount = 1, config: Record<string, unknown> = {}): Promise<void> {
    await this.topics.create({ name, partitionCount, config });
  }

  /** One batch. */
  async produce(topic: string, partition: number, values: readonly string[], timestamp = this.clock.nowMs()) {
    const records = values.map((value) => ({ key: null, value: encoder.encode(value), headers: [], timestamp }));
    const batch = encodeRecordBatch(records, { codecs });
    const header = readBatchHeader(viewOf(batch), 0);
    await this.partition(topic, partition).append(batch, header, { acks: "all", timeoutMs: 1000 });
  }

  partition(topic: string, partition: number) {
    return this.parts.partitions.get(topic, partition);
  }

  poll(memberId: string, call: Partial<PollCall> = {}): Promise<PollAnswer> {
    return this.polls.poll({
      groupId: "g",
      memberId,
      offsetReset: "earliest",
      forRecords: true,
      maxBytes: 1024 * 1024,
      waitMs: 0,
      ...call,
    });
  }

  /** What is waiting somewhere: nothing of it may be left by a poll. */
  leftovers(signal?: AbortSignal): Record<string, number> {
    const waiters = [...this.parts.partitions.all()].reduce((sum, { waiters }) => sum + waiters.size, 0);
    const listeners = signal ? getEventListeners(signal, "abort").length : 0;
    return { timers: this.clock.timersPending, listening: this.listening, waiters, listeners };
  }

  #watch(): void {
    const { coordinator, clock } = this;
    const setTimer = clock.setTimer.bind(clock);
    clock.setTimer = (delayMs, run) => {
      this.delaysMs.push(delayMs);
      return setTimer(delayMs, run);
    };
    const poll = coordinator.poll.bind(coordinator);
    const request = coordinator.request.bind(coordinator);
    const listen = coordinator.listen.bind(coordinator);
    coordinator.poll = (call) => {
      this.turns.push("poll");
      return poll(call);
    };
    coordinator.request = (call) => {
      this.turns.push(call.kind);
      return request(call);
    };
    coordinator.listen = (groupId, memberId, tell) => {
      this.listening++;
      const stop = listen(groupId, memberId, tell);
      return () => {
        this.listening--;
        stop();
      };
    };
  }
}

const encoder = new TextEncoder();

/** Offsets of the batches in an answer, as `topic-partition:base..last`. */
export function batchesOf({ fetched }: PollAnswer): string[] {
  return fetched.flatMap(({ topic, partition, batches }) => {
    const view = viewOf(batches);
    const found: string[] = [];
    for (let at = 0; at < batches.byteLength; at += batchSizeAt(view, at)) {
      const { baseOffset, lastOffset } = readBatchHeader(view, at);
      found.push(`${topic}-${partition}:${baseOffset}..${lastOffset}`);
    }
    return found;
  });
}

/** Each partition's place behind what was fetched: what a client sends once it has handled it. */
export function handled({ positions, fetched }: PollAnswer): Position[] {
  return positions.map(({ topic, partition, nextOffset }) => {
    const read = fetched.find((one) => one.topic === topic && one.partition === partition);
    return { topic, partition, nextOffset: read?.nextOffset ?? nextOffset };
  });
}

export async function refusal(promise: Promise<unknown>): Promise<BrokerError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BrokerError) return error;
    throw error;
  }
  throw new Error("was not refused");
}
