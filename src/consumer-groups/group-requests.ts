// What can be asked of a shard, and what it answers. An answer may leave only once every record its shard had made when it was
// computed is committed.

import type { ErrorCode } from "../protocol/error-codes.ts";
import type { AssignorName } from "./assignors.ts";
import type { EncodedGroupRecord } from "./group-records.ts";
import type { Position } from "./offsets.ts";

export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

interface PartitionName {
  readonly topic: string;
  readonly partition: number;
}

/** A member's whole life: join, heartbeat, commit, letting go. Without memberEpoch it joins, or takes its id over. */
export interface PollRequest {
  readonly kind: "poll";
  readonly groupId: string;
  readonly memberId: string;
  readonly memberEpoch?: number | undefined;
  /** Must be there to join; later it changes the subscription. */
  readonly topics?: readonly string[] | undefined;
  /** Counts when joining. */
  readonly instanceId?: string | undefined;
  readonly sessionTimeoutMs?: number | undefined;
  readonly rebalanceTimeoutMs?: number | undefined;
  readonly assignor?: string | undefined;
  readonly commit?: readonly Position[] | undefined;
  readonly positions?: readonly PartitionName[] | undefined;
  readonly owned?: readonly TopicPartitions[] | undefined;
  /** False for `maxRecords: 0`: then only an `owned` lets go of anything. */
  readonly forRecords: boolean;
}

export type GroupRequest =
  | PollRequest
  /** The connection of a parked poll still stands. */
  | { readonly kind: "keepAlive"; readonly groupId: string; readonly memberId: string; readonly memberEpoch: number }
  /** `keepAssignment`: a static member that will be back; it is kept until its session ends. */
  | { readonly kind: "leave"; readonly groupId: string; readonly memberId: string; readonly keepAssignment?: boolean }
  /** All or nothing. A member commits what it holds; without members anybody commits anything. */
  | {
      readonly kind: "commit";
      readonly groupId: string;
      readonly memberId?: string | undefined;
      readonly memberEpoch?: number | undefined;
      readonly positions: readonly Position[];
    }
  | {
      readonly kind: "reset";
      readonly groupId: string;
      readonly positions: readonly Position[];
      readonly createGroup: boolean;
      readonly dryRun: boolean;
    }
  | { readonly kind: "deleteGroup"; readonly groupId: string }
  /** Topics were made, grew, or went. */
  | { readonly kind: "topicsChanged" }
  | { readonly kind: "topicDeleted"; readonly topic: string; readonly topicId: string }
  | { readonly kind: "expireOffsets"; readonly recordsMax: number }
  /** Whatever is due at nextDeadlineMs(). */
  | { readonly kind: "tick" };

export interface Refusal {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export interface PollReply {
  readonly kind: "poll";
  readonly memberEpoch: number;
  readonly heartbeatIntervalMs: number;
  /** Always whole; what may be read and committed from now on. */
  readonly assignment: readonly (TopicPartitions & { readonly topicId: string })[];
  readonly notCommitted: readonly (PartitionName & { readonly code: ErrorCode })[];
  /** There are partitions the client must let go of: do not let it wait, others wait for its next call. */
  readonly revoking: boolean;
  /** More partitions are to come; a first poll waits for its `wake`. */
  readonly incomplete: boolean;
}

export type GroupReply =
  | PollReply
  | Refusal
  | { readonly kind: "reset"; readonly positions: readonly (Position & { readonly previous: number | null })[] }
  | { readonly kind: "expired"; readonly more: boolean }
  | { readonly kind: "done" };

export interface Handled {
  /** Replayed already; to be appended in this order. */
  readonly records: readonly EncodedGroupRecord[];
  readonly reply: GroupReply;
  /** Members whose waiting polls should be handled again, without what they commit or let go of: there is news. */
  readonly wake: readonly { readonly groupId: string; readonly memberId: string }[];
}

/** What a shard knows of topics; its answers only change when `revision` does. */
export interface TopicLookup {
  readonly revision: number;
  topic(name: string): { readonly topicId: string; readonly partitionCount: number } | undefined;
  nameOf(topicId: string): string | undefined;
}

export interface Now {
  /** Milliseconds since the epoch; for what is written. */
  readonly wallMs: number;
  /** For deadlines. */
  readonly monotonicMs: number;
}

export interface GroupSettings {
  readonly groupMembersMax: number;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly offsetsRetentionMs: number;
  /** Between two targets of a group lies a pause for each member, since each costs work for each; small groups need none. */
  readonly assignmentPauseMsPerMember: number;
  readonly assignmentPauseMsMax: number;
  readonly membersWithoutPauseMax: number;
  readonly defaultAssignor: AssignorName;
}

export const defaultGroupSettings: GroupSettings = {
  groupMembersMax: 10_000,
  sessionTimeoutMs: 45_000,
  rebalanceTimeoutMs: 300_000,
  heartbeatIntervalMs: 5000,
  offsetsRetentionMs: 7 * 86_400_000,
  assignmentPauseMsPerMember: 1,
  assignmentPauseMsMax: 1000,
  membersWithoutPauseMax: 32,
  defaultAssignor: "uniform",
};

export function refused(code: ErrorCode, detail: string, fields?: Readonly<Record<string, unknown>>): Refusal {
  return fields === undefined ? { kind: "refused", code, detail } : { kind: "refused", code, detail, fields };
}
