// One shard of groups at work: loads it from its partition of __consumer_offsets, appends what it makes, and lets an answer go only
// when everything the shard had made by then is committed, also an answer that made nothing itself: it may tell of what others
// made. One append is under way at a time; the next takes all that has gathered meanwhile.
//
// When an append fails or is in doubt, everyone who waits is refused, and the shard is thrown away and loaded from the log again.
// So no step has to be undone.

import { AssertionError } from "../assert.ts";
import type { Clock, Timer } from "../io/clock.ts";
import type { Logger } from "../io/logger.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { Flight } from "./flight.ts";
import type { Change, GroupRecordLog } from "./group-logs.ts";
import type { GroupReply, GroupRequest, Now, Refusal } from "./group-requests.ts";
import type { GroupShard } from "./group-shard.ts";

/** Between two loads that follow on a failure: while a disk is full, each would read the whole log for nothing. */
const reloadPauseMs = 1000;
/** Each further failure in a row doubles the pause, up to this. */
const reloadPauseMsMax = 30_000;

export type Granted = Exclude<GroupReply, Refusal>;

export interface ShardSurroundings {
  readonly clock: Clock;
  readonly logger: Logger;
  newShard(): GroupShard;
  openLog(): Promise<GroupRecordLog>;
  /** Topics of committed offsets that are gone: they went while nobody looked. */
  goneTopics(shard: GroupShard): readonly { readonly topic: string; readonly topicId: string }[];
  /** There is news for a member; its waiting poll should be handled again. */
  news(groupId: string, memberId: string): void;
  /** The shard was loaded anew: whoever waits for news should look. */
  reloaded(): void;
}

interface Loaded {
  readonly shard: GroupShard;
  readonly log: GroupRecordLog;
}

export class ShardHost {
  readonly #number: number;
  readonly #surroundings: ShardSurroundings;
  #loaded: Loaded | undefined;
  #loading: Promise<void> | undefined;
  #staged: Flight | undefined;
  #flying: Flight | undefined;
  /** Fulfilled when nothing is on its way to the log any more, however that ended. */
  #appending: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #timerMs = Number.POSITIVE_INFINITY;
  #reloadTimer: Timer | undefined;
  /** Why there is nothing to ask until the reload timer is due. */
  #unavailable: BrokerError | undefined;
  /** Since something was last committed. */
  #failures = 0;
  #closed = false;

  constructor(number: number, surroundings: ShardSurroundings) {
    this.#number = number;
    this.#surroundings = surroundings;
  }

  /** Handles a request and gives what `answer` makes of the reply, in the same turn. Throws what the shard refuses. */
  async handle<T>(request: GroupRequest, answer: (reply: Granted, shard: GroupShard) => T): Promise<T> {
    const loaded = this.#loaded ?? (await this.#ready());
    const reply = this.#turn(loaded, request);
    const result = reply.kind === "refused" ? reply : answer(reply, loaded.shard);
    await this.#committed();
    granted(reply);
    return result as T;
  }

  /** What `read` sees, once that is committed. */
  async view<T>(read: (shard: GroupShard) => T): Promise<T> {
    const { shard } = this.#loaded ?? (await this.#ready());
    const seen = read(shard);
    await this.#committed();
    return seen;
  }

  /** Handles what concerns every group, if there are any in memory: a shard that is loaded later looks for itself. */
  tell(request: GroupRequest): void {
    if (this.#loaded && !this.#closed) this.#turn(this.#loaded, request);
  }

  /** Lets what is under way end; nothing is handled afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#reloadTimer?.cancel();
    await this.#loading?.catch(() => {});
    for (let flight = this.#last; flight; flight = this.#last) await flight.landed.catch(() => {});
    await this.#appending;
    this.#loaded = undefined;
  }

  get #last(): Flight | undefined {
    return this.#staged ?? this.#flying;
  }

  /** Everything the shard has made so far is committed; undefined, as most often, when there is nothing to wait for. */
  #committed(): Promise<void> | undefined {
    return this.#last?.landed;
  }

