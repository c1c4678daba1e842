// What a follower does to its log, ended at every operation in every way, and with every operation failing once: the next start finds
// the log as it was before or after the step that was ended, or a part of the way; finds the same when it is ended itself; and
// the follower then becomes what its leader is.

import { expect, test } from "vitest";
import { catchUp, checkpointIntervalMs, Replica, rememberedBy, smallSegments } from "../log/replica-world.ts";
import { cut, endsOf, fingerprintOf, pointsOf, restarted } from "./crash-points.ts";
import type { DiskOperation } from "./disk-operations.ts";
import { LawBroken } from "./laws/law-broken.ts";
import { type ObservedLog, observe, signatureOf } from "./log-observation.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

const leaderEpoch = 5;
const x = (size: number) => "x".repeat(size);
/** Batches of one record of 400 bytes: two fill a segment. */
const of = (count: number, producerId: bigint, from = 0) =>
  Array.from({ length: count }, (_, i) => ({ values: [x(400)], producerId, producerEpoch: 0, baseSequence: from + i }));

interface Workload {
  readonly name: string;
  readonly overrides?: Record<string, unknown>;
  /** The kinds of steps that it is about. */
  readonly steps: readonly string[];
  readonly bytesMax?: number;
  /** Both are made apart from each other; the follower has led in epoch 1 and has followed in 2, if at all. */
  write(leader: Replica, follower: Replica): Promise<void>;
}

/** The leader takes over all that the follower has; then both write. */
async function together(leader: Replica, follower: Replica, count: number): Promise<void> {
  await follower.lead(1);
  for (const sketch of of(count, 1n)) await follower.send(sketch);
  await leader.log.becomeFollower(1);
  await catchUp(follower.log, 1, leader.log);
}

const workloads: readonly Workload[] = [
  {
    name: "append: several epochs, writes and segments",
    steps: ["append"],
    bytesMax: 10_000,
    async write(leader, follower) {
      await together(leader, follower, 1);
      for (const epoch of [2, 3]) {
        await leader.lead(epoch);
        for (const sketch of of(3, BigInt(epoch))) await leader.send(sketch);
      }
      await leader.send({ values: ["a", "b"] }, { values: [x(900)] }, { values: [x(900)] }, { values: ["c"] });
    },
  },
  {
    name: "truncation within the last segment",
    steps: ["truncate", "append"],
    async write(leader, follower) {
      await together(leader, follower, 1);
      await follower.send({ values: ["one", "two"], producerId: 7n, producerEpoch: 0, baseSequence: 0 });
      await leader.lead(2);
      await leader.send({ values: ["other"], producerId: 8n, producerEpoch: 0, baseSequence: 0 });
    },
  },
  {
    name: "truncation across segments",
    steps: ["truncate", "append"],
    async write(leader, follower) {
      await together(leader, follower, 3);
      for (const sketch of of(5, 7n)) await follower.send(sketch);
      await leader.lead(2);
      for (const sketch of of(2, 8n)) await leader.send(sketch);
    },
  },
  {
    name: "truncation of a relaxed topic",
    overrides: { ...smallSegments, "flush.messages": 1_000_000 },
    steps: ["truncate", "append"],
    async write(leader, follower) {
      await together(leader, follower, 2);
      for (const sketch of of(3, 7n)) await follower.send(sketch);
      await leader.lead(2);
      await leader.send({ values: ["other"] });
    },
  },
  {
    name: "a new beginning, within a batch",
    steps: ["startOver", "append"],
    async write(leader, follower) {
      await together(leader, follower, 3);
      await leader.lead(2);
      for (const sketch of of(2, 8n)) await leader.send(sketch);
      await leader.send({ values: ["a", "b", "c"], producerId: 8n, producerEpoch: 0, baseSequence: 2 });
      await leader.log.deleteRecordsBefore(6);
    },
  },
  {
    name: "the leader's log start",
    steps: ["append"],
    async write(leader, follower) {
      await together(leader, follower, 4);
      await leader.lead(2);
      await leader.send({ values: ["a"] });
      await leader.log.deleteRecordsBefore(3);
    },
  },
];

