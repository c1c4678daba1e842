// Decay of what was synced: every byte of a partition's folder has one of its bits flipped, then the broker starts, after a clean stop and
// after a power cut. Each log either gives exactly what it held or goes offline: never something else, never less.

import { expect, test } from "vitest";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { LawBroken } from "./laws/law-broken.ts";
import { checkProducerSequences } from "./laws/producer-sequences.ts";
import type { ExpectedLog } from "./log-history.ts";
import { type ObservedLog, observe } from "./log-observation.ts";
import type { Step } from "./log-plan.ts";
import { appendGroupBytesMax, checkpointIntervalMs, folderOf } from "./log-process.ts";
import { LogRunner, newDisk } from "./log-runner.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

const topic = "t";
const plan: readonly Step[] = [
  { do: "create", topic, overrides: { "segment.bytes": 700, "index.interval.bytes": 100 } },
  {
    do: "send",
    topic,
    batches: [
      { sizes: [80], producer: 1 },
      { sizes: [30, 30], producer: 2 },
      { sizes: [40], key: 1 },
    ],
  },
  { do: "send", topic, batches: [{ sizes: [90], producer: 1 }] },
  {
    do: "send",
    topic,
    batches: [
      { sizes: [200], producer: 1 },
      { sizes: [300], producer: 2 },
      { sizes: [20], producer: 1 },
    ],
  },
  { do: "deleteRecords", topic, part: 0.2 },
  {
    do: "send",
    topic,
    batches: [
      { sizes: [100], producer: 1 },
      { sizes: [100], producer: 1 },
      { sizes: [100], producer: 1 },
    ],
  },
];

const madeAgain = /\.(index|timeindex|snapshot)$/;

interface Stopped {
  readonly disk: SimulatedDisk;
  readonly runner: LogRunner;
  readonly held: ObservedLog;
}

async function stopped(end: "clean" | "powerCut"): Promise<Stopped> {
  const runner = new LogRunner(newDisk());
  const { disk } = runner;
  await runner.start();
  await runner.run(plan);
  await runner.run([{ do: "restart" }, { do: "send", topic, batches: [{ sizes: [50], producer: 2 }] }]);
  // Above the last checkpoint the last write cannot be told from a torn one; it is cut off and counted.
  await runner.run([{ do: "advance", ms: checkpointIntervalMs }]);
  const [held] = await runner.check();
  if (end === "clean") await runner.close();
  else disk.powerCut({ keep: "nothing" });
  return { disk, runner, held: held! };
}

/** The files of the partition. The checkpoints beside it have Apache Kafka's text form, in which a changed digit is a number too. */
async function filesOf(disk: SimulatedDisk): Promise<string[]> {
  const entries = await disk.copy().startProcess().list(folderOf(topic));
  return entries.map(({ name }) => `${folderOf(topic)}/${name}`);
}

/** What a start makes of the disk: undefined when the log is offline, or goes offline once it is read. */
async function foundOn({ disk, runner }: Stopped): Promise<ObservedLog | undefined> {
  const started = new LogRunner(disk, runner.history.upTo(runner.history.events.length), { faulty: true });
  await started.start();
  const expected: ExpectedLog = started.history.byName(topic)!;
  const log = started.process!.find(expected);
  if (!log) return undefined;
  try {
    const observed = await observe(log);
    for (const { header } of observed.batches) await log.read(header.lastOffset, 1, observed.logEndOffset);
    return observed;
  } catch (error) {
    if (error instanceof BrokerError && error.code === "KAFKA_STORAGE_ERROR") return undefined;
    throw error;
  }
}

/** Records and offsets. The leader's epoch is stamped on outside the CRC: a wrong one changes nothing that a consumer reads. */
function contentsOf({ logStartOffset, logEndOffset, batches }: ObservedLog): string {
  const contents = batches.map(({ header, content }) => [header.baseOffset, header.lastOffset, content]);
  return JSON.stringify([logStartOffset, logEndOffset, contents]);
}

for (const end of ["clean", "powerCut"] as const)
  test(`a flipped bit, start after ${end === "clean" ? "a clean stop" : "a power cut"}`, {
    timeout: 60_000,
  }, async () => {
    const whole = await stopped(end);
    const outcomes = { same: 0, offline: 0 };
    for (const path of await filesOf(whole.disk)) {
      const size = whole.disk.contentOf(path).length;
      for (let byte = 0; byte < size; byte++) {
        const disk = whole.disk.copy();
        disk.flipBit(path, byte, byte % 8);
        const found = await foundOn({ ...whole, disk });
        outcomes[found ? "same" : "offline"] += 1;
        // What can be made again from the segments is no reason to take a log offline.
        if (madeAgain.test(path)) expect(found, `${path}, byte ${byte}`).toBeDefined();
        if (!found) continue;
        if (contentsOf(found) !== contentsOf(whole.held))
          throw new LawBroken("L1", `${path}, bit ${byte % 8} of byte ${byte} of ${size}: ${contentsOf(found)}`);
        checkProducerSequences(found);
      }
    }
    expect(outcomes.offline).toBeGreaterThan(100);
    expect(outcomes.same).toBeGreaterThan(100);
  });

for (const end of ["clean", "powerCut"] as const)
  test(`a file that is made again is missing or short, start after ${end === "clean" ? "a clean stop" : "a power cut"}`, async () => {
    const whole = await stopped(end);
    for (const path of await filesOf(whole.disk)) {
      if (!madeAgain.test(path)) continue;
      for (const damage of ["missing", "empty", "short"] as const) {
        const disk = whole.disk.copy();
        const content = disk.contentOf(path);
        if (damage === "missing") await disk.startProcess().removeFile(path);
        else disk.replaceContent(path, content.subarray(0, damage === "empty" ? 0 : content.length >> 1));
        disk.powerCut({ keep: "everything" });
        const found = await foundOn({ ...whole, disk });
        expect(found && contentsOf(found), `${path} is ${damage}`).toBe(contentsOf(whole.held));
        checkProducerSequences(found!);
        disk.kill();
        const runner = new LogRunner(disk, whole.runner.history.upTo(whole.runner.history.events.length));
        await runner.start();
        await runner.run([{ do: "retry", topic }]);
        await runner.check();
      }
    }
  });

test("damage deeper than one write below the end is no torn write, even above the checkpoints", async () => {
  const runner = new LogRunner(newDisk());
  const { disk } = runner;
  await runner.start();
  await runner.run([{ do: "create", topic }]);
  for (let i = 0; i < 4; i++)
    await runner.run([{ do: "send", topic, batches: [{ sizes: [appendGroupBytesMax / 3] }] }]);
  const [held] = await runner.check();
  disk.powerCut({ keep: "nothing" });
  disk.flipBit(`${folderOf(topic)}/00000000000000000000.log`, 100, 3);
  expect(await foundOn({ disk, runner, held: held! })).toBeUndefined();
});

for (const end of ["clean", "powerCut"] as const)
  test(`a segment that lost its end, start after ${end === "clean" ? "a clean stop" : "a power cut"}`, async () => {
    const whole = await stopped(end);
    for (const path of (await filesOf(whole.disk)).filter((name) => name.endsWith(".log"))) {
      const content = whole.disk.contentOf(path);
      for (let size = 0; size < content.length; size++) {
        const disk = whole.disk.copy();
        disk.replaceContent(path, content.subarray(0, size));
        const found = await foundOn({ ...whole, disk });
        expect(found && contentsOf(found), `${path}, ${size} of ${content.length} bytes`).toBeUndefined();
      }
    }
  });
