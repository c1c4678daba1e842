// Judges what the clients of a group and a topic have met, by the log alone: nothing lost, nothing doubled, each record seen, in order.

export interface LoggedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** `producer.n`, n counted from 1 in the order sent. */
  readonly text: string;
}

export interface Place {
  readonly partition: number;
  readonly offset: number;
}

/** What went wrong, one line each; none if nothing did. */
export function judgeClients(
  log: readonly LoggedRecord[],
  acknowledged: ReadonlyMap<string, Place>,
  seen: SeenRecords,
): string[] {
  return [...judgeLog(log, acknowledged), ...seen.anomalies, ...judgeSeen(log, seen)];
}

function judgeLog(log: readonly LoggedRecord[], acknowledged: ReadonlyMap<string, Place>): string[] {
  const found: string[] = [];
  const placeOf = new Map<string, string>();
  const lastOfKey = new Map<string, number>();
  for (const { partition, offset, key, text } of log) {
    const place = `${partition}:${offset}`;
    const other = placeOf.get(text);
    if (other !== undefined) found.push(`doubled: ${text} is at ${other} and at ${place}`);
    placeOf.set(text, place);
    const number = Number(text.split(".")[1]);
    const last = lastOfKey.get(key ?? "") ?? 0;
    if (number < last) found.push(`out of order: ${text} comes after ${last} of its key ${key}`);
    lastOfKey.set(key ?? "", number);
    if (!acknowledged.has(text)) found.push(`not sent, or given up: ${text} at ${place}`);
  }
  for (const [text, { partition, offset }] of acknowledged) {
    const place = `${partition}:${offset}`;
    if (placeOf.get(text) !== place) found.push(`${text} was told to be at ${place}, and is at ${placeOf.get(text)}`);
  }
  return found;
}

function judgeSeen(log: readonly LoggedRecord[], seen: SeenRecords): string[] {
  const ends = new Map<number, number>();
  for (const { partition, offset } of log) ends.set(partition, Math.max(ends.get(partition) ?? 0, offset + 1));
  return [...ends]
    .filter(([partition, end]) => seen.endOf(partition) !== end)
    .map(
      ([partition, end]) => `not seen: partition ${partition} ends at ${end}, the group saw ${seen.endOf(partition)}`,
    );
}

/** What the members of a group were given, in the order it was given. A log without gaps is expected. */
export class SeenRecords {
  readonly anomalies: string[] = [];
  /** Given more than once: allowed, and told. */
  repeated = 0;
  readonly #ends = new Map<number, number>();
  readonly #lastOf = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  /** `member` is one life of a consumer. */
  add(member: string, partition: number, offset: number): void {
    const end = this.endOf(partition);
    if (offset > end) this.anomalies.push(`skipped: ${member} was given ${partition}:${offset} when ${end} was due`);
    if (offset < end) this.repeated += 1;
    const mine = `${member} ${partition}`;
    const last = this.#lastOf.get(mine);
    // A member may be sent back to what is committed, never ahead of what it has seen.
    if (last !== undefined && offset > last + 1 && offset < end) {
      this.anomalies.push(`gap: ${member} was given ${partition}:${offset} after ${last}`);
    }
    this.#lastOf.set(mine, offset);
    this.#ends.set(partition, Math.max(end, offset + 1));
    for (const look of this.#waiting) look();
  }

  /** That partition begins anew for this member. */
  assigned(member: string, partition: number): void {
    this.#lastOf.delete(`${member} ${partition}`);
  }

  endOf(partition: number): number {
    return this.#ends.get(partition) ?? 0;
  }

  /** Resolves once every partition is seen up to its end. */
  async reaches(ends: ReadonlyMap<number, number>): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = (): void => {
        for (const [partition, end] of ends) if (this.endOf(partition) < end) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}
