// A membership that goes over a WebSocket while one can be had, and by polls otherwise. To change from one to the other the
// member takes its own id over, which fences whatever is left of the former connection; what it has in hand it keeps.

import type { TopicPartitions } from "./admin-answers.ts";
import { type GroupLink, type GroupPollBody, goneOf, type PollAnswer } from "./group-link.ts";
import type { GroupPoll } from "./group-poll.ts";
import { GroupSocket } from "./group-socket.ts";
import type { GroupSocketOptions } from "./group-socket-options.ts";
import { MillraceError } from "./millrace-error.ts";
import type { SocketConnection } from "./socket-connection.ts";
import type { Sockets } from "./sockets.ts";
import { orAborted } from "./waiting.ts";

export interface GroupConnectionParts {
  readonly poll: GroupPoll;
  readonly sockets: Sockets;
  readonly socketOptions: GroupSocketOptions;
  /** After so long without a word the group has given this member up. */
  readonly sessionTimeoutMs: number;
}

/** A socket that did not last so long counts as failing. */
const lastsMs = 10_000;
const failingWaitMs = 1_000;
const failingWaitMsMax = 30_000;

export class GroupConnection implements GroupLink {
  readonly #parts: GroupConnectionParts;
  #link: "none" | "poll" | GroupSocket = "none";
  /** Rises with each change of the link: refusals of a call made before tell nothing. */
  #term = 0;
  #choosing: Promise<GroupLink> | undefined;
  #pollEpoch = 0;
  #assignment: readonly TopicPartitions[] = [];
  #gone: NonNullable<PollAnswer["gone"]> = [];
  #heardMs = 0;
  #joinedMs = 0;
  #failures = 0;
  #notBeforeMs = 0;
  /** A socket that opened while polls go on. */
  #ready: SocketConnection | undefined;

  constructor(parts: GroupConnectionParts) {
    this.#parts = parts;
  }

  get waitsWhileLeaving(): boolean {
    return this.#link instanceof GroupSocket;
  }

  get isStarved(): boolean {
    return this.#link instanceof GroupSocket && this.#link.isStarved;
  }

