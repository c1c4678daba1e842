// Runs a scenario: text in, text out. A block is commands, a line "----", and what they gave; lines with "#" in front stay as they
// are. The first word is the command, the second the client; epochs are shown as Kafka's epoch, a dot, and the joins.

import type { GroupReply, GroupRequest } from "../../src/consumer-groups/group-requests.ts";
import type { Position } from "../../src/consumer-groups/offsets.ts";
import { ShardWorld } from "./shard-world.ts";

const groupId = "g";

interface Command {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

export interface ScenarioOptions {
  /** After every command the shard is thrown away and made anew from its log. */
  readonly restarts?: boolean;
}

export function runScenario(text: string, { restarts = false }: ScenarioOptions = {}): string {
  const run = new ScenarioRun();
  const blocks = text.trimEnd().split(/\n{2,}/);
  const rewritten = blocks.map((block) => {
    const lines = block.split("\n");
    const end = lines.indexOf("----");
    const input = end < 0 ? lines : lines.slice(0, end);
    const output = input.filter((line) => !line.startsWith("#")).flatMap((line) => run.command(line, restarts));
    return output.length === 0 ? input.join("\n") : [...input, "----", ...output].join("\n");
  });
  return `${rewritten.join("\n\n")}\n`;
}

class ScenarioRun {
  readonly #world = new ShardWorld();
  /** What each client knows, by its name. */
  readonly #epochs = new Map<string, number>();

  command(line: string, restart: boolean): string[] {
    const output = this.#run(parse(line));
    if (restart) this.#world.restart();
    return output;
  }

  #run(command: Command): string[] {
    const [name, client = ""] = command.words;
    switch (name) {
      case "topic":
        this.#world.setTopic(client, Number(command.options.get("partitions")));
        return this.#handle({ kind: "topicsChanged" });
      case "delete-topic":
        return this.#handle({ kind: "topicDeleted", topic: client, topicId: this.#world.deleteTopic(client) });
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
        return this.#wait(Number(client));
      case "restart":
        this.#world.restart();
        return [];
      case "describe":
        return this.#describe();
      case "expire":
        return this.#handle({ kind: "expireOffsets", recordsMax: 100 });
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

  #poll(client: string, { words, options }: Command): string[] {
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
    const { reply, lines } = this.#ask({ kind: "poll", groupId, memberId, forRecords, ...optional });
    if (words.includes("lost")) return ["(lost)", ...lines.slice(1)];
    if (reply.kind === "poll") this.#epochs.set(client, reply.memberEpoch);
    if (reply.kind === "refused") this.#epochs.delete(client);
    return lines;
  }

  #leave(client: string, { words, options }: Command): string[] {
    const memberId = options.get("member") ?? client;
    return this.#handle({ kind: "leave", groupId, memberId, keepAssignment: words.includes("keep") });
  }

  #commit(client: string, { words, options }: Command): string[] {
    const memberEpoch = this.#epochs.get(client);
    const positions = positionsOf(words[2] ?? "");
    const memberId = options.get("member") ?? client;
    const member = memberEpoch === undefined ? {} : { memberId, memberEpoch };
    return this.#handle({ kind: "commit", groupId, positions, ...member });
  }

  /** Stops at each deadline on the way. */
  #wait(ms: number): string[] {
    const endMs = this.#world.nowMs + ms;
    const lines: string[] = [];
    while (this.#world.shard.nextDeadlineMs() <= endMs) {
      this.#world.nowMs = this.#world.shard.nextDeadlineMs();
      lines.push(...this.#handle({ kind: "tick" }));
    }
    this.#world.nowMs = endMs;
    return lines;
  }

  #handle(request: GroupRequest): string[] {
    return this.#ask(request).lines;
  }

  #ask(request: GroupRequest): { reply: GroupReply; lines: string[] } {
    const { reply, wake } = this.#world.handle(request);
    const woken = wake.map(({ memberId }) => memberId).sort();
    return { reply, lines: [...show(reply), ...(woken.length === 0 ? [] : [`wake ${woken.join(" ")}`])] };
  }

  #describe(): string[] {
    const group = this.#world.shard.group(groupId);
    if (!group) return ["no such group"];
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
  world: ShardWorld,
  held: ReadonlyMap<string, readonly number[] | ReadonlyMap<number, number>>,
): string {
  const topics = [...held].map(([topicId, partitions]) => {
    const numbers = [...partitions.keys()].map((key, i) => (Array.isArray(partitions) ? partitions[i] : key));
    return `${world.nameOf(topicId)}[${numbers.sort((a, b) => a - b).join(" ")}]`;
  });
  return topics.length === 0 ? "nothing" : topics.sort().join(" ");
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
