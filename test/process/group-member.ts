// An honest member of a group over plain HTTP: handles what it is given in order, commits what it handled, and when refused drops
// all it has and joins again. Some of its answers it throws away unseen and sends the same call again, as if they had been lost.
// What it does and learns is written down; how it ends is for the test to say.

import { assert } from "../../src/assert.ts";
import type { GroupHistory } from "../history/group-history.ts";
import type { SimulatedRandom } from "../simulation/simulated-random.ts";
import type { BrokerAddress } from "./broker-address.ts";
import { type Answer, type HttpClient, jsonOf } from "./http-client.ts";

export interface MemberContext {
  readonly client: HttpClient;
  readonly address: BrokerAddress;
  readonly history: GroupHistory;
  readonly random: SimulatedRandom;
  readonly groupId: string;
  readonly topic: string;
  readonly sessionTimeoutMs: number;
  /** Told of every handling. */
  handled(): void;
}

interface Polled {
  readonly memberEpoch: number;
  readonly assignment: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
  readonly positions: readonly { readonly partition: number; readonly nextOffset: number }[];
  readonly records: readonly { readonly partition: number; readonly offset: number; readonly value: string }[];
  readonly notCommitted?: readonly { readonly partition: number; readonly code: string }[];
}

const waitMs = 300;
const maxRecords = 200;
const lossShare = 0.2;
/** Of the rounds: what is handled stays uncommitted for now, and the next records are asked for by their positions. */
const aheadShare = 0.25;
/** Of the rounds: a heartbeat in between. */
const heartbeatShare = 0.15;
/** Others have their turn after so many records. */
const recordsInOneGo = 20;
const retryMsMax = 50;
const attemptsMax = 1_000;

export class GroupMember {
  readonly memberId: string;
  /** This life of it. */
  readonly name: string;
  readonly #context: MemberContext;
  readonly #dying = new AbortController();
  readonly #running: Promise<void>;
  #memberEpoch: number | undefined;
  readonly #assigned = new Set<number>();
  /** Where each partition goes on, all before it being handled. One that was taken away stays until that is committed. */
  readonly #next = new Map<number, number>();
  readonly #committed = new Map<number, number>();
  #leaving = false;
  #pause: { readonly begun: () => void; readonly over: Promise<void> } | undefined;

  constructor(context: MemberContext, memberId: string, life: number) {
    this.#context = context;
    this.memberId = memberId;
    this.name = `${memberId}#${life}`;
    this.#running = this.#run();
    this.#running.catch(() => {}); // whoever ends it is told
  }

  /** Rejects when it met what it must not meet. */
  get running(): Promise<void> {
    return this.#running;
  }

  /** Commits what it handled and leaves the group. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#running;
  }

  /** Is gone where it stands, with its connection. */
  async die(): Promise<void> {
    this.#context.history.add({ f: "died", member: this.name });
    this.#dying.abort();
    await this.#running;
  }

