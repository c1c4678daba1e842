// Calls to etcd's JSON gateway: one member is asked until it fails, then the next, within one deadline. What may be done twice is
// repeated; what may not is repeated only while it was surely not done, and is otherwise told as in doubt.

import type { Clock } from "../io/clock.ts";
import { type HttpClient, HttpFailure } from "../io/http-client.ts";
import { type Logger, silentLogger } from "../io/logger.ts";
import type { Random } from "../io/random.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { EtcdEndpoints } from "./etcd-endpoints.ts";
import { type EtcdHeader, int64 } from "./etcd-json.ts";
import { EtcdRefusal, meaningOf, refusalIn, refusalWith } from "./etcd-refusal.ts";

export interface EtcdClientLimits {
  /** A call with all its attempts takes no longer. */
  readonly callMsMax: number;
  /** One attempt of a call that may be repeated; after it the next member is asked. */
  readonly attemptMsMax: number;
  /** One more is refused with THROTTLING_QUOTA_EXCEEDED. */
  readonly callsInFlightMax: number;
  readonly answerBytesMax: number;
}

export interface EtcdClientOptions {
  /** "http://host:2379" or "https://host:2379", all of one cluster. */
  readonly endpoints: readonly string[];
  readonly user?: { readonly name: string; readonly password: string };
  /** For this client alone: it is closed with it. */
  readonly http: HttpClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

/** The call may have been done, or may yet be. */
export class InDoubtError extends Error {
  override readonly name = "InDoubtError";
}

export interface CallRules {
  /** Once more does no harm. */
  readonly repeatable: boolean;
  /** The answer's revision is that of the whole cluster, not of what this member knows. */
  readonly linearizable: boolean;
}

/** Tokens that one call may ask for. */
const tokenRenewalsMax = 2;
/** Between asking all members and asking them again. */
const pauseMsMax = 1_000;

export class EtcdClient {
  readonly endpoints: EtcdEndpoints;
  readonly http: HttpClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly #limits: EtcdClientLimits;
  readonly #user: EtcdClientOptions["user"];
  readonly #aborts = new Set<() => void>();
  #token: Promise<string | undefined> | undefined;
  #callsInFlight = 0;
  #clusterId: string | undefined;
  #revisionSeen = 0;
  #closed = false;

  constructor(options: EtcdClientOptions, limits: EtcdClientLimits) {
    this.endpoints = new EtcdEndpoints(options.endpoints, options.random);
    this.http = options.http;
    this.clock = options.clock;
    this.random = options.random;
    this.logger = options.logger ?? silentLogger;
    this.#user = options.user;
    this.#limits = limits;
  }

