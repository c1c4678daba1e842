// Ends one run of group clients at every operation of the disk, in many ways, and asks of each of these disks: its logs show a state
// that was, and none from before what anybody was answered; every client goes on under its epoch, unless its member was
// removed; nothing promised is lost; partitions are shared without overlap; and a second recovery finds the same.

import { shardsOnDisk } from "../consumer-groups/group-process.ts";
import { groupState } from "../consumer-groups/shard-world.ts";
import type { DiskOperation } from "./disk-operations.ts";
import { type Client, GroupRun, type Known, settings, shardCount, shown } from "./group-run.ts";
import { LawBroken } from "./laws/law-broken.ts";
import type { PowerCutChoice } from "./power-cut.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedRandom } from "./simulated-random.ts";

export interface Explored {
  operations: number;
  states: number;
  recoveries: number;
}

interface CrashPoint {
  readonly disk: SimulatedDisk;
  readonly known: Known;
  readonly operation: DiskOperation | undefined;
}

type CrashEnd =
  | { readonly kind: "kill"; readonly bytes: number }
  | { readonly kind: "powerCut"; readonly choice: PowerCutChoice };

const settlingRoundsMax = 12;
/** Of the disks that a kill leaves, one in so many is also left by a recovery that was ended: each of them gives many. */
const nestedOneIn = 3;

/** `prepare` runs before the first crash point. */
export async function exploreGroupCrashes(
  newRun: () => GroupRun,
  prepare: (run: GroupRun) => Promise<void>,
  work: (run: GroupRun) => Promise<void>,
): Promise<Explored> {
  const explored: Explored = { operations: 0, states: 0, recoveries: 0 };
  const run = newRun();
  await run.start();
  await prepare(run);
  const points = await pointsOf(run, () => work(run));
  explored.operations = points.length;
  const seen = new Set<string>();
  let kills = 0;
  for (const point of points)
    for (const end of endsOf(point)) {
      const disk = point.disk.copy();
      applyEnd(disk, end);
      if (!isNew(seen, disk, point.known)) continue;
      explored.states += 1;
      if (end.kind === "kill") kills += 1;
      const nested = end.kind === "kill" && kills % nestedOneIn === 0;
      await explained(() => exploreState(disk, point.known, nested, explored), point, end);
    }
  return explored;
}

async function exploreState(disk: SimulatedDisk, known: Known, nested: boolean, explored: Explored): Promise<void> {
  const found = await checkedStates(disk.copy(), known);
  const after = await recoverAndGoOn(disk.copy(), known);
  explored.recoveries += 1;
  if (!nested) return;
  // A crash within the recovery, and what the coordinator does at its start.
  const first = new GroupRun(disk.copy(), new SimulatedRandom(2), known);
  const points = await pointsOf(first, () => first.start());
  const seen = new Set<string>();
  for (const point of points)
    for (const end of [
      { kind: "kill", bytes: 0 },
      { kind: "powerCut", choice: { keep: "nothing" } },
    ] as const) {
      const copy = point.disk.copy();
      applyEnd(copy, end);
      if (!isNew(seen, copy, known)) continue;
      explored.recoveries += 1;
      // What was on disk at the first start is still there, or what that start made of it.
      const again = await checkedStates(copy.copy(), { ...known, states: point.known.states });
      again.forEach((state, shard) => {
        const isOlder = known.states[shard]!.indexOf(state) < known.states[shard]!.indexOf(found[shard]!);
        if (end.kind === "kill" && isOlder)
          throw new LawBroken("L10", `the recovery was ended, and lost ${found[shard]}`);
      });
      const loaded = await stateAfterLoad(copy, known);
      if (end.kind === "kill" && loaded !== after)
        throw new LawBroken("L10", `recovered: ${loaded}\nat first: ${after}`);
    }
}

/** What each shard's log shows; it must have been so in the run, at what was answered or later. */
export async function checkedStates(disk: SimulatedDisk, known: Known): Promise<string[]> {
  const shards = await shardsOnDisk(disk, { random: new SimulatedRandom(1), settings });
  return Array.from({ length: shardCount }, (_, number) => {
    const groups = [...(shards[number]?.groups() ?? [])];
    const state = shown(groups.map((group) => [group.groupId, groupState(group)]));
    const possible = known.states[number]!.slice(known.answered[number]);
    if (!possible.includes(state))
      throw new LawBroken(
        known.states[number]!.includes(state) ? "L9" : "L10",
        `shard ${number} shows ${state}\nanswered: ${possible[0]}\nlast: ${possible.at(-1)}`,
      );
    return state;
  });
}

async function stateAfterLoad(disk: SimulatedDisk, known: Known): Promise<string> {
  const run = new GroupRun(disk, new SimulatedRandom(2), known);
  await run.start();
  return JSON.stringify(await run.process.state());
}

/** Gives the state right after the load. */
export async function recoverAndGoOn(disk: SimulatedDisk, known: Known): Promise<string> {
  const run = new GroupRun(disk, new SimulatedRandom(2), known);
  await run.start();
  const loaded = JSON.stringify(await run.process.state());
  await checkPromises(run, known);
  for (const client of run.clients.values()) await goOn(run, client);
  await settle(run);
  disk.powerCut({ keep: "nothing" });
  await checkedStates(disk.copy(), run.known());
  await run.start();
  await checkPromises(run, run.known());
  return loaded;
}

