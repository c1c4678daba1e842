// A broker's calls on groups, ended at every operation of the disk by a kill or a power cut: who was answered finds it so after the
// restart, members go on under their epochs, every record is handled at least once, and a second restart finds the same.

import { expect, test } from "vitest";
import { type Broker, createBroker } from "../../src/broker/broker.ts";
import type { PollAnswer, PollCall } from "../../src/broker/group-calls.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { CountingRandom } from "../consumer-groups/group-process.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { handled } from "./group-world.ts";

const recordsPerPartition = 6;
const partitionCount = 2;
/** A poll may bring a single record. */
const roundsToReadAll = 16;
const random = new CountingRandom();

function start(disk: SimulatedDisk): Promise<Broker> {
  const settings = { groupPartitionCount: 1 };
  return createBroker({
    dataDir: "data",
    settings,
    codecs,
    random,
    clock: new SimulatedClock(),
    disk: disk.startProcess(),
  });
}

/** A client that remembers what it was told, and what it has handled. */
class Member {
  readonly memberId: string;
  answer: PollAnswer | undefined;
  hasLeft = false;

  constructor(memberId: string) {
    this.memberId = memberId;
  }

  copy(): Member {
    return Object.assign(new Member(this.memberId), this);
  }

  /** Commits what the last answer brought, which it has handled by now. */
  async poll(broker: Broker, seen: Set<string>, rest: Partial<PollCall> = {}): Promise<PollAnswer> {
    const { memberId, answer } = this;
    for (const { topic, partition, nextOffset } of answer ? handled(answer) : [])
      for (let offset = 0; offset < nextOffset; offset++)
        if (offset >= (answer!.positions.find((place) => place.partition === partition)?.nextOffset ?? 0))
          seen.add(`${topic}-${partition}:${offset}`);
    const known = answer ? { memberEpoch: answer.memberEpoch, commit: handled(answer) } : { topics: ["t"] };
    const call = { groupId: "g", memberId, offsetReset: "earliest", forRecords: true, waitMs: 0, ...known } as const;
    this.answer = await broker.pollGroup({ ...call, maxBytes: 200, ...rest });
    return this.answer;
  }
}

interface Known {
  readonly members: readonly Member[];
  readonly handled: ReadonlySet<string>;
  /** Of group g, by partition: the least that must be committed. */
  readonly committed: ReadonlyMap<number, number>;
  readonly groupEpoch: number;
  /** Of group "other": committed, reset, deleted. */
  readonly other: number | null | "deleted" | "any";
}

class Work {
  readonly members = [new Member("a"), new Member("b")] as const;
  readonly handled = new Set<string>();
  readonly committed = new Map<number, number>();
  groupEpoch = 0;
  other: Known["other"] = null;

  known(): Known {
    const { handled, committed, groupEpoch, other } = this;
    const members = this.members.map((member) => member.copy());
    return { members, handled: new Set(handled), committed: new Map(committed), groupEpoch, other };
  }

  async run(broker: Broker): Promise<void> {
    const [a, b] = this.members;
    await this.#poll(broker, a);
    await this.#poll(broker, b);
    for (let round = 0; round < 2; round++) {
      await Promise.all([this.#poll(broker, a), this.#poll(broker, b)]);
      this.groupEpoch = (await broker.describeGroup("g")).groupEpoch;
    }
    await this.#changeOther(3, () => broker.commitOffsets("other", { positions: [place(0, 3)] }));
    const earliest = { kind: "earliest" } as const;
    await this.#changeOther(0, () => broker.resetOffsets("other", { to: earliest, topics: ["t"], dryRun: false }));
    await this.#changeOther("deleted", () => broker.deleteGroup("other"));
    b.hasLeft = true;
    await broker.leaveGroup("g", "b");
    await this.#poll(broker, a);
    await this.#poll(broker, a);
  }

  async #poll(broker: Broker, member: Member): Promise<void> {
    const sent = member.answer ? handled(member.answer) : [];
    const { notCommitted } = await member.poll(broker, this.handled);
    const left = new Set(notCommitted.map(({ partition }) => partition));
    for (const { partition, nextOffset } of sent) if (!left.has(partition)) this.committed.set(partition, nextOffset);
  }

  async #changeOther(to: Known["other"], change: () => Promise<unknown>): Promise<void> {
    this.other = "any";
    await change();
    this.other = to;
  }
}

const place = (partition: number, nextOffset: number) => ({ topic: "t", partition, nextOffset });

