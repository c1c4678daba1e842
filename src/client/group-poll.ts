// Over HTTP: the one call that is a group member's whole life, and the one that ends it.

import type { GroupLink, GroupPollBody, PollAnswer } from "./group-link.ts";
import type { HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";

export class GroupPoll implements GroupLink {
  readonly waitsWhileLeaving = false;
  readonly isStarved = false;
  readonly #http: HttpTransport;
  readonly #path: string;

  constructor(http: HttpTransport, group: string, memberId: string) {
    this.#http = http;
    this.#path = `/v1/groups/${encodeURIComponent(group)}/members/${encodeURIComponent(memberId)}`;
  }

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

  async leave(): Promise<void> {
    try {
      await this.#http.call({ method: "DELETE", path: this.#path });
    } catch (error) {
      if (!(error instanceof MillraceError && (error.status === 404 || error.status === 409))) throw error;
    }
  }
}
