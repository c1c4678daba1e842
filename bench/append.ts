// 64 KiB batches straight into a partition's log, beside a bare loop of write and fdatasync: what the log costs on top of the
// disk, and how many batches share a sync when several are in flight.

import fs from "node:fs/promises";
import { defaultSettings } from "../src/config.ts";
import { nodeCodecs } from "../src/io/codecs.ts";
import { silentLogger } from "../src/io/logger.ts";
import { NodeClock } from "../src/io/node-clock.ts";
import { NodeDisk } from "../src/io/node-disk.ts";
import { IndexMemory } from "../src/log/index-memory.ts";
import { type LogContext, silentObserver } from "../src/log/log-context.ts";
import { PartitionLog } from "../src/log/partition-log.ts";
import { recoverLog } from "../src/log/recovery.ts";
import { Segment } from "../src/log/segment.ts";
import { topicConfig } from "../src/log/topic-config.ts";
import { BrokerError } from "../src/protocol/error-codes.ts";
import { readBatchHeader, viewOf } from "../src/protocol/record-batch.ts";
import { batchBody } from "./lib/bodies.ts";
import { Figures, MiB, number, percent } from "./lib/figures.ts";
import { withFolder } from "./lib/temporary-folder.ts";

const batch = batchBody(64, 990);
const header = readBatchHeader(viewOf(batch), 0);
const work = { syncs: 0, batches: 0 };

export async function benchAppend(quick: boolean): Promise<Figures> {
  const figures = new Figures("append");
  const runs = quick ? 3 : 7;
  const totalBytes = (quick ? 64 : 256) * MiB;
  for (const inFlight of [1, 4, 16]) {
    const name = `${inFlight} in flight`;
    for (let run = 0; run < runs; run++) {
      for (const subject of run % 2 === 0 ? ["log", "floor"] : ["floor", "log"]) {
        const measure = subject === "log" ? appendToLog : bareLoop;
        figures.sample(name, subject, run, await withFolder((folder) => measure(folder, inFlight, totalBytes)));
      }
    }
    const log = figures.median(name, "log", "MBps");
    const floor = figures.median(name, "floor", "MBps");
    figures.add({
      what: `append of ${number(batch.length / 1024)} KiB batches, ${name}`,
      measured: `${number(log)} MB/s, ${number(figures.median(name, "log", "recordsPerSync"))} records a sync`,
      floor: `${number(floor)} MB/s at one in flight, the ratio is ${percent(log / floor)}`,
      ...(inFlight === 1 && { goal: "≥ 70 % of the floor", met: log / floor >= 0.7 }),
    });
  }
  return figures;
}

async function appendToLog(folder: string, inFlight: number, totalBytes: number): Promise<Record<string, number>> {
  const log = await openLog(folder);
  const rounds = Math.ceil(totalBytes / batch.length);
  // The log keeps what it is given: each append brings a copy of its own, made before the clock starts.
  const copies = Array.from({ length: rounds }, () => batch.slice());
  const before = { ...work };
  const started = performance.now();
  const chain = async () => {
    for (let mine = copies.pop(); mine; mine = copies.pop()) await log.append(mine, header);
  };
  await Promise.all(Array.from({ length: inFlight }, chain));
  const seconds = (performance.now() - started) / 1000;
  await log.close();
  const records = (work.batches - before.batches) * header.recordsCount;
  return { MBps: (rounds * batch.length) / 1e6 / seconds, recordsPerSync: records / (work.syncs - before.syncs) };
}

async function bareLoop(folder: string, _inFlight: number, totalBytes: number): Promise<Record<string, number>> {
  const file = await fs.open(`${folder}/bare`, "w");
  const rounds = Math.ceil(totalBytes / batch.length);
  const started = performance.now();
  for (let round = 0; round < rounds; round++) {
    await file.write(batch, 0, batch.length, round * batch.length);
    await file.datasync();
  }
  const seconds = (performance.now() - started) / 1000;
  await file.close();
  return { MBps: (rounds * batch.length) / 1e6 / seconds };
}

async function openLog(folder: string): Promise<PartitionLog> {
  const context: LogContext = {
    disk: new NodeDisk(),
    clock: new NodeClock(),
    codecs: nodeCodecs,
    logger: silentLogger,
    observer: {
      ...silentObserver,
      groupWritten(batches) {
        work.batches += batches;
      },
      synced() {
        work.syncs += 1;
      },
    },
    settings: defaultSettings,
    indexMemory: new IndexMemory(32 * MiB),
    diskGuard: { low: false, refusal: () => new BrokerError("KAFKA_STORAGE_ERROR", "the disk is full") },
  };
  const config = topicConfig({});
  const identity = { topic: "bench", topicId: "AAAAAAAAAAAAAAAAAAAAAA", partition: 0, directory: folder };
  const segment = await Segment.create(context, folder, 0);
  await segment.close();
  const unknown = { recoveryPoint: undefined, highWatermark: undefined, logStartOffset: undefined };
  const recovered = await recoverLog(context, { identity, config, clean: false, ...unknown });
  const checkpoints = { async writeAll() {}, async writeLogStarts() {}, async writeCleaned() {} };
  const log = new PartitionLog(context, identity, config, recovered, checkpoints);
  log.listen({ advanced: () => log.advanceHighWatermark(log.acknowledgedOffset), wentOffline() {} });
  await log.becomeLeader(1);
  return log;
}
