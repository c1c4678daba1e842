// What the coordinator needs of the log: the partitions of __consumer_offsets, each the memory of one shard of groups.

import type { EncodedGroupRecord } from "./group-records.ts";

/** One partition of __consumer_offsets. */
export interface GroupRecordLog {
  /** Gives every record up to the log end of this moment, oldest first. Resolves once all are given, and committed. */
  replay(take: (key: Uint8Array, value: Uint8Array | null) => void): Promise<void>;
  /** Appends in this order. Resolves once committed. A BrokerError says with maybeAppended whether it is in doubt. */
  append(records: readonly EncodedGroupRecord[]): Promise<void>;
}

export interface GroupLogs {
  /** Never changes once the topic exists: it says where each group is. */
  readonly shardCount: number;
  /** Whether there may be groups at all: the topic is made when the first group is. */
  readonly exists: boolean;
  /** Makes the topic if it does not exist. COORDINATOR_NOT_AVAILABLE when that cannot be done, or the partition is not here. */
  open(shard: number): Promise<GroupRecordLog>;
}