interface Prepared {
  readonly leader: Replica;
  /** Of the follower, whose process was killed and started again: its checkpoints tell all it has. */
  readonly disk: SimulatedDisk;
  readonly options: { readonly overrides: Record<string, unknown> };
}

async function prepared({ write, overrides = smallSegments }: Workload): Promise<Prepared> {
  const options = { overrides };
  const [leader, follower] = [await Replica.make(options), await Replica.make(options)];
  await write(leader, follower);
  await leader.lead(leaderEpoch);
  const again = await follower.restart();
  await again.lead(4); // a broker that led without a record, until it learned of the other
  await again.clock.advance(checkpointIntervalMs);
  again.disk.kill();
  return { leader, disk: again.disk, options };
}

/** Follows; `states` gets what the log is after each step. */
async function follow({ leader }: Prepared, follower: Replica, bytesMax = 700, states: ObservedLog[] = []) {
  const { log } = follower;
  states.push(await observe(log));
  await log.becomeFollower(leaderEpoch);
  return await catchUp(leader.log, leaderEpoch, log, {
    bytesMax,
    done: async () => void states.push(await observe(log)),
  });
}

const shownOf = (log: ObservedLog) =>
  log.batches.map(({ header, bytes }) => `${header.baseOffset} ${bytes.toString()}`);
const isPrefix = (part: readonly string[], of: readonly string[]) => part.every((batch, i) => batch === of[i]);

const isEmpty = (log: ObservedLog) => log.logStartOffset === log.logEndOffset;

/** What a start may find when `before` had been reached and `after` was on its way. */
function requireBetween(found: ObservedLog, before: ObservedLog, after: ObservedLog, keepsUnsynced: boolean): void {
  if (found.logStartOffset !== before.logStartOffset && found.logStartOffset !== after.logStartOffset)
    throw new LawBroken("L1", `the log starts at ${found.logStartOffset}`);
  const whole = [before, after].filter(({ logStartOffset }) => logStartOffset <= found.logStartOffset);
  const durable = (log: ObservedLog) => (keepsUnsynced ? log.logEndOffset : log.flushedOffset);
  const shown = shownOf(found);
  const kept = whole.some((log) => {
    const above = log.batches.filter(({ header }) => header.lastOffset >= found.logStartOffset);
    return isPrefix(shown, shownOf({ ...log, batches: above }));
  });
  if (!kept) throw new LawBroken("L2", "the log holds what was not there");
  if (isEmpty(found) && isEmpty(before)) return; // about to begin at the batch that holds its start
  const least = Math.min(durable(before), durable(after));
  if (found.logEndOffset < least) throw new LawBroken("L1", `the log ends at ${found.logEndOffset}, below ${least}`);
}

test.each(workloads)("$name: every crash", { timeout: 60_000 }, async (workload) => {
  const world = await prepared(workload);
  const states: ObservedLog[] = [];
  const { disk } = world;
  const follower = await Replica.open(disk, world.options);
  const points = await pointsOf(
    disk,
    async () =>
      expect(await follow(world, follower, workload.bytesMax, states)).toEqual(
        expect.arrayContaining([...workload.steps]),
      ),
    () => states.length,
  );
  const seen = new Set<string>();
  let count = 0;
  for (const { disk: point, operation, progress } of points)
    for (const [end, ended] of endsOf(point, operation)) {
      const isNew = (disk: SimulatedDisk) => {
        const key = `${progress} ${fingerprintOf(disk)}`;
        const was = seen.has(key);
        seen.add(key);
        return !was;
      };
      if (!isNew(ended)) continue;
      count += 1;
      const before = states[Math.max(0, progress - 1)]!;
      const after = states[Math.min(states.length - 1, Math.max(0, progress))]!;
      const wasKilled = end.startsWith("kill");
      try {
        const found = await startAgain(world, ended, wasKilled, isNew);
        requireBetween(found, before, after, wasKilled);
      } catch (error) {
        if (error instanceof Error) error.message += `\n  crash before ${operation?.kind} ${operation?.path}, ${end}`;
        throw error;
      }
    }
  expect(count).toBeGreaterThan(20);
});