  #turn(loaded: Loaded, request: GroupRequest): GroupReply {
    if (this.#closed) throw shuttingDown();
    if (this.#loaded !== loaded) throw this.#unavailable ?? beingLoaded("it was dropped a moment ago");
    try {
      const { records, reply, wake } = loaded.shard.handle(request, this.#now());
      if (records.length > 0) this.#stage(records, loaded);
      for (const { groupId, memberId } of wake) this.#surroundings.news(groupId, memberId);
      this.#armTimer(loaded);
      return reply;
    } catch (error) {
      this.#drop(error); // nobody knows what it did to the shard
      throw error;
    }
  }

  #stage(change: Change, loaded: Loaded): void {
    const isFirst = this.#staged === undefined;
    this.#staged ??= new Flight();
    this.#staged.changes.push(change);
    // Not at once: the requests of this moment travel together.
    if (isFirst && !this.#flying) queueMicrotask(() => this.#takeOff(loaded));
  }

  #takeOff(loaded: Loaded): void {
    const flight = this.#staged;
    if (flight === undefined || this.#loaded !== loaded) return;
    this.#staged = undefined;
    this.#flying = flight;
    this.#appending = loaded.log.append(flight.changes).then(
      () => {
        if (this.#flying !== flight) return; // the shard was dropped meanwhile
        this.#flying = undefined;
        this.#failures = 0;
        flight.land();
        this.#takeOff(loaded);
      },
      (error: unknown) => {
        if (error instanceof AssertionError) throw error;
        if (this.#flying === flight) this.#drop(error);
      },
    );
  }

  /** The log did not take what the shard believes to be true, or the shard is in an unknown state. */
  #drop(cause: unknown): void {
    if (this.#loaded === undefined) return;
    const { logger } = this.#surroundings;
    logger.error({ err: cause, shard: this.#number }, "a change to groups failed; the shard is loaded again");
    const maybeAppended = !(cause instanceof BrokerError) || cause.maybeAppended;
    const why = cause instanceof Error ? cause.message : String(cause);
    const detail = `the change to the group was not made durable (${why}); send the request again`;
    const waiting = [this.#flying, this.#staged];
    this.#loaded = undefined;
    this.#flying = undefined;
    this.#staged = undefined;
    this.#timer?.cancel();
    this.#timerMs = Number.POSITIVE_INFINITY;
    for (const flight of waiting)
      flight?.fail(new BrokerError("COORDINATOR_NOT_AVAILABLE", detail, { maybeAppended, cause }));
    this.#pause(beingLoaded(why, cause));
  }

  /** Refuses until it is time to load again, which happens also if nobody asks: sessions have to end. */
  #pause(why: BrokerError): void {
    if (this.#closed) return;
    this.#unavailable = why;
    this.#reloadTimer?.cancel();
    const pauseMs = Math.min(reloadPauseMs * 2 ** this.#failures, reloadPauseMsMax);
    this.#failures += 1;
    this.#reloadTimer = this.#surroundings.clock.setTimer(pauseMs, () => {
      this.#unavailable = undefined;
      this.#ready().catch(() => {}); // logged; the pause begins anew
    });
  }

  async #ready(): Promise<Loaded> {
    while (this.#loaded === undefined) {
      if (this.#closed) throw shuttingDown();
      if (this.#unavailable) throw this.#unavailable;
      this.#loading ??= this.#load().finally(() => {
        this.#loading = undefined;
      });
      await this.#loading;
    }
    return this.#loaded;
  }

  async #load(): Promise<void> {
    const { clock, logger, newShard, openLog, goneTopics } = this.#surroundings;
    const startedMs = clock.monotonicMs();
    const shard = newShard();
    let records = 0;
    let log: GroupRecordLog;
    await this.#appending; // what is on its way when a shard is dropped belongs to what is loaded
    try {
      log = await openLog();
      await log.replay((key, value) => {
        records += 1;
        shard.replay(key, value);
      });
    } catch (cause) {
      logger.error({ err: cause, shard: this.#number }, "a shard of groups cannot be loaded");
      const why = cause instanceof Error ? cause.message : String(cause);
      const error = new BrokerError("COORDINATOR_NOT_AVAILABLE", `the groups cannot be loaded: ${why}`, { cause });
      this.#pause(error);
      throw error;
    }
    if (this.#closed) throw shuttingDown();
    shard.loaded(this.#now());
    const loaded = { shard, log };
    this.#loaded = loaded;
    for (const { topic, topicId } of goneTopics(shard)) this.#turn(loaded, { kind: "topicDeleted", topic, topicId });
    this.#turn(loaded, { kind: "topicsChanged" });
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    if (records > 0) logger.info({ shard: this.#number, records, tookMs }, "a shard of groups is loaded");
    this.#surroundings.reloaded();
  }

  #now(): Now {
    const { clock } = this.#surroundings;
    return { wallMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
  }

  /** A timer that is due too early only looks again. */
  #armTimer(loaded: Loaded): void {
    const dueMs = loaded.shard.nextDeadlineMs();
    if (dueMs >= this.#timerMs || this.#closed) return;
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    this.#timer = this.#surroundings.clock.setTimer(Math.max(0, dueMs - this.#now().monotonicMs), () => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      if (this.#loaded === loaded && !this.#closed) this.#turn(loaded, { kind: "tick" });
    });
  }
}

export function granted(reply: GroupReply): Granted {
  if (reply.kind !== "refused") return reply;
  throw new BrokerError(reply.code, reply.detail, { fields: reply.fields ?? {} });
}

function beingLoaded(why: string, cause?: unknown): BrokerError {
  return new BrokerError("COORDINATOR_NOT_AVAILABLE", `the group is loaded again in a moment: ${why}`, { cause });
}

export function shuttingDown(): BrokerError {
  return new BrokerError("BROKER_SHUTTING_DOWN", "the broker is shutting down");
}
