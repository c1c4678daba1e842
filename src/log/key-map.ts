// The last offset of each key in a part of a log, in a bounded number of bytes: what compaction goes by. A key is known by the
// first 128 bits of its SHA-256: nobody can make two keys that are taken for one, as could be done with a faster hash.

import { hash } from "node:crypto";

/** Sixteen bytes of hash, eight of offset. */
const slotBytes = 24;
const wordsOfHash = 4;
/** Fuller than this the search for a free slot becomes long. */
const loadMax = 0.75;
const empty = -1;

export class KeyMap {
  readonly #slots: number;
  readonly #keysMax: number;
  readonly #hashes: Uint32Array;
  /** `empty` where a slot is free. */
  readonly #offsets: Float64Array;
  #size = 0;

  /** Takes at most `bytesMax`, and no more than `keysMax` different keys need; at least one key always fits. */
  constructor(bytesMax: number, keysMax: number) {
    const slots = Math.min(Math.floor(bytesMax / slotBytes), Math.ceil(keysMax / loadMax) + 1);
    this.#slots = Math.max(2, slots);
    this.#keysMax = Math.max(1, Math.floor(this.#slots * loadMax));
    this.#hashes = new Uint32Array(this.#slots * wordsOfHash);
    this.#offsets = new Float64Array(this.#slots).fill(empty);
  }

  get size(): number {
    return this.#size;
  }

  get heldBytes(): number {
    return this.#hashes.byteLength + this.#offsets.byteLength;
  }

  /** Notes that `key` is at `offset`, which is above all before. False when there is no room for a new key. */
  put(key: Uint8Array, offset: number): boolean {
    const words = wordsOf(key);
    const slot = this.#find(words);
    if (this.#offsets[slot] === empty) {
      if (this.#size === this.#keysMax) return false;
      this.#hashes.set(words, slot * wordsOfHash);
      this.#size += 1;
    }
    this.#offsets[slot] = offset;
    return true;
  }

  get(key: Uint8Array): number | undefined {
    if (this.#size === 0) return undefined;
    const offset = this.#offsets[this.#find(wordsOf(key))]!;
    return offset === empty ? undefined : offset;
  }

  /** The slot that holds the hash, or the free one where it belongs. */
  #find(words: Uint32Array): number {
    for (let slot = words[0]! % this.#slots; ; slot = slot + 1 === this.#slots ? 0 : slot + 1) {
      if (this.#offsets[slot] === empty) return slot;
      const at = slot * wordsOfHash;
      if (words.every((word, i) => this.#hashes[at + i] === word)) return slot;
    }
  }
}

const words = new Uint32Array(wordsOfHash);

/** Valid until the next call. */
function wordsOf(key: Uint8Array): Uint32Array {
  const digest = hash("sha256", key, "buffer");
  for (let i = 0; i < wordsOfHash; i++) words[i] = digest.readUInt32BE(4 * i);
  return words;
}
