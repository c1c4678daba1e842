// Six members of a group share twelve partitions over HTTP under load, while they leave, die, hang and come back, a fifth of their
// answers is lost, and the broker is killed again and again. Every acknowledged record is handled; committed offsets never go back;
// a record is handled twice only if the broker was killed or its handler died or hung in between, and never once a commit of it was
// known. MILLRACE_TEST_GROUP_KILLS=100 kills more often, MILLRACE_TEST_SEED repeats what everybody draws.

import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type AcknowledgedRecord, checkGroupHistory, type GroupVerdict } from "../history/check-group-history.ts";
import type { GroupHistory } from "../history/group-history.ts";
import { BrokerProcess } from "./broker-process.ts";
import { GroupRun } from "./group-run.ts";
import { countFrom, expectUnbroken, seedOfRun } from "./judgement.ts";
import { Load } from "./load.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const kills = countFrom("MILLRACE_TEST_GROUP_KILLS", 5);
const secondsPerKill = 20;
const partitionCount = 12;
const memberCount = 6;
const topic = "shared";
const clients = { partitionCount, producers: 0, keyed: 3, plain: 1, refused: 0, follow: false, pauseMs: 3 };
const anomaliesShown = 10;

test(
  `${memberCount} members on ${partitionCount} partitions, ${kills} kills: everything is handled, and committed offsets never go back`,
  async () => {
    using folder = new TemporaryFolder();
    const seed = seedOfRun();
    process.stdout.write(`seed ${seed}\n`);
    let broker = await BrokerProcess.start({ dataDir: folder.path });
    const load = await Load.start({ url: broker.url, seed, topic, ...clients });
    const run = new GroupRun({ address: load.address, seed, topic, groupId: "workers", memberCount });
    const failed = run.failed;
    const killAndStart = async (): Promise<void> => {
      load.address.down();
      await broker.kill();
      run.history.add({ f: "brokerKilled" });
      broker = await BrokerProcess.start({ dataDir: folder.path });
      await run.lookFirst(broker.url);
      load.address.up(broker.url);
    };
    try {
      for (let round = 0; round < kills; round++) {
        await Promise.race([failed, run.waitForHandled(300)]);
        await Promise.race([
          failed,
          Promise.all([run.disturb(), run.disturb(), run.waitForHandled(300).then(killAndStart)]),
        ]);
      }
      await Promise.race([failed, run.waitForHandled(300)]);
      const verdict = await load.finish();
      expectUnbroken(load, verdict, seed);
      await Promise.race([failed, run.settle()]);
      const groupVerdict = checkGroupHistory(run.history, acknowledgedIn(load));
      expectKept(run.history, groupVerdict, seed);
      expect(groupVerdict.handled).toBe(verdict.finalRecords);
      expectDisturbed(groupVerdict);
    } finally {
      await run.close();
      await load.close();
      await broker.kill();
    }
  },
  (kills + 3) * secondsPerKill * 1_000,
);

/** Every value that was acknowledged, with its place. */
function acknowledgedIn(load: Load): AcknowledgedRecord[] {
  const values = new Map<number, readonly string[]>();
  const records: AcknowledgedRecord[] = [];
  for (const event of load.history.events) {
    if (event.f !== "send") continue;
    if (event.type === "invoke") values.set(event.operation, event.values);
    if (event.type !== "ok") continue;
    const sent = values.get(event.operation) ?? [];
    event.placed.forEach(({ partition, offset }, index) => {
      records.push({ partition, offset, value: sent[index] ?? "" });
    });
  }
  return records;
}

function expectKept(history: GroupHistory, { anomalies, ...counts }: GroupVerdict, seed: number): void {
  process.stdout.write(`${JSON.stringify(counts)}\n`);
  if (anomalies.length === 0) return;
  const path = join(tmpdir(), `millrace-group-history-${process.pid}.jsonl`);
  writeFileSync(path, history.toJsonLines());
  const shown = anomalies.slice(0, anomaliesShown).map(({ kind, detail }) => `${kind}: ${detail}`);
  expect.fail(`${anomalies.length} broken promises (seed ${seed}, history in ${path}):\n${shown.join("\n")}`);
}

/** The noise was there: a run without it shows nothing. */
function expectDisturbed({ events, handled }: GroupVerdict): void {
  expect(events.brokerKilled).toBe(kills);
  expect(handled).toBeGreaterThan(kills * 300);
  for (const fault of ["left", "died", "hung", "refused", "answerLost", "unanswered"] as const) {
    expect(events[fault], fault).toBeGreaterThan(0);
  }
}
