// HTTP to a broker under test, over connections that are kept. Never repeats a request by itself: whether an answer came is
// what the tests are about.

import { Agent, type Dispatcher, request } from "undici";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Breaks the connection off. */
  readonly signal?: AbortSignal;
}

/** A broker that says nothing for this long is stuck. */
const silenceMsMax = 30_000;

export class HttpClient {
  readonly #agent: Agent;

  constructor(connections: number) {
    this.#agent = new Agent({ connections, pipelining: 1, headersTimeout: silenceMsMax, bodyTimeout: silenceMsMax });
  }

  /** Resolves with any answer, and rejects when there is none or only a part of one. */
  async send(method: Dispatcher.HttpMethod, url: string, options: RequestOptions = {}): Promise<Answer> {
    const answer = await this.open(method, url, options);
    const body = Buffer.from(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: answer.headers as Record<string, string>, body };
  }

  /** For answers that are streams. */
  open(method: Dispatcher.HttpMethod, url: string, options: RequestOptions = {}): Promise<Dispatcher.ResponseData> {
    const { headers = {}, body = null, signal } = options;
    return request(url, { method, headers, body, dispatcher: this.#agent, ...(signal && { signal }) });
  }

  async get(url: string, accept = "application/json"): Promise<Answer> {
    return await this.send("GET", url, { headers: { accept } });
  }

  async post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const all = { "content-type": "application/json", ...headers };
    return await this.send("POST", url, { headers: all, body: JSON.stringify(body) });
  }

  /** Closes the connections, whatever is still under way on them. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export function jsonOf<T>(answer: Answer): T {
  return JSON.parse(answer.body.toString()) as T;
}

/** The answer's JSON; anything but the expected status is an error that shows the answer. */
export function expectStatus<T>(answer: Answer, status: number): T {
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.body}`);
  return answer.body.length === 0 ? (undefined as T) : jsonOf<T>(answer);
}
