// How a member speaks to its group, over whichever connection: a poll says what it has handled and what it has in hand, and
// answers with what is assigned and with records.

import type { Position, TopicPartitions } from "./admin-answers.ts";
import type { FetchedRecord } from "./consumed-record.ts";

/** The body of a poll, as docs/http-api.md has it. */
export interface GroupPollBody {
  readonly topics?: readonly string[];
  readonly memberEpoch?: number;
  readonly commit?: readonly Position[];
  readonly positions?: readonly Position[];
  readonly owned?: readonly TopicPartitions[];
  readonly instanceId?: string;
  readonly sessionTimeoutMs?: number;
  readonly rebalanceTimeoutMs?: number;
  readonly assignor?: "uniform" | "range";
  readonly offsetReset?: "earliest" | "latest" | "error";
  readonly maxRecords?: number;
  readonly maxBytes?: number;
  readonly waitMs?: number;
}

interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface PollAnswer {
  readonly memberEpoch: number;
  readonly heartbeatIntervalMs: number;
  /** Whole, always. */
  readonly assignment: readonly TopicPartitions[];
  /** Where each partition would go on. */
  readonly positions: readonly Position[];
  readonly records: readonly (FetchedRecord & TopicPartition)[];
  readonly notCommitted?: readonly (TopicPartition & { readonly code: string })[];
  readonly reset?: readonly (TopicPartition & { readonly from: number | string; readonly to: number })[];
  /** With another member before its handlers had ended. Not in an answer of the broker's. */
  readonly gone?: readonly TopicPartition[];
}

export interface GroupLink {
  /** A poll for records waits also while something is still to be let go of. */
  readonly waitsWhileLeaving: boolean;
  /** No more records come unless what is handled is committed. */
  readonly isStarved: boolean;
  /** One attempt. */
  once(body: GroupPollBody, signal: AbortSignal | undefined, attempt: number): Promise<PollAnswer>;
  /** Leaving twice, or after the group has given the member up, is fine. */
  leave(): Promise<void>;
}

export const placeKey = (topic: string, partition: number): string => `${topic}/${partition}`;

/** What this member had in hand and is not assigned any more. */
export function goneOf(
  owned: readonly TopicPartitions[] | undefined,
  assignment: readonly TopicPartitions[],
): readonly TopicPartition[] {
  const assigned = new Set(
    assignment.flatMap(({ topic, partitions }) => partitions.map((one) => placeKey(topic, one))),
  );
  return (owned ?? []).flatMap(({ topic, partitions }) =>
    partitions.flatMap((partition) => (assigned.has(placeKey(topic, partition)) ? [] : [{ topic, partition }])),
  );
}
