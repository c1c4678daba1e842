// Faults that a test orders: requests refused with a problem, answered late, or cut off from their answer. They stand between the
// sockets and the routes, so that what a client meets is what it would meet from a broker in trouble.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { problemMediaType, problemOf } from "../http/problem.ts";
import type { Clock } from "../io/clock.ts";
import type { Random } from "../io/random.ts";
import { BrokerError, type ErrorCode } from "../protocol/error-codes.ts";

/** Which requests a fault meets; without any of it, all. The handshake of a WebSocket is a `GET` of `/v1/ws`. */
export interface FaultScope {
  /** `"POST"`, in capitals. */
  readonly method?: string;
  /** The path without its query: the whole of it, or what a pattern finds in it. */
  readonly path?: string | RegExp;
  /** So many requests are met, and the fault is over; else it lasts until `end()`. */
  readonly times?: number;
}

/** A fault to be met by requests that come from now on. Of several that fit a request the one ordered first meets it. */
export interface Fault {
  /** Requests it has met. */
  readonly met: number;
  /** It meets no more. Harmless if it is over. */
  end(): void;
  /** `using fault = broker.refuse(…)` ends it with the block. */
  [Symbol.dispose](): void;
}

export interface Refusal extends FaultScope {
  /** What the problem is; its status and whether it is retriable follow from the table at `/docs`. */
  readonly code: ErrorCode;
  readonly detail?: string;
  /** More of the problem's fields, as `{ expectedSequence: 7 }`. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Makes it a write in doubt: 504. What was sent is in the log nonetheless only if something put it there: see `drop`. */
  readonly maybeAppended?: boolean;
}

export interface Delay extends FaultScope {
  /** Between the request's coming and its handling. */
  readonly ms: number;
}

export interface Drop extends FaultScope {
  /** `"before"`: the request does nothing. `"after"`: it is handled whole, and its answer is lost. */
  readonly when: "before" | "after";
}

type Kind =
  | { readonly kind: "refuse"; readonly refusal: Refusal }
  | { readonly kind: "delay"; readonly ms: number }
  | { readonly kind: "drop"; readonly when: "before" | "after" };

/** Orders that stand at once. A test that has more has forgotten to end them. */
const faultsMax = 1_000;

class OrderedFault implements Fault {
  readonly scope: FaultScope;
  readonly effect: Kind;
  readonly #over: (fault: OrderedFault) => void;
  met = 0;

  constructor(scope: FaultScope, effect: Kind, over: (fault: OrderedFault) => void) {
    this.scope = scope;
    this.effect = effect;
    this.#over = over;
  }

  meets(method: string, path: string): boolean {
    const { scope } = this;
    if (scope.method !== undefined && scope.method !== method) return false;
    if (scope.path === undefined) return true;
    return typeof scope.path === "string" ? scope.path === path : path.search(scope.path) >= 0;
  }

  meet(): void {
    this.met += 1;
    if (this.met === this.scope.times) this.end();
  }

  end(): void {
    this.#over(this);
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

export class Faults {
  readonly #ordered: OrderedFault[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  refuse(refusal: Refusal): Fault {
    return this.#order(refusal, { kind: "refuse", refusal });
  }

  delay(delay: Delay): Fault {
    return this.#order(delay, { kind: "delay", ms: delay.ms });
  }

  drop(drop: Drop): Fault {
    return this.#order(drop, { kind: "drop", when: drop.when });
  }

  /** Puts itself before all that listens to the server's requests and handshakes. */
  watch(server: Server, clock: Clock): void {
    const pass = server.emit.bind(server) as (event: string, ...args: unknown[]) => boolean;
    const emit = (event: string, ...args: unknown[]): boolean => {
      if (event !== "request" && event !== "upgrade") return pass(event, ...args);
      const request = args[0] as IncomingMessage;
      // Another offer is answered as a plain request, which is met when it comes as one.
      if (event === "upgrade" && request.headers.upgrade?.toLowerCase() !== "websocket") return pass(event, ...args);
      const fault = this.#meeting(request);
      if (fault === undefined) return pass(event, ...args);
      const answer = event === "request" ? answerOf(args[1] as ServerResponse) : handshakeOf(args[1] as Duplex);
      this.#carryOut(fault.effect, request, answer, clock, () => pass(event, ...args));
      return true;
    };
    server.emit = emit as typeof server.emit;
  }

  #order(scope: FaultScope, effect: Kind): Fault {
    if (scope.times !== undefined && !(Number.isSafeInteger(scope.times) && scope.times > 0)) {
      throw new RangeError(`times is a whole number above 0, not ${scope.times}`);
    }
    if (this.#ordered.length === faultsMax) throw new RangeError(`${faultsMax} faults are ordered already; end some`);
    const fault = new OrderedFault(scope, effect, (over) => {
      const index = this.#ordered.indexOf(over);
      if (index >= 0) this.#ordered.splice(index, 1);
    });
    this.#ordered.push(fault);
    return fault;
  }

  #meeting(request: IncomingMessage): OrderedFault | undefined {
    const path = (request.url ?? "/").split("?")[0]!;
    const fault = this.#ordered.find((one) => one.meets(request.method ?? "GET", path));
    fault?.meet();
    return fault;
  }

  #carryOut(effect: Kind, request: IncomingMessage, answer: Answer, clock: Clock, handle: () => void): void {
    switch (effect.kind) {
      case "refuse":
        this.#refuse(effect.refusal, request, answer);
        return;
      case "delay":
        clock.setTimer(effect.ms, () => {
          if (!request.destroyed && !request.socket.destroyed) handle();
        });
        return;
      case "drop":
        if (effect.when === "before") {
          request.socket.destroy();
          return;
        }
        answer.loseWhenItComes();
        handle();
    }
  }

  #refuse(refusal: Refusal, request: IncomingMessage, answer: Answer): void {
    const { code, detail = "a test ordered this refusal", fields = {}, maybeAppended = false } = refusal;
    const error = new BrokerError(code, detail, { fields, maybeAppended });
    const produce = request.method === "POST" && /\/records$/.test((request.url ?? "").split("?")[0]!);
    const problem = problemOf(error, { requestId: "ordered-by-test", random: this.#random, produce });
    request.resume(); // the rest of the body is read and thrown away, so that the client sees the answer and not a reset
    answer.send(problem.status, problem.body, {
      "content-type": problemMediaType,
      ...(problem.retryAfter === undefined ? {} : { "retry-after": problem.retryAfter }),
      "cache-control": "no-store",
    });
  }
}

/** How a fault answers in the broker's stead, or loses the answer. */
interface Answer {
  send(status: number, body: string, headers: Readonly<Record<string, string>>): void;
  loseWhenItComes(): void;
}

function answerOf(response: ServerResponse): Answer {
  return {
    send: (status, body, headers) => {
      response.writeHead(status, headers).end(body);
    },
    loseWhenItComes: () => {
      const lose = () => {
        response.socket?.destroy();
        return response;
      };
      Object.assign(response, { writeHead: lose, flushHeaders: lose, write: lose, end: lose });
    },
  };
}

function handshakeOf(socket: Duplex): Answer {
  return {
    send: (status, body, headers) => {
      const lines = Object.entries({ ...headers, "content-length": new TextEncoder().encode(body).length });
      const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
      socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\n${head}\r\n${body}`);
    },
    loseWhenItComes: () => {
      const lose = () => {
        socket.destroy();
        return false;
      };
      Object.assign(socket, { write: lose, end: lose });
    },
  };
}
