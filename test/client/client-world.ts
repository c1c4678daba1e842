// A client on a real broker, without a port: fetch is the broker's inject, time is simulated, and the network between
// them loses, delays and refuses as the test says.

import type { HTTPMethods } from "fastify";
import type { Fetch } from "../../src/client/http-transport.ts";
import { Millrace, type MillraceOptions } from "../../src/client/millrace.ts";
import type { Settings } from "../../src/config.ts";
import { TestServer } from "../http/test-server.ts";
import { settled } from "../simulation/simulated-clock.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

/** What the network does to one request. */
export type Fault =
  /** The request does not arrive. */
  | "refused"
  /** It does not arrive, and the client cannot know. */
  | "lostRequest"
  /** It is done, and the answer does not arrive. */
  | "lostAnswer"
  /** The client sees its connection break; the request arrives seconds later. */
  | "late"
  /** It is done twice, as a network that repeats packets would; the client sees the second answer. */
  | "repeated"
  /** A broker that is not ready answers. */
  | "unavailable"
  /** It is done; a proxy answers that it got nothing. */
  | "badGateway";

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | undefined;
}

export class ClientWorld {
  readonly server: TestServer;
  /** Every request, in the order it was made. */
  readonly seen: Seen[] = [];
  /** Asked for each request what the network does to it. */
  fault: (seen: Seen) => Fault | Response | undefined = () => undefined;
  readonly #random: SimulatedRandom;
  #inFlight = 0;
  /** Rises with everything that happens on the network. */
  #moves = 0;
  /** Something goes over sockets, whose ends take their turns to answer. */
  hasSockets = false;

  private constructor(server: TestServer, seed: number) {
    this.server = server;
    this.#random = new SimulatedRandom(seed);
  }

  static async start(changed: Partial<Settings> = {}, seed = 1): Promise<ClientWorld> {
    return new ClientWorld(await TestServer.start(changed), seed);
  }

  client(options: Partial<MillraceOptions> = {}): Millrace {
    const random = {
      fraction: () => this.#random.fraction(),
      uuid: () => `client-${Array.from(this.#random.bytes(4), (byte) => byte.toString(16)).join("")}`,
    };
    return new Millrace({ url: "http://localhost", fetch: this.fetch, clock: this.server.clock, random, ...options });
  }

  /** Lets time pass until the promise settles; but only while nothing else happens. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const mark = (): void => {
      isSettled = true;
    };
    promise.then(mark, mark);
    while (true) {
      await this.idle(() => isSettled);
      if (isSettled) return promise;
      let timers = 0;
      await this.server.clock.runUntil(() => timers++ > 0);
    }
  }

  /** Until nothing is left to happen at this time. A request in flight may wait for a timer of the broker's, too. */
  async idle(done: () => boolean = () => false): Promise<void> {
    let before = -1;
    for (let turns = 0; turns < (this.#inFlight > 0 || this.hasSockets ? 25 : 3) && !done(); turns++) {
      await settled();
      if (this.#moves !== before) turns = 0;
      before = this.#moves;
    }
  }

  /** Bytes went over a socket. */
  moved(): void {
    this.#moves++;
  }

  async stop(): Promise<void> {
    await this.run(this.server.stop());
  }

  get fetch(): Fetch {
    return async (url, init) => {
      const path = url.replace(/^https?:\/\/[^/]+/, "");
      const seen = { method: init.method, path, headers: init.headers, body: init.body };
      this.seen.push(seen);
      const fault = this.fault(seen);
      if (fault === "refused") throw networkError("ECONNREFUSED");
      if (fault === "lostRequest") throw networkError("ECONNRESET");
      if (fault === "late") {
        this.server.clock.setTimer(2_000, () => void this.#ask(seen, new AbortController().signal));
        throw networkError("ECONNRESET");
      }
      if (fault === "unavailable") return unavailable();
      if (fault instanceof Response) return fault;
      if (fault === "repeated") await this.#ask(seen, init.signal);
      const response = await this.#ask(seen, init.signal);
      if (fault === "lostAnswer") throw networkError("UND_ERR_SOCKET");
      if (fault === "badGateway") return new Response("<html>bad gateway", { status: 502 });
      return response;
    };
  }

  async #ask(seen: Seen, signal: AbortSignal): Promise<Response> {
    this.#inFlight++;
    this.#moves++;
    try {
      return await this.#inject(seen, signal);
    } finally {
      this.#inFlight--;
      this.#moves++;
    }
  }

  async #inject({ method, path, headers, body }: Seen, signal: AbortSignal): Promise<Response> {
    const asked = this.server.http.app.inject({
      method: method as HTTPMethods,
      url: path,
      headers,
      signal, // the broker sees the connection close
      ...(body === undefined ? {} : { payload: typeof body === "string" ? body : Buffer.from(body) }),
    });
    const answer = await new Promise<Awaited<typeof asked>>((resolve, reject) => {
      const abort = (): void => reject(new DOMException("aborted", "AbortError"));
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort, { once: true });
      asked.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
    const names = Object.entries(answer.headers).map(([name, value]) => [name, String(value)] as [string, string]);
    const empty = answer.statusCode === 204;
    return new Response(empty ? null : new Uint8Array(answer.rawPayload), {
      status: answer.statusCode,
      headers: names,
    });
  }
}

function networkError(code: string): TypeError {
  return new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) });
}

/** A problem as a broker would send it. */
export function problemResponse(status: number, code: string, more: Record<string, unknown> = {}): Response {
  const retriable = status >= 500 || status === 429;
  const body = { type: `/docs#${code}`, title: code, status, detail: `it is ${code}`, code, retriable, ...more };
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/problem+json" } });
}

const unavailable = (): Response => problemResponse(503, "NOT_LEADER_OR_FOLLOWER", { maybeAppended: false });
