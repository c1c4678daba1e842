// Where a consumer's records come from: a topic read as it is, or a group's share of topics.

import type { Position } from "./admin-answers.ts";
import type { ConsumerEmitter } from "./consumer-events.ts";
import type { HttpTransport } from "./http-transport.ts";
import type { Inbox, PartitionInbox } from "./inbox.ts";

export interface Feed {
  /** Begins to fetch; may be called again. */
  start(): void;
  /** What is fetched next has changed: something was paused, resumed or sought. */
  refetch(): void;
  /** Something was handled, or a handler ended. */
  progressed(inbox: PartitionInbox): void;
  /** Resolves once the positions are durable in the group. */
  commit(positions: readonly Position[], signal: AbortSignal | undefined): Promise<void>;
  /** Fetches no more. Handlers may still be at work, and the membership lives on. */
  stop(): Promise<void>;
  /** All handlers have ended: commits what is handled and leaves. */
  leave(): Promise<void>;
}

export interface FeedParts {
  readonly http: HttpTransport;
  readonly inbox: Inbox;
  readonly events: ConsumerEmitter;
  readonly maxBytes: number;
  readonly maxRecords: number;
  readonly waitMs: number;
}
