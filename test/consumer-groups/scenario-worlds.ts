// The worlds that scenarios run in.

import type { RequestToGroup } from "../../src/consumer-groups/coordinator.ts";
import type { Group } from "../../src/consumer-groups/group.ts";
import type { GroupReply, GroupRequest } from "../../src/consumer-groups/group-requests.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { CountingRandom, GroupProcess } from "./group-process.ts";
import { type Answered, groupId, type ScenarioRequest, type ScenarioWorld } from "./run-scenario.ts";
import { firstWallMs, ShardWorld } from "./shard-world.ts";

/** A shard alone, and its log beside it. */
export class ShardScenarioWorld implements ScenarioWorld {
  readonly #world = new ShardWorld();

  async setTopic(name: string, partitionCount: number): Promise<Answered> {
    this.#world.setTopic(name, partitionCount);
    return this.#handle({ kind: "topicsChanged" });
  }

  async deleteTopic(topic: string): Promise<Answered> {
    const topicId = this.#world.deleteTopic(topic);
    const { woken } = this.#handle({ kind: "topicDeleted", topic, topicId });
    return { woken: [...new Set([...woken, ...this.#handle({ kind: "topicsChanged" }).woken])] };
  }

  async handle(request: ScenarioRequest): Promise<Answered & { reply: GroupReply }> {
    return this.#handle(request);
  }

  async wait(ms: number): Promise<readonly (readonly string[])[]> {
    const world = this.#world;
    const endMs = world.nowMs + ms;
    const woken: (readonly string[])[] = [];
    while (world.shard.nextDeadlineMs() <= endMs) {
      world.nowMs = world.shard.nextDeadlineMs();
      woken.push(this.#handle({ kind: "tick" }).woken);
    }
    world.nowMs = endMs;
    return woken;
  }

  async expireOffsets(): Promise<Answered> {
    return this.#handle({ kind: "expireOffsets", recordsMax: 100 });
  }

  async restart(): Promise<void> {
    this.#world.restart();
  }

  async view<T>(groupId: string, read: (group: Group) => T): Promise<T | undefined> {
    const group = this.#world.shard.group(groupId);
    return group && read(group);
  }

  nameOf(topicId: string): string | undefined {
    return this.#world.nameOf(topicId);
  }

  #handle(request: GroupRequest): Answered & { reply: GroupReply } {
    const { reply, wake } = this.#world.handle(request);
    return { reply, woken: wake.map(({ memberId }) => memberId) };
  }
}

export type RestartBy = "close" | "kill" | "powerCut";

/** The coordinator of a broker, on a disk that forgets all that was not synced. */
export class CoordinatorScenarioWorld implements ScenarioWorld {
  readonly #machine = new SimulatedDisk();
  readonly #random = new CountingRandom();
  readonly #restartBy: RestartBy;
  readonly #members = new Set<string>();
  readonly #woken = new Set<string>();
  #process!: GroupProcess;
  #wallMs = firstWallMs;

  private constructor(restartBy: RestartBy) {
    this.#restartBy = restartBy;
  }

  static async start(restartBy: RestartBy): Promise<CoordinatorScenarioWorld> {
    const world = new CoordinatorScenarioWorld(restartBy);
    await world.#start();
    const refused = { kind: "commit", groupId, positions: [{ topic: "none", partition: 0, nextOffset: 0 }] } as const;
    await world.#process.coordinator.request(refused).catch(refusalOf); // makes the topic of groups, so that no command does
    return world;
  }

  async setTopic(name: string, partitionCount: number): Promise<Answered> {
    const { topics, parts } = this.#process;
    return this.#wokenBy(() =>
      parts.image.topic(name) ? topics.alter(name, { partitionCount }) : topics.create({ name, partitionCount }),
    );
  }

  async deleteTopic(name: string): Promise<Answered> {
    return this.#wokenBy(() => this.#process.topics.delete(name));
  }

  async handle(request: ScenarioRequest): Promise<Answered & { reply: GroupReply }> {
    const { coordinator } = this.#process;
    if ("memberId" in request && request.memberId !== undefined && !this.#members.has(request.memberId)) {
      this.#members.add(request.memberId);
      this.#listen(request.memberId);
    }
    let reply: GroupReply | undefined;
    const { woken } = await this.#wokenBy(async () => {
      reply = await (request.kind === "poll"
        ? coordinator.poll(request)
        : coordinator.request(request as RequestToGroup)
      ).catch(refusalOf);
    });
    return { reply: reply!, woken };
  }

  async wait(ms: number): Promise<readonly (readonly string[])[]> {
    const woken: string[][] = [];
    const collect = () => {
      if (this.#woken.size > 0) woken.push([...this.#woken]);
      this.#woken.clear();
    };
    const { clock } = this.#process;
    clock.afterEvent.push(collect);
    await clock.advance(ms);
    clock.afterEvent.pop();
    return woken;
  }

  /** Offsets expire when it is time for it; see coordinator.test.ts. */
  expireOffsets(): Promise<Answered> {
    throw new Error("scenarios of expiry run on a shard");
  }

  async restart(): Promise<void> {
    this.#wallMs = this.#process.clock.nowMs();
    if (this.#restartBy === "close") await this.#process.close();
    this.#machine.kill();
    if (this.#restartBy === "powerCut") this.#machine.powerCut({ keep: "nothing" });
    await this.#start();
  }

  view<T>(groupId: string, read: (group: Group) => T): Promise<T | undefined> {
    return this.#process.view(groupId, read);
  }

  nameOf(topicId: string): string | undefined {
    return this.#process.parts.image.nameOf(topicId);
  }

  async #start(): Promise<void> {
    this.#process = await GroupProcess.start(this.#machine, { wallMs: this.#wallMs, random: this.#random });
    await settled(); // every shard is loaded
    for (const memberId of this.#members) this.#listen(memberId);
  }

  #listen(memberId: string): void {
    this.#process.coordinator.listen(groupId, memberId, () => this.#woken.add(memberId));
  }

  async #wokenBy(run: () => Promise<unknown>): Promise<Answered> {
    this.#woken.clear();
    await run();
    await settled();
    const woken = [...this.#woken];
    this.#woken.clear();
    return { woken };
  }
}

function refusalOf(error: unknown): GroupReply {
  if (!(error instanceof BrokerError)) throw error;
  return { kind: "refused", code: error.code, detail: error.message };
}
