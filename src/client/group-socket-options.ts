// What a membership on a WebSocket is made with.

import type { ClientClock } from "./platform.ts";

export interface GroupSocketOptions {
  readonly group: string;
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly instanceId?: string;
  readonly sessionTimeoutMs?: number;
  readonly offsetReset?: "earliest" | "latest" | "error";
  readonly windowBytes: number;
  readonly clock: ClientClock;
  /** How long an answer may take. */
  readonly timeoutMs: number;
  /** There is something that a poll would tell. */
  readonly onNews: () => void;
}
