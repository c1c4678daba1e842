// One life of the coordinator as a broker has it, over a simulated disk: logs, metadata and topics are the real ones. Ended by ending
// the process of the disk; the next life is given the same disk.

import type { BrokerParts } from "../../src/broker/broker-parts.ts";
import { coordinatorOf } from "../../src/broker/group-coordinator.ts";
import { OffsetsTopic } from "../../src/broker/group-logs.ts";
import { makeFolder, openFolder } from "../../src/broker/open-folder.ts";
import { Topics } from "../../src/broker/topics.ts";
import { defaultSettings, type Settings } from "../../src/config.ts";
import type { GroupCoordinator } from "../../src/consumer-groups/coordinator.ts";
import type { Group } from "../../src/consumer-groups/group.ts";
import { GroupShard } from "../../src/consumer-groups/group-shard.ts";
import type { Random } from "../../src/io/random.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock, settled } from "../simulation/simulated-clock.ts";
import type { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { groupState } from "./shard-world.ts";

const dataDir = "data";

export interface GroupProcessOptions {
  readonly wallMs?: number;
  readonly settings?: Partial<Settings>;
  readonly random: Random;
}

/** Ids in the order of their making, so that assignments do not depend on chance. One for all lives. */
export class CountingRandom implements Random {
  #count = 0;

  fraction(): number {
    return 0.5;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    new DataView(bytes.buffer).setUint32(length - 4, ++this.#count);
    return bytes;
  }
}

export class GroupProcess {
  readonly clock: SimulatedClock;
  readonly topics: Topics;
  readonly coordinator: GroupCoordinator;
  readonly parts: BrokerParts;

  private constructor(clock: SimulatedClock, parts: BrokerParts) {
    this.clock = clock;
    this.parts = parts;
    this.topics = new Topics(parts);
    this.coordinator = coordinatorOf(parts, this.topics);
  }

  static async start(machine: SimulatedDisk, options: GroupProcessOptions): Promise<GroupProcess> {
    const clock = new SimulatedClock(options.wallMs === undefined ? {} : { wallMs: options.wallMs });
    return new GroupProcess(clock, await openParts(machine, clock, options));
  }

  /** All groups, by id, once every shard is loaded and what they show is committed. */
  async state(): Promise<unknown[]> {
    await settled();
    const states = await this.coordinator.viewAll((group): [string, unknown] => [group.groupId, groupState(group)]);
    return states.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, state]) => state);
  }

  view<T>(groupId: string, read: (group: Group) => T): Promise<T | undefined> {
    return this.coordinator.view(groupId, read);
  }

  /** In order, as at a clean stop. */
  async close(): Promise<void> {
    await this.coordinator.close();
    this.parts.image.close();
    await this.parts.store.close();
    await this.parts.logs.close(this.parts.settings.brokerId);
  }
}

async function openParts(
  machine: SimulatedDisk,
  clock: SimulatedClock,
  options: GroupProcessOptions,
): Promise<BrokerParts> {
  const settings = { ...defaultSettings, groupPartitionCount: 2, ...options.settings, dataDir };
  const disk = machine.startProcess();
  await makeFolder(disk, dataDir);
  const lock = await disk.lock(dataDir);
  const { random } = options;
  return (await openFolder({ dataDir, clock, random, codecs }, settings, disk, lock)).parts;
}

/** What the logs of groups hold, shard by shard, before a coordinator changes anything. */
export async function shardsOnDisk(machine: SimulatedDisk, options: GroupProcessOptions): Promise<GroupShard[]> {
  const parts = await openParts(machine, new SimulatedClock(), options);
  const logs = new OffsetsTopic(parts, new Topics(parts));
  if (!logs.exists) return [];
  const { image } = parts;
  const topics = {
    revision: 0,
    topic: (name: string) => image.topic(name),
    nameOf: (topicId: string) => image.nameOf(topicId),
  };
  const numbers = Array.from({ length: logs.shardCount }, (_, shard) => shard);
  return Promise.all(
    numbers.map(async (number) => {
      const shard = new GroupShard(topics);
      await (await logs.open(number)).replay((key, value) => shard.replay(key, value));
      return shard;
    }),
  );
}
