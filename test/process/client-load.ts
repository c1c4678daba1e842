// Users of the client library at work: idempotent producers, and a group whose members come and go. What they are told is written down;
// that their network fails is not theirs to know.

import { setTimeout } from "node:timers/promises";
import { Millrace } from "../../src/client/client-node.ts";
import type { Consumer } from "../../src/client/consumer.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { type Place, SeenRecords } from "./client-judge.ts";
import { SocketMember } from "./socket-member.ts";

export interface ClientLoadOptions {
  /** Where the clients believe the broker to be. */
  readonly url: string;
  /** "auto" is WebSocket where it can be had. */
  readonly transport: "auto" | "http";
  readonly seed: number;
  readonly topic: string;
  readonly producers: number;
  /** Members that stay. One more comes and goes, and one speaks WebSocket by itself. */
  readonly members: number;
}

const inFlightMax = 16;
const keysOfProducer = 5;
/** Between the sends of a producer: the judge is to see faults, not the machine's limit. */
const paceMs = 2;
const guestStaysMs = 1_500;
const guestIsAwayMs = 1_000;

export class ClientLoad {
  readonly acknowledged = new Map<string, Place>();
  readonly seen = new SeenRecords();
  /** Sends that were given up, and refusals that trying again would not help. */
  readonly failed: string[] = [];
  /** Calls that the clients made again. */
  retries = 0;
  readonly group = "chaos";
  readonly #options: ClientLoadOptions;
  readonly #millrace: Millrace;
  readonly #consumers = new Set<Consumer<string, string>>();
  readonly #leaving = new AbortController();
  #producing = true;
  readonly #producers: Promise<void>;
  readonly #members: Promise<void>;
  readonly #socketMember: SocketMember;

  constructor(options: ClientLoadOptions) {
    this.#options = options;
    this.#millrace = new Millrace({ url: options.url, transport: options.transport, requestTimeoutMs: 4_000 });
    const { url, topic, producers, members } = options;
    this.#socketMember = new SocketMember({ url, topic, group: this.group, memberId: "socket", seen: this.seen });
    this.#producers = all(Array.from({ length: producers }, (_, index) => this.#produce(`producer${index}`, index)));
    this.#members = all([
      ...Array.from({ length: members }, (_, index) => this.#consume(`member${index}`, this.#leaving.signal)),
      this.#comeAndGo(),
    ]);
  }

  /** Records that came to the member that speaks WebSocket by itself. */
  get recordsOverSocket(): number {
    return this.#socketMember.records;
  }

  /** No new sends; resolves when all that were made are settled. */
  async stopProducing(): Promise<void> {
    this.#producing = false;
    await this.#producers;
  }

  /** Every member commits what it has handled, and leaves. */
  async leave(): Promise<void> {
    this.#leaving.abort();
    await Promise.all([this.#members, this.#socketMember.leave()]);
    await this.#millrace.close();
    this.retries += this.#socketMember.sockets - 1;
    this.failed.push(...this.#socketMember.refused);
  }

  /** Ends all of it where it stands. */
  async close(): Promise<void> {
    this.#producing = false;
    this.#leaving.abort();
    await this.#millrace.close().catch(() => {});
    await this.#socketMember.close();
    await Promise.allSettled([this.#producers, this.#members]);
  }

  async #produce(name: string, index: number): Promise<void> {
    const random = new SimulatedRandom(this.#options.seed * 100 + index);
    const onRetry = () => {
      this.retries += 1;
    };
    const producer = this.#millrace.producer<string, string>({ onRetry });
    const inFlight = new Set<Promise<void>>();
    for (let number = 1; this.#producing; number++) {
      if (inFlight.size === inFlightMax) await Promise.race(inFlight);
      const value = `${name}.${number}`;
      const sent = producer
        .send({ topic: this.#options.topic, key: `${name}-${random.integer(keysOfProducer)}`, value })
        .then(
          ({ partition, offset }) => void this.acknowledged.set(value, { partition, offset }),
          (error: unknown) => void this.failed.push(`${value}: ${String(error)}`),
        )
        .finally(() => inFlight.delete(sent));
      inFlight.add(sent);
      await setTimeout(paceMs);
    }
    await Promise.all(inFlight);
    await producer.close();
  }

  async #consume(member: string, signal: AbortSignal): Promise<void> {
    const { topic } = this.#options;
    const consumer = this.#millrace.consumer<string, string>({
      group: this.group,
      topics: [topic],
      waitMs: 1_000,
      autoCommitIntervalMs: 200,
    });
    this.#consumers.add(consumer);
    consumer.on("retrying", () => {
      this.retries += 1;
    });
    consumer.on("assigned", ({ partitions }) => {
      for (const each of partitions) {
        for (const partition of each.partitions) this.seen.assigned(member, partition);
      }
    });
    await consumer.eachRecord(({ partition, offset }) => this.seen.add(member, partition, offset), { signal });
    await consumer.close();
    this.#consumers.delete(consumer);
  }

  async #comeAndGo(): Promise<void> {
    const { signal } = this.#leaving;
    for (let visit = 1; !signal.aborted; visit++) {
      await this.#consume(`guest${visit}`, AbortSignal.any([signal, AbortSignal.timeout(guestStaysMs)]));
      await setTimeout(guestIsAwayMs, undefined, { signal }).catch(() => {}); // aborted: that was the last visit
    }
  }
}

async function all(parts: readonly Promise<void>[]): Promise<void> {
  await Promise.all(parts);
}
