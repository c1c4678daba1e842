// A round of compaction, ended at every operation in every way, and with every operation failing once: the next start finds the
// log as it was before or after each swap, twice the same, also when that start is ended; and the next round ends where an
// undisturbed one would have.

import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { Throttle } from "../../src/log/throttle.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import {
  batchHeaderBytes,
  batchPrefixBytes,
  readBatchHeader,
  signBatch,
  viewOf,
} from "../../src/protocol/record-batch.ts";
import { appendKeyed, type KeyedRecord, readBatches } from "../log/compaction-world.ts";
import { codecs, logContext, makeLogFolder, openLog } from "../log/log-fixture.ts";
import { cut, endsOf, fingerprintOf, pointsOf, restarted } from "./crash-points.ts";
import type { DiskOperation } from "./disk-operations.ts";
import { LawBroken } from "./laws/law-broken.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const overrides = {
  "cleanup.policy": "compact",
  "segment.bytes": 1024,
  "index.interval.bytes": 100,
  "delete.retention.ms": 10_000,
};
const megabyte = 1024 * 1024;
const encoder = new TextEncoder();

/** One life of the log: opened, led, its high watermark at its end. */
async function open(disk: SimulatedDisk, epoch: number): Promise<{ log: PartitionLog; compact: () => Promise<void> }> {
  const clock = new SimulatedClock({ wallMs: 1_000_000 });
  const context = logContext(disk.startProcess(), clock);
  // What the cleaner checkpoint says is written after the round: the start may know the old offset only.
  const log = await openLog(context, overrides, { cleanedTo: 0 });
  await log.becomeLeader(epoch);
  const throttle = new Throttle(clock, 1024 * megabyte);
  const limits = { keyMapBytesMax: megabyte, decompressedBytesMax: megabyte, throttle };
  return { log, compact: () => log.compaction.run(limits) };
}

interface Written extends KeyedRecord {
  readonly offset: number;
}

interface Workload {
  readonly name: string;
  write(log: PartitionLog): Promise<Written[]>;
}

async function put(log: PartitionLog, written: Written[], records: KeyedRecord[], producer?: [bigint, number]) {
  const sender = producer && { producerId: producer[0], baseSequence: producer[1] };
  const { baseOffset } = await appendKeyed(log, records, 1000 + written.length, sender);
  written.push(...records.map((record, i) => ({ ...record, offset: baseOffset + i })));
}

/** As many records as compress well: written again without one of them the batch is larger than a segment. */
async function putCompressed(log: PartitionLog, written: Written[], key: string): Promise<void> {
  const records = Array.from({ length: 4 }, (_, i) => ({ key: i === 0 ? "a" : `${key}${i}`, value: "y".repeat(200) }));
  const plain = encodeRecordBatch(
    records.map((record) => ({
      key: encoder.encode(record.key),
      value: encoder.encode(record.value),
      headers: [],
      timestamp: 1000,
    })),
    { codecs },
  );
  const body = gzipSync(plain.subarray(batchHeaderBytes));
  const batch = new Uint8Array(batchHeaderBytes + body.byteLength);
  batch.set(plain.subarray(0, batchHeaderBytes));
  batch.set(body, batchHeaderBytes);
  viewOf(batch).setInt32(8, batch.byteLength - batchPrefixBytes);
  viewOf(batch).setInt16(21, 1);
  signBatch(batch, codecs);
  const { baseOffset } = await log.append(batch, readBatchHeader(viewOf(batch), 0));
  written.push(...records.map((record, i) => ({ ...record, offset: baseOffset + i })));
}

const value = (size: number) => "x".repeat(size);
const workloads: readonly Workload[] = [
  {
    name: "segments merged, tombstones, producers",
    async write(log) {
      const written: Written[] = [];
      for (let n = 0; n < 4; n++) {
        await put(
          log,
          written,
          [
            { key: "a", value: value(300) },
            { key: `${n}`, value: value(20) },
          ],
          [1n, 2 * n],
        );
        await put(
          log,
          written,
          [
            { key: "b", value: value(300) },
            { key: "0", value: null },
          ],
          [2n, 2 * n],
        );
      }
      await put(log, written, [{ key: "c", value: value(900) }]);
      return written;
    },
  },
  {
    name: "one segment that becomes three",
    async write(log) {
      const written: Written[] = [];
      for (const key of ["k", "l", "m"]) await putCompressed(log, written, key);
      await put(log, written, [{ key: "a", value: value(900) }]);
      await put(log, written, [{ key: "c", value: value(900) }]);
      return written;
    },
  },
];

async function prepared({ write }: Workload): Promise<{ disk: SimulatedDisk; written: Written[] }> {
  const disk = new SimulatedDisk({ folders: ["data"] });
  await makeLogFolder(logContext(disk.startProcess(), new SimulatedClock()));
  disk.kill();
  const { log } = await open(disk, 0);
  const written = await write(log);
  disk.kill();
  return { disk, written };
}

