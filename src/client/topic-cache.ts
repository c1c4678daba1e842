// What a producer or reader has to know of a topic: how many partitions it has and how large a batch may be. Asked for once and
// again when it is old, or when a broker's answer shows that it changed.

import type { HttpTransport } from "./http-transport.ts";
import type { RetryNews } from "./retry.ts";
import { orAborted } from "./waiting.ts";

export interface TopicFacts {
  readonly topicId: string;
  readonly partitionCount: number;
  /** The topic's max.message.bytes. */
  readonly maxMessageBytes: number;
}

interface Held {
  readonly facts: Promise<TopicFacts>;
  readonly askedMs: number;
  /** Once they are there, so that who has them need not wait. */
  settled: TopicFacts | undefined;
}

const ageMaxMs = 60_000;
/** The cache of a client that names topics at random may not grow for ever. */
const topicsMax = 10_000;

export class TopicCache {
  readonly #http: HttpTransport;
  readonly #topics = new Map<string, Held>();

  constructor(http: HttpTransport) {
    this.#http = http;
  }

  /** At once if they are known. An old answer serves while a new one is on its way. */
  known(topic: string): TopicFacts | undefined {
    const held = this.#topics.get(topic);
    if (held?.settled === undefined) return undefined;
    if (this.#http.clock.monotonicMs() - held.askedMs >= ageMaxMs) this.#ask(topic, {}).catch(() => {});
    return held.settled;
  }

  /** Asks the broker if need be. */
  get(topic: string, call: TopicCall = {}): Promise<TopicFacts> {
    const known = this.known(topic);
    if (known !== undefined) return Promise.resolve(known);
    const { signal, ...rest } = call;
    return orAborted(this.#topics.get(topic)?.facts ?? this.#ask(topic, rest), signal);
  }

  forget(topic: string): void {
    this.#topics.delete(topic);
  }

  #ask(topic: string, call: Omit<TopicCall, "signal">): Promise<TopicFacts> {
    const before = this.#topics.get(topic)?.settled;
    const facts = describe(this.#http, topic, call);
    const held: Held = { facts, askedMs: this.#http.clock.monotonicMs(), settled: before };
    this.#topics.delete(topic);
    this.#topics.set(topic, held);
    if (this.#topics.size > topicsMax) this.#topics.delete(this.#topics.keys().next().value!);
    facts.then(
      (settled) => {
        held.settled = settled;
      },
      () => {
        if (this.#topics.get(topic) === held) this.#topics.delete(topic);
      },
    );
    return facts;
  }
}

export interface TopicCall {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineInMs?: number;
  readonly onRetry?: (news: RetryNews) => void;
}

async function describe(http: HttpTransport, topic: string, call: Omit<TopicCall, "signal">): Promise<TopicFacts> {
  const path = `/v1/topics/${encodeURIComponent(topic)}`;
  const answer = (await http.call({ method: "GET", path, ...call })) as {
    readonly topicId: string;
    readonly partitionCount: number;
    readonly effectiveConfig: Readonly<Record<string, unknown>>;
  };
  const { topicId, partitionCount, effectiveConfig } = answer;
  return { topicId, partitionCount, maxMessageBytes: Number(effectiveConfig["max.message.bytes"]) };
}
