// The committed offsets of one group in one topic. A broker may hold millions, so they are not objects but rows of numbers in one
// array, by partition, which takes less than half the memory; a value is made when somebody asks for it.

import { assert } from "../assert.ts";
import type { OffsetCommitValue } from "./group-records.ts";

/** What rows have in common, most often all of them. */
interface Texts {
  readonly topicId: string | null;
  readonly metadata: string;
}

/** A row: partition, offset, leaderEpoch, commitTimestamp, memberEpoch. */
const width = 5;

export class TopicOffsets {
  /** The partitions of the rows rise. */
  readonly #rows: number[] = [];
  readonly #texts: Texts[] = [];

  get count(): number {
    return this.#texts.length;
  }

  get(partition: number): OffsetCommitValue | undefined {
    const row = this.#rowFrom(partition);
    return this.#partitionOf(row) === partition ? this.#value(row) : undefined;
  }

  /** True if there was none. */
  set(partition: number, value: OffsetCommitValue): boolean {
    const { offset, leaderEpoch, commitTimestamp, memberEpoch } = value;
    const row = this.#rowFrom(partition);
    const replaced = this.#partitionOf(row) === partition ? 1 : 0;
    const texts = this.#textsFor(row, value);
    if (row === this.count) {
      this.#rows.push(partition, offset, leaderEpoch, commitTimestamp, memberEpoch);
      this.#texts.push(texts);
    } else {
      this.#rows.splice(row * width, replaced * width, partition, offset, leaderEpoch, commitTimestamp, memberEpoch);
      this.#texts.splice(row, replaced, texts);
    }
    return replaced === 0;
  }

  /** False if there was none. */
  delete(partition: number): boolean {
    const row = this.#rowFrom(partition);
    if (this.#partitionOf(row) !== partition) return false;
    this.#rows.splice(row * width, width);
    this.#texts.splice(row, 1);
    return true;
  }

  *entries(): Generator<[partition: number, value: OffsetCommitValue]> {
    for (let row = 0; row < this.count; row++) yield [this.#partitionOf(row)!, this.#value(row)];
  }

  /** Undefined behind the last row. */
  #partitionOf(row: number): number | undefined {
    return this.#rows[row * width];
  }

  /** The first row of this partition or a larger one. Most often they come in order. */
  #rowFrom(partition: number): number {
    const last = this.#partitionOf(this.count - 1);
    if (last === undefined || last < partition) return this.count;
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#partitionOf(middle)! < partition) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #value(row: number): OffsetCommitValue {
    const texts = this.#texts[row];
    assert(texts !== undefined, "there is no such row of committed offsets");
    const at = row * width;
    const rows = this.#rows;
    return {
      offset: rows[at + 1]!,
      leaderEpoch: rows[at + 2]!,
      metadata: texts.metadata,
      commitTimestamp: rows[at + 3]!,
      topicId: texts.topicId,
      memberEpoch: rows[at + 4]!,
    };
  }

  /** Those of a row close by if they are the same. */
  #textsFor(row: number, { topicId, metadata }: OffsetCommitValue): Texts {
    for (const texts of [this.#texts[row], this.#texts[row - 1]]) {
      if (texts?.topicId === topicId && texts.metadata === metadata) return texts;
    }
    return { topicId, metadata };
  }
}
