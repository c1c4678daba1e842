// Random lives of consumer groups, one after the other, from one seed: clients that come and go, topics too, logs that are compacted,
// and a crash of the disk in the middle.

import { checkedStates, recoverAndGoOn } from "./group-crash-explorer.ts";
import { GroupRun } from "./group-run.ts";
import { GroupTraffic } from "./group-traffic.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedRandom } from "./simulated-random.ts";

const livesMax = 4;
const stepsMax = 15;

export interface GroupSeedReport {
  steps: number;
  crashes: number;
  powerCuts: number;
  /** Rounds of compaction that made the logs smaller. */
  compactions: number;
}

export async function runGroupSeed(seed: number): Promise<GroupSeedReport> {
  try {
    return await new SeedRun(seed).run();
  } catch (error) {
    if (error instanceof Error) error.message += `\n  seed ${seed}; repeat with: SIM_SEED=${seed} npm run sim`;
    throw error;
  }
}

class SeedRun {
  readonly #random: SimulatedRandom;
  readonly #ids: SimulatedRandom;
  readonly #disk = new SimulatedDisk();
  readonly #report: GroupSeedReport = { steps: 0, crashes: 0, powerCuts: 0, compactions: 0 };
  #run: GroupRun;

  constructor(seed: number) {
    this.#random = new SimulatedRandom(seed);
    this.#ids = this.#random.fork();
    this.#run = new GroupRun(this.#disk, this.#ids);
  }

  async run(): Promise<GroupSeedReport> {
    const lives = this.#random.between(2, livesMax);
    for (let life = 0; life < lives; life++) await this.#live();
    await recoverAndGoOn(this.#disk, this.#run.known());
    return this.#report;
  }

  async #live(): Promise<void> {
    const random = this.#random;
    const run = this.#run;
    await run.start();
    const traffic = new GroupTraffic(run, random);
    if (random.chance(0.8)) {
      const mode = random.pick(["before", "after", { bytes: random.between(1, 700) }] as const);
      this.#disk.crashAt(this.#disk.operationCount + random.integer(150), mode);
    }
    const crashed = await Promise.race([
      this.#disk.whenCrashed.then(() => true),
      this.#steps(traffic).then(() => false),
    ]);
    this.#report.compactions += traffic.compactions;
    run.note(); // also what nobody was answered yet
    const known = run.known();
    if (crashed) this.#report.crashes += 1;
    this.#disk.kill(random);
    if (random.chance(0.5)) {
      this.#report.powerCuts += 1;
      this.#disk.powerCut(random);
    }
    const found = await checkedStates(this.#disk.copy(), known);
    await recoverAndGoOn(this.#disk.copy(), known);
    const { wallMs } = run;
    this.#run = new GroupRun(this.#disk, this.#ids, {
      ...known,
      states: found.map((state) => [state]),
      answered: [0, 0],
    });
    this.#run.wallMs = wallMs;
  }

  async #steps(traffic: GroupTraffic): Promise<void> {
    const random = this.#random;
    await traffic.useSmallSegments();
    const count = random.between(1, stepsMax);
    for (let i = 0; i < count; i++) {
      this.#report.steps += 1;
      await traffic.burst();
      if (random.chance(0.1)) await traffic.passTime();
      if (random.chance(0.2)) await traffic.compact();
    }
  }
}
