// What the broker's calls on consumer groups take and give.

import type { GroupState } from "../consumer-groups/group.ts";
import type { PollRequest, TopicPartitions } from "../consumer-groups/group-requests.ts";
import type { Position } from "../consumer-groups/offsets.ts";
import type { ErrorCode } from "../protocol/error-codes.ts";
import type { OffsetExpression } from "../protocol/offset-expression.ts";
import type { FetchedPartition } from "./fetch.ts";

export type { Position, TopicPartitions };

/** Where a partition without a place to go on from, or with one that is not in the log any more, is read from. */
export type GroupOffsetReset = "earliest" | "latest" | "error";

/** What a member says to its group, and what it wants to read. Without forRecords it answers at once. */
export interface PollCall extends Omit<PollRequest, "kind" | "positions"> {
  readonly positions?: readonly Position[] | undefined;
  readonly offsetReset: GroupOffsetReset;
  readonly maxBytes: number;
  readonly waitMs: number;
  /** Ends the wait: the client is gone. */
  readonly signal?: AbortSignal | undefined;
}

export interface PartitionPlace {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: number;
}

export interface PollAnswer {
  readonly memberEpoch: number;
  readonly heartbeatIntervalMs: number;
  /** Always whole. */
  readonly assignment: readonly TopicPartitions[];
  /** Where each assigned partition is read from in this call, by topic and partition; none of them for a heartbeat. */
  readonly positions: readonly PartitionPlace[];
  /** It tells more than records: not to be held back because one cannot be read. */
  readonly hasNews: boolean;
  /** Stored batches of some of those partitions, never an error; the caller takes the records it wants. */
  readonly fetched: readonly FetchedPartition[];
  readonly notCommitted: readonly { readonly topic: string; readonly partition: number; readonly code: ErrorCode }[];
  /** Places that were not in the log any more, and where offsetReset went instead. */
  readonly reset: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly from: number;
    readonly to: number;
  }[];
}

export interface ListGroups {
  readonly prefix?: string | undefined;
  readonly after?: string | undefined;
  readonly limit?: number | undefined;
  /** Their lags too. */
  readonly lag?: boolean | undefined;
}

export interface GroupSummary {
  readonly groupId: string;
  readonly state: GroupState;
  readonly members: number;
  /** Records, of all its partitions together. */
  readonly lag?: number;
  /** The age of the oldest unread record of all. */
  readonly lagMs?: number | null;
}

export interface GroupDescription {
  readonly groupId: string;
  readonly state: GroupState;
  readonly groupEpoch: number;
  readonly assignmentEpoch: number;
  /** The broker's id. */
  readonly coordinator: number;
  readonly members: readonly {
    readonly memberId: string;
    readonly instanceId?: string;
    readonly memberEpoch: number;
    readonly topics: readonly string[];
    readonly assignment: readonly TopicPartitions[];
  }[];
}

export interface GroupPosition {
  readonly topic: string;
  readonly partition: number;
  /** Null: nothing is committed, and lag counts from the earliest record. */
  readonly nextOffset: number | null;
  readonly metadata: string | null;
  /** Null, and so the lag, while the partition's storage is offline. */
  readonly highWatermark: number | null;
  readonly lag: number | null;
  /** The age of the next record to read; 0 when there is none. Null when it cannot be told. */
  readonly lagMs: number | null;
  /** Who has the partition. */
  readonly memberId: string | null;
}

export interface CommitCall {
  readonly positions: readonly Position[];
  readonly memberId?: string | undefined;
  readonly memberEpoch?: number | undefined;
}

export interface ResetCall {
  readonly to: OffsetExpression;
  /** Undefined: the topics of the committed offsets. */
  readonly topics?: readonly string[] | undefined;
  /** Undefined: every partition of the topics. */
  readonly partitions?: readonly number[] | undefined;
  readonly dryRun: boolean;
}

export interface ResetPosition extends PartitionPlace {
  readonly previous: number | null;
}
