// The broker with its HTTP server, as `millrace serve` has it, except that the disk may be slowed and the syncs are counted.

import { type Broker, createBroker } from "../src/broker/broker.ts";
import { defaultSettings, type Settings } from "../src/config.ts";
import { createHttpServer, type HttpServer } from "../src/http/server.ts";
import { silentLogger } from "../src/io/logger.ts";
import { NodeClock } from "../src/io/node-clock.ts";
import { NodeDisk } from "../src/io/node-disk.ts";
import { NodeRandom } from "../src/io/node-random.ts";
import { silentObserver } from "../src/log/log-context.ts";
import { Metrics } from "../src/metrics/metrics.ts";
import { answerParent, countsOf, restingRssBytes } from "./lib/child-side.ts";
import { slowDisk } from "./lib/slow-disk.ts";

const threads = 16; // as many as the parent asked libuv for
const work = { syncs: 0, batches: 0 };
let broker: Broker;
let server: HttpServer;

interface Start {
  readonly folder: string;
  readonly syncMs: number;
  readonly topics: Readonly<Record<string, { partitionCount: number; config?: Record<string, unknown> }>>;
  readonly settings?: Partial<Settings>;
}

answerParent({
  async start({ folder, syncMs, topics, settings: given }: Start) {
    const settings: Settings = { ...defaultSettings, listen: "127.0.0.1:0", ...given, dataDir: folder };
    const clock = new NodeClock();
    const random = new NodeRandom();
    const node = new NodeDisk({ poolThreads: threads });
    const observer = {
      ...silentObserver,
      groupWritten(batches: number) {
        work.batches += batches;
      },
      synced() {
        work.syncs += 1;
      },
    };
    const disk = syncMs > 0 ? slowDisk(node, syncMs) : node;
    broker = await createBroker({ dataDir: folder, settings, clock, random, disk, observer });
    for (const [name, topic] of Object.entries(topics)) await broker.createTopic({ name, ...topic });
    const metrics = new Metrics();
    server = createHttpServer({ broker, settings, clock, random, logger: silentLogger, metrics, version: "bench" });
    return await server.listen();
  },
  counts: () => countsOf(work),
  restingRssBytes,
  async stop() {
    await server.stop(1000);
    await broker.close();
  },
});
