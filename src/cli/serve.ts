// `millrace serve`: starts the broker, then HTTP, says where, and stops both on a signal: readiness goes first, requests under way
// finish, streams are told where to go on, the logs are closed clean. A second signal ends it at once.

import type { Settings } from "../config.ts";
import { type Serving, startServing, stopServing } from "../http/serving.ts";
import { NodeClock } from "../io/node-clock.ts";
import { NodeDisk } from "../io/node-disk.ts";
import { NodeRandom } from "../io/node-random.ts";
import { poolThreads } from "../io/pool-share.ts";
import { createLogger } from "./pino-logger.ts";

type Log = ReturnType<typeof createLogger>;

/** Resolves when the broker serves. */
export async function serve(settings: Settings, version: string): Promise<void> {
  const log = createLogger(settings.logLevel);
  endOnBugs(log);
  const stopping = new Stopping(log);
  const serving = await start(settings, version, log);
  const { url } = serving;
  const { dataDir } = settings;
  log.info({ url, dataDir, version, brokerId: settings.brokerId, pid: process.pid }, "millrace listens");
  if (process.stdout.isTTY) {
    process.stderr.write(`\nMillrace ${version} listens on ${url}, its data is in ${dataDir}. The API: ${url}/docs\n`);
    process.stderr.write(`Try: curl --json '{"name":"first"}' ${url}/v1/topics\n\n`);
  }
  stopping.by(() => stop(serving, settings.shutdownGraceMs, log));
}

async function start(settings: Settings, version: string, log: Log): Promise<Serving> {
  const disk = new NodeDisk({ poolThreads: poolThreads(process.env["UV_THREADPOOL_SIZE"]) });
  const doors = { clock: new NodeClock(), random: new NodeRandom(), disk };
  return await startServing({ settings, version, logger: log, ...doors });
}

async function stop(serving: Serving, graceMs: number, log: Log): Promise<void> {
  await stopServing(serving, graceMs);
  log.info({}, "millrace has stopped");
}

/** From the first moment a signal is heard; one that comes before the broker serves stops it as soon as it does. */
class Stopping {
  readonly #log: Log;
  #stop: (() => Promise<void>) | undefined;
  #signal: NodeJS.Signals | undefined;

  constructor(log: Log) {
    this.#log = log;
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => this.#heard(signal));
  }

  by(stop: () => Promise<void>): void {
    this.#stop = stop;
    if (this.#signal !== undefined) this.#begin();
  }

  #heard(signal: NodeJS.Signals): void {
    if (this.#signal !== undefined) {
      this.#log.warn({ signal }, "a second signal: millrace ends at once");
      process.exit(1);
    }
    this.#signal = signal;
    this.#log.info({ signal }, "millrace stops: requests under way are finished first");
    this.#begin();
  }

  #begin(): void {
    this.#stop?.().then(
      () => process.exit(0),
      (error: unknown) => {
        this.#log.fatal({ err: error }, "millrace could not stop in order");
        process.exit(1);
      },
    );
  }
}

/** After a bug nothing is closed in order: the next start recovers, and trusts only what is on the disk. */
function endOnBugs(log: Log): void {
  const end = (error: unknown) => {
    log.fatal({ err: error }, "a bug: millrace ends");
    process.exit(70);
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}
