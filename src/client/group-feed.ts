// A member of a consumer group. Two loops, independent of the user's code: one polls for records while there is room for
// them, the other beats, so that the membership, commits and hand-overs never wait for a handler.

import type { Position } from "./admin-answers.ts";
import { byTopic } from "./consumer-events.ts";
import type { Feed, FeedParts } from "./feed.ts";
import { FetchLoop } from "./fetch-loop.ts";
import { GroupHoldings } from "./group-holdings.ts";
import type { GroupLink, GroupPollBody, PollAnswer } from "./group-link.ts";
import { linkOf } from "./group-link-of.ts";
import { type GroupSource, sessionTimeoutMsDefault } from "./group-source.ts";
import type { PartitionInbox } from "./inbox.ts";
import { MillraceError } from "./millrace-error.ts";
import { readPage } from "./read-page.ts";
import type { RetryNews } from "./retry.ts";
import type { Sockets } from "./sockets.ts";
import type { TopicCache } from "./topic-cache.ts";
import { Change, changeWithin } from "./waiting.ts";

const lostCodes = new Set(["FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID"]);
/** Pages of several topics wait so long: one topic's wait must not hold up another's records. */
const pagesWaitMs = 250;

export class GroupFeed implements Feed {
  readonly #source: GroupSource;
  readonly #parts: FeedParts;
  readonly #topics: TopicCache;
  readonly #link: GroupLink;
  readonly #loop: FetchLoop;
  readonly #stop = new AbortController();
  readonly #beatNow = new Change();
  readonly #isAuto: boolean;
  readonly #holdings: GroupHoldings;
  #beating: Promise<void> | undefined;
  /** Undefined: not a member, or not any more. */
  #memberEpoch: number | undefined;
  /** Rises when the membership is lost: answers from before do not count. */
  #join = 0;
  #hasPolled = false;
  #heartbeatIntervalMs = 5_000;
  /** Until when a poll for records may wait at the broker; undefined: none does. */
  #parkedUntilMs: number | undefined;
  #lastPollMs = 0;
  #lastCommitMs = 0;
  #wantsBeat = false;
  /** Partitions came whose places are not known yet: a poll that waits would tell them late. */
  #isFresh = true;
  /** Something was handled since the last commit. */
  #isDirty = false;

