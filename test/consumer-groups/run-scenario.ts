// Runs a scenario: text in, text out. A block is commands, a line "----", and what they gave; lines with "#" in front stay as they
// are. The first word is the command, the second the client; epochs are shown as Kafka's epoch, a dot, and the joins.
// What it runs in is a world: a shard alone, or the coordinator over a simulated disk.

import type { Group } from "../../src/consumer-groups/group.ts";
import type { GroupReply, GroupRequest, PollRequest } from "../../src/consumer-groups/group-requests.ts";
import type { Position } from "../../src/consumer-groups/offsets.ts";

export const groupId = "g";

export type ScenarioRequest = Extract<GroupRequest, { readonly groupId: string }>;

export interface ScenarioWorld {
  setTopic(name: string, partitionCount: number): Promise<Answered>;
  deleteTopic(name: string): Promise<Answered>;
  handle(request: ScenarioRequest): Promise<Answered & { readonly reply: GroupReply }>;
  /** Lets time pass; gives whom each deadline on the way woke. */
  wait(ms: number): Promise<readonly (readonly string[])[]>;
  expireOffsets(): Promise<Answered>;
  restart(): Promise<void>;
  view<T>(groupId: string, read: (group: Group) => T): Promise<T | undefined>;
  nameOf(topicId: string): string | undefined;
}

export interface Answered {
  /** The members that were told of news. */
  readonly woken: readonly string[];
}

interface Command {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

export interface ScenarioOptions {
  /** After every command the world restarts, and knows only what its log does. */
  readonly restarts?: boolean;
}

export async function runScenario(
  text: string,
  world: ScenarioWorld,
  { restarts = false }: ScenarioOptions = {},
): Promise<string> {
  const run = new ScenarioRun(world);
  const rewritten: string[] = [];
  for (const block of text.trimEnd().split(/\n{2,}/)) {
    const lines = block.split("\n");
    const end = lines.indexOf("----");
    const input = end < 0 ? lines : lines.slice(0, end);
    const output: string[] = [];
    for (const line of input) if (!line.startsWith("#")) output.push(...(await run.command(line, restarts)));
    rewritten.push((output.length === 0 ? input : [...input, "----", ...output]).join("\n"));
  }
  return `${rewritten.join("\n\n")}\n`;
}

class ScenarioRun {
  readonly #world: ScenarioWorld;
  /** What each client knows, by its name. */
  readonly #epochs = new Map<string, number>();

  constructor(world: ScenarioWorld) {
    this.#world = world;
  }

  async command(line: string, restart: boolean): Promise<string[]> {
    const output = await this.#run(parse(line));
    if (restart) await this.#world.restart();
    return output;
  }

