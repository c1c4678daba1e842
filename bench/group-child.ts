// Members of groups, many in one process: joined over a few connections, then beating, committing, or parked in long polls with a
// connection each; and the clients of one group that is rebalanced.

import { build } from "hdr-histogram-js";
import { BenchMember, type Place } from "./lib/bench-member.ts";
import { answerParent } from "./lib/child-side.ts";
import { Connection } from "./lib/connection.ts";
import { LoadRun, type LoadRunResult } from "./lib/load-run.ts";
import { RebalancedGroup } from "./lib/rebalanced-group.ts";

export interface Crowd {
  readonly url: string;
  readonly groups: number;
  readonly membersPerGroup: number;
  readonly topic: string;
  readonly partitionCount: number;
}

export interface Beating {
  readonly rate: number;
  readonly durationMs: number;
  /** Each beat commits so many positions, further on each time; none without it. */
  readonly positions?: number;
}

export interface Parking {
  /** What each poll asks to wait. */
  readonly waitMs: number;
  /** After everybody is parked. */
  readonly durationMs: number;
}

export interface Parked {
  readonly seconds: number;
  readonly answered: number;
  /** How much later than asked for the answers came. */
  readonly lateP50Ms: number;
  readonly lateP99Ms: number;
  readonly lateMaxMs: number;
}

const connectionCount = 64;
const passesMax = 20;
/** What an answer to one member is smaller than, most often. */
const receiveBytes = 4096;

let port = 0;
let crowd: Crowd;
let members: BenchMember[] = [];
let connections: Connection[] = [];
let rebalanced: RebalancedGroup | undefined;
let parked: ParkedMembers | undefined;

/** Everybody joins, and beats until every group has come to rest. */
async function join(asked: Crowd): Promise<{ readonly seconds: number; readonly polls: number }> {
  crowd = asked;
  port = Number(new URL(asked.url).port);
  connections = await openConnections(connectionCount);
  members = [];
  // One of each group, then the next: as when many processes start at once.
  for (let number = 0; number < asked.membersPerGroup; number++) {
    for (let group = 0; group < asked.groups; group++) {
      members.push(new BenchMember(`group-${group}`, `member-${number}`, asked.topic));
    }
  }
  const started = performance.now();
  let polls = 0;
  for (let pass = 1; pass <= passesMax; pass++) {
    let changed = false;
    await shared(members, async (member, connection) => {
      polls += 1;
      if (member.received(await connection.ask(member.heartbeat()))) changed = true;
    });
    if (!changed) {
      const given = members.reduce((sum, { partitions }) => sum + partitions.length, 0);
      if (given !== asked.groups * asked.partitionCount) throw new Error(`only ${given} partitions are given out`);
      return { seconds: (performance.now() - started) / 1000, polls };
    }
  }
  throw new Error(`the groups have not come to rest in ${passesMax} rounds`);
}

async function openConnections(count: number): Promise<Connection[]> {
  const open = () => Connection.open(port, { receiveBytes, wantsText: true });
  return await Promise.all(Array.from({ length: count }, open));
}

/** Hands the members out to the connections. */
async function shared(of: readonly BenchMember[], run: (member: BenchMember, connection: Connection) => Promise<void>) {
  let next = 0;
  const work = async (connection: Connection) => {
    for (let member = of[next++]; member; member = of[next++]) await run(member, connection);
  };
  await Promise.all(connections.map(work));
}

/** Open loop over all members in turn. */
function beat({ rate, durationMs, positions }: Beating): Promise<LoadRunResult> {
  const memberOf = (sent: number) => members[sent % members.length]!;
  const request = (sent: number) => {
    const member = memberOf(sent);
    if (positions === undefined) return member.heartbeat();
    const round = 1 + Math.floor(sent / members.length);
    const places: Place[] = member.partitions
      .slice(0, positions)
      .map((partition) => ({ topic: crowd.topic, partition, nextOffset: round }));
    return member.commit(places);
  };
  return new LoadRun({
    connections,
    durationMs,
    rate,
    request,
    received: (sent, answer) => void memberOf(sent).received(answer),
  }).finished();
}

/** Each member has a connection and is in a long poll nearly all the time. */
class ParkedMembers {
  readonly #waitMs: number;
  readonly #connections: readonly Connection[];
  readonly #histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000 });
  #startedMs = Number.POSITIVE_INFINITY;
  #answered = 0;
  #over = false;
  #failure: unknown;

  private constructor(waitMs: number, opened: readonly Connection[]) {
    this.#waitMs = waitMs;
    this.#connections = opened;
  }

  /** Evenly over the time of one wait, as members that joined one after the other. */
  static async start({ waitMs }: Parking): Promise<ParkedMembers> {
    const opened: Connection[] = [];
    const steps = 100;
    const perStep = Math.ceil(members.length / steps);
    const own = new ParkedMembers(waitMs, opened);
    for (let at = 0; at < members.length; at += perStep) {
      const some = members.slice(at, at + perStep);
      const more = await openConnections(some.length);
      opened.push(...more);
      for (const [index, member] of some.entries()) {
        own.#live(member, more[index]!).catch((error: unknown) => {
          if (!own.#over) own.#failure ??= error;
        });
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs / steps));
    }
    return own;
  }

  async measure(durationMs: number): Promise<Parked> {
    this.#startedMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const late = (percentile: number) => this.#histogram.getValueAtPercentile(percentile) / 1000;
    this.stop();
    if (this.#failure !== undefined) throw this.#failure;
    const lateMaxMs = this.#histogram.maxValue / 1000;
    return { seconds, answered: this.#answered, lateP50Ms: late(50), lateP99Ms: late(99), lateMaxMs };
  }

  stop(): void {
    this.#over = true;
    for (const connection of this.#connections) connection.close();
  }

  async #live(member: BenchMember, connection: Connection): Promise<void> {
    while (!this.#over) {
      const sentMs = performance.now();
      member.received(await connection.ask(member.poll(this.#waitMs)));
      const nowMs = performance.now();
      if (nowMs < this.#startedMs || this.#over) continue;
      this.#answered += 1;
      this.#histogram.recordValue(Math.max(1, Math.round((nowMs - sentMs - this.#waitMs) * 1000)));
    }
  }
}

answerParent({
  join,
  beat,
  /** Resolves when everybody is parked. */
  async park(parking: Parking) {
    parked = await ParkedMembers.start(parking);
  },
  measureParked: ({ durationMs }: { readonly durationMs: number }) => parked?.measure(durationMs),
  async startClients(asked: Crowd) {
    rebalanced = await RebalancedGroup.start(asked);
  },
  oneJoins: () => rebalanced?.oneJoins(),
  oneLeaves: () => rebalanced?.oneLeaves(),
  stop() {
    rebalanced?.stop();
    parked?.stop();
    for (const connection of connections) connection.close();
  },
});