/** L9. */
async function checkPromises(run: GroupRun, { promised }: Known): Promise<void> {
  for (const { groupId, topic, partition, offset } of promised.values()) {
    const found = await run.process.view(groupId, (group) => group.offsets.get(topic, partition)?.offset);
    if (found === undefined || found < offset)
      throw new LawBroken("L9", `${groupId} had ${offset} of ${topic}-${partition} committed, it is ${found} now`);
  }
}

/** Under the epoch it knows; refused only if its member may be gone, and then it joins anew. */
async function goOn(run: GroupRun, client: Client): Promise<void> {
  if (client.epoch === undefined) return;
  const mayBeGone = client.losses > client.survived;
  const refusal = await run.poll(client, { commit: true, keep: true });
  if (refusal === undefined) return;
  const isDefinite = refusal.code === "FENCED_MEMBER_EPOCH" || refusal.code === "UNKNOWN_MEMBER_ID";
  if (!isDefinite || !mayBeGone)
    throw new LawBroken("L8", `${client.memberId} of ${client.groupId} cannot go on: ${refusal.code}`);
}

/** All who are left poll until the groups are stable; L8 all the way. */
async function settle(run: GroupRun): Promise<void> {
  const active = [...run.clients.values()].filter(({ epoch }) => epoch !== undefined);
  const groupIds = new Set(active.map(({ groupId }) => groupId));
  for (let round = 0; ; round++) {
    for (const client of active) if (client.epoch !== undefined) await run.poll(client, { commit: true });
    await checkOwners(run);
    const left = await Promise.all([...groupIds].map((groupId) => run.process.view(groupId, whatIsLeft(run))));
    const problem = left.find((text) => text !== undefined);
    if (problem === undefined) return;
    if (round === settlingRoundsMax) throw new LawBroken("L8", `no end of the rebalance: ${problem}`);
    if (round === 3) await run.pass(45_000 - 1).then(() => run.pass(1)); // members that nobody speaks for go
  }
}

function whatIsLeft(run: GroupRun) {
  return (group: Parameters<typeof groupState>[0]): string | undefined => {
    const { image } = run.process.parts;
    if (group.memberCount === 0) return undefined;
    if (group.state !== "stable") return `${group.groupId} is ${group.state}`;
    for (const name of group.subscribedTopics()) {
      const topic = image.topic(name);
      for (let p = 0; p < (topic?.partitionCount ?? 0); p++)
        if (group.ownerOf(topic!.topicId, p) === undefined) return `nobody of ${group.groupId} has ${name}-${p}`;
    }
    return undefined;
  };
}

/** L8. */
async function checkOwners(run: GroupRun): Promise<void> {
  await run.process.coordinator.viewAll((group) => {
    const owners = new Map<string, string>();
    for (const { memberId, current } of group.members())
      for (const held of [current.assigned, current.pendingRevocation])
        for (const [topicId, partitions] of held)
          for (const partition of partitions.keys()) {
            const name = `${topicId}-${partition}`;
            const other = owners.get(name);
            if (other !== undefined)
              throw new LawBroken("L8", `${name} of ${group.groupId} is with ${other} and ${memberId}`);
            owners.set(name, memberId);
          }
  });
}

async function pointsOf(run: GroupRun, work: () => Promise<void>): Promise<CrashPoint[]> {
  const points: CrashPoint[] = [];
  const add = (operation: DiskOperation | undefined) =>
    points.push({ disk: run.disk.copy(), known: run.known(), operation });
  run.disk.onOperation = (operation) => {
    if (operation.changes) add(operation);
  };
  await work();
  run.disk.onOperation = undefined;
  add(undefined);
  return points;
}

function endsOf({ disk, operation }: CrashPoint): CrashEnd[] {
  const ends: CrashEnd[] = [{ kind: "kill", bytes: 0 }];
  const size = operation?.kind === "append" || operation?.kind === "write" ? (operation.bytes ?? 0) : 0;
  for (const bytes of new Set([1, size >> 1, size - 1])) if (bytes > 0) ends.push({ kind: "kill", bytes });
  const ended = disk.copy();
  ended.kill();
  for (const choice of ended.powerCutChoices()) ends.push({ kind: "powerCut", choice });
  for (const seed of [1, 2, 3]) ends.push({ kind: "powerCut", choice: { keep: "drawn", seed } });
  return ends;
}

function applyEnd(disk: SimulatedDisk, end: CrashEnd): void {
  disk.kill(end.kind === "kill" ? end.bytes : 0);
  if (end.kind === "powerCut") disk.powerCut(end.choice);
}

/** Whether no disk was looked at yet that shows the same, and leaves the same when the power is cut, with as much promised. */
function isNew(seen: Set<string>, disk: SimulatedDisk, { answered, promised, clients }: Known): boolean {
  const cut = disk.copy();
  cut.powerCut({ keep: "nothing" });
  const facts = JSON.stringify([answered, [...promised], [...clients]]);
  const key = `${facts} ${disk.fingerprint()} ${cut.fingerprint()}`;
  if (seen.has(key)) return false;
  seen.add(key);
  return true;
}

async function explained(run: () => Promise<void>, { operation }: CrashPoint, end: CrashEnd): Promise<void> {
  try {
    await run();
  } catch (error) {
    const where = operation ? `${operation.kind} ${operation.path} (operation ${operation.number})` : "the end";
    if (error instanceof Error) error.message += `\n  crash before ${where}, ${JSON.stringify(end)}`;
    throw error;
  }
}
