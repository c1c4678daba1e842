// A disk in memory that takes the promises of src/io/disk.ts literally, so that only what was synced can be relied on.
// A process uses it through startProcess(). kill() ends that process: every finished write stays visible, still unsynced.
// powerCut() ends it too, and leaves what was synced plus a part of the rest: any unsynced 512-byte sectors, any prefix
// of a file's growth, of each folder's changes any prefix, and no order between files and folders. What a dead process
// still asks or awaits is never answered.

import { createHash } from "node:crypto";
import { assert } from "../../src/assert.ts";
import type { Disk } from "../../src/io/disk.ts";
import { DiskError } from "../../src/io/disk.ts";
import type { CrashMode, DiskOperation, Fault, OperationKind } from "./disk-operations.ts";
import { changes, FaultPlan } from "./disk-operations.ts";
import { PagedBytes } from "./paged-bytes.ts";
import type { PowerCutChoice, TornRest } from "./power-cut.ts";
import { choicesAt, survivalOf, unsyncedOperations } from "./power-cut.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { FileInode, Inode } from "./simulated-inodes.ts";
import { copyTree, DirectoryInode } from "./simulated-inodes.ts";
import { ProcessDisk } from "./simulated-process-disk.ts";
import { SimulatedRandom } from "./simulated-random.ts";
import { fileAt, makeFolders, usedBytes } from "./simulated-tree.ts";

export interface SimulatedDiskOptions {
  /** Folders that are there from the start, durable, with their parents. */
  readonly folders?: readonly string[];
  /** Above this, what needs space fails with ENOSPC. */
  readonly capacityBytes?: number;
  /** With it operations take time; without, each is done a microtask after it was asked for. */
  readonly latency?: { readonly clock: SimulatedClock; readonly random: SimulatedRandom; readonly mostMs: number };
}

/** What an operation of a process does, and when. */
export interface OperationSteps<T> {
  /** When it is asked for. */
  begin?(): void;
  /** When it is done. */
  finish(operation: DiskOperation): T;
  /** When it fails by a fault, before the error is given. */
  failed?(operation: DiskOperation): void;
  /** When a crash catches it half-way. */
  half?(operation: DiskOperation): void;
  readonly write?: PendingWrite;
}

/** An append or write under way: a crash may leave any first part of it. */
export interface PendingWrite {
  readonly inode: FileInode;
  readonly position: number;
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
}

/** The size of a disk without a limit: its use is not counted. */
const unlimitedBytes = 2 ** 40;
/** Later operations are numbered and not recorded. */
const operationsRecordedMax = 1_000_000;

export class SimulatedDisk {
  capacityBytes: number;
  /** Everything asked for so far, in order; in a copy, since it was made. */
  readonly operations: DiskOperation[] = [];
  /** Called with each operation before it happens: the place to copy() a disk for every crash point of one run. */
  onOperation: ((operation: DiskOperation) => void) | undefined;

  #root = new DirectoryInode();
  #latency: SimulatedDiskOptions["latency"];
  #process: ProcessDisk | undefined;
  #processesStarted = 0;
  #hasCrashed = false;
  #whenCrashed: PromiseWithResolvers = withResolvers();
  #crashPoint: { number: number; mode: CrashMode } | undefined;
  readonly #faults = new FaultPlan();
  readonly #writes = new Map<DiskOperation, PendingWrite>();
  #operationCount = 0;