async function fill(broker: Broker): Promise<void> {
  await broker.createTopic({ name: "t", partitionCount });
  for (let partition = 0; partition < partitionCount; partition++)
    for (let n = 0; n < recordsPerPartition; n++) {
      const records = [{ key: null, value: new Uint8Array(50).fill(n), headers: [], timestamp: 1_700_000_000_000 }];
      const batches = [{ partition, batch: encodeRecordBatch(records, { codecs }) }];
      await broker.produce({ topic: "t", acks: "all", timeoutMs: 1000, batches });
    }
}

async function stateOf(broker: Broker, groupId: string): Promise<unknown> {
  try {
    return [await broker.describeGroup(groupId), await broker.groupOffsets(groupId)];
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof BrokerError) return error.code;
  throw error;
}

async function checkAndGoOn(disk: SimulatedDisk, known: Known): Promise<void> {
  const broker = await start(disk);
  expect(broker.health().partitionsOffline).toBe(0);
  await checkOffsets(broker, known);
  const seen = new Set(known.handled);
  const active: Member[] = [];
  for (const member of known.members.map((member) => member.copy())) {
    if (member.answer === undefined) continue;
    const before = member.answer.memberEpoch;
    const refusal = await member.poll(broker, seen).then((answer) => {
      expect(answer.memberEpoch).toBeGreaterThanOrEqual(before);
      active.push(member);
    }, codeOf);
    if (refusal !== undefined) expect([refusal, member.hasLeft]).toEqual(["UNKNOWN_MEMBER_ID", true]);
  }
  if (active.length === 0) active.push(new Member("new"));
  for (let round = 0; round < roundsToReadAll; round++) for (const member of active) await member.poll(broker, seen);
  const { members, groupEpoch } = await broker.describeGroup("g");
  expect(groupEpoch).toBeGreaterThanOrEqual(known.groupEpoch);
  const present = new Set(active.map(({ memberId }) => memberId));
  const held = members.flatMap(({ assignment }) => assignment.flatMap(({ partitions }) => partitions));
  expect(new Set(held).size).toBe(held.length);
  // Unless a member is there that nobody speaks for any more: what it holds it keeps until its session is over.
  if (members.every(({ memberId }) => present.has(memberId)))
    expect(seen.size, [...seen].join()).toBe(partitionCount * recordsPerPartition);
}

async function checkOffsets(broker: Broker, known: Known): Promise<void> {
  const { positions } = await broker.groupOffsets("g").catch((error) => {
    expect([codeOf(error), known.groupEpoch, known.committed.size]).toEqual(["GROUP_ID_NOT_FOUND", 0, 0]);
    return { positions: [] };
  });
  for (const [partition, offset] of known.committed)
    expect(positions.find((one) => one.partition === partition)?.nextOffset).toBeGreaterThanOrEqual(offset);
  const other = await broker.groupOffsets("other").then(
    (offsets) => offsets.positions.find(({ partition }) => partition === 0)?.nextOffset,
    (error) => (codeOf(error) === "GROUP_ID_NOT_FOUND" ? "deleted" : error),
  );
  if (known.other !== "any") expect(other).toBe(known.other ?? "deleted");
}

test("every crash point, every power cut", { timeout: 120_000 }, async () => {
  const disk = new SimulatedDisk();
  const broker = await start(disk);
  await fill(broker);
  const work = new Work();
  const points: { disk: SimulatedDisk; known: Known }[] = [];
  disk.onOperation = (operation) => {
    if (operation.changes) points.push({ disk: disk.copy(), known: work.known() });
  };
  await work.run(broker);
  disk.onOperation = undefined;
  points.push({ disk: disk.copy(), known: work.known() });
  const seen = new Set<string>();
  for (const { disk: point, known } of points) {
    const stopped = point.copy();
    stopped.kill();
    for (const choice of ["kill" as const, ...stopped.powerCutChoices(["cut"])]) {
      const crashed = stopped.copy();
      if (choice !== "kill") crashed.powerCut(choice);
      const fingerprint = `${JSON.stringify([known.other, known.groupEpoch, [...known.committed]])} ${crashed.fingerprint()}`;
      if (seen.has(fingerprint)) continue;
      seen.add(fingerprint);
      await checkAndGoOn(crashed.copy(), known);
      const first = await start(crashed);
      const found = [await stateOf(first, "g"), await stateOf(first, "other")];
      crashed.powerCut({ keep: "nothing" });
      const second = await start(crashed);
      expect([await stateOf(second, "g"), await stateOf(second, "other")]).toEqual(found);
    }
  }
  expect(seen.size).toBeGreaterThan(40);
});
