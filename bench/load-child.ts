// The load generator: closed loop (every connection sends again when it is answered) for throughput, open loop (a fixed rate,
// whatever the answers do) for latency, and readers of event streams. Every answer is waited for and must be a success.

import { request as httpRequest, type IncomingMessage } from "node:http";
import { build } from "hdr-histogram-js";
import { answerParent } from "./lib/child-side.ts";
import { type Answer, Connection, type RequestSketch, requestBytes } from "./lib/connection.ts";

export interface Load {
  readonly url: string;
  readonly requests: readonly (Omit<RequestSketch, "body"> & { readonly bodyBase64?: string })[];
  readonly connections: number;
  readonly durationMs: number;
  /** Requests a second; closed loop without it. */
  readonly rate?: number;
}

export interface LoadResult {
  readonly seconds: number;
  readonly answered: number;
  readonly bodyBytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Open loop: the most requests that waited for a free connection. */
  readonly backlogMax: number;
  readonly cpuMs: number;
}

const connectionsMax = 1024;
const backlogLimit = 1_000_000;

async function run(load: Load): Promise<LoadResult> {
  const port = Number(new URL(load.url).port);
  const requests = load.requests.map(({ bodyBase64, ...sketch }) =>
    requestBytes(bodyBase64 === undefined ? sketch : { ...sketch, body: Buffer.from(bodyBase64, "base64") }),
  );
  if (load.connections > connectionsMax) throw new Error(`at most ${connectionsMax} connections`);
  const connections = await Promise.all(Array.from({ length: load.connections }, () => Connection.open(port)));
  const cpu = process.cpuUsage();
  try {
    const result = await new Run(load, requests, connections).finished();
    const { user, system } = process.cpuUsage(cpu);
    return { ...result, cpuMs: (user + system) / 1000 };
  } finally {
    for (const connection of connections) connection.close();
  }
}

class Run {
  readonly #load: Load;
  readonly #requests: readonly Uint8Array[];
  readonly #connections: readonly Connection[];
  readonly #histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
  readonly #started = performance.now();
  readonly #idle: Connection[] = [];
  /** When each request was due that found no free connection. */
  #backlog: number[] = [];
  #backlogHead = 0;
  #backlogMax = 0;
  #sent = 0;
  #inFlight = 0;
  #answered = 0;
  #bodyBytes = 0;
  #over = false;
  #settle!: { resolve: (result: Omit<LoadResult, "cpuMs">) => void; reject: (error: Error) => void };

  constructor(load: Load, requests: readonly Uint8Array[], connections: readonly Connection[]) {
    this.#load = load;
    this.#requests = requests;
    this.#connections = connections;
  }

  finished(): Promise<Omit<LoadResult, "cpuMs">> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      if (this.#load.rate === undefined)
        for (const connection of this.#connections) this.#send(connection, this.#started);
      else {
        this.#idle.push(...this.#connections);
        this.#tick(this.#load.rate);
      }
      setTimeout(() => this.#end(), this.#load.durationMs);
    });
  }

  /** Sends what is due by now. What finds no free connection waits, and its waiting counts. */
  #tick(rate: number): void {
    if (this.#over) return;
    const now = performance.now();
    const due = Math.floor(((now - this.#started) * rate) / 1000);
    let planned = this.#sent + this.#backlog.length - this.#backlogHead;
    for (; planned < due; planned++) {
      const connection = this.#idle.pop();
      if (connection) this.#send(connection, now);
      else this.#backlog.push(now);
    }
    this.#backlogMax = Math.max(this.#backlogMax, this.#backlog.length - this.#backlogHead);
    if (this.#backlogMax > backlogLimit)
      this.#fail(new Error(`${rate} requests a second are far more than it can take`));
    setTimeout(() => this.#tick(rate), 1);
  }

  #send(connection: Connection, dueMs: number): void {
    const request = this.#requests[this.#sent % this.#requests.length]!;
    this.#sent += 1;
    this.#inFlight += 1;
    connection.send(
      request,
      (answer) => this.#received(connection, dueMs, answer),
      (error) => this.#fail(error),
    );
  }

  #received(connection: Connection, dueMs: number, { status, bodyBytes, text }: Answer): void {
    this.#inFlight -= 1;
    if (status !== 200) {
      this.#fail(new Error(`answered ${status}: ${text}`));
      return;
    }
    const now = performance.now();
    if (!this.#over) {
      this.#answered += 1;
      this.#bodyBytes += bodyBytes;
      this.#histogram.recordValue(Math.max(1, Math.round((now - dueMs) * 1000)));
      if (this.#load.rate === undefined) this.#send(connection, now);
      else if (this.#backlogHead < this.#backlog.length) this.#send(connection, this.#nextWaiting());
      else this.#idle.push(connection);
    }
    if (this.#over && this.#inFlight === 0) this.#report();
  }

  #nextWaiting(): number {
    const due = this.#backlog[this.#backlogHead]!;
    this.#backlogHead += 1;
    if (this.#backlogHead === this.#backlog.length) {
      this.#backlog = [];
      this.#backlogHead = 0;
    }
    return due;
  }

  #end(): void {
    this.#over = true;
    this.#seconds = (performance.now() - this.#started) / 1000;
    if (this.#inFlight === 0) this.#report();
  }

  #seconds = 0;

  #report(): void {
    const ms = (percentile: number) => this.#histogram.getValueAtPercentile(percentile) / 1000;
    this.#settle.resolve({
      seconds: this.#seconds,
      answered: this.#answered,
      bodyBytes: this.#bodyBytes,
      p50Ms: ms(50),
      p99Ms: ms(99),
      p999Ms: ms(99.9),
      maxMs: this.#histogram.maxValue / 1000,
      backlogMax: this.#backlogMax,
    });
  }

  #fail(error: Error): void {
    this.#over = true;
    this.#settle.reject(error);
  }
}

export interface Tails {
  readonly url: string;
  readonly path: string;
  readonly streams: number;
}

let tails: { readonly answers: readonly IncomingMessage[]; records: number } | undefined;

/** Opens event streams and counts the records that arrive in all of them. */
async function openTails({ url, path, streams }: Tails): Promise<void> {
  const answers = await Promise.all(Array.from({ length: streams }, () => openTail(new URL(path, url))));
  const counted = { answers, records: 0 };
  tails = counted;
  for (const answer of answers)
    answer.setEncoding("latin1").on("data", (text: string) => {
      counted.records += text.split('{"offset":').length - 1;
    });
}

function openTail(url: URL): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(url, { agent: false, headers: { accept: "text/event-stream" } }, (answer) =>
      answer.statusCode === 200 ? resolve(answer) : reject(new Error(`${url} answered ${answer.statusCode}`)),
    );
    asked.on("error", reject).end();
  });
}

answerParent({
  run,
  openTails,
  tailedRecords: () => tails?.records ?? 0,
  closeTails() {
    for (const answer of tails?.answers ?? []) answer.on("error", () => {}).destroy();
    tails = undefined;
  },
  stop() {},
});
