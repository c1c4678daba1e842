// The one call that is a group member's whole life, and the one that ends it.

import type { Position, TopicPartitions } from "./admin-answers.ts";
import type { FetchedRecord } from "./consumed-record.ts";
import type { HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";

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

export interface PollAnswer {
  readonly memberEpoch: number;
  readonly heartbeatIntervalMs: number;
  /** Whole, always. */
  readonly assignment: readonly TopicPartitions[];
  /** Where each partition would go on. */
  readonly positions: readonly Position[];
  readonly records: readonly (FetchedRecord & { readonly topic: string; readonly partition: number })[];
  readonly notCommitted?: readonly { readonly topic: string; readonly partition: number; readonly code: string }[];
  readonly reset?: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly from: number;
    readonly to: number;
  }[];
}

export class GroupPoll {
  readonly #http: HttpTransport;
  readonly #path: string;

  constructor(http: HttpTransport, group: string, memberId: string) {
    this.#http = http;
    this.#path = `/v1/groups/${encodeURIComponent(group)}/members/${encodeURIComponent(memberId)}`;
  }

  /** One attempt. */
  async once(body: GroupPollBody, signal: AbortSignal | undefined, attempt: number): Promise<PollAnswer> {
    const call = {
      method: "POST",
      path: `${this.#path}/poll`,
      body,
      accept: "application/msgpack",
      signal,
      waitMs: body.waitMs ?? 0,
    } as const;
    return (await this.#http.once(call, attempt)) as PollAnswer;
  }

  /** Leaving twice, or after the group has given the member up, is fine. */
  async leave(): Promise<void> {
    try {
      await this.#http.call({ method: "DELETE", path: this.#path });
    } catch (error) {
      if (!(error instanceof MillraceError && (error.status === 404 || error.status === 409))) throw error;
    }
  }
}