/** What the log shows, as one text; throws when it is not what it must be. */
async function look(log: PartitionLog, written: readonly Written[]): Promise<string> {
  const batches = await readBatches(log);
  if (log.logEndOffset !== written.length)
    throw new LawBroken("L1", `the log ends at ${log.logEndOffset}, not at ${written.length}`);
  const stored = batches.flatMap(({ records }) => records);
  stored.forEach(({ offset, key, value: text }, i) => {
    const was = written[offset];
    if (was?.key !== key || was.value !== text) throw new LawBroken("L1", `another record at ${offset}`);
    if (i > 0 && offset <= stored[i - 1]!.offset) throw new LawBroken("L5", `${offset} after ${stored[i - 1]!.offset}`);
  });
  const kept = new Set(stored.map(({ offset }) => offset));
  for (const { key, offset } of new Map(written.map((record) => [record.key, record])).values())
    if (!kept.has(offset)) throw new LawBroken("L1", `the last record of ${key}, at ${offset}, is gone`);
  for (const { header, records } of batches)
    if (records.length > 0) {
      const found = await log.read(header.lastOffset, 1, log.highWatermark);
      if (readBatchHeader(viewOf(found), 0).baseOffset !== header.baseOffset)
        throw new LawBroken("L10", `a read at ${header.lastOffset} does not give its batch`);
    }
  const producers = log
    .producers()
    .map((entry) => JSON.stringify({ ...entry, seenMs: 0, producerId: `${entry.producerId}` }));
  const shown = batches.map(({ header, records }) => [header.baseOffset, header.lastOffset, records]);
  return JSON.stringify([shown, producers.sort()]);
}

test.each(workloads)("$name: every crash", { timeout: 60_000 }, async (workload) => {
  const { disk, written } = await prepared(workload);
  const undisturbed = await open(disk.copy(), 1);
  const before = await look(undisturbed.log, written);
  await undisturbed.compact();
  const final = await look(undisturbed.log, written);
  expect(final).not.toBe(before);

  const { compact } = await open(disk, 1);
  const points = await pointsOf(disk, compact);
  const seen = new Set<string>();
  let states = 0;
  for (const { disk: point, operation } of points)
    for (const [end, ended] of endsOf(point, operation)) {
      const key = fingerprintOf(ended);
      if (seen.has(key)) continue;
      seen.add(key);
      states += 1;
      try {
        await recoverAndGoOn(ended, !end.startsWith("kill"), written, final);
      } catch (error) {
        if (error instanceof Error) error.message += `\n  crash before ${operation?.kind} ${operation?.path}, ${end}`;
        throw error;
      }
    }
  expect(states).toBeGreaterThan(20);
});

async function recoverAndGoOn(
  ended: SimulatedDisk,
  powerWasCut: boolean,
  written: readonly Written[],
  final: string,
): Promise<void> {
  const first = ended.copy();
  const points = await pointsOf(first, () => open(first, 2));
  const second = restarted(first);
  const { log, compact } = await open(second, 3);
  const found = await look(log, written);
  for (const { disk: point } of points)
    for (const again of [restarted(point), cut(point)]) {
      const { log: recovered } = await open(again, 4);
      // What a killed process had not synced may be gone after a power cut: then the log is as it was before the swap.
      const isSame = (await look(recovered, written)) === found;
      if (powerWasCut && !isSame) throw new LawBroken("L10", "a start that was ended changed the log");
    }
  await compact();
  const names = await restarted(second).startProcess().list("data/t-0");
  expect(names.filter(({ name }) => /cleaned|swap/.test(name))).toEqual([]);
  if ((await look(log, written)) !== final) throw new LawBroken("L1", "the next round ends elsewhere");
  const { log: last } = await open(cut(second), 5);
  if ((await look(last, written)) !== final) throw new LawBroken("L1", "what was compacted is not durable");
}

test.each(workloads)("$name: every operation fails once", { timeout: 60_000 }, async (workload) => {
  const { disk, written } = await prepared(workload);
  const undisturbed = await open(disk.copy(), 1);
  await undisturbed.compact();
  const final = await look(undisturbed.log, written);
  let failures = 0;
  let survived = 0;
  for (let n = 0; ; n++) {
    const failing = disk.copy();
    const { log, compact } = await open(failing, 1);
    const from = failing.operationCount + n;
    let failed: DiskOperation | undefined;
    failing.failWhen(
      (operation) => {
        if (failed || operation.number < from || operation.kind === "close") return false;
        failed = operation;
        return true;
      },
      { code: "EIO" },
    );
    await compact().catch(() => {});
    if (!failed) break;
    failures += 1;
    if (log.offline === undefined) {
      survived += 1;
      await look(log, written);
      await compact();
      expect(await look(log, written)).toBe(final);
    }
    failing.heal();
    const { log: healed, compact: again } = await open(cut(failing), 2);
    await look(healed, written);
    await again();
    expect(await look(healed, written)).toBe(final);
  }
  expect(survived).toBeGreaterThan(2); // what fails before the swap does not take the log offline
  expect(failures).toBeGreaterThan(survived);
});
