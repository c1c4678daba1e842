// Ends one recorded run at every operation, in every way the disk can be left, and asks of each of these disks that the real
// recovery makes a lawful log of it, twice the same, also when recovery itself is ended at each of its operations.

import type { DiskOperation } from "./disk-operations.ts";
import { LawBroken } from "./laws/law-broken.ts";
import type { History } from "./log-history.ts";
import { signatureOf } from "./log-observation.ts";
import type { Step } from "./log-plan.ts";
import { LogRunner, newDisk } from "./log-runner.ts";
import type { PowerCutChoice } from "./power-cut.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

interface CrashPoint {
  /** As it is before the operation. */
  readonly disk: SimulatedDisk;
  /** How much of the history had happened. */
  readonly events: number;
  readonly operation: DiskOperation | undefined;
}

export interface Explored {
  readonly operations: number;
  readonly states: number;
  readonly recoveries: number;
}

export interface ExploreOptions {
  /** Steps before the first crash point. */
  readonly before?: readonly Step[];
  /** Crashes within recovery too: of the states after a kill only, of all, or none. */
  readonly nested?: "none" | "afterKill" | "all";
}

export async function exploreCrashes(plan: readonly Step[], options: ExploreOptions = {}): Promise<Explored> {
  return await new CrashExplorer(options).explore(plan);
}

class CrashExplorer {
  readonly #nested: "none" | "afterKill" | "all";
  readonly #before: readonly Step[];
  /** Disks that were looked at, with what was known of them. */
  readonly #seen = new Set<string>();
  #states = 0;
  #recoveries = 0;

  constructor({ nested = "afterKill", before = [] }: ExploreOptions) {
    this.#nested = nested;
    this.#before = before;
  }

  async explore(plan: readonly Step[]): Promise<Explored> {
    const runner = new LogRunner(newDisk());
    await runner.start();
    await runner.run(this.#before);
    const points = await crashPointsOf(runner, async () => void (await runner.run(plan)));
    for (const point of points) await this.#exploreEnds(point, runner.history, plan);
    return { operations: points.length, states: this.#states, recoveries: this.#recoveries };
  }

  async #exploreEnds(point: CrashPoint, history: History, plan: readonly Step[]): Promise<void> {
    for (const end of endsOf(point)) {
      const disk = point.disk.copy();
      applyEnd(disk, end);
      try {
        await this.#exploreState(disk, history.upTo(point.events), end);
      } catch (error) {
        const where = point.operation ? `${point.operation.kind} ${point.operation.path}` : "the end";
        throw explained(
          error,
          `crash before ${where} (operation ${point.operation?.number}), ${JSON.stringify(end)}, of ${JSON.stringify(plan)}`,
        );
      }
    }
  }

  async #exploreState(disk: SimulatedDisk, history: History, end: CrashEnd): Promise<void> {
    const powerWasCut = end.kind === "powerCut";
    if (!this.#isNew(disk, history, powerWasCut)) return;
    this.#states += 1;
    const signature = await this.#recoverAndGoOn(disk.copy(), history, powerWasCut);
    await this.#recoverTwice(disk.copy(), history, powerWasCut, signature);
    if (this.#nested === "all" || (this.#nested === "afterKill" && !powerWasCut))
      await this.#crashInRecovery(disk, history, powerWasCut, signature);
  }

  /** Whether no disk was looked at yet that shows the same, and leaves the same when the power is cut. */
  #isNew(disk: SimulatedDisk, history: History, powerWasCut: boolean): boolean {
    let key = `${history.events.length} ${disk.fingerprint()}`;
    if (!powerWasCut) {
      const cut = disk.copy();
      cut.powerCut({ keep: "nothing" });
      key += cut.fingerprint();
    }
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }

  /** Recovers, lets producers retry and go on, cuts the power: all that was answered must still be there. */
  async #recoverAndGoOn(disk: SimulatedDisk, history: History, powerWasCut: boolean): Promise<string> {
    const runner = new LogRunner(disk, history.upTo(history.events.length));
    const signature = await this.#recover(runner, powerWasCut);
    const topics = [...runner.history.logs.values()].map(({ name }) => name);
    for (const topic of topics)
      await runner.run([
        { do: "retry", topic },
        { do: "send", topic, batches: [{ sizes: [20] }, { sizes: [10], producer: 1 }] },
        { do: "flush", topic },
      ]);
    await runner.check();
    disk.powerCut({ keep: "nothing" });
    await this.#recover(runner, true);
    return signature;
  }

