// A broker and its HTTP face as one thing: started together, stopped in order. `millrace serve` and the testing entry share it.

import { type Broker, createBroker } from "../broker/broker.ts";
import type { Settings } from "../config.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Logger } from "../io/logger.ts";
import type { Random } from "../io/random.ts";
import { logMetrics } from "../metrics/log-observer.ts";
import { Metrics } from "../metrics/metrics.ts";
import { createHttpServer, type HttpServer } from "./server.ts";

export interface ServingOptions {
  readonly settings: Settings;
  readonly version: string;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly random: Random;
  readonly logger: Logger;
  /** Called with the server before it listens: nobody has connected yet. */
  readonly beforeListening?: (http: HttpServer) => void;
}

export interface Serving {
  readonly url: string;
  readonly http: HttpServer;
  readonly broker: Broker;
}

/** Resolves once connections are taken; on a rejection nothing is left open. */
export async function startServing(options: ServingOptions): Promise<Serving> {
  const { settings, version, clock, disk, random, logger } = options;
  const metrics = new Metrics();
  const begunMs = clock.monotonicMs();
  const { dataDir } = settings;
  const broker = await createBroker({
    dataDir,
    settings,
    clock,
    disk,
    random,
    logger,
    observer: logMetrics(metrics),
  });
  try {
    metrics.gauge("millrace_recovery_seconds", {}).set((clock.monotonicMs() - begunMs) / 1000);
    metrics.gauge("millrace_build_info", { version, node: process.versions.node }).set(1);
    watchHealth(metrics, broker);
    const http = createHttpServer({ broker, settings, clock, random, logger, metrics, version });
    options.beforeListening?.(http);
    return { url: await http.listen(), http, broker };
  } catch (error) {
    await broker.close();
    throw error;
  }
}

/** Requests under way may finish for `graceMs`; then the logs are closed clean. */
export async function stopServing({ http, broker }: Serving, graceMs: number): Promise<void> {
  await http.stop(graceMs);
  await broker.close();
}

function watchHealth(metrics: Metrics, broker: Broker): void {
  const topics = () => broker.listTopics({ internal: true }).topics;
  metrics.gauge("millrace_topics", {}).readFrom(() => topics().length);
  metrics
    .gauge("millrace_partitions", {})
    .readFrom(() => topics().reduce((sum, { partitionCount }) => sum + partitionCount, 0));
  metrics.gauge("millrace_partitions_offline", {}).readFrom(() => broker.health().partitionsOffline);
  metrics.gauge("millrace_disk_free_bytes", {}).readFrom(() => broker.health().diskFreeBytes);
  metrics.gauge("millrace_disk_total_bytes", {}).readFrom(() => broker.health().diskTotalBytes);
}