/** Recovers, twice and with ends in between; then the follower goes on. Gives what was found at first. */
async function startAgain(
  world: Prepared,
  ended: SimulatedDisk,
  wasKilled: boolean,
  isNew: (disk: SimulatedDisk) => boolean,
): Promise<ObservedLog> {
  const first = ended.copy();
  const points = wasKilled ? await pointsOf(first, () => Replica.open(first, world.options)) : [];
  if (!wasKilled) await Replica.open(first, world.options);
  const second = restarted(first);
  const follower = await Replica.open(second, world.options);
  const found = await observe(follower.log);
  for (const { disk: point } of points) {
    const killed = restarted(point);
    if (isNew(killed)) {
      const again = await Replica.open(killed, world.options);
      if (signatureOf(await observe(again.log)) !== signatureOf(found))
        throw new LawBroken("L10", "a start that was ended changed the log");
    }
    const synced = cut(point);
    if (isNew(synced)) await becomesTheLeaders(world, await Replica.open(synced, world.options));
  }
  await becomesTheLeaders(world, follower);
  return found;
}

/** Catches up, and what it has then is durable and is what the leader has. */
async function becomesTheLeaders(world: Prepared, follower: Replica): Promise<void> {
  await follow(world, follower);
  const isStrict = world.options.overrides["flush.messages"] === undefined;
  const leader = await observe(world.leader.log);
  await requireSame(follower, world.leader, leader);
  if (isStrict) await requireSame(await follower.restart(true), world.leader, leader);
}

async function requireSame(replica: Replica, leading: Replica, leader: ObservedLog): Promise<void> {
  const own = await observe(replica.log);
  if (shownOf(own).join() !== shownOf(leader).join()) throw new LawBroken("L1", "the follower holds something else");
  if (own.logStartOffset > leader.logStartOffset) throw new LawBroken("L3", "records are gone that the leader has");
  const remembered = rememberedBy(replica.log).join();
  if (leader.logStartOffset === 0 && remembered !== rememberedBy(leading.log).join())
    throw new LawBroken("L4", `the follower remembers other producers: ${remembered}`);
  const names = await replica.names();
  if (names.some((name) => /restart|deleted|tmp/.test(name))) throw new LawBroken("L10", `left over: ${names}`);
}

test.each(workloads)("$name: every operation fails once", { timeout: 60_000 }, async (workload) => {
  const world = await prepared(workload);
  let failures = 0;
  for (let n = 0; ; n++) {
    const disk = world.disk.copy();
    const follower = await Replica.open(disk, world.options);
    const { log } = follower;
    const from = disk.operationCount + n;
    let failed: DiskOperation | undefined;
    const failsNow = (operation: DiskOperation) => {
      if (failed || operation.number < from || operation.kind === "close") return false;
      failed = operation;
      return true;
    };
    disk.failWhen(failsNow, { code: "EIO" });
    const states: ObservedLog[] = [];
    const outcome = await follow(world, follower, workload.bytesMax, states).catch((error: unknown) => error);
    if (!failed) break;
    failures += 1;
    if (log.offline !== undefined) expect(outcome).toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
    disk.heal();
    const healed = await Replica.open(cut(disk), world.options);
    if (workload.overrides === undefined && log.offline === undefined && Array.isArray(outcome))
      expect(healed.log.logEndOffset).toBe(states.at(-1)!.logEndOffset);
    await becomesTheLeaders(world, healed);
  }
  expect(failures).toBeGreaterThan(10);
});
