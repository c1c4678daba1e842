// Random lives of a few logs, one after the other, from one seed: what they are asked, when the disk fails and how each life ends.

import type { CrashMode, DiskOperation } from "./disk-operations.ts";
import { LawBroken } from "./laws/law-broken.ts";
import { PlannedFaults } from "./log-faults.ts";
import type { SendSketch, Step } from "./log-plan.ts";
import { lowDiskBytes } from "./log-process.ts";
import { LogRunner, newDisk } from "./log-runner.ts";
import { SimulatedRandom } from "./simulated-random.ts";

const livesMax = 4;
const stepsMax = 12;
const topics = ["strict", "keyed", "relaxed"];
const plentyBytes = 2 ** 40;

/** What one seed went through, for the sums that show that all of it is tried. */
export interface SeedReport {
  lives: number;
  operations: number;
  crashes: number;
  powerCuts: number;
  failures: number;
}

export async function runSeed(seed: number): Promise<SeedReport> {
  try {
    return await new SeedRun(seed).run();
  } catch (error) {
    if (error instanceof Error) error.message += `\n  seed ${seed}; repeat with: SIM_SEED=${seed} npm run sim`;
    throw error;
  }
}

class SeedRun {
  readonly #random: SimulatedRandom;
  readonly #disk = newDisk();
  readonly #report: SeedReport = { lives: 0, operations: 0, crashes: 0, powerCuts: 0, failures: 0 };
  #history = new LogRunner(this.#disk).history;
  #wallMs = Date.UTC(2026, 0, 1);
  /** The life before ended with a power cut, not with a kill alone, or in order. */
  #powerWasCut = false;

  constructor(seed: number) {
    this.#random = new SimulatedRandom(seed);
  }

