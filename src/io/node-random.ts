// The Random of the machine; the bytes come from the kernel.

import { randomBytes } from "node:crypto";
import type { Random } from "./random.ts";

export class NodeRandom implements Random {
  fraction(): number {
    return Math.random();
  }

  bytes(length: number): Uint8Array {
    const drawn = randomBytes(length);
    return new Uint8Array(drawn.buffer, drawn.byteOffset, drawn.length);
  }
}