  /** L10. */
  async #recoverTwice(disk: SimulatedDisk, history: History, powerWasCut: boolean, once: string): Promise<void> {
    for (const end of [
      { kind: "kill", bytes: 0 },
      { kind: "powerCut", choice: { keep: "nothing" } },
    ] as const) {
      const runner = new LogRunner(disk, history.upTo(history.events.length));
      await this.#recover(runner, powerWasCut);
      applyEnd(disk, end);
      const twice = await this.#recover(runner, end.kind === "powerCut");
      if (twice !== once) throw new LawBroken("L10", `recovered again after ${end.kind}: ${twice}\nat first: ${once}`);
      disk.kill();
    }
  }

  async #crashInRecovery(disk: SimulatedDisk, history: History, powerWasCut: boolean, once: string): Promise<void> {
    const first = new LogRunner(disk, history.upTo(history.events.length));
    const points = await crashPointsOf(first, async () => void (await first.start()));
    for (const { disk: ended, operation } of points)
      for (const end of endsOf({ disk: ended, operation, events: 0 }, ["cut"])) {
        const copy = ended.copy();
        applyEnd(copy, end);
        const cutAtLast = end.kind === "powerCut";
        if (!this.#isNew(copy, history, cutAtLast)) continue;
        try {
          const again = await this.#recover(
            new LogRunner(copy, history.upTo(history.events.length)),
            powerWasCut || cutAtLast,
          );
          if (powerWasCut && again !== once)
            throw new LawBroken("L10", `recovered after a crash in recovery: ${again}\nwithout: ${once}`);
        } catch (error) {
          throw explained(
            error,
            `recovery crashed before ${operation?.kind} ${operation?.path}, ${JSON.stringify(end)}`,
          );
        }
      }
  }

  /** Gives the signature of what was found, before anyone leads. */
  async #recover(runner: LogRunner, powerWasCut: boolean): Promise<string> {
    this.#recoveries += 1;
    await runner.load();
    const signature = (await runner.check(powerWasCut)).map(signatureOf).join("\n");
    await runner.lead();
    await runner.checkRecovered(powerWasCut);
    return signature;
  }
}

type CrashEnd =
  | { readonly kind: "kill"; readonly bytes: number }
  | { readonly kind: "powerCut"; readonly choice: PowerCutChoice };

/** A point before each operation that changes the disk, and one at the end. */
async function crashPointsOf(runner: LogRunner, run: () => Promise<void>): Promise<CrashPoint[]> {
  const { disk, history } = runner;
  const points: CrashPoint[] = [];
  const add = (operation: DiskOperation | undefined) =>
    points.push({ disk: disk.copy(), events: history.events.length, operation });
  disk.onOperation = (operation) => {
    if (operation.changes) add(operation);
  };
  await run();
  disk.onOperation = undefined;
  add(undefined);
  return points;
}

function endsOf({ disk, operation }: CrashPoint, rests?: readonly ("cut" | "zeros" | "garbage")[]): CrashEnd[] {
  const ends: CrashEnd[] = [{ kind: "kill", bytes: 0 }];
  const size = operation?.kind === "append" || operation?.kind === "write" ? (operation.bytes ?? 0) : 0;
  for (const bytes of new Set([1, size >> 1, size - 1])) if (bytes > 0) ends.push({ kind: "kill", bytes });
  const ended = disk.copy();
  ended.kill();
  for (const choice of ended.powerCutChoices(rests)) ends.push({ kind: "powerCut", choice });
  return ends;
}

function applyEnd(disk: SimulatedDisk, end: CrashEnd): void {
  disk.kill(end.kind === "kill" ? end.bytes : 0);
  if (end.kind === "powerCut") disk.powerCut(end.choice);
}

function explained(error: unknown, where: string): unknown {
  if (error instanceof Error) error.message += `\n  ${where}`;
  return error;
}
