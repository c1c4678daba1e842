// All requests of this broker to one other: who waits for which answer, for how long, and over which connection. One connection at a time,
// made when it is needed; after a failure not before a pause that grows. Requests wait for the next try, and fail with it.

import type { Timer } from "../clock.ts";
import { PeerConnection, type PeerLinkContext } from "./peer-connection.ts";
import { type EncodedMessage, encodeMessage } from "./peer-frames.ts";
import {
  messageBytesMax,
  reconnectMsMax,
  reconnectMsMin,
  requestBytesInFlightMax,
  requestsInFlightMax,
} from "./peer-limits.ts";
import { type PeerCallOptions, PeerFailure, type PeerMessage } from "./peers.ts";

interface Call {
  readonly encoded: EncodedMessage;
  readonly resolve: (message: PeerMessage) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
  readonly signal: AbortSignal | undefined;
  readonly aborted: () => void;
  /** Given to the connection. */
  given: boolean;
}

const idMax = 2 ** 32 - 1;

export class PeerLink {
  readonly #context: PeerLinkContext;
  readonly #to: number;
  readonly #origin: () => string | undefined;
  readonly #calls = new Map<number, Call>();
  #bytes = 0;
  #lastId = 0;
  #connection: PeerConnection | undefined;
  #dialTimer: Timer | undefined;
  #failures = 0;
  #dialNotBeforeMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** `origin` is asked before every try; undefined: nobody knows where the broker is, or it may not be dialled. */
  constructor(context: PeerLinkContext, to: number, origin: () => string | undefined) {
    this.#context = context;
    this.#to = to;
    this.#origin = origin;
  }

  async request(method: string, message: PeerMessage, { timeoutMs, signal }: PeerCallOptions): Promise<PeerMessage> {
    if (this.#closed) throw new PeerFailure("notSent", "the broker is shutting down");
    if (signal?.aborted) throw new PeerFailure("notSent", "given up before it was sent");
    if (this.#calls.size >= requestsInFlightMax) throw new PeerFailure("notSent", "too many requests in flight");
    const id = this.#newId();
    const encoded = encodeMessage("request", id, {
      head: { method, timeoutMs, head: message.head },
      parts: message.parts,
    });
    if (encoded.totalBytes > messageBytesMax) throw new PeerFailure("notSent", "the request is too large");
    if (this.#bytes + encoded.totalBytes > requestBytesInFlightMax) {
      throw new PeerFailure("notSent", "too many bytes of requests in flight");
    }
    return new Promise((resolve, reject) => {
      const timer = this.#context.clock.setTimer(timeoutMs, () => this.#giveUp(id, `no answer within ${timeoutMs} ms`));
      const aborted = () => this.#giveUp(id, "given up");
      signal?.addEventListener("abort", aborted);
      const call: Call = { encoded, resolve, reject, timer, signal, aborted, given: false };
      this.#calls.set(id, call);
      this.#bytes += encoded.totalBytes;
      if (this.#connection?.isReady) this.#give(call);
      else this.#dialSoon();
    });
  }

  close(): void {
    this.#closed = true;
    this.#dialTimer?.cancel();
    this.#connection?.close();
    this.#failAll("the broker is shutting down");
  }

  #newId(): number {
    do this.#lastId = (this.#lastId % idMax) + 1;
    while (this.#calls.has(this.#lastId));
    return this.#lastId;
  }

  #give(call: Call): void {
    call.given = true;
    this.#connection!.send(call.encoded);
  }

  #dialSoon(): void {
    if (this.#connection !== undefined || this.#dialTimer !== undefined) return;
    const waitMs = this.#dialNotBeforeMs - this.#context.clock.monotonicMs();
    if (waitMs <= 0) {
      this.#dial();
      return;
    }
    this.#dialTimer = this.#context.clock.setTimer(waitMs, () => {
      this.#dialTimer = undefined;
      if (this.#calls.size > 0) this.#dial();
    });
  }

  #dial(): void {
    const origin = this.#origin();
    if (origin === undefined) {
      this.#lost(`broker ${this.#to} is not known, or not on this machine and there is no cluster secret`);
      return;
    }
    this.#connection = new PeerConnection(this.#context, this.#to, origin, {
      ready: () => {
        this.#failures = 0;
        for (const call of this.#calls.values()) this.#give(call);
      },
      awaits: (id) => this.#calls.has(id),
      answered: (id, message) => this.#take(id)?.resolve(message),
      refused: (id, error) => this.#take(id)?.reject(error),
      ended: (detail) => this.#lost(detail),
    });
  }

  #lost(detail: string): void {
    const mostMs = Math.min(reconnectMsMax, reconnectMsMin * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    const waitMs = (mostMs * (1 + this.#context.random.fraction())) / 2;
    this.#dialNotBeforeMs = this.#context.clock.monotonicMs() + waitMs;
    this.#failAll(detail);
    this.#connection = undefined;
  }

  #failAll(detail: string): void {
    for (const id of [...this.#calls.keys()]) this.#giveUp(id, detail);
  }

  /** Nothing is sent twice: whether it was is for the caller to weigh. */
  #giveUp(id: number, detail: string): void {
    const call = this.#take(id);
    if (call === undefined) return;
    const surelyNot = !call.given || this.#connection === undefined || this.#connection.cancel(id);
    call.reject(new PeerFailure(surelyNot ? "notSent" : "noAnswer", `broker ${this.#to}: ${detail}`));
  }

  #take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    if (call === undefined) return undefined;
    this.#calls.delete(id);
    this.#bytes -= call.encoded.totalBytes;
    call.timer.cancel();
    call.signal?.removeEventListener("abort", call.aborted);
    return call;
  }
}
