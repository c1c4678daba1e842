// Randomness, for ids and jitter. A simulation replaces it with a seeded source.

export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** `length` random bytes; in the Node version fit for ids and secrets. */
  bytes(length: number): Uint8Array;
}
