// Which partition a key belongs to, exactly as Kafka's default partitioner has it: murmur2 of the key's bytes.
// Changing a single bit here would send a key's records elsewhere than its past ones.

const seed = 0x9747b28c;
const multiplier = 0x5bd1e995;

/** Murmur2 of 32 bits with Kafka's seed, as the signed number Java shows. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  let hash = seed ^ length;
  let position = 0;
  for (; position + 4 <= length; position += 4) {
    let word =
      bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16) | (bytes[position + 3]! << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> 24;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  const left = length - position;
  if (left === 3) hash ^= bytes[position + 2]! << 16;
  if (left >= 2) hash ^= bytes[position + 1]! << 8;
  if (left >= 1) hash = Math.imul(hash ^ bytes[position]!, multiplier);
  hash = Math.imul(hash ^ (hash >>> 13), multiplier);
  return hash ^ (hash >>> 15);
}

/** The partition of a key in a topic with `partitionCount` partitions. */
export function partitionForKey(key: Uint8Array, partitionCount: number): number {
  // The sign bit is cut off, not negated: what Kafka does.
  return (murmur2(key) & 0x7fffffff) % partitionCount;
}
