// The bound on what a producer holds in memory: bytes of records that are not settled, and calls that wait for room.
// Who waits is let in in the order of coming, so that waiting never changes the order of records.

import { MillraceError } from "./millrace-error.ts";

/** So many calls may wait for room, each holding one record. */
export const waitingSendsMax = 10_000;

interface Waiting {
  readonly sizeBytes: number;
  readonly enter: () => void;
}

export class SendBuffer {
  readonly #bytesMax: number;
  readonly #waits: boolean;
  readonly #waiting: Waiting[] = [];
  #usedBytes = 0;

  constructor(bytesMax: number, whenFull: "wait" | "reject") {
    this.#bytesMax = bytesMax;
    this.#waits = whenFull === "wait";
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Calls `enter` once there is room, perhaps at once. Returns the way to stop waiting, which says whether it still waited. */
  enter(sizeBytes: number, enter: () => void): () => boolean {
    if (this.#waiting.length === 0 && this.#hasRoom(sizeBytes)) {
      this.#usedBytes += sizeBytes;
      enter();
      return () => false;
    }
    if (!this.#waits) throw full(`the producer holds ${this.#usedBytes} bytes that are not yet in the log`);
    if (this.#waiting.length >= waitingSendsMax) {
      throw full(`${waitingSendsMax} calls of send() wait for room already; await some of them`);
    }
    const waiting = { sizeBytes, enter };
    this.#waiting.push(waiting);
    return () => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return false;
      this.#waiting.splice(at, 1);
      this.#letIn();
      return true;
    };
  }

  leave(sizeBytes: number): void {
    this.#usedBytes -= sizeBytes;
    this.#letIn();
  }

  #letIn(): void {
    for (
      let first = this.#waiting[0];
      first !== undefined && this.#hasRoom(first.sizeBytes);
      first = this.#waiting[0]
    ) {
      this.#waiting.shift();
      this.#usedBytes += first.sizeBytes;
      first.enter();
    }
  }

  /** One record larger than everything may pass alone. */
  #hasRoom(sizeBytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + sizeBytes <= this.#bytesMax;
  }
}

const full = (why: string): MillraceError => new MillraceError("BUFFER_FULL", why, { retriable: true });