  async #run(command: Command): Promise<string[]> {
    const [name, client = ""] = command.words;
    const world = this.#world;
    switch (name) {
      case "topic":
        return showWoken(await world.setTopic(client, Number(command.options.get("partitions"))));
      case "delete-topic":
        return showWoken(await world.deleteTopic(client));
      case "poll":
        return this.#poll(client, command);
      case "forget":
        this.#epochs.delete(client);
        return [];
      case "leave":
        return this.#leave(client, command);
      case "commit":
        return this.#commit(client, command);
      case "wait":
        return (await world.wait(Number(client))).flatMap((woken) => showWoken({ woken }));
      case "restart":
        await world.restart();
        return [];
      case "describe":
        return this.#describe();
      case "expire":
        return showWoken(await world.expireOffsets());
      case "reset":
        return this.#handle({
          kind: "reset",
          groupId,
          positions: positionsOf(client),
          createGroup: false,
          dryRun: false,
        });
      case "delete-group":
        return this.#handle({ kind: "deleteGroup", groupId });
      default:
        throw new Error(`no command ${name}`);
    }
  }

  async #poll(client: string, { words, options }: Command): Promise<string[]> {
    const memberEpoch = this.#epochs.get(client);
    const optional = {
      ...(memberEpoch === undefined ? {} : { memberEpoch }),
      ...(options.has("topics") ? { topics: options.get("topics")!.split(",") } : {}),
      ...(options.has("instance") ? { instanceId: options.get("instance")! } : {}),
      ...(options.has("assignor") ? { assignor: options.get("assignor")! } : {}),
      ...(options.has("session") ? { sessionTimeoutMs: Number(options.get("session")) } : {}),
      ...(options.has("rebalance") ? { rebalanceTimeoutMs: Number(options.get("rebalance")) } : {}),
      ...(options.has("commit") ? { commit: positionsOf(options.get("commit")!) } : {}),
      ...(options.has("owned") ? { owned: ownedOf(options.get("owned")!) } : {}),
      positions: positionsOf(options.get("positions") ?? ""),
    };
    const memberId = options.get("member") ?? client;
    const forRecords = !words.includes("heartbeat");
    const request: PollRequest = { kind: "poll", groupId, memberId, forRecords, ...optional };
    const { reply, lines } = await this.#ask(request);
    if (words.includes("lost")) return ["(lost)", ...lines.slice(1)];
    if (reply.kind === "poll") this.#epochs.set(client, reply.memberEpoch);
    if (reply.kind === "refused") this.#epochs.delete(client);
    return lines;
  }

  #leave(client: string, { words, options }: Command): Promise<string[]> {
    const memberId = options.get("member") ?? client;
    return this.#handle({ kind: "leave", groupId, memberId, keepAssignment: words.includes("keep") });
  }

  #commit(client: string, { words, options }: Command): Promise<string[]> {
    const memberEpoch = this.#epochs.get(client);
    const positions = positionsOf(words[2] ?? "");
    const memberId = options.get("member") ?? client;
    const member = memberEpoch === undefined ? {} : { memberId, memberEpoch };
    return this.#handle({ kind: "commit", groupId, positions, ...member });
  }

  async #handle(request: ScenarioRequest): Promise<string[]> {
    return (await this.#ask(request)).lines;
  }

  async #ask(request: ScenarioRequest): Promise<{ reply: GroupReply; lines: string[] }> {
    const { reply, woken } = await this.#world.handle(request);
    return { reply, lines: [...show(reply), ...showWoken({ woken })] };
  }

  async #describe(): Promise<string[]> {
    return (await this.#world.view(groupId, (group) => this.#describeGroup(group))) ?? ["no such group"];
  }

  #describeGroup(group: Group): string[] {
    const offsets = [...group.offsets.all()]
      .map(({ topic, partition, committed }) => `${topic}-${partition}:${committed.offset}`)
      .sort();
    return [
      `${group.state} group epoch ${group.epoch} assignment epoch ${group.assignmentEpoch}`,
      ...[...group.members()]
        .map(({ memberId, current, metadata, target }) => {
          const held = partitionsOf(this.#world, current.assigned);
          const pending = partitionsOf(this.#world, current.pendingRevocation);
          const wanted = partitionsOf(this.#world, target);
          const letsGo = pending === "" ? "" : `, lets go of ${pending}`;
          return `${memberId} ${current.memberEpoch}.${metadata.joins} ${current.state}: ${held}${letsGo}, target ${wanted}`;
        })
        .sort(),
      ...(offsets.length === 0 ? [] : [`offsets ${offsets.join(" ")}`]),
    ];
  }
}

function parse(line: string): Command {
  const parts = line.split(/\s+/);
  const options = parts
    .filter((part) => part.includes("="))
    .map((part): [string, string] => {
      const at = part.indexOf("=");
      return [part.slice(0, at), part.slice(at + 1)];
    });
  return { words: parts.filter((part) => !part.includes("=")), options: new Map(options) };
}

/** "t-0:10,t-1" */
function positionsOf(text: string): Position[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [place, offset] = part.split(":");
      const dash = place!.lastIndexOf("-");
      return {
        topic: place!.slice(0, dash),
        partition: Number(place!.slice(dash + 1)),
        nextOffset: Number(offset ?? 0),
      };
    });
}

function ownedOf(text: string): { topic: string; partitions: number[] }[] {
  return positionsOf(text).map(({ topic, partition }) => ({ topic, partitions: [partition] }));
}

function partitionsOf(
  world: ScenarioWorld,
  held: ReadonlyMap<string, readonly number[] | ReadonlyMap<number, number>>,
): string {
  const topics = [...held].map(([topicId, partitions]) => {
    const numbers = [...partitions.keys()].map((key, i) => (Array.isArray(partitions) ? partitions[i] : key));
    return `${world.nameOf(topicId)}[${numbers.sort((a, b) => a - b).join(" ")}]`;
  });
  return topics.length === 0 ? "nothing" : topics.sort().join(" ");
}

function showWoken({ woken }: Answered): string[] {
  return woken.length === 0 ? [] : [`wake ${[...woken].sort().join(" ")}`];
}

function show(reply: GroupReply): string[] {
  switch (reply.kind) {
    case "poll": {
      const epoch = `${Math.floor(reply.memberEpoch / 65_536)}.${reply.memberEpoch % 65_536}`;
      const topics = reply.assignment.map(({ topic, partitions }) => `${topic}[${partitions.join(" ")}]`);
      const flags = [reply.revoking ? "revoking" : "", reply.incomplete ? "incomplete" : ""].filter(
        (flag) => flag !== "",
      );
      const left = reply.notCommitted.map(
        ({ topic, partition, code }) => `, ${topic}-${partition} not committed: ${code}`,
      );
      return [[`epoch ${epoch}`, topics.join(" ") || "nothing", ...flags].join(" ") + left.join("")];
    }
    case "refused":
      return [`refused ${reply.code}`];
    case "reset":
      return [
        `reset ${reply.positions.map((p) => `${p.topic}-${p.partition}:${p.previous}→${p.nextOffset}`).join(" ")}`,
      ];
    case "expired":
    case "done":
      return [];
  }
}
