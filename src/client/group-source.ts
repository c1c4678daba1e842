// What a consumer in a group is told to read, and how.

/** What a consumer in a group reads. */
export interface GroupSource {
  readonly group: string;
  readonly topics: readonly string[];
  /** Chosen at random by default. A fixed name is for a slot that one process fills at a time. */
  readonly memberId?: string;
  readonly instanceId?: string;
  /** Without a sign of life for so long the group gives this member up. 45 s by default. */
  readonly sessionTimeoutMs?: number;
  /** How long handlers may go on with partitions that go to another member. By default 5 min, over a WebSocket 30 s; with a value the group uses HTTP. */
  readonly rebalanceTimeoutMs?: number;
  /** With a value the group uses HTTP. */
  readonly assignor?: "uniform" | "range";
  /** Where to begin without a committed offset, and when it is not in the log any more. `earliest` by default. */
  readonly offsetReset?: "earliest" | "latest" | "error";
  /** auto (default): what is handled is committed on its own. manual: only by consumer.commit(). */
  readonly commit?: "auto" | "manual";
  /** What is handled is committed at the latest after this time. 1 s by default. */
  readonly autoCommitIntervalMs?: number;
}

/** The broker's. */
export const sessionTimeoutMsDefault = 45_000;
