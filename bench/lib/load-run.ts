// Requests over a set of connections, for a time: as fast as they are answered (closed loop), or at a fixed rate whatever the answers
// do (open loop). Every answer is waited for and must be a success.

import { build } from "hdr-histogram-js";
import type { Answer, Connection } from "./connection.ts";

export interface LoadRunOptions {
  readonly connections: readonly Connection[];
  readonly durationMs: number;
  /** Requests a second; closed loop without it. */
  readonly rate?: number;
  /** The request that is sent when so many have been. */
  request(sent: number): Uint8Array;
  /** The answer to that request. */
  received?(sent: number, answer: Answer): void;
}

const backlogLimit = 1_000_000;

export interface LoadRunResult {
  readonly seconds: number;
  readonly answered: number;
  readonly bodyBytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Open loop: the most requests that waited for a free connection. */
  readonly backlogMax: number;
}

export class LoadRun {
  readonly #options: LoadRunOptions;
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
  #settle!: { resolve: (result: LoadRunResult) => void; reject: (error: Error) => void };

  constructor(options: LoadRunOptions) {
    this.#options = options;
  }

  finished(): Promise<LoadRunResult> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      const { rate, connections, durationMs } = this.#options;
      if (rate === undefined) for (const connection of connections) this.#send(connection, this.#started);
      else {
        this.#idle.push(...connections);
        this.#tick(rate);
      }
      setTimeout(() => this.#end(), durationMs);
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
    const sent = this.#sent;
    this.#sent += 1;
    this.#inFlight += 1;
    connection.send(
      this.#options.request(sent),
      (answer) => this.#received(connection, dueMs, sent, answer),
      (error) => this.#fail(error),
    );
  }

  #received(connection: Connection, dueMs: number, sent: number, answer: Answer): void {
    this.#inFlight -= 1;
    if (answer.status >= 300) {
      this.#fail(new Error(`answered ${answer.status}: ${answer.text}`));
      return;
    }
    this.#options.received?.(sent, answer);
    const now = performance.now();
    if (!this.#over) {
      this.#answered += 1;
      this.#bodyBytes += answer.bodyBytes;
      this.#histogram.recordValue(Math.max(1, Math.round((now - dueMs) * 1000)));
      if (this.#options.rate === undefined) this.#send(connection, now);
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
