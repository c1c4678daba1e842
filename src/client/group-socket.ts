// Over a WebSocket: one membership of a group on one connection. The broker heartbeats for it and brings records by itself;
// here they wait, bounded by the window, until a poll takes them. It ends with its connection.

import type { Position, TopicPartitions } from "./admin-answers.ts";
import type { FetchedRecord } from "./consumed-record.ts";
import { type Commit, GroupCursor } from "./group-cursor.ts";
import { type GroupLink, type GroupPollBody, type PollAnswer, placeKey } from "./group-link.ts";
import type { GroupSocketOptions } from "./group-socket-options.ts";
import { problemError } from "./http-answer.ts";
import { abortedError, MillraceError, type Problem } from "./millrace-error.ts";
import type { ClientTimer } from "./platform.ts";
import type { Frame, SocketConnection } from "./socket-connection.ts";
import { Change, changeWithin } from "./waiting.ts";

type Reset = NonNullable<PollAnswer["reset"]>[number];

const heartbeatIntervalMs = 5_000;
const windowRecords = 10_000;
/** A window that is used up so far and brings nothing more for so long is opened without a commit. */
const starvedShare = 1 / 2;
const stallMs = 100;
const never = new AbortController().signal;

export class GroupSocket implements GroupLink {
  readonly waitsWhileLeaving = true;
  readonly #connection: SocketConnection;
  readonly #options: GroupSocketOptions;
  readonly #changed = new Change();
  readonly #cursors = new Map<string, GroupCursor>();
  readonly #commits = new Map<string, Commit[]>();
  /** In the order they were sent. */
  readonly #seeks: { readonly cursor: GroupCursor; readonly seek: object }[] = [];
  readonly #deadlines = new Set<ClientTimer>();
  readonly #subscription: (() => void) & { readonly id: number };
  #memberEpoch: number | undefined;
  #assignment: readonly TopicPartitions[] = [];
  #assignments = 0;
  #assignmentsTold = 0;
  #gone: GroupCursor[] = [];
  #resets: Reset[] = [];
  #problem: MillraceError | undefined;
  #failure: MillraceError | undefined;
  #hasLeft = false;
  #heardMs: number;

