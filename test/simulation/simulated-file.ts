// One open file of the simulated disk, of one process.

import { assert } from "../../src/assert.ts";
import type { DiskFile } from "../../src/io/disk.ts";
import { DiskError } from "../../src/io/disk.ts";
import type { OperationKind } from "./disk-operations.ts";
import type { OperationSteps, PendingWrite, SimulatedDisk } from "./simulated-disk.ts";
import type { FileInode } from "./simulated-inodes.ts";

type Run = <T>(kind: OperationKind, bytes: number, steps: OperationSteps<T>) => Promise<T>;

export class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #inode: FileInode;
  readonly #run: Run;
  readonly #disk: SimulatedDisk;
  #sizeBytes: number;
  /** Where the next append begins: past those still under way. */
  #appendPosition: number;
  #isClosed = false;

  constructor(path: string, inode: FileInode, run: Run, disk: SimulatedDisk) {
    this.path = path;
    this.#inode = inode;
    this.#run = run;
    this.#disk = disk;
    this.#sizeBytes = inode.visible.sizeBytes;
    this.#appendPosition = this.#sizeBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    this.#refuseClosed("append");
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const position = this.#appendPosition;
    this.#appendPosition += bytes;
    await this.#written("append", { inode: this.#inode, position, chunks, bytes });
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    this.#refuseClosed("write");
    assert(position >= 0 && position <= this.#sizeBytes, `a write to ${this.path} at ${position} leaves a hole`);
    await this.#written("write", { inode: this.#inode, position, chunks: [bytes], bytes: bytes.length });
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    this.#refuseClosed("read");
    return this.#run("read", target.length, { finish: () => this.#inode.visible.read(position, target) });
  }

  async sync(): Promise<void> {
    this.#refuseClosed("sync");
    let before = 0; // what is still being written when the sync is asked for is not covered by it
    await this.#run("sync", 0, {
      begin: () => {
        before = this.#inode.lastChange;
      },
      finish: () => this.#inode.synced(before),
      failed: () => this.#inode.syncFailed(before),
    });
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#refuseClosed("truncate");
    await this.#run("truncate", sizeBytes, {
      finish: (operation) => {
        this.#inode.modifiedMs = this.#disk.nowMs;
        this.#inode.resize(operation.number, sizeBytes);
        this.#sizeBytes = sizeBytes;
        this.#appendPosition = sizeBytes;
      },
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#run("close", 0, { finish: () => {} });
  }

  async #written(kind: "append" | "write", write: PendingWrite): Promise<void> {
    const end = write.position + write.bytes;
    try {
      await this.#run(kind, write.bytes, {
        write,
        finish: () => {
          this.#sizeBytes = Math.max(this.#sizeBytes, end);
          this.#appendPosition = Math.max(this.#appendPosition, end);
        },
      });
    } catch (error) {
      this.#appendPosition = this.#sizeBytes;
      throw error;
    }
  }

  #refuseClosed(operation: string): void {
    if (this.#isClosed) throw new DiskError("EBADF", operation, this.path);
  }
}