  /** Rejects with EtcdRefusal or BrokerError when it was surely not done, otherwise with InDoubtError. */
  async call<Answer extends object>(path: string, body: object, rules: CallRules): Promise<Answer> {
    if (this.#closed) throw closedError();
    if (this.#callsInFlight >= this.#limits.callsInFlightMax)
      throw new BrokerError("THROTTLING_QUOTA_EXCEEDED", "too many calls to etcd are under way");
    this.#callsInFlight++;
    try {
      return (await this.#callAnyMember(path, JSON.stringify(body), rules)) as Answer;
    } finally {
      this.#callsInFlight--;
    }
  }

  /** For a stream to `origin`. Rejects when no token can be had. */
  async headers(origin: string): Promise<Record<string, string>> {
    // Without the second a member that lost the others would let a stream stand, and silent.
    const headers = { "content-type": "application/json", "grpc-metadata-hasleader": "true" };
    if (!this.#user) return headers;
    this.#token ??= this.#authenticate(origin, this.#user);
    const held = this.#token;
    try {
      const token = await held;
      return token === undefined ? headers : { ...headers, authorization: token };
    } catch (error) {
      if (this.#token === held) this.#token = undefined;
      throw error;
    }
  }

  /** The next call asks for a new token. */
  dropToken(): void {
    this.#token = undefined;
  }

  /** Rejects what another cluster than the first one says: its revisions mean nothing here. */
  checkCluster(header: EtcdHeader | undefined, origin: string): void {
    const id = header?.cluster_id;
    if (id === undefined) return;
    this.#clusterId ??= id;
    if (id === this.#clusterId) return;
    const detail = `${origin} is of the etcd cluster ${id}, not ${this.#clusterId}`;
    this.logger.error({ origin }, detail);
    throw new HttpFailure("noAnswer", detail);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const abort of [...this.#aborts]) abort();
    await this.http.close();
  }

  async #callAnyMember(path: string, text: string, rules: CallRules): Promise<object> {
    const deadlineMs = this.clock.monotonicMs() + this.#limits.callMsMax;
    let renewals = 0;
    for (let attempt = 1; ; attempt++) {
      const leftMs = deadlineMs - this.clock.monotonicMs();
      const origin = this.endpoints.present;
      try {
        const waitMs = rules.repeatable ? Math.min(leftMs, this.#limits.attemptMsMax) : leftMs;
        return await this.#attempt(origin, path, text, rules, waitMs);
      } catch (error) {
        if (this.#closed && rules.repeatable) throw closedError();
        const meaning = meaningOf(error);
        if (meaning === "refused") throw error;
        if (meaning === "tokenRefused") {
          if (!this.#user || ++renewals > tokenRenewalsMax) throw error;
          continue;
        }
        this.endpoints.failed(origin);
        if (meaning === "inDoubt" && !rules.repeatable)
          throw new InDoubtError(`${origin}: ${(error as Error).message}`, { cause: error });
        if (error instanceof HttpFailure && error.kind === "tooLong") throw error;
        if (attempt % this.endpoints.count === 0) await this.#pause(attempt);
        if (this.#closed) throw closedError();
        if (this.clock.monotonicMs() >= deadlineMs) throw unavailable(origin, error as Error);
      }
    }
  }

  async #attempt(origin: string, path: string, text: string, rules: CallRules, waitMs: number): Promise<object> {
    const revisionBefore = this.#revisionSeen;
    const headers = await this.headers(origin).catch((error: unknown) => {
      if (error instanceof EtcdRefusal && meaningOf(error) === "refused") throw error;
      throw new HttpFailure("notSent", `no token: ${(error as Error).message}`, error);
    });
    const token = this.#token;
    const answer = await this.#post(origin, path, text, headers, waitMs).catch((error: unknown) => {
      if (meaningOf(error) === "tokenRefused" && this.#token === token) this.#token = undefined; // else it is a newer one
      throw error;
    });
    const { header } = answer as { header?: EtcdHeader };
    this.checkCluster(header, origin);
    if (!rules.linearizable) return answer;
    const revision = int64(header?.revision);
    if (revision < revisionBefore) {
      const detail = `${origin} is at revision ${revision}, and ${revisionBefore} was seen: was etcd restored from a backup?`;
      this.logger.error({ origin, revision, revisionBefore }, detail);
      throw new HttpFailure("noAnswer", detail);
    }
    this.#revisionSeen = Math.max(this.#revisionSeen, revision);
    return answer;
  }

  /** One request; rejects with HttpFailure or EtcdRefusal. */
  async #post(
    origin: string,
    path: string,
    body: string,
    headers: Readonly<Record<string, string>>,
    waitMs: number,
  ): Promise<object> {
    const aborting = new AbortController();
    const abort = () => aborting.abort();
    this.#aborts.add(abort);
    const timer = this.clock.setTimer(Math.max(0, waitMs), abort);
    try {
      const request = { origin, path, headers, body };
      const answer = await this.http.post(request, this.#limits.answerBytesMax, aborting.signal);
      return answerIn(answer.status, Buffer.from(answer.body).toString());
    } catch (error) {
      if (aborting.signal.aborted && error instanceof HttpFailure && error.kind === "noAnswer")
        throw new HttpFailure("noAnswer", this.#closed ? "closed" : `no answer in ${Math.ceil(waitMs)} ms`, error);
      throw error;
    } finally {
      timer.cancel();
      this.#aborts.delete(abort);
    }
  }

  /** undefined where etcd knows no users. */
  async #authenticate(origin: string, user: { name: string; password: string }): Promise<string | undefined> {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ name: user.name, password: user.password });
    try {
      const answer = await this.#post(origin, "/v3/auth/authenticate", body, headers, this.#limits.attemptMsMax);
      return (answer as { token?: string }).token;
    } catch (error) {
      if (error instanceof EtcdRefusal && error.message.includes("authentication is not enabled")) return undefined;
      throw error;
    }
  }

  #pause(attempt: number): Promise<void> {
    const delayMs = Math.min(pauseMsMax, 25 * 2 ** attempt) * (0.5 + this.random.fraction() / 2);
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        this.#aborts.delete(done);
        resolve();
      };
      const timer = this.clock.setTimer(delayMs, done);
      this.#aborts.add(done);
    });
  }
}

/** A stream's one answer stands in `result`. */
function answerIn(status: number, text: string): object {
  if (status !== 200) throw refusalWith(status, text);
  let answer: object;
  try {
    answer = JSON.parse(text) as object;
  } catch (error) {
    throw new HttpFailure("noAnswer", `the answer is no JSON: ${text.slice(0, 200)}`, error);
  }
  if (typeof answer !== "object" || answer === null) throw new HttpFailure("noAnswer", "the answer is no object");
  const refusal = refusalIn(answer);
  if (refusal) throw refusal;
  return (answer as { result?: object }).result ?? answer;
}

function closedError(): BrokerError {
  return new BrokerError("BROKER_SHUTTING_DOWN", "the metadata store is closed");
}

function unavailable(origin: string, cause: Error): BrokerError {
  const detail = `no member of etcd answers; the last asked was ${origin}: ${cause.message}`;
  return new BrokerError("KAFKA_STORAGE_ERROR", detail, { cause });
}