  async run(): Promise<SeedReport> {
    const lives = this.#random.between(2, livesMax);
    for (let life = 0; life < lives; life++) await this.#live();
    const last = this.#runner(false);
    await last.start();
    await last.checkRecovered(this.#powerWasCut);
    for (const topic of this.#known())
      await last.run([
        { do: "retry", topic },
        { do: "send", topic, batches: [{ sizes: [9] }] },
      ]);
    await last.check();
    for (const topic of this.#known()) await last.run([{ do: "flush", topic }]);
    this.#disk.powerCut({ keep: "nothing" });
    await last.start();
    await last.checkRecovered(true);
    this.#report.operations = this.#disk.operationCount;
    return this.#report;
  }

  #runner(faulty: boolean): LogRunner {
    const runner = new LogRunner(this.#disk, this.#history, { faulty });
    runner.wallMs = this.#wallMs;
    return runner;
  }

  #known(): string[] {
    return [...this.#history.logs.values()].map(({ name }) => name);
  }

  /** One start, some steps, one end; the crash may come as early as in the start. */
  async #live(): Promise<void> {
    this.#report.lives += 1;
    const random = this.#random;
    const meetsCrash = random.chance(0.6);
    const meetsFailure = !meetsCrash && random.chance(0.5);
    const runner = this.#runner(meetsFailure);
    if (meetsCrash && random.chance(0.3)) this.#planCrash(60);
    const faults = new PlannedFaults(this.#disk);
    if (!(await runner.start())) return this.#crashed(runner);
    try {
      const recovered = await runner.checkRecovered(this.#powerWasCut);
      if (this.#disk.hasCrashed) return this.#crashed(runner);
      if (recovered.length > 0 && random.chance(0.5) && !(await runner.run(this.#retries())))
        return this.#crashed(runner);
      if (meetsCrash) this.#planCrash(random.pick([10, 40, 150]));
      if (meetsFailure) this.#planFailure(faults);
      if (!(await this.#steps(runner))) return this.#crashed(runner);
      await this.#end(runner, faults);
    } finally {
      this.#disk.heal();
      this.#disk.capacityBytes = plentyBytes;
      this.#report.failures += faults.failed.length > 0 ? 1 : 0;
    }
  }

  async #steps(runner: LogRunner): Promise<boolean> {
    const steps = this.#random.between(1, stepsMax);
    for (let i = 0; i < steps; i++) {
      if (!(await runner.run([drawStep(this.#random, this.#known())]))) return false;
      this.#wallMs = Math.max(this.#wallMs, runner.process?.clock.nowMs() ?? 0);
    }
    return true;
  }

  async #end(runner: LogRunner, faults: PlannedFaults): Promise<void> {
    const random = this.#random;
    if (random.chance(0.4) && !(await runner.close())) return this.#crashed(runner);
    this.#disk.heal();
    if (faults.failed.length === 0 && runner.process) await runner.check();
    this.#disk.kill(random);
    const mustCut = faults.needPowerCut(this.#history);
    this.#powerWasCut = mustCut || random.chance(0.5);
    if (this.#powerWasCut) this.#cutPower();
  }

  /** The disk stopped the process somewhere. */
  #crashed(runner: LogRunner): void {
    this.#report.crashes += 1;
    this.#wallMs = runner.process?.clock.nowMs() ?? this.#wallMs;
    this.#disk.kill(this.#random);
    // Before the laws were checked after a start, what the life before lost counts on.
    this.#powerWasCut = this.#random.chance(0.5) || this.#powerWasCut;
    if (this.#powerWasCut) this.#cutPower();
  }

  #cutPower(): void {
    this.#report.powerCuts += 1;
    const choices = this.#disk.powerCutChoices(["cut", "zeros", "garbage"]);
    const drawn = { keep: "drawn", seed: this.#random.integer(2 ** 32) } as const;
    this.#disk.powerCut(this.#random.chance(0.5) ? drawn : this.#random.pick(choices));
  }

  #planCrash(withinOperations: number): void {
    const mode: CrashMode = this.#random.pick(["before", "after", { bytes: this.#random.between(1, 700) }]);
    this.#disk.crashAt(this.#disk.operationCount + this.#random.integer(withinOperations), mode);
  }

  #planFailure(faults: PlannedFaults): void {
    const random = this.#random;
    const from = this.#disk.operationCount + random.integer(60);
    const isReached = ({ number }: DiskOperation) => number >= from;
    const kind = random.pick(["append", "sync", "any", "forEver", "full", "low"]);
    if (kind === "append" || kind === "sync")
      faults.failWhen((operation) => isReached(operation) && operation.kind === kind, "EIO");
    else if (kind === "any") faults.failWhen(isReached, "EIO");
    else if (kind === "forEver") faults.failWhen(isReached, random.pick(["EIO", "ENOSPC"]), true);
    else this.#disk.capacityBytes = this.#usedBytes() + random.integer(kind === "full" ? 3000 : lowDiskBytes);
  }

  #usedBytes(): number {
    this.#disk.capacityBytes = plentyBytes - 1; // one with a limit counts what is used
    return this.#disk.capacityBytes - this.#disk.freeBytes;
  }

  #retries(): Step[] {
    return this.#known().map((topic) => ({ do: "retry", topic }));
  }
}

function drawStep(random: SimulatedRandom, known: readonly string[]): Step {
  const missing = topics.filter((topic) => !known.includes(topic));
  if (known.length === 0 || (missing.length > 0 && random.chance(0.3))) return drawCreate(random, random.pick(missing));
  const topic = random.pick(known);
  switch (random.pick(stepKinds)) {
    case "deleteRecords":
      return { do: "deleteRecords", topic, part: random.pick([0, 0.3, 0.8, 1]) };
    case "retention":
      return { do: "retention" };
    case "flush":
      return { do: "flush", topic };
    case "retry":
      return { do: "retry", topic };
    case "advance":
      return { do: "advance", ms: random.pick([100, 2_000, 5_000, 60_000]) };
    case "checkSpace":
      return { do: "checkSpace" };
    case "configure":
      return { do: "configure", topic, overrides: drawOverrides(random, topic === "relaxed" && random.chance(0.5)) };
    case "delete":
      return { do: "delete", topic };
    case "restart":
      return { do: "check" };
    default:
      return { do: "send", topic, batches: Array.from({ length: random.pick([1, 1, 2, 5]) }, () => drawSend(random)) };
  }
}

/** As often as they stand here. */
const stepKinds = [
  ...Array.from({ length: 9 }, () => "send" as const),
  "deleteRecords",
  "retention",
  "flush",
  "retry",
  "advance",
  "advance",
  "checkSpace",
  "configure",
  "delete",
  "restart",
] as const;

function drawCreate(random: SimulatedRandom, topic: string): Step {
  return { do: "create", topic, overrides: drawOverrides(random, topic === "relaxed") };
}

function drawOverrides(random: SimulatedRandom, relaxed: boolean): Record<string, number> {
  return {
    "segment.bytes": random.pick([1000, 2000, 6000]),
    "index.interval.bytes": random.pick([0, 200, 4096]),
    "retention.bytes": random.pick([-1, 2500, 5000]),
    "retention.ms": random.pick([-1, 30_000]),
    "segment.ms": random.pick([20_000, 1e9]),
    ...(relaxed && { "flush.messages": random.pick([3, 1e6]), "flush.ms": random.pick([1_000, 1e12]) }),
  };
}

function drawSend(random: SimulatedRandom): SendSketch {
  const sizes = Array.from({ length: random.pick([1, 1, 2, 4]) }, () => random.pick([5, 40, 300, 480]));
  const twice = random.chance(0.15);
  switch (random.integer(8)) {
    case 0:
      return { sizes };
    case 1:
      return { sizes, key: random.integer(2 ** 20), twice };
    case 2:
      return { sizes, expectedOffsetOff: random.pick([0, 0, 1000]) };
    case 3:
      return { sizes, producer: 2, twice, newEpoch: random.chance(0.5) };
    default:
      return { sizes, producer: random.pick([1, 1, 2]), twice };
  }
}

export function sumOf(reports: readonly SeedReport[]): SeedReport {
  const sum: SeedReport = { lives: 0, operations: 0, crashes: 0, powerCuts: 0, failures: 0 };
  for (const report of reports) for (const key of Object.keys(sum) as (keyof SeedReport)[]) sum[key] += report[key];
  if (sum.lives > 0 && sum.operations === 0) throw new LawBroken("L12", "the lives did nothing");
  return sum;
}
