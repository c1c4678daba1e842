// What an assignor is: from subscriptions, partition counts and the last target to a new target. Pure, the same for the
// same input, and every partition of a subscribed topic goes to exactly one of the topic's subscribers.

import type { Assignment } from "./assignment.ts";

export interface Subscriber {
  readonly memberId: string;
  readonly instanceId: string | null;
  /** Topics that exist, without repeats. */
  readonly topicIds: readonly string[];
  /** The member's last target; may name topics and partitions that are gone. */
  readonly previous: Assignment;
}

/** By topic id; holds every subscribed topic. */
export type PartitionCounts = ReadonlyMap<string, number>;

export type Assignor = (subscribers: readonly Subscriber[], counts: PartitionCounts) => Map<string, Assignment>;
