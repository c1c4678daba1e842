// Peers of many brokers in one process, under a seed: messages are late, lost, doubled or overtake each other, and lines are cut one way
// or both. A message crosses as the bytes it would have on a wire, so that nobody shares an object with another broker.

import { decodeMessage, encodeMessage } from "../../src/io/peers/peer-frames.ts";
import { refusalHead, refusalOf } from "../../src/io/peers/peer-refusal.ts";
import {
  type PeerCallOptions,
  PeerFailure,
  type PeerHandler,
  type PeerIdentity,
  type PeerMessage,
  type Peers,
} from "../../src/io/peers/peers.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { SimulatedRandom } from "./simulated-random.ts";

export interface NetworkFaults {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Of each message, a request's or an answer's. */
  readonly lossChance: number;
  /** Of each request; the second one is told so by nothing. */
  readonly duplicateChance: number;
}

export const calmNetwork: NetworkFaults = { delayMsMin: 1, delayMsMax: 5, lossChance: 0, duplicateChance: 0 };

interface Listener {
  readonly handler: PeerHandler;
  readonly life: SimulatedPeers;
}

export class SimulatedNetwork {
  readonly clock: SimulatedClock;
  readonly #random: SimulatedRandom;
  readonly #listeners = new Map<number, Listener>();
  readonly #cuts = new Set<string>();
  faults: NetworkFaults;

  constructor(clock: SimulatedClock, random: SimulatedRandom, faults: NetworkFaults = calmNetwork) {
    this.clock = clock;
    this.#random = random;
    this.faults = faults;
  }

  /** A life of a broker begins: what it asks of others, and what they ask of it. It ends with close() of the Peers. */
  join(identity: PeerIdentity, handler: PeerHandler): Peers {
    const life = new SimulatedPeers(this, identity);
    this.#listeners.set(identity.brokerId, { handler, life });
    return life;
  }

  /** Nothing goes this way any more. */
  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(from: number, to: number): void {
    this.#cuts.delete(`${from}>${to}`);
  }

  listener(brokerId: number): Listener | undefined {
    const listener = this.#listeners.get(brokerId);
    return listener?.life.isClosed === false ? listener : undefined;
  }

  drawsDuplicate(): boolean {
    return this.#random.chance(this.faults.duplicateChance);
  }

  /** Calls `arrive` later, or never. A line that is cut when the message would arrive loses it too. */
  carry(from: number, to: number, arrive: () => void): void {
    const { delayMsMin, delayMsMax, lossChance } = this.faults;
    const isLost = this.#random.chance(lossChance) || this.#isCut(from, to);
    const delayMs = this.#random.between(delayMsMin, delayMsMax);
    if (isLost) return;
    this.clock.setTimer(delayMs, () => {
      if (!this.#isCut(from, to)) arrive();
    });
  }

  #isCut(from: number, to: number): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }
}

class SimulatedPeers implements Peers {
  readonly #network: SimulatedNetwork;
  readonly #identity: PeerIdentity;
  /** What ends each call that is under way. */
  readonly #underWay = new Set<(detail: string) => void>();
  isClosed = false;

  constructor(network: SimulatedNetwork, identity: PeerIdentity) {
    this.#network = network;
    this.#identity = identity;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const giveUp of [...this.#underWay]) giveUp("the broker is shutting down");
  }

  async request(to: number, method: string, message: PeerMessage, options: PeerCallOptions): Promise<PeerMessage> {
    const { timeoutMs, signal } = options;
    if (this.isClosed || signal?.aborted) throw new PeerFailure("notSent", "given up before it was sent");
    if (this.#network.listener(to) === undefined) throw new PeerFailure("notSent", `broker ${to} is not there`);
    const from = this.#identity.brokerId;
    const asked = onWire(message);
    const over = new AbortController();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        if (over.signal.aborted) return;
        over.abort();
        timer.cancel();
        this.#underWay.delete(giveUp);
        signal?.removeEventListener("abort", aborted);
        settle();
      };
      const giveUp = (detail: string) => end(() => reject(new PeerFailure("noAnswer", `broker ${to}: ${detail}`)));
      const timer = this.#network.clock.setTimer(timeoutMs, () => giveUp(`no answer within ${timeoutMs} ms`));
      const aborted = () => giveUp("given up");
      signal?.addEventListener("abort", aborted);
      this.#underWay.add(giveUp);
      const arrive = () => {
        const listener = this.#network.listener(to);
        if (listener === undefined) return;
        const request = { ...asked(), from: this.#identity, method, timeoutMs, signal: over.signal };
        void answerOf(listener.handler, request).then((settle) => {
          if (listener.life.isClosed) return; // it died before it could say so
          this.#network.carry(to, from, () => end(() => settle(resolve, reject)));
        });
      };
      this.#network.carry(from, to, arrive);
      if (this.#network.drawsDuplicate()) this.#network.carry(from, to, arrive);
    });
  }
}

type Settle = (resolve: (message: PeerMessage) => void, reject: (error: Error) => void) => void;

async function answerOf(handler: PeerHandler, request: Parameters<PeerHandler["handle"]>[0]): Promise<Settle> {
  try {
    const answer = onWire(await handler.handle(request));
    return (resolve) => resolve(answer());
  } catch (cause) {
    const error =
      cause instanceof BrokerError
        ? cause
        : new BrokerError("UNKNOWN_SERVER_ERROR", "the other broker met a bug", { maybeAppended: true, cause });
    const refusal = onWire({ head: refusalHead(error), parts: [] });
    return (_, reject) => reject(refusalOf(refusal().head));
  }
}

/** Each reading gives objects and bytes of its own. */
function onWire(message: PeerMessage): () => PeerMessage {
  const { chunks, headBytes } = encodeMessage("request", 1, message);
  const bytes = Buffer.concat(chunks);
  return () => decodeMessage(headBytes, Uint8Array.from(bytes));
}
