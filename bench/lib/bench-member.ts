// A member of a group as a client would keep it: what it sends next follows from what it was answered last.

import { type Answer, requestBytes } from "./connection.ts";

export interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
}

interface Polled {
  readonly memberEpoch: number;
  readonly assignment: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
  readonly positions: readonly Place[];
}

/** The heartbeat interval is the usual one all the same; a machine that is busy with other things loses nobody. */
const sessionTimeoutMs = 300_000;

export class BenchMember {
  readonly groupId: string;
  readonly memberId: string;
  readonly topic: string;
  partitions: readonly number[] = [];
  #memberEpoch: number | undefined;
  #positions: readonly Place[] = [];

  constructor(groupId: string, memberId: string, topic: string) {
    this.groupId = groupId;
    this.memberId = memberId;
    this.topic = topic;
  }

  /** Joins if it has not; says what it holds, which lets go of what left it. */
  heartbeat(): Uint8Array {
    return this.#poll({ maxRecords: 0 }, [{ topic: this.topic, partitions: this.partitions }]);
  }

  commit(positions: readonly Place[]): Uint8Array {
    return this.#poll({ commit: positions, maxRecords: 0 });
  }

  /** Commits what came before, and waits for records or for another assignment. */
  poll(waitMs: number): Uint8Array {
    return this.#poll({ commit: this.#positions, waitMs });
  }

  leave(): Uint8Array {
    return requestBytes({ method: "DELETE", path: this.#path });
  }

  /** Gives whether its assignment or its epoch is another now. */
  received({ status, text = "" }: Answer): boolean {
    if (status !== 200) throw new Error(`${this.memberId} of ${this.groupId} was answered ${status}: ${text}`);
    const { memberEpoch, assignment, positions } = JSON.parse(text) as Polled;
    const partitions = assignment.flatMap((topic) => topic.partitions);
    const before = this.partitions;
    const isSame =
      memberEpoch === this.#memberEpoch &&
      partitions.length === before.length &&
      partitions.every((p, i) => p === before[i]);
    this.#memberEpoch = memberEpoch;
    this.#positions = positions;
    this.partitions = partitions;
    return !isSame;
  }

  get #path(): string {
    return `/v1/groups/${this.groupId}/members/${this.memberId}`;
  }

  #poll(wishes: object, owned?: readonly object[]): Uint8Array {
    const staying = { memberEpoch: this.#memberEpoch, ...(owned && { owned }) };
    const whose = this.#memberEpoch === undefined ? { topics: [this.topic], sessionTimeoutMs } : staying;
    const body = JSON.stringify({ ...whose, ...wishes });
    const path = `${this.#path}/poll`;
    return requestBytes({ method: "POST", path, contentType: "application/json", body: Buffer.from(body) });
  }
}
