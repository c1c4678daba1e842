// The N-th operation of the disk fails, for N = 1, 2, 3, … until a run meets no failure: once, and from then on for ever.
// Nothing acknowledged is lost, what was surely refused never shows up, every promise settles, and the next start heals all.

import { expect, test } from "vitest";
import { PlannedFaults } from "./log-faults.ts";
import type { SendSketch, Step } from "./log-plan.ts";
import { LogRunner, newDisk } from "./log-runner.ts";

const topic = "t";
const small = { "segment.bytes": 1500, "index.interval.bytes": 200 };
const create: Step = { do: "create", topic, overrides: small };
const send = (...batches: SendSketch[]): Step => ({ do: "send", topic, batches });
const big: SendSketch = { sizes: [1200], producer: 1 };
const little: SendSketch = { sizes: [30], producer: 2, twice: true };

interface Scenario {
  readonly name: string;
  readonly before?: readonly Step[];
  /** How the life before ends; the start after it meets the failure too. */
  readonly restart?: "clean" | "kill" | "powerCut";
  readonly plan: readonly Step[];
}

const scenarios: readonly Scenario[] = [
  { name: "create", plan: [create, create, send(little)] },
  { name: "create again", before: [create, send(little), { do: "delete", topic }], plan: [create, send(little)] },
  {
    name: "delete",
    before: [create, send(little)],
    plan: [
      { do: "delete", topic },
      { do: "advance", ms: 2_000 },
    ],
  },
  { name: "append", before: [create], plan: [send(little, big, { sizes: [5] }), send(little), { do: "retry", topic }] },
  { name: "roll", before: [create, send(big)], plan: [send(big), send(little, big)] },
  {
    name: "retention",
    before: [{ ...create, overrides: { ...small, "retention.bytes": 1500 } } as Step, send(big), send(big), send(big)],
    plan: [{ do: "retention" }, send(little), { do: "advance", ms: 2_000 }],
  },
  {
    name: "removal of records",
    before: [create, send(big), send(big), send(little)],
    plan: [{ do: "deleteRecords", topic, part: 0.7 }, send(little), { do: "retention" }],
  },
  { name: "checkpoint", before: [create, send(big)], plan: [{ do: "advance", ms: 5_000 }, send(little)] },
  {
    name: "relaxed appends and their flush",
    before: [{ ...create, overrides: { ...small, "flush.messages": 1_000_000 } } as Step, send(big)],
    plan: [send(little), { do: "flush", topic }, send(little), { do: "deleteRecords", topic, part: 1 }, send(big)],
  },
  {
    name: "from relaxed to strict",
    before: [{ ...create, overrides: { ...small, "flush.messages": 1_000_000 } } as Step, send(little)],
    plan: [{ do: "configure", topic, overrides: small }, send(little)],
  },
  { name: "start after a clean stop", before: [create, send(big), send(big)], restart: "clean", plan: [send(little)] },
  { name: "start after a kill", before: [create, send(big), send(big)], restart: "kill", plan: [send(little)] },
  {
    name: "start after a power cut",
    before: [create, send(big), send(big)],
    restart: "powerCut",
    plan: [send(little)],
  },
  {
    name: "start with removals left over",
    before: [
      { ...create, overrides: { ...small, "retention.bytes": 1500 } } as Step,
      { do: "create", topic: "u" },
      send(big),
      send(big),
      send(big),
      { do: "retention" },
      { do: "delete", topic: "u" },
    ],
    restart: "kill",
    plan: [{ do: "check" }, send(little)],
  },
];

const failures = [
  { what: "once", code: "EIO", persistent: false },
  { what: "for ever", code: "EIO", persistent: true },
  { what: "for want of space", code: "ENOSPC", persistent: true },
] as const;

type Case = Scenario & (typeof failures)[number];
const cases = scenarios.flatMap((scenario) =>
  failures.map((failure): [string, Case] => [`${scenario.name}, failing ${failure.what}`, { ...scenario, ...failure }]),
);

test.for(cases)("%s", { timeout: 60_000 }, async ([, scenario]) => {
  let n = 0;
  for (const end of ["kill", "powerCut"] as const) {
    for (n = 0; await runWithFailure(scenario, n, end); n++) expect(n).toBeLessThan(1000);
  }
  expect(n).toBeGreaterThan(2);
});

/** False when the run ended before the operation that was to fail. */
async function runWithFailure(scenario: Case, n: number, end: "kill" | "powerCut"): Promise<boolean> {
  const disk = newDisk();
  const runner = new LogRunner(disk);
  await runner.start();
  await runner.run(scenario.before ?? []);
  if (scenario.restart === "clean") await runner.close();
  else if (scenario.restart) disk.kill();
  if (scenario.restart === "powerCut") disk.powerCut({ keep: "nothing" });

  const failing = new LogRunner(disk, runner.history, { faulty: true });
  failing.process = scenario.restart ? undefined : runner.process;
  const faults = new PlannedFaults(disk);
  const first = disk.operationCount + n;
  faults.failWhen(({ number }) => number >= first, scenario.code, scenario.persistent);
  const hasStarted = !scenario.restart || (await failing.tryStart());
  if (hasStarted) {
    await failing.run(scenario.plan);
    await failing.close();
  }
  const { failed } = faults;
  if (failed.length === 0) return false;

  disk.heal();
  disk.kill();
  const powerWasCut = end === "powerCut" || scenario.persistent || faults.needPowerCut(runner.history);
  if (powerWasCut) disk.powerCut({ keep: "nothing" });
  const healed = new LogRunner(disk, runner.history);
  try {
    await healed.start();
    await healed.checkRecovered(powerWasCut);
    if (healed.history.byName(topic)) await healed.run([{ do: "retry", topic }, send(little)]);
    disk.powerCut({ keep: "nothing" });
    await healed.start();
    await healed.checkRecovered(true);
  } catch (error) {
    const { kind, path } = failed[0]!;
    if (error instanceof Error)
      error.message += `\n  after ${kind} ${path} failed (operation ${n} of the plan), ended by ${end}`;
    throw error;
  }
  return true;
}