  async once(body: GroupPollBody, signal: AbortSignal | undefined, attempt: number): Promise<PollAnswer> {
    this.#choosing ??= this.#choose(body, attempt).finally(() => {
      this.#choosing = undefined;
    });
    const link = await orAborted(this.#choosing, signal);
    const term = this.#term;
    const epoch = body.memberEpoch === undefined ? {} : { memberEpoch: Math.max(body.memberEpoch, this.#pollEpoch) };
    try {
      const answer = await link.once({ ...body, ...epoch }, signal, attempt);
      if (term !== this.#term) return answer;
      this.#heardMs = this.#clock.monotonicMs();
      this.#assignment = answer.assignment;
      const gone = [...this.#gone, ...(answer.gone ?? [])];
      this.#gone = [];
      return { ...answer, gone };
    } catch (error) {
      if (term === this.#term || !(error instanceof MillraceError) || error.status !== 409) throw error;
      const message = "the member went over to another connection meanwhile";
      throw new MillraceError("CONNECTION_FAILED", message, { retriable: true, cause: error });
    }
  }

  async leave(): Promise<void> {
    await this.#choosing?.catch(() => {});
    const link = this.#link;
    if (link instanceof GroupSocket) {
      try {
        return await link.leave();
      } catch {
        // The poll's way out needs no socket.
      }
    }
    await this.#parts.poll.leave();
  }

  get #clock() {
    return this.#parts.socketOptions.clock;
  }

  async #choose(body: GroupPollBody, attempt: number): Promise<GroupLink> {
    const { poll } = this.#parts;
    const former = this.#link;
    if (former instanceof GroupSocket) {
      if (former.isOpen) return former;
      this.#ended(former);
      const { failure } = former;
      if (failure?.status === 409 && body.memberEpoch !== undefined) throw failure;
    }
    if (body.memberEpoch === undefined) {
      this.#link = "none";
      this.#pollEpoch = 0;
    } else if (this.#link !== "poll") this.#checkSession();
    const connection = await this.#connection(body);
    if (connection !== undefined) {
      if (body.memberEpoch !== undefined) this.#checkSession();
      const joined = await this.#join(connection, body);
      if (joined !== undefined) return joined;
    }
    if (this.#link === "none") {
      this.#term++;
      this.#link = "poll";
    } else if (this.#link !== "poll") await this.#takeOver(body, attempt);
    return poll;
  }

  /** A socket to join on; undefined: polls serve. */
  async #connection(body: GroupPollBody): Promise<SocketConnection | undefined> {
    const { sockets } = this.#parts;
    if (this.#clock.monotonicMs() < this.#notBeforeMs) return undefined;
    if (this.#link !== "poll") return sockets.get();
    if (!this.#mayGoOver(body)) return undefined;
    const ready = this.#ready;
    if (ready?.isOpen) return ready;
    // Not waited for: polls go on.
    void sockets.get().then((connection) => {
      this.#ready = connection;
    });
    return undefined;
  }

  /** Going over lets go of all that is not assigned, so handlers of such must have ended. */
  #mayGoOver({ maxRecords, owned }: GroupPollBody): boolean {
    return maxRecords !== 0 && goneOf(owned, this.#assignment).length === 0;
  }

  async #join(connection: SocketConnection, { owned }: GroupPollBody): Promise<GroupSocket | undefined> {
    try {
      const socket = await GroupSocket.join(connection, this.#parts.socketOptions);
      this.#term++;
      this.#link = socket;
      this.#ready = undefined;
      this.#joinedMs = this.#clock.monotonicMs();
      this.#joined(socket.assignment, owned);
      return socket;
    } catch {
      // Whatever it was, polls will meet it too and tell.
      this.#failed();
      return undefined;
    }
  }

  async #takeOver({ owned }: GroupPollBody, attempt: number): Promise<void> {
    const { poll, socketOptions } = this.#parts;
    const { topics, instanceId, sessionTimeoutMs, offsetReset } = socketOptions;
    const joining = {
      topics,
      ...(instanceId === undefined ? {} : { instanceId }),
      ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
      ...(offsetReset === undefined ? {} : { offsetReset }),
    };
    const answer = await poll.once({ ...joining, maxRecords: 0 }, undefined, attempt);
    this.#term++;
    this.#link = "poll";
    this.#pollEpoch = answer.memberEpoch;
    this.#joined(answer.assignment, owned);
  }

  #joined(assignment: readonly TopicPartitions[], owned: readonly TopicPartitions[] | undefined): void {
    this.#heardMs = this.#clock.monotonicMs();
    this.#assignment = assignment;
    this.#gone = [...this.#gone, ...goneOf(owned, assignment)];
  }

  #ended(socket: GroupSocket): void {
    this.#heardMs = Math.max(this.#heardMs, socket.heardMs);
    if (this.#joinedMs === Number.POSITIVE_INFINITY) return;
    if (this.#clock.monotonicMs() - this.#joinedMs < lastsMs) this.#failed();
    else this.#failures = 0;
    this.#joinedMs = Number.POSITIVE_INFINITY;
  }

  #failed(): void {
    const waitMs = Math.min(failingWaitMsMax, failingWaitMs * 2 ** Math.min(this.#failures++, 10));
    this.#notBeforeMs = this.#clock.monotonicMs() + waitMs;
  }

  /** To take over a membership that has ended would be to keep what others may have had since. */
  #checkSession(): void {
    if (this.#clock.monotonicMs() - this.#heardMs <= this.#parts.sessionTimeoutMs) return;
    throw new MillraceError("UNKNOWN_MEMBER_ID", "the group has not heard from this member in time", { status: 409 });
  }
}