  private constructor(connection: SocketConnection, options: GroupSocketOptions) {
    const { group, memberId, topics, instanceId, sessionTimeoutMs, offsetReset = "earliest", windowBytes } = options;
    this.#connection = connection;
    this.#options = options;
    this.#heardMs = options.clock.monotonicMs();
    const subscribe = {
      type: "subscribe",
      group,
      memberId,
      topics,
      offsetReset,
      window: { records: windowRecords, bytes: windowBytes },
      ...(instanceId === undefined ? {} : { instanceId }),
      ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
    };
    this.#subscription = connection.listen(subscribe, {
      frame: (frame) => this.#hear(frame),
      lost: (error) => this.#fail(error),
    });
  }

  /** Resolves once the broker has taken the member in; rejects if it does not. */
  static async join(connection: SocketConnection, options: GroupSocketOptions): Promise<GroupSocket> {
    const socket = new GroupSocket(connection, options);
    await socket.#until(() => socket.#memberEpoch !== undefined, never);
    return socket;
  }

  get isOpen(): boolean {
    return this.#failure === undefined && !this.#hasLeft;
  }

  /** What ended it, if it was not our leaving. */
  get failure(): MillraceError | undefined {
    return this.#failure;
  }

  get memberEpoch(): number {
    return this.#memberEpoch ?? 0;
  }

  get assignment(): readonly TopicPartitions[] {
    return this.#assignment;
  }

  /** When the broker was heard last. */
  get heardMs(): number {
    return this.#heardMs;
  }

  get isStarved(): boolean {
    let records = 0;
    let bytes = 0;
    for (const { unackedRecords, unackedBytes } of this.#cursors.values()) {
      records += unackedRecords;
      bytes += unackedBytes;
    }
    return records >= windowRecords * starvedShare || bytes >= this.#options.windowBytes * starvedShare;
  }

  async once(body: GroupPollBody, signal: AbortSignal = never): Promise<PollAnswer> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#giveBack(body.owned ?? []);
    const { commit = [], positions = [], waitMs = 0 } = body;
    const commits = commit.map((position) => ({ position, commit: this.#ack(position) }));
    if (commits.length > 0) await this.#until(() => commits.every((each) => each.commit.isDone), signal);
    const notCommitted = commits.flatMap(({ position: { topic, partition }, commit: { code } }) =>
      code === undefined ? [] : [{ topic, partition, code }],
    );
    if (body.maxRecords === 0) {
      if (commits.length === 0) await this.#ping(signal);
      return this.#answer(notCommitted, { positions: [], records: [] });
    }
    const asked = this.#goTo(positions);
    await this.#untilNews(asked, waitMs, signal);
    return this.#answer(notCommitted, this.#take(asked));
  }

  async leave(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#connection.send({ type: "unsubscribe", id: this.#subscription.id });
    await this.#until(() => this.#hasLeft, never);
  }

  #answer(
    notCommitted: NonNullable<PollAnswer["notCommitted"]>,
    delivered: Pick<PollAnswer, "positions" | "records">,
  ): PollAnswer {
    const reset = this.#resets.splice(0);
    const gone = this.#gone.splice(0);
    const { memberEpoch } = this;
    return { memberEpoch, heartbeatIntervalMs, assignment: this.#assignment, notCommitted, reset, gone, ...delivered };
  }

  // --- what the member says

  #ack(position: Position): Commit {
    const { topic, partition, nextOffset } = position;
    const key = placeKey(topic, partition);
    const cursor = this.#cursors.get(key);
    if (cursor !== undefined) {
      if (nextOffset > cursor.next) this.#seek([[cursor, nextOffset]]);
      cursor.ack(nextOffset);
    }
    const commit = { nextOffset, isDone: false };
    this.#commits.set(key, [...(this.#commits.get(key) ?? []), commit]);
    // One by one: a frame with a partition that has gone would be refused as a whole.
    this.#connection.send({ type: "ack", id: this.#subscription.id, positions: [position] });
    return commit;
  }

  #seek(places: readonly (readonly [GroupCursor, number])[]): void {
    for (const [cursor, nextOffset] of places) {
      const { topic, partition } = cursor;
      cursor.moveTo(nextOffset);
      const seek = {};
      cursor.seeks.add(seek);
      const positions = [{ topic, partition, nextOffset }];
      this.#connection.send({ type: "seek", id: this.#subscription.id, positions });
      this.#seeks.push({ cursor, seek });
      // Answered after the seek: if the seek was not until then, it was refused, as the partition has gone.
      const answered = this.#connection.listen(
        { type: "ping" },
        {
          frame: () => {
            answered();
            if (cursor.seeks.has(seek)) this.#sought();
          },
          lost: () => {},
        },
      );
    }
  }

  /** The first seek on its way was answered. */
  #sought(): void {
    const first = this.#seeks.shift();
    first?.cursor.seeks.delete(first.seek);
  }

  /** What is going and not in hand any more may go now. */
  #giveBack(owned: readonly TopicPartitions[]): void {
    const held = new Set(owned.flatMap(({ topic, partitions }) => partitions.map((one) => placeKey(topic, one))));
    for (const [key, cursor] of this.#cursors) {
      if (!cursor.isRevoking || held.has(key) || this.#commits.has(key)) continue;
      this.#cursors.delete(key);
      this.#seek([[cursor, cursor.committed]]);
    }
  }

  /** Brings each partition to where the member reads on. */
  #goTo(positions: readonly Position[]): ReadonlySet<string> {
    const asked = new Set<string>();
    const places: [GroupCursor, number][] = [];
    for (const { topic, partition, nextOffset } of positions) {
      const key = placeKey(topic, partition);
      const cursor = this.#cursors.get(key);
      if (cursor === undefined || cursor.isRevoking) continue;
      asked.add(key);
      if (cursor.begin !== nextOffset) places.push([cursor, nextOffset]);
    }
    this.#seek(places);
    return asked;
  }

  async #ping(signal: AbortSignal): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    const startMs = clock.monotonicMs();
    if (startMs - this.#heardMs < heartbeatIntervalMs / 2) return;
    let isHeard = false;
    const hear = (): void => {
      isHeard = true;
      this.#heardMs = clock.monotonicMs();
      this.#changed.tell();
    };
    const stop = this.#connection.listen({ type: "ping" }, { frame: hear, lost: () => {} });
    try {
      await this.#until(() => isHeard, signal);
    } finally {
      stop();
      // Silent: nobody is served by this connection.
      if (!isHeard && clock.monotonicMs() - startMs >= timeoutMs) this.#connection.close();
    }
  }

  // --- waiting

  /** Rejects once the membership on this socket has ended, also because there was no answer in time. */
  async #until(isSo: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (!isSo()) {
      if (this.#failure !== undefined) throw this.#failure;
      if (signal.aborted) throw abortedError(signal);
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0) this.#fail(passing(`no answer over the WebSocket within ${timeoutMs} ms`));
      else await changeWithin(this.#changed, clock, leftMs, signal);
    }
  }

  async #untilNews(asked: ReadonlySet<string>, waitMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + waitMs;
    while (!this.#hasNews(asked)) {
      if (this.#failure !== undefined) throw this.#failure;
      if (signal.aborted) throw abortedError(signal);
      const nowMs = clock.monotonicMs();
      if (nowMs >= deadlineMs) return;
      const stalledAtMs = this.isStarved ? Math.max(nowMs, this.#heardMs + stallMs) : Number.POSITIVE_INFINITY;
      const quietAtMs = this.#heardMs + heartbeatIntervalMs;
      if (nowMs >= stalledAtMs) this.#openWindow();
      else if (nowMs >= quietAtMs) await this.#ping(signal);
      else await changeWithin(this.#changed, clock, Math.min(deadlineMs, stalledAtMs, quietAtMs) - nowMs, signal);
    }
  }

  #hasNews(asked: ReadonlySet<string>): boolean {
    if (this.#assignments !== this.#assignmentsTold || this.#gone.length > 0) return true;
    for (const key of asked) {
      const cursor = this.#cursors.get(key);
      if (cursor === undefined || cursor.isRevoking || cursor.begin !== cursor.next) return true;
    }
    return false;
  }

  /** A seek to where it stands: what is un-acked counts no more, and nothing is committed. */
  #openWindow(): void {
    const used = [...this.#cursors.values()].filter((each) => !each.isRevoking && each.unackedRecords > 0);
    this.#seek(used.map((cursor) => [cursor, cursor.begin]));
  }

  /** Records of what was asked for; of the rest only where it begins, as its reader may still be at work on what was before. */
  #take(asked: ReadonlySet<string>): Pick<PollAnswer, "positions" | "records"> {
    this.#assignmentsTold = this.#assignments;
    const positions: Position[] = [];
    const records: PollAnswer["records"][number][] = [];
    for (const [key, cursor] of this.#cursors) {
      if (cursor.isRevoking) continue;
      const { topic, partition } = cursor;
      if (asked.has(key)) {
        for (const record of cursor.take()) records.push({ ...record, topic, partition });
      }
      positions.push({ topic, partition, nextOffset: cursor.begin });
    }
    return { positions, records };
  }

  // --- what the broker says

  #hear(frame: Frame): void {
    this.#heardMs = this.#options.clock.monotonicMs();
    if (frame.type === "records") this.#delivered(frame);
    else if (frame.type === "acked") this.#acked(frame["positions"] as readonly Position[]);
    else if (frame.type === "ok") this.#sought();
    else if (frame.type === "assigned") this.#assigned(frame);
    else if (frame.type === "revoking") this.#revoking(frame);
    else if (frame.type === "problem") this.#refused(problemError(frame["problem"] as Problem));
    else if (frame.type === "closed") this.#closed(frame["code"] as string | undefined);
    this.#changed.tell();
  }

  #delivered(frame: Frame): void {
    const key = placeKey(frame["topic"] as string, frame["partition"] as number);
    this.#cursors.get(key)?.deliver(frame["records"] as readonly FetchedRecord[], frame["nextOffset"] as number);
  }

  #acked(positions: readonly Position[]): void {
    for (const { topic, partition, nextOffset } of positions) {
      const key = placeKey(topic, partition);
      const commits = this.#commits.get(key) ?? [];
      const at = commits.findLastIndex((commit) => commit.nextOffset === nextOffset);
      this.#settle(key, commits.slice(0, at + 1));
      const cursor = this.#cursors.get(key);
      if (cursor !== undefined) cursor.committed = nextOffset;
    }
  }

  #settle(key: string, settled: readonly Commit[], code?: string): void {
    for (const commit of settled) Object.assign(commit, { isDone: true }, code === undefined ? {} : { code });
    const left = this.#commits.get(key)?.filter(({ isDone }) => !isDone) ?? [];
    if (left.length > 0) this.#commits.set(key, left);
    else this.#commits.delete(key);
  }

  #assigned(frame: Frame): void {
    this.#memberEpoch = frame["memberEpoch"] as number;
    this.#assignment = frame["assignment"] as readonly TopicPartitions[];
    this.#assignments++;
    for (const position of frame["positions"] as readonly Position[]) {
      const key = placeKey(position.topic, position.partition);
      const known = this.#cursors.get(key);
      if (known === undefined || known.isRevoking) this.#cursors.set(key, new GroupCursor(position));
    }
    this.#resets.push(...((frame["reset"] ?? []) as readonly Reset[]));
    this.#options.onNews();
  }

  #revoking(frame: Frame): void {
    const { clock, onNews } = this.#options;
    for (const { topic, partition } of frame["partitions"] as readonly Pick<Position, "topic" | "partition">[]) {
      const key = placeKey(topic, partition);
      const cursor = this.#cursors.get(key);
      if (cursor === undefined) continue;
      cursor.revoke();
      const timer = clock.setTimer(frame["deadlineMs"] as number, () => {
        this.#deadlines.delete(timer);
        if (this.#cursors.get(key) !== cursor) return;
        this.#cursors.delete(key);
        this.#gone.push(cursor);
        this.#settle(key, this.#commits.get(key) ?? [], "STALE_MEMBER_EPOCH");
        this.#changed.tell();
        onNews();
      });
      this.#deadlines.add(timer);
    }
  }

  /** Of one partition, or of what stands before `closed`. */
  #refused(error: MillraceError): void {
    const key = placeKey(String(error.problem?.["topic"]), Number(error.problem?.["partition"]));
    const commits = this.#commits.get(key);
    if (commits !== undefined && !error.retriable) this.#settle(key, commits.slice(0, 1), error.code);
    else if (error.code === "STALE_MEMBER_EPOCH")
      return; // it went while a seek was on its way
    else if (this.#memberEpoch === undefined || !error.retriable) this.#fail(error);
    else this.#problem = error;
  }

  #closed(code: string | undefined): void {
    this.#hasLeft = code === undefined;
    if (this.#hasLeft) this.#end();
    else if (this.#problem !== undefined && this.#problem.code === code) this.#fail(this.#problem);
    else this.#fail(new MillraceError(code!, "the broker closed the subscription", { status: 409 }));
  }

  #fail(error: MillraceError): void {
    if (this.#failure !== undefined || this.#hasLeft) return;
    this.#failure = error;
    this.#end();
    this.#changed.tell();
    this.#options.onNews();
  }

  #end(): void {
    this.#subscription?.();
    for (const timer of this.#deadlines) timer.cancel();
  }
}

const passing = (message: string): MillraceError =>
  new MillraceError("CONNECTION_FAILED", message, { retriable: true });
