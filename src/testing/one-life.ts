// Disk and clock as one life of a broker has them. `kill` is what kill -9 is to a process: what had been written stays written, synced or
// not; no call begins any more, none returns, no timer fires. The broker's own code is never told: it waits for ever, and is collected.

import type { Clock, Timer } from "../io/clock.ts";
import type { Disk, DiskEntry, DiskFile, DiskSpace, DiskStat, FolderLock } from "../io/disk.ts";

/** In a folder that is deleted with the broker no power cut is survived, so nothing need wait for the device. */
export type Syncing = "real" | "skipped";

export class OneLife {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #toRelease = new Set<() => Promise<void>>();
  readonly #timers = new Set<Timer>();
  #ended = false;

  constructor(disk: Disk, clock: Clock, syncing: Syncing) {
    this.disk = new LifeDisk(this, disk, syncing);
    this.clock = {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      setTimer: (delayMs, run) => this.#setTimer(clock, delayMs, run),
    };
  }

  /** Resolves once the calls that had begun are over, and all that the life held open is closed: the next life may begin. */
  async kill(): Promise<void> {
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    await Promise.allSettled([...this.#underWay]);
    await Promise.all([...this.#toRelease].map((release) => release()));
    this.#toRelease.clear();
  }

  /** Begins the call, and hands on how it ends while the life lasts. */
  run<T>(begin: () => Promise<T>): Promise<T> {
    if (this.#ended) return new Promise(() => {});
    const call = begin();
    this.#underWay.add(call);
    return new Promise((resolve, reject) => {
      call
        .finally(() => this.#underWay.delete(call))
        .then(
          (value) => {
            if (!this.#ended) resolve(value);
          },
          (error: unknown) => {
            if (!this.#ended) reject(error);
          },
        );
    });
  }

  /** What the kernel would do for the dead: close the file, give back the lock. */
  holds(release: () => Promise<void>): void {
    this.#toRelease.add(release);
  }

  letsGo(release: () => Promise<void>): void {
    if (!this.#ended) this.#toRelease.delete(release);
  }

  #setTimer(clock: Clock, delayMs: number, run: () => void): Timer {
    if (this.#ended) return { cancel() {} };
    const timer = clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
    return {
      cancel: () => {
        this.#timers.delete(timer);
        timer.cancel();
      },
    };
  }
}

class LifeDisk implements Disk {
  readonly #life: OneLife;
  readonly #disk: Disk;
  readonly #syncing: Syncing;

  constructor(life: OneLife, disk: Disk, syncing: Syncing) {
    this.#life = life;
    this.#disk = disk;
    this.#syncing = syncing;
  }

  open(path: string): Promise<DiskFile> {
    return this.#life.run(async () => new LifeFile(this.#life, await this.#disk.open(path), this.#syncing));
  }

  create(path: string): Promise<DiskFile> {
    return this.#life.run(async () => new LifeFile(this.#life, await this.#disk.create(path), this.#syncing));
  }

  readFile(path: string): Promise<Uint8Array> {
    return this.#life.run(() => this.#disk.readFile(path));
  }

  list(directory: string): Promise<readonly DiskEntry[]> {
    return this.#life.run(() => this.#disk.list(directory));
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return this.#life.run(() => this.#disk.stat(path));
  }

  makeDir(path: string): Promise<void> {
    return this.#life.run(() => this.#disk.makeDir(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#life.run(() => this.#disk.rename(from, to));
  }

  removeFile(path: string): Promise<void> {
    return this.#life.run(() => this.#disk.removeFile(path));
  }

  removeDir(path: string): Promise<void> {
    return this.#life.run(() => this.#disk.removeDir(path));
  }

  syncDir(directory: string): Promise<void> {
    return this.#life.run(async () => {
      if (this.#syncing === "real") await this.#disk.syncDir(directory);
    });
  }

  space(path: string): Promise<DiskSpace> {
    return this.#life.run(() => this.#disk.space(path));
  }

  lock(directory: string): Promise<FolderLock> {
    return this.#life.run(async () => {
      const lock = await this.#disk.lock(directory);
      const release = () => lock.unlock();
      this.#life.holds(release);
      return {
        unlock: () => {
          this.#life.letsGo(release);
          return this.#life.run(release);
        },
      };
    });
  }
}

class LifeFile implements DiskFile {
  readonly #life: OneLife;
  readonly #file: DiskFile;
  readonly #syncing: Syncing;
  readonly #release: () => Promise<void>;

  constructor(life: OneLife, file: DiskFile, syncing: Syncing) {
    this.#life = life;
    this.#file = file;
    this.#syncing = syncing;
    this.#release = () => file.close();
    life.holds(this.#release);
  }

  get path(): string {
    return this.#file.path;
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#life.run(() => this.#file.append(chunks));
  }

  write(position: number, bytes: Uint8Array): Promise<void> {
    return this.#life.run(() => this.#file.write(position, bytes));
  }

  read(position: number, target: Uint8Array): Promise<number> {
    return this.#life.run(() => this.#file.read(position, target));
  }

  sync(): Promise<void> {
    return this.#life.run(async () => {
      if (this.#syncing === "real") await this.#file.sync();
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#life.run(() => this.#file.truncate(sizeBytes));
  }

  close(): Promise<void> {
    this.#life.letsGo(this.#release);
    return this.#life.run(this.#release);
  }
}
