// A log on a simulated disk: what it holds, what was asked of the disk, and the ends of its process.

import type { Disk } from "../../src/io/disk.ts";
import type { LogContext } from "../../src/log/log-context.ts";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import type { RecoveryInput } from "../../src/log/recovery.ts";
import type { DiskOperation, OperationKind } from "../simulation/disk-operations.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { directory, logContext, makeLogFolder, openLog } from "./log-fixture.ts";

export interface Told {
  readonly level: "info" | "warn" | "error";
  readonly message: string;
}

export class LogWorld {
  readonly disk = new SimulatedDisk({ folders: ["data"] });
  readonly clock = new SimulatedClock();
  /** What the log told the operator. */
  readonly told: Told[] = [];
  readonly #settings: Partial<LogContext["settings"]>;
  readonly #gate: GatedDisk | undefined;
  context: LogContext;

  private constructor(settings: Partial<LogContext["settings"]>, gate: GatedDisk | undefined) {
    this.#settings = settings;
    this.#gate = gate;
    this.context = this.#contextOn(this.disk.startProcess());
  }

  /** With the folder of an empty log. */
  static async make(settings: Partial<LogContext["settings"]> = {}, gate?: GatedDisk): Promise<LogWorld> {
    const world = new LogWorld(settings, gate);
    await makeLogFolder(world.context);
    return world;
  }

  /** Recovers the log and makes it lead. */
  async lead(
    overrides: Record<string, unknown> = {},
    known: Partial<RecoveryInput> = {},
    epoch = 0,
  ): Promise<PartitionLog> {
    const log = await openLog(this.context, overrides, known);
    await log.becomeLeader(epoch);
    return log;
  }

  /** kill -9 and the next process. */
  restart(): void {
    this.disk.kill();
    this.context = this.#contextOn(this.disk.startProcess());
  }

  /** Leaves what was synced only. */
  cutPower(): void {
    this.disk.powerCut({ keep: "nothing" });
    this.context = this.#contextOn(this.disk.startProcess());
  }

  /** The operations of this kind on the partition's `.log` files since operation `from`. */
  onLogFiles(kind: OperationKind, from = 0): DiskOperation[] {
    return this.disk.operations.filter(
      (operation) => operation.number >= from && operation.kind === kind && operation.path.endsWith(".log"),
    );
  }

  /** The names in the partition's folder, in order. */
  async names(folder = directory): Promise<string[]> {
    return (await this.context.disk.list(folder)).map(({ name }) => name).sort();
  }

  tells(part: string): boolean {
    return this.told.some(({ message }) => message.includes(part));
  }

  #contextOn(disk: Disk): LogContext {
    const tell = (level: Told["level"]) => (_fields: object, message: string) => {
      this.told.push({ level, message });
    };
    const logger = { info: tell("info"), warn: tell("warn"), error: tell("error") };
    return { ...logContext(this.#gate?.over(disk) ?? disk, this.clock, this.#settings), logger };
  }
}

/** A disk whose operations can be held back: each that `holds` says waits until released. */
export class GatedDisk {
  readonly #waiting: (() => void)[] = [];
  holds: ((kind: string, path: string) => boolean) | undefined;

  get waitingCount(): number {
    return this.#waiting.length;
  }

  releaseAll(): void {
    this.holds = undefined;
    for (const release of this.#waiting.splice(0)) release();
  }

  over(disk: Disk): Disk {
    const gate = (kind: string, path: string) => this.#pass(kind, path);
    return new Proxy(disk, {
      get(target, name) {
        const method = Reflect.get(target, name, target) as unknown;
        if (typeof method !== "function") return method;
        return async (...parameters: readonly unknown[]) => {
          await gate(String(name), String(parameters[0]));
          return (await Reflect.apply(method, target, parameters)) as unknown;
        };
      },
    });
  }

  async #pass(kind: string, path: string): Promise<void> {
    if (this.holds?.(kind, path)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