  constructor(options: SimulatedDiskOptions = {}) {
    this.capacityBytes = options.capacityBytes ?? unlimitedBytes;
    this.#latency = options.latency;
    makeFolders(this.#root, options.folders ?? []);
    this.powerCut({ keep: "everything" });
  }

  /** The disk as the next process sees it; the one before must have been ended by kill or powerCut. */
  startProcess(): Disk {
    assert(this.#process === undefined, "one process at a time: end the one before by kill() or powerCut()");
    this.#process = new ProcessDisk(this, ++this.#processesStarted);
    return this.#process;
  }

  /** Ends the process, as kill -9. Of each write under way the first `bytesUnderWay` are there; with a random, any part. */
  kill(bytesUnderWay: number | SimulatedRandom = 0): void {
    for (const [operation, write] of this.#writes) {
      const bytes = typeof bytesUnderWay === "number" ? bytesUnderWay : bytesUnderWay.between(0, write.bytes);
      this.#writePart(operation, write, Math.min(bytes, write.bytes), false);
    }
    this.#endProcess();
  }

  /** Ends the process, if one runs, and drops what the choice does not keep of the unsynced; the rest is durable. */
  powerCut(choice: PowerCutChoice | SimulatedRandom): void {
    if (choice instanceof SimulatedRandom) {
      this.kill(choice);
      this.powerCut({ keep: "drawn", seed: choice.integer(2 ** 32) });
      return;
    }
    this.#endProcess();
    const survival = survivalOf(choice);
    const found = new Set<Inode>([this.#root]);
    for (const inode of found) {
      inode.powerCut(survival);
      if (inode.kind === "directory") for (const child of inode.visible.values()) found.add(child);
    }
  }

  /** All that a power cut is to be tried with here; see choicesAt. Each is a plain value for powerCut. */
  powerCutChoices(rests: readonly TornRest[] = ["cut", "zeros"]): PowerCutChoice[] {
    return choicesAt(this.#root, rests);
  }

  /** The operations that a power cut may still undo. */
  unsyncedOperations(): number[] {
    return unsyncedOperations(this.#root);
  }

  /**
   * The same disk once more, sharing the bytes until one of the two writes. A process that runs is not copied: end it
   * in the copy with kill() or powerCut(). Planned faults and crashes stay behind; operation numbers go on.
   */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk({ capacityBytes: this.capacityBytes });
    const { root, copyOf } = copyTree(this.#root);
    copy.#root = root;
    copy.#processesStarted = this.#processesStarted;
    copy.#process = this.#process && new ProcessDisk(copy, this.#processesStarted);
    copy.#operationCount = this.#operationCount;
    for (const [operation, write] of this.#writes)
      copy.#writes.set(operation, { ...write, inode: copyOf(write.inode) });
    return copy;
  }

  /** The number of the next operation. */
  get operationCount(): number {
    return this.#operationCount;
  }

  /** Resolves when the operation given to crashAt comes. */
  get whenCrashed(): Promise<void> {
    return this.#whenCrashed.promise;
  }

  get hasCrashed(): boolean {
    return this.#hasCrashed;
  }

  /** The process stops at this operation: it and all that comes later or is under way is never answered. */
  crashAt(number: number, mode: CrashMode = "before"): void {
    this.#crashPoint = { number, mode };
  }

  /** The operation with this number fails; with `persistent` all after it too, as far as they can fail so. */
  failAt(number: number, fault: Fault & { readonly code: string }, persistent = false): void {
    if (persistent) this.#faults.addFrom(number, fault);
    else this.failWhen((operation) => operation.number === number, fault);
  }

  /** The first `times` operations that match have the fault. */
  failWhen(matches: (operation: DiskOperation) => boolean, fault: Fault, times = 1): void {
    this.#faults.add(matches, fault, times);
  }

  /** Forgets all faults planned; what they did stays. */
  heal(): void {
    this.#faults.clear();
  }

  /** Decay of the medium: one bit, for reads and after any crash. */
  flipBit(path: string, byte: number, bit: number): void {
    fileAt(this.#root, path).flipBit(byte, bit);
  }

  /** Puts other bytes into a file, durable at once, as an operator or a restored backup would. */
  replaceContent(path: string, bytes: Uint8Array): void {
    const content = new PagedBytes();
    content.write(0, bytes);
    fileAt(this.#root, path).replace(content);
  }

  /** What reads of the file see; this is no operation. */
  contentOf(path: string): Uint8Array {
    return fileAt(this.#root, path).visible.toUint8Array();
  }

  /** The same for two disks whose visible names and bytes are the same: tells crash states apart. */
  fingerprint(): string {
    const hash = createHash("sha1");
    const add = (path: string, folder: DirectoryInode) => {
      for (const name of [...folder.visible.keys()].sort()) {
        const inode = folder.visible.get(name)!;
        hash.update(`${path}/${name}\0${inode.kind}\0`);
        if (inode.kind === "directory") add(`${path}/${name}`, inode);
        else hash.update(`${inode.visible.sizeBytes}\0`).update(inode.visible.toUint8Array());
      }
    };
    add("", this.#root);
    return hash.digest("hex");
  }

  /** For ProcessDisk: the tree as it is. */
  get root(): DirectoryInode {
    return this.#root;
  }

  get freeBytes(): number {
    if (this.capacityBytes === unlimitedBytes) return unlimitedBytes;
    return Math.max(0, this.capacityBytes - usedBytes(this.#root));
  }

  get nowMs(): number {
    return this.#latency?.clock.nowMs() ?? 0;
  }

  /** For ProcessDisk: numbers the operation, then does what is planned for it. */
  run<T>(
    process: ProcessDisk,
    kind: OperationKind,
    about: Pick<DiskOperation, "path" | "to" | "bytes">,
    steps: OperationSteps<T>,
  ): Promise<T> {
    if (!this.#runs(process)) return new Promise(() => {});
    const operation: DiskOperation = { number: this.#operationCount++, kind, ...about, changes: changes(kind) };
    if (this.operations.length < operationsRecordedMax) this.operations.push(operation);
    if (steps.write) this.#writes.set(operation, steps.write);
    this.onOperation?.(operation);
    if (operation.number === this.#crashPoint?.number) {
      this.#crash(operation, steps, this.#crashPoint.mode);
      return new Promise(() => {});
    }
    const fault = this.#faults.take(operation);
    steps.begin?.();
    return new Promise((resolve, reject) => {
      this.#later(() => {
        if (!this.#runs(process)) return;
        try {
          resolve(this.#finish(operation, steps, fault));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #finish<T>(operation: DiskOperation, steps: OperationSteps<T>, fault: Fault | undefined): T {
    this.#writes.delete(operation);
    const { write } = steps;
    if (fault && "code" in fault) {
      if (write)
        this.#writePart(operation, write, Math.min(fault.writtenBytes ?? write.bytes >> 1, write.bytes), false);
      steps.failed?.(operation);
      throw new DiskError(fault.code, operation.kind, operation.path);
    }
    if (write) {
      const fittingBytes = this.#writePart(operation, write, write.bytes, fault !== undefined);
      if (fittingBytes < write.bytes) throw new DiskError("ENOSPC", operation.kind, operation.path);
    }
    return steps.finish(operation);
  }

  /** Writes the first `bytes`, or as many as there is space for, and says how many. */
  #writePart(operation: DiskOperation, write: PendingWrite, bytes: number, lost: boolean): number {
    const growsBytes = Math.max(0, write.position + bytes - write.inode.visible.sizeBytes);
    const missingBytes = Math.max(0, growsBytes - this.freeBytes);
    const content = new Uint8Array(bytes - missingBytes);
    let filled = 0;
    for (const chunk of write.chunks) {
      const part = chunk.subarray(0, content.length - filled);
      content.set(part, filled);
      filled += part.length;
    }
    write.inode.modifiedMs = this.nowMs;
    if (content.length > 0) write.inode.write(operation.number, write.position, content, lost);
    return content.length;
  }

  #crash<T>(operation: DiskOperation, steps: OperationSteps<T>, mode: CrashMode): void {
    if (mode === "after") {
      steps.begin?.();
      try {
        this.#finish(operation, steps, undefined);
      } catch (error) {
        if (!(error instanceof DiskError)) throw error; // refused: it changed nothing, and nobody hears of it
      }
    } else if (mode !== "before") {
      if (steps.write) this.#writePart(operation, steps.write, Math.min(mode.bytes, steps.write.bytes), false);
      else steps.half?.(operation);
    }
    this.#writes.clear();
    this.#hasCrashed = true;
    this.#whenCrashed.resolve();
  }

  #runs(process: ProcessDisk): boolean {
    return process === this.#process && !this.#hasCrashed;
  }

  #later(run: () => void): void {
    const latency = this.#latency;
    if (latency) latency.clock.setTimer(latency.random.fraction() * latency.mostMs, run);
    else queueMicrotask(run);
  }

  #endProcess(): void {
    this.#process = undefined;
    if (this.#hasCrashed) this.#whenCrashed = withResolvers();
    this.#hasCrashed = false;
    this.#crashPoint = undefined;
    this.#writes.clear();
  }
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
