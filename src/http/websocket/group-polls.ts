// The heartbeats of one member: one poll at a time, at every interval, when the group has news for it and when there is something to say.
// What was to be said while a poll was on its way goes with the next one. A coordinator that cannot answer just now is asked again.

import type { PollAnswer, PollCall } from "../../broker/group-calls.ts";
import type { Timer } from "../../io/clock.ts";
import { BrokerError } from "../../protocol/error-codes.ts";
import type { HttpContext } from "../http-context.ts";
import { groupRetryMsMax, groupRetryMsMin } from "./socket-limits.ts";

export interface PollsHost {
  /** What the member says now. Undefined: nobody answers on its socket, so it says nothing. */
  nextCall(memberEpoch: number | undefined): PollCall | undefined;
  /** May say that it has more to ask before the next heartbeat: in how many milliseconds. */
  answered(answer: PollAnswer, call: PollCall): number | undefined;
  /** Not of this membership any more. */
  refused(error: unknown): void;
}

export class GroupPolls {
  readonly #http: HttpContext;
  readonly #host: PollsHost;
  readonly #stopListening: () => void;
  #memberEpoch: number | undefined;
  #intervalMs = groupRetryMsMax;
  #retryMs = groupRetryMsMin;
  #timer: Timer | undefined;
  #isPolling = false;
  #again = false;
  #stopped = false;
  /** Who waits until no poll is on its way. */
  readonly #waiting: (() => void)[] = [];

  constructor(http: HttpContext, groupId: string, memberId: string, host: PollsHost) {
    this.#http = http;
    this.#host = host;
    this.#stopListening = http.broker.listenGroup(groupId, memberId, () => this.wake());
  }

  get memberEpoch(): number | undefined {
    return this.#memberEpoch;
  }

  /** Rejects if the group refuses the member. */
  async join(): Promise<void> {
    this.#isPolling = true;
    let delayMs: number | undefined;
    try {
      delayMs = await this.#poll();
    } catch (error) {
      this.stop();
      throw error;
    } finally {
      this.#ended();
    }
    if (this.#again) void this.#run();
    else this.#arm(delayMs);
  }

  /** There is something to say or to hear. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#isPolling) this.#again = true;
    else void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#stopListening();
  }

  /** Resolves once no poll is on its way. */
  settled(): Promise<void> {
    if (!this.#isPolling) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #ended(): void {
    this.#isPolling = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #run(): Promise<void> {
    this.#isPolling = true;
    this.#timer?.cancel();
    let delayMs: number | undefined;
    try {
      do {
        this.#again = false;
        delayMs = await this.#poll();
      } while (this.#again && !this.#stopped);
      this.#retryMs = groupRetryMsMin;
    } catch (error) {
      delayMs = this.#judge(error);
    } finally {
      this.#ended();
    }
    this.#arm(delayMs);
  }

  async #poll(): Promise<number | undefined> {
    const call = this.#host.nextCall(this.#memberEpoch);
    if (call === undefined) return undefined;
    const answer = await this.#http.broker.pollGroup(call);
    this.#memberEpoch = answer.memberEpoch;
    this.#intervalMs = answer.heartbeatIntervalMs;
    return this.#stopped ? undefined : this.#host.answered(answer, call);
  }

  /** How long to wait before the same is said again. */
  #judge(error: unknown): number | undefined {
    if (this.#stopped) return undefined;
    const isPassing = error instanceof BrokerError && passing.has(error.code) && !this.#http.draining;
    if (!isPassing) {
      this.#host.refused(error);
      return undefined;
    }
    const delayMs = this.#retryMs * (0.5 + this.#http.random.fraction());
    this.#retryMs = Math.min(2 * this.#retryMs, groupRetryMsMax);
    return delayMs;
  }

  #arm(delayMs = this.#intervalMs): void {
    this.#timer?.cancel();
    if (!this.#stopped) this.#timer = this.#http.clock.setTimer(delayMs, () => this.wake());
  }
}

/** A poll may be repeated, also one whose outcome is not known. */
const passing: ReadonlySet<string> = new Set([
  "COORDINATOR_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
  "NOT_LEADER_OR_FOLLOWER",
  "REQUEST_TIMED_OUT",
  "NOT_ENOUGH_REPLICAS",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "THROTTLING_QUOTA_EXCEEDED",
]);
