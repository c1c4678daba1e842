// The entry for users' own tests: a whole broker inside the test's process, on a folder and a port of its own, that can be told to fail.
// Library entry: import { startBroker } from "millrace/testing".

import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { defaultSettings, type Settings } from "./config.ts";
import { type Serving, startServing, stopServing } from "./http/serving.ts";
import type { Clock } from "./io/clock.ts";
import { silentLogger } from "./io/logger.ts";
import { NodeClock } from "./io/node-clock.ts";
import { NodeDisk } from "./io/node-disk.ts";
import { NodeRandom } from "./io/node-random.ts";
import { makeTemporaryFolder } from "./io/temporary-folder.ts";
import { type Delay, type Drop, type Fault, Faults, type Refusal } from "./testing/faults.ts";
import { OneLife } from "./testing/one-life.ts";

export type { Settings } from "./config.ts";
export type { Clock, Timer } from "./io/clock.ts";
export type { ErrorCode } from "./protocol/error-codes.ts";
export type { Delay, Drop, Fault, FaultScope, Refusal } from "./testing/faults.ts";

/** What {@link startBroker} may be told. */
export interface TestBrokerOptions {
  /** The data folder, kept at the end. By default a temporary one, deleted by `close()`; in that one nothing is synced to the device. */
  readonly dataDir?: string;
  /** `host:port`; port 0, the default, takes a free one. */
  readonly listen?: string;
  /** Any setting of `millrace serve`, as `{ autoCreateTopics: true }`. */
  readonly settings?: Partial<Omit<Settings, "dataDir" | "listen">>;
  /** The broker's time, for tests that own time. By default the machine's. */
  readonly clock?: Clock;
}

/** A broker that a test has started. `await using broker = await startBroker()` closes it with the block. */
export interface TestBroker {
  /** As `http://127.0.0.1:40123`; the same over restarts. */
  readonly url: string;
  /** The folder that holds everything it keeps. */
  readonly dataDir: string;
  /** Answers requests with a problem instead of handling them. */
  refuse(refusal: Refusal): Fault;
  /** Handles requests later than they come. */
  delay(delay: Delay): Fault;
  /** Cuts the connection of a request: before it is handled, or after it, so that its answer is lost. */
  drop(drop: Drop): Fault;
  /** Cuts every connection there is, WebSockets and waiting reads too. New ones are taken. */
  cutConnections(): void;
  /** Ends the broker in order: streams are told, logs closed clean. The folder stays, and `restart()` goes on with it. */
  stop(): Promise<void>;
  /**
   * Ends the broker as `kill -9` ends a process: connections break, nothing is finished, and what was written last may not have been
   * acknowledged. `restart()` recovers as after a crash.
   */
  kill(): Promise<void>;
  /** Starts again over the same folder, on the same port; a broker that runs is stopped in order first. */
  restart(): Promise<void>;
  /** Ends the broker and deletes its folder if that is a temporary one. Harmless the second time. */
  close(): Promise<void>;
  /** close() */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a broker in this process that serves the whole contract. Resolves once it takes connections, after some tens of milliseconds. */
export async function startBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const dataDir = options.dataDir ?? (await makeTemporaryFolder("millrace-testing-"));
  const broker = new InProcessBroker(options, dataDir);
  try {
    await broker.restart();
  } catch (error) {
    await broker.close();
    throw error;
  }
  return broker;
}

const { version } = createRequire(import.meta.url)("../package.json") as { readonly version: string };
/** A test does not wait as long as an operator for requests that never end. */
const shutdownGraceMs = 1_000;

/** What there is of a broker between its start and its end. */
interface Running {
  readonly serving: Serving;
  readonly life: OneLife;
  readonly sockets: ReadonlySet<Socket>;
}

class InProcessBroker implements TestBroker {
  readonly dataDir: string;
  readonly #isTemporary: boolean;
  readonly #clock: Clock;
  readonly #random = new NodeRandom();
  readonly #faults = new Faults(this.#random);
  readonly #givenSettings: Partial<Settings>;
  #listen: string;
  #url = "";
  #running: Running | undefined;
  /** Starts and ends happen one after the other, whoever asks. */
  #last: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: TestBrokerOptions, dataDir: string) {
    this.dataDir = dataDir;
    this.#isTemporary = options.dataDir === undefined;
    this.#clock = options.clock ?? new NodeClock();
    this.#givenSettings = { shutdownGraceMs, ...options.settings };
    this.#listen = options.listen ?? "127.0.0.1:0";
  }

  get url(): string {
    return this.#url;
  }

  refuse(refusal: Refusal): Fault {
    return this.#faults.refuse(refusal);
  }

  delay(delay: Delay): Fault {
    return this.#faults.delay(delay);
  }

  drop(drop: Drop): Fault {
    return this.#faults.drop(drop);
  }

  cutConnections(): void {
    for (const socket of this.#running?.sockets ?? []) socket.destroy();
  }

  stop(): Promise<void> {
    return this.#inTurn(() => this.#stop());
  }

  kill(): Promise<void> {
    return this.#inTurn(() => this.#kill());
  }

  restart(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#closed) throw new Error("this broker is closed");
      await this.#stop();
      await this.#start();
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#closed) return;
      this.#closed = true;
      await this.#stop();
      if (this.#isTemporary) await new NodeDisk().removeDir(this.dataDir);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => {}); // whoever asked is told
    return turn;
  }

  async #start(): Promise<void> {
    const settings = { ...defaultSettings, ...this.#givenSettings, dataDir: this.dataDir, listen: this.#listen };
    const life = new OneLife(new NodeDisk(), this.#clock, this.#isTemporary ? "skipped" : "real");
    const sockets = new Set<Socket>();
    const serving = await startServing({
      settings,
      version,
      clock: life.clock,
      disk: life.disk,
      random: this.#random,
      logger: silentLogger,
      beforeListening: ({ app: { server } }) => {
        this.#faults.watch(server, life.clock);
        server.on("connection", (socket: Socket) => {
          sockets.add(socket);
          socket.once("close", () => sockets.delete(socket));
        });
      },
    });
    this.#running = { serving, life, sockets };
    this.#url = serving.url;
    const { port } = new URL(serving.url);
    this.#listen = this.#listen.replace(/[0-9]+$/, port);
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    await stopServing(running.serving, this.#givenSettings.shutdownGraceMs ?? shutdownGraceMs);
  }

  async #kill(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    const { serving, life, sockets } = running;
    const { server } = serving.http.app;
    const portIsFree = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await life.kill();
    await portIsFree;
  }
}
