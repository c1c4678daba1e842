// Where a poll reads each assigned partition: at the client's place for it, or where the group committed, or by offsetReset. A
// place that is not in the log any more is given up for what offsetReset says, and reported. A place once found holds for the
// whole poll: "latest" does not move on while the poll waits.

import type { PolledGroup } from "../consumer-groups/coordinator.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import type { Partition } from "../replication/partition.ts";
import type { GroupOffsetReset, PartitionPlace, PollAnswer, PollCall } from "./group-calls.ts";
import type { Partitions } from "./partitions.ts";

/** Nothing to start from, and offsetReset does not allow to choose. */
interface Placeless {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number | null;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
}

export class PollPlaces {
  readonly #partitions: Partitions;
  readonly #offsetReset: GroupOffsetReset;
  /** What the call says, by topic name. */
  readonly #asked = new Map<string, number>();
  /** What was found, by topic id. */
  readonly #found = new Map<string, number>();
  readonly #reset = new Map<string, PollAnswer["reset"][number]>();

  constructor(partitions: Partitions, { commit = [], positions = [], offsetReset }: PollCall, joined: PolledGroup) {
    this.#partitions = partitions;
    this.#offsetReset = offsetReset;
    for (const { topic, partition, nextOffset } of commit) this.#asked.set(`${topic}/${partition}`, nextOffset);
    // Another member may have read on since: only what is committed says from where.
    for (const { topic, partition } of joined.notCommitted) this.#asked.delete(`${topic}/${partition}`);
    for (const { topic, partition, nextOffset } of positions) this.#asked.set(`${topic}/${partition}`, nextOffset);
  }

  get reset(): PollAnswer["reset"] {
    return [...this.#reset.values()];
  }

  /** By topic and partition. One that is not open and has no place yet is left out. OFFSET_OUT_OF_RANGE as offsetReset says. */
  of({ assignment, committed, memberEpoch }: PolledGroup): PartitionPlace[] {
    const offsets = new Map(committed.map((one) => [`${one.topic}/${one.partition}`, one.committed.offset]));
    const places: PartitionPlace[] = [];
    const placeless: Placeless[] = [];
    for (const { topic, topicId, partitions } of assignment) {
      for (const partition of partitions) {
        const name = `${topic}/${partition}`;
        const key = `${topicId}/${partition}`;
        const known = this.#found.get(key) ?? this.#asked.get(name) ?? offsets.get(name);
        const nextOffset = this.#place(topic, partition, known, placeless);
        if (nextOffset === undefined) continue;
        this.#found.set(key, nextOffset);
        places.push({ topic, partition, nextOffset });
      }
    }
    if (placeless.length > 0) throw outOfRange(placeless, memberEpoch);
    return places;
  }

  #place(topic: string, number: number, known: number | undefined, placeless: Placeless[]): number | undefined {
    const partition = this.#partitions.find(topic, number);
    if (partition === undefined) return known;
    const { logStartOffset, logEndOffset } = partition.log;
    if (known !== undefined && known >= logStartOffset && known <= logEndOffset) return known;
    const to = this.#byReset(partition);
    if (to === undefined)
      placeless.push({ topic, partition: number, nextOffset: known ?? null, logStartOffset, logEndOffset });
    else if (known !== undefined) this.#report(topic, number, known, to);
    return to;
  }

  #byReset(partition: Partition): number | undefined {
    if (this.#offsetReset === "error") return undefined;
    return this.#offsetReset === "earliest" ? partition.log.logStartOffset : partition.highWatermark;
  }

  /** From where the client was, even if the log goes on while the poll waits. */
  #report(topic: string, partition: number, known: number, to: number): void {
    const key = `${topic}/${partition}`;
    const from = this.#reset.get(key)?.from ?? known;
    this.#reset.set(key, { topic, partition, from, to });
  }
}

function outOfRange(partitions: readonly Placeless[], memberEpoch: number): BrokerError {
  const { topic, partition, nextOffset, logStartOffset, logEndOffset } = partitions[0]!;
  const holds = `the log holds ${logStartOffset} to ${logEndOffset}`;
  const detail =
    nextOffset === null
      ? `nothing is committed for ${topic}-${partition}, and offsetReset is "error": commit where to begin (${holds})`
      : `offset ${nextOffset} is not in ${topic}-${partition} any more, and offsetReset is "error" (${holds})`;
  return new BrokerError("OFFSET_OUT_OF_RANGE", detail, { fields: { partitions, memberEpoch } });
}