  /** Stops where it has handled everything and committed perhaps nothing of it; resolves with the way to go on. */
  async hang(): Promise<() => void> {
    let goOn = (): void => {};
    const over = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const begun = new Promise<void>((resolve) => {
      this.#pause = { begun: resolve, over };
    });
    await Promise.race([begun, this.#running]);
    return goOn;
  }

  get #isDead(): boolean {
    return this.#dying.signal.aborted;
  }

  async #run(): Promise<void> {
    const { random } = this.#context;
    while (!this.#isDead && !this.#leaving) {
      await this.#hangIfTold();
      if (this.#memberEpoch !== undefined && random.chance(heartbeatShare)) await this.#poll({ forRecords: false });
      await this.#poll({ forRecords: true });
    }
    if (!this.#isDead) await this.#leave();
  }

  async #hangIfTold(): Promise<void> {
    if (this.#pause === undefined) return;
    const { begun, over } = this.#pause;
    this.#pause = undefined;
    this.#context.history.add({ f: "hung", member: this.name });
    begun();
    await over;
  }

  /** One call, sent until its answer is known. */
  async #poll({ forRecords }: { readonly forRecords: boolean }): Promise<void> {
    const { topic, sessionTimeoutMs, history, random } = this.#context;
    const places = Array.from(this.#next, ([partition, nextOffset]) => ({ topic, partition, nextOffset }));
    const isAhead = forRecords && !this.#leaving && random.chance(aheadShare);
    const owned = places.filter(({ partition }) => this.#assigned.has(partition));
    // What was taken away is committed in any case: it is the last chance.
    const commit = isAhead ? places.filter((place) => !owned.includes(place)) : places;
    const joining = { topics: [topic], sessionTimeoutMs };
    const answer = await this.#send("POST", "/poll", {
      ...(this.#memberEpoch === undefined ? joining : { memberEpoch: this.#memberEpoch }),
      ...(commit.length > 0 && { commit }),
      ...(isAhead && owned.length > 0 && { positions: owned }),
      ...(forRecords ? { waitMs, maxRecords, valueFormat: "string" } : { maxRecords: 0 }),
    });
    if (answer === undefined) return;
    if (answer.status === 409) {
      history.add({ f: "refused", member: this.name, code: jsonOf<{ code: string }>(answer).code });
      this.#memberEpoch = undefined;
      for (const held of [this.#assigned, this.#next, this.#committed]) held.clear();
      return;
    }
    assert(answer.status === 200, `${this.name} was answered ${answer.status}: ${answer.body}`);
    const polled = jsonOf<Polled>(answer);
    this.#noteCommit(commit, polled);
    this.#noteAssignment(polled);
    await this.#handle(polled);
  }

  #noteCommit(commit: readonly { partition: number; nextOffset: number }[], { notCommitted = [] }: Polled): void {
    const { history } = this.#context;
    for (const { partition, code } of notCommitted)
      history.add({ f: "notCommitted", member: this.name, partition, code });
    const leftOut = new Set(notCommitted.map(({ partition }) => partition));
    for (const { partition, nextOffset } of commit) {
      if (!this.#assigned.has(partition)) this.#next.delete(partition); // there is nothing more to say of it
      if (leftOut.has(partition) || this.#committed.get(partition) === nextOffset) continue;
      this.#committed.set(partition, nextOffset);
      history.add({ f: "committed", member: this.name, partition, nextOffset });
    }
  }

  #noteAssignment({ memberEpoch, assignment }: Polled): void {
    this.#memberEpoch = memberEpoch;
    const partitions = assignment.flatMap((topic) => topic.partitions);
    const isSame = partitions.length === this.#assigned.size && partitions.every((p) => this.#assigned.has(p));
    if (isSame) return;
    for (const partition of partitions) if (!this.#assigned.has(partition)) this.#next.delete(partition);
    this.#assigned.clear();
    for (const partition of partitions) this.#assigned.add(partition);
    for (const [partition, nextOffset] of this.#next) {
      if (this.#assigned.has(partition)) continue;
      if (this.#committed.get(partition) === nextOffset) this.#next.delete(partition);
    }
    this.#context.history.add({ f: "assigned", member: this.name, partitions });
  }

  async #handle({ records, positions }: Polled): Promise<void> {
    const { history } = this.#context;
    let inOneGo = 0;
    for (const { partition, offset, value } of records) {
      history.add({ f: "handled", member: this.name, partition, offset, value });
      this.#context.handled();
      inOneGo = (inOneGo + 1) % recordsInOneGo;
      if (inOneGo === 0) await new Promise(setImmediate);
      if (this.#isDead) return;
    }
    for (const { partition, nextOffset } of positions) this.#next.set(partition, nextOffset);
  }

  async #leave(): Promise<void> {
    while (this.#next.size > 0 && !this.#isDead) {
      await this.#poll({ forRecords: false });
      const isDone = [...this.#next].every(([partition, nextOffset]) => this.#committed.get(partition) === nextOffset);
      if (isDone) break;
    }
    // 404: it left before, and the answer was lost.
    const answer = await this.#send("DELETE", "");
    if (answer === undefined) return;
    assert(answer.status === 204 || answer.status === 404, `leaving was answered ${answer.status}: ${answer.body}`);
    this.#context.history.add({ f: "left", member: this.name });
  }

  /** Sends the same again until an answer is received, is not thrown away, and is no wish to be asked again. */
  async #send(method: "POST" | "DELETE", route: string, body?: object): Promise<Answer | undefined> {
    const { client, address, groupId, history, random } = this.#context;
    const options = {
      signal: this.#dying.signal,
      ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    };
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const url = await address.current();
      if (url === undefined || this.#isDead) return undefined;
      let answer: Answer;
      try {
        answer = await client.send(method, `${url}/v1/groups/${groupId}/members/${this.memberId}${route}`, options);
      } catch {
        if (this.#isDead) return undefined;
        history.add({ f: "unanswered", member: this.name });
        await new Promise(setImmediate);
        continue;
      }
      if (this.#isDead) return undefined;
      if (random.chance(lossShare)) {
        history.add({ f: "answerLost", member: this.name });
        continue;
      }
      if (answer.status < 400) return answer;
      const problem = jsonOf<{ readonly retriable: boolean; readonly retryAfterMs?: number }>(answer);
      if (!problem.retriable) return answer;
      await new Promise((resolve) => setTimeout(resolve, Math.min(problem.retryAfterMs ?? 0, retryMsMax)));
    }
    throw new Error(`${this.name} got no answer in ${attemptsMax} attempts`);
  }
}
