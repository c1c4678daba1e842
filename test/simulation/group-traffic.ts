// What clients of consumer groups do at random: they poll, commit, leave and come back; topics and groups come and go; logs of groups
// are compacted; time passes.

import type { PartitionLog } from "../../src/log/partition-log.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { type Client, type GroupRun, retentionMs, sessionTimeoutMs } from "./group-run.ts";
import type { SimulatedRandom } from "./simulated-random.ts";

const topicNames = ["t", "u"];
const groupIds = ["g", "h"];
/** Groups that never have members. */
const plainGroupIds = ["i", "j"];
/** So small that there is something to compact after a few requests. */
const smallSegments = { "cleanup.policy": "compact", "segment.bytes": 1024, "min.cleanable.dirty.ratio": 0.01 };

export class GroupTraffic {
  /** Rounds of compaction that made the logs smaller. */
  compactions = 0;
  readonly #run: GroupRun;
  readonly #random: SimulatedRandom;

  constructor(run: GroupRun, random: SimulatedRandom) {
    this.#run = run;
    this.#random = random;
  }

  /** Some requests at once. */
  async burst(): Promise<void> {
    const atOnce = this.#random.pick([1, 1, 2, 4]);
    await Promise.all(Array.from({ length: atOnce }, () => this.#step()));
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const run = this.#run;
    switch (random.pick(stepKinds)) {
      case "leave":
        return run.leave(this.#client(), random.chance(0.5));
      case "again":
        this.#client().epoch = undefined; // its process died, and starts again
        return;
      case "commit":
        return run.commit(random.pick(plainGroupIds), "t", random.integer(2));
      case "reset":
        return run.reset(random.pick([...plainGroupIds, ...groupIds]), "t", random.integer(2));
      case "deleteGroup":
        return run.deleteGroup(random.pick([...plainGroupIds, ...groupIds]));
      case "topic":
        return this.#changeTopic(random.pick(topicNames));
      default:
        await run.poll(this.#client(), { commit: random.chance(0.7), keep: random.chance(0.3) });
    }
  }

  #client(): Client {
    const random = this.#random;
    const groupId = random.pick(groupIds);
    const memberId = random.pick(["a", "b", "c", "s1", "s2"]);
    const topics = random.pick([["t"], ["t", "u"]]);
    const name = `${groupId} ${memberId}`;
    return this.#run.client(name, groupId, memberId, topics, memberId.startsWith("s") ? "instance" : undefined);
  }

  async #changeTopic(name: string): Promise<void> {
    const known = this.#run.process.parts.image.topic(name);
    const change = known
      ? this.#random.chance(0.3)
        ? this.#run.deleteTopic(name)
        : this.#run.growTopic(name, known.partitionCount + 1)
      : this.#run.createTopic(name, 2);
    await change.catch(ignoreRefusal);
  }

  async passTime(): Promise<void> {
    await this.#run.pass(this.#random.pick([100, 5000, sessionTimeoutMs - 1, sessionTimeoutMs, retentionMs]));
  }

  #groupLogs(): PartitionLog[] {
    const { logs } = this.#run.process.parts;
    return [...logs.logs()].filter(({ identity }) => identity.topic === "__consumer_offsets");
  }

  async useSmallSegments(): Promise<void> {
    await Promise.all(this.#groupLogs().map((log) => log.changeConfig(topicConfig(smallSegments))));
  }

  async compact(): Promise<void> {
    await this.useSmallSegments(); // the topic may have been made in this life
    const size = () => this.#groupLogs().reduce((sum, log) => sum + log.sizeBytes, 0);
    const before = size();
    const { clock, parts } = this.#run.process;
    await clock.runUntilSettled(parts.logs.compact());
    if (size() < before) this.compactions += 1;
  }
}

/** As often as they stand here. */
const stepKinds = [
  ...Array.from({ length: 10 }, () => "poll" as const),
  "leave",
  "leave",
  "again",
  "commit",
  "commit",
  "reset",
  "deleteGroup",
  "topic",
  "topic",
] as const;

/** Another step changed the topic first. */
function ignoreRefusal(error: unknown): void {
  if (!(error instanceof BrokerError)) throw error;
}