  constructor(
    source: GroupSource,
    memberId: string,
    parts: FeedParts,
    topics: TopicCache,
    sockets: Sockets | undefined,
  ) {
    this.#source = source;
    this.#parts = parts;
    this.#topics = topics;
    this.#link = linkOf(source, memberId, parts, sockets, () => this.#beat());
    this.#isAuto = (source.commit ?? "auto") === "auto";
    this.#holdings = new GroupHoldings(parts.inbox, this.#isAuto);
    this.#loop = new FetchLoop({
      inbox: parts.inbox,
      clock: parts.http.clock,
      canFetch: () => this.#memberEpoch === undefined || !this.#holdings.isIdle,
      fetch: (signal) => this.#fetch(signal),
    });
  }

  start(): void {
    this.#loop.start();
    this.#beating ??= this.#beats();
  }

  refetch(): void {
    this.#loop.restart();
  }

  progressed(inbox: PartitionInbox): void {
    if (inbox.state === "leaving" && inbox.progress.isIdle) this.#beat();
    if (this.#isAuto && this.#link.isStarved) this.#beat();
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#beatNow.tell();
  }

  async commit(positions: readonly Position[], signal: AbortSignal | undefined): Promise<void> {
    const answer = await this.#call(positions, signal);
    const left = answer.notCommitted?.[0];
    if (left === undefined) return;
    const message = `the partition ${left.topic}-${left.partition} is not this member's any more`;
    throw new MillraceError(left.code, message);
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  async leave(): Promise<void> {
    this.#stop.abort("left");
    await this.#beating;
    if (!this.#hasPolled) return;
    try {
      const commit = this.#isAuto ? this.#holdings.uncommitted() : [];
      if (this.#memberEpoch !== undefined && commit.length > 0) {
        await this.#call(commit, undefined);
      }
    } catch (error) {
      if (!isLost(error)) throw error;
    } finally {
      await this.#link.leave();
    }
  }

  // --- polling for records

  #fetch(signal: AbortSignal): Promise<void> {
    const loop = { deadlineMs: Number.POSITIVE_INFINITY, signal, onRetry: this.#onRetry };
    return this.#parts.http.retry.run(loop, (attempt) => this.#fetchOnce(signal, attempt));
  }

  readonly #onRetry = (news: RetryNews): void => this.#parts.events.emit("retrying", news);

  async #fetchOnce(signal: AbortSignal, attempt: number): Promise<void> {
    if (this.#memberEpoch !== undefined && this.#holdings.readsPages(this.#link.waitsWhileLeaving))
      return this.#readPages(signal, attempt);
    const { maxBytes, maxRecords } = this.#parts;
    const { sessionTimeoutMs = sessionTimeoutMsDefault } = this.#source;
    // Should the poll get lost on its way, the beats must begin again before the group gives this member up.
    const waitMs = this.#isFresh ? 0 : Math.min(this.#parts.waitMs, Math.floor(sessionTimeoutMs / 2));
    this.#isFresh = false;
    const active = this.#holdings.active;
    const versions = new Map(active.map((inbox) => [inbox, inbox.version]));
    const positions = active.flatMap(({ topic, partition, fetchPosition }) =>
      fetchPosition === undefined ? [] : [{ topic, partition, nextOffset: fetchPosition }],
    );
    this.#parkedUntilMs = this.#parts.http.clock.monotonicMs() + waitMs;
    try {
      const body = { ...this.#owning(), ...this.#committing(), positions, maxBytes, maxRecords, waitMs };
      const answer = await this.#once(body, signal, attempt);
      if (answer !== undefined) this.#take(answer, versions, positions);
    } finally {
      this.#parkedUntilMs = undefined;
      this.#beatNow.tell();
    }
  }

  #take(
    { positions, records }: PollAnswer,
    versions: ReadonlyMap<PartitionInbox, number>,
    asked: readonly Position[],
  ): void {
    const { inbox: all } = this.#parts;
    const askedFor = new Set(asked.map(({ topic, partition }) => `${topic}/${partition}`));
    for (const { topic, partition, nextOffset } of positions) {
      const inbox = all.get(topic, partition);
      if (inbox === undefined || inbox.state !== "active") continue;
      // What was sought since, or lost and given back since, is somewhere else by now.
      const version = versions.get(inbox) ?? (askedFor.has(`${topic}/${partition}`) ? -1 : 0);
      if (version !== inbox.version) continue;
      all.add(
        inbox,
        records.filter((record) => record.partition === partition && record.topic === topic),
      );
      inbox.fetchPosition = nextOffset;
    }
  }

  /** What can be read, without a poll: the beats keep the membership. */
  async #readPages(signal: AbortSignal, attempt: number): Promise<void> {
    const { http, inbox: all, maxBytes, maxRecords } = this.#parts;
    const readable = this.#holdings.active.filter((inbox) => !inbox.isPaused && inbox.fetchPosition !== undefined);
    const topics = new Set(readable.map(({ topic }) => topic));
    const waitMs = topics.size > 1 ? pagesWaitMs : this.#heartbeatIntervalMs;
    await Promise.all(
      Array.from(topics, async (topic) => {
        const { topicId } = await this.#topics.get(topic, { signal });
        const mine = readable.filter((inbox) => inbox.topic === topic);
        const versions = new Map(mine.map((inbox) => [inbox, inbox.version]));
        const positions = new Map(mine.map(({ partition, fetchPosition }) => [partition, fetchPosition]));
        const offsetReset = this.#source.offsetReset ?? "earliest";
        const query = { topic, topicId, positions, offsetReset, maxBytes, maxRecords, waitMs, signal };
        const page = await readPage(http, query, attempt);
        for (const inbox of mine) {
          if (inbox.state !== "active" || versions.get(inbox) !== inbox.version) continue;
          all.add(
            inbox,
            page.records.filter(({ partition }) => partition === inbox.partition),
          );
          inbox.fetchPosition = page.next.get(inbox.partition) ?? inbox.fetchPosition;
        }
      }),
    );
  }

  // --- beats

  async #beats(): Promise<void> {
    const { signal } = this.#stop;
    const { clock } = this.#parts.http;
    while (!signal.aborted) {
      const dueInMs = this.#wantsBeat ? 0 : this.#beatDueMs() - clock.monotonicMs();
      if (dueInMs > 0) {
        await changeWithin(this.#beatNow, clock, dueInMs, signal);
        continue;
      }
      if (this.#memberEpoch === undefined) {
        this.#wantsBeat = false;
        await changeWithin(this.#beatNow, clock, this.#heartbeatIntervalMs, signal);
        continue;
      }
      try {
        await this.#beatOnce(signal);
      } catch (error) {
        if (!signal.aborted) this.#parts.inbox.fail(error);
        return;
      }
    }
  }

  /** A poll that waits keeps the membership by itself; not one that is overdue, whose connection may be gone. */
  #beatDueMs(): number {
    const beatMs = Math.max(this.#parkedUntilMs ?? 0, this.#lastPollMs) + this.#heartbeatIntervalMs;
    const commitMs =
      this.#isAuto && this.#isDirty
        ? this.#lastCommitMs + (this.#source.autoCommitIntervalMs ?? 1_000)
        : Number.POSITIVE_INFINITY;
    return Math.min(beatMs, commitMs);
  }

  async #beatOnce(signal: AbortSignal): Promise<void> {
    this.#wantsBeat = false;
    const loop = { deadlineMs: Number.POSITIVE_INFINITY, signal, onRetry: this.#onRetry };
    this.#releaseFinished();
    await this.#parts.http.retry.run(loop, async (attempt) => {
      if (this.#memberEpoch === undefined) return;
      await this.#once({ ...this.#owning(), ...this.#committing(), maxRecords: 0 }, signal, attempt);
    });
    // What was just committed can be let go of, which the next beat tells.
    if (this.#holdings.hasFinished) this.#beat();
  }

  #beat(): void {
    this.#wantsBeat = true;
    this.#beatNow.tell();
  }

  // --- one call

  /** Commits now, with repeats until the client's deadline. */
  async #call(commit: readonly Position[], signal: AbortSignal | undefined): Promise<PollAnswer> {
    const { clock, requestTimeoutMs, retry } = this.#parts.http;
    const loop = { deadlineMs: clock.monotonicMs() + requestTimeoutMs, signal, onRetry: this.#onRetry };
    const lost = new MillraceError("UNKNOWN_MEMBER_ID", "this consumer is no member of the group now");
    return retry.run(loop, async (attempt) => {
      if (this.#memberEpoch === undefined) throw lost;
      const answer = await this.#once({ ...this.#owning(), commit, maxRecords: 0 }, signal, attempt);
      if (answer === undefined) throw lost;
      return answer;
    });
  }

  /** One attempt. Undefined: the membership was lost, and all that belonged to it was dropped. */
  async #once(body: GroupPollBody, signal: AbortSignal | undefined, attempt: number): Promise<PollAnswer | undefined> {
    const join = this.#join;
    this.#hasPolled = true;
    const { clock } = this.#parts.http;
    const sentMs = clock.monotonicMs();
    try {
      const joining = this.#memberEpoch === undefined ? this.#joining() : { memberEpoch: this.#memberEpoch };
      const offsetReset = this.#source.offsetReset ?? "earliest";
      const answer = await this.#link.once({ ...joining, offsetReset, ...body }, signal, attempt);
      if (join !== this.#join) return undefined;
      this.#lastPollMs = clock.monotonicMs();
      this.#heartbeatIntervalMs = answer.heartbeatIntervalMs;
      this.#learn(answer, body.commit, sentMs);
      return answer;
    } catch (error) {
      if (body.commit !== undefined) this.#isDirty = true;
      if (!isLost(error)) throw error;
      if (join === this.#join) this.#drop(error.code);
      if (body.maxRecords === 0) this.#loop.restart();
      throw new MillraceError(error.code, error.message, { ...error, retriable: true, cause: error });
    }
  }

  #joining(): Pick<GroupPollBody, "topics" | "instanceId" | "sessionTimeoutMs" | "rebalanceTimeoutMs" | "assignor"> {
    const { topics, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, assignor } = this.#source;
    return {
      topics,
      ...(instanceId === undefined ? {} : { instanceId }),
      ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
      ...(rebalanceTimeoutMs === undefined ? {} : { rebalanceTimeoutMs }),
      ...(assignor === undefined ? {} : { assignor }),
    };
  }

  #learn(answer: PollAnswer, committed: readonly Position[] | undefined, sentMs: number): void {
    const { inbox: all, events } = this.#parts;
    this.#lose(answer.gone ?? []);
    // Two calls may cross; an older epoch's answer tells nothing new.
    if (answer.memberEpoch >= (this.#memberEpoch ?? 0)) {
      this.#memberEpoch = answer.memberEpoch;
      this.#assign(answer);
    }
    const left = new Set(answer.notCommitted?.map(({ topic, partition }) => `${topic}/${partition}`));
    for (const { topic, partition, nextOffset } of committed ?? []) {
      const inbox = all.get(topic, partition);
      if (inbox === undefined) continue;
      // What is refused is not asked for again: the partition is another's.
      inbox.committed = nextOffset;
      if (!left.has(`${topic}/${partition}`)) this.#lastCommitMs = sentMs;
    }
    if (left.size > 0) events.emit("notCommitted", { positions: answer.notCommitted! });
    for (const { topic, partition, from, to } of answer.reset ?? []) {
      events.emit("reset", { topic, from: `${partition}:${from}`, to: `${partition}:${to}` });
    }
  }

  #assign({ assignment }: PollAnswer): void {
    const { added, isLeaving } = this.#holdings.assign(assignment);
    if (added.length > 0) {
      this.#isFresh = true;
      this.#parts.events.emit("assigned", { partitions: byTopic(added) });
    }
    if (isLeaving) this.#beat();
  }

  #owning(): Pick<GroupPollBody, "owned"> {
    return this.#memberEpoch === undefined ? {} : { owned: this.#holdings.owned };
  }

  #committing(): Pick<GroupPollBody, "commit"> {
    const commit = this.#isAuto && this.#memberEpoch !== undefined ? this.#holdings.uncommitted() : [];
    this.#isDirty = false;
    return commit.length === 0 ? {} : { commit };
  }

  #releaseFinished(): void {
    const released = this.#holdings.release();
    if (released.length === 0) return;
    this.#parts.events.emit("revoked", { partitions: byTopic(released) });
    this.#loop.restart();
  }

  /** These went to another member before their handlers had ended. */
  #lose(gone: NonNullable<PollAnswer["gone"]>): void {
    const { inbox: all, events } = this.#parts;
    const lost = gone.flatMap(({ topic, partition }) => all.get(topic, partition) ?? []);
    if (lost.length === 0) return;
    for (const inbox of lost) {
      all.drop(inbox);
      inbox.lost.abort("lost");
    }
    events.emit("lost", { partitions: byTopic(lost) });
    this.#loop.restart();
  }

  #drop(code: string): void {
    this.#join++;
    this.#memberEpoch = undefined;
    this.#isFresh = true;
    const { inbox: all, events } = this.#parts;
    const partitions = byTopic(all.partitions);
    for (const inbox of all.partitions) {
      all.drop(inbox);
      inbox.lost.abort(code);
    }
    events.emit("fenced", { code, partitions });
  }
}

function isLost(error: unknown): error is MillraceError {
  return error instanceof MillraceError && error.status === 409 && lostCodes.has(error.code);
}
