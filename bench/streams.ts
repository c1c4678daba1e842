// WebSockets and the client on top of them: produces over one socket beside the HTTP route, batched produce by the client, thousands of
// subscribers that tail one topic, and the time from a producer's send to a consumer's handler.

import { readFile } from "node:fs/promises";
import { jsonBody, msgpackBody } from "./lib/bodies.ts";
import { Child } from "./lib/child.ts";
import type { ServerCounts } from "./lib/child-side.ts";
import type { EndToEnd, EndToEndResult, Produced, Producing } from "./lib/client-load.ts";
import { Figures, number, percent } from "./lib/figures.ts";
import { Latencies, nowMicros } from "./lib/latencies.ts";
import type { SocketProduced, SocketProducing } from "./lib/socket-load.ts";
import type { Delivered, Flood, Pace, TailsWanted } from "./lib/tails.ts";
import { withFolder } from "./lib/temporary-folder.ts";
import type { Load, LoadResult } from "./load-child.ts";

const topic = "bench";
const inFlight = 64;
const valueBytes = 100;
const subscriberBytesGoal = 20_000;
const endToEndGoalMs = { p50Ms: 0.5, p99Ms: 3 };
/** One process cannot read as fast for more than so many. */
const subscribersPerChild = 5000;
const deliveriesPerSecond = 20_000;
const recordsPerAppend = 10;
/** Files a broker has open beside its sockets. */
const otherFiles = 200;

interface Broker {
  readonly child: Child;
  readonly url: string;
}

export async function benchStreams(quick: boolean): Promise<Figures> {
  const figures = new Figures("streams");
  const only = process.env["BENCH_CASE"];
  const cases = { produce, client, tails, latency };
  for (const [name, run] of Object.entries(cases)) if (only === undefined || only === name) await run(figures, quick);
  return figures;
}

async function withBroker<T>(partitionCount: number, run: (broker: Broker) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    const flags = process.env["BENCH_NODE_FLAGS"]?.split(" ") ?? [];
    const child = new Child("broker-child", ["--expose-gc", ...flags]);
    try {
      const url = await child.ask<string>("start", { folder, syncMs: 0, topics: { [topic]: { partitionCount } } });
      return await run({ child, url });
    } finally {
      await child.stop();
    }
  });
}

async function withClients<T>(count: number, run: (clients: readonly Child[]) => Promise<T>): Promise<T> {
  const clients = Array.from({ length: count }, () => new Child("streams-child"));
  try {
    return await run(clients);
  } finally {
    for (const each of clients) await each.stop();
  }
}

async function produce(figures: Figures, quick: boolean): Promise<void> {
  const runs = quick ? 3 : 5;
  const durationMs = quick ? 1000 : 1500;
  await withBroker(1, (broker) =>
    withClients(1, async ([sockets]) => {
      const http = new Child("load-child");
      for (const encoding of ["json", "msgpack"] as const) {
        const name = `1 record, ${encoding}`;
        const ask = {
          socket: () => overSocket(sockets!, { url: broker.url, topic, encoding, inFlight, durationMs, valueBytes }),
          http: () => overHttp(http, broker.url, encoding, durationMs),
        };
        for (let run = -1; run < runs; run++) {
          for (const subject of run % 2 === 0 ? (["socket", "http"] as const) : (["http", "socket"] as const)) {
            const before = await broker.child.ask<ServerCounts>("counts");
            const { answered, seconds, p50Ms, p99Ms } = await ask[subject]();
            const after = await broker.child.ask<ServerCounts>("counts");
            const cpuMicros = ((after.cpuMs - before.cpuMs) * 1000) / answered;
            const perSecond = answered / seconds;
            if (run >= 0) figures.sample(name, subject, run, { perSecond, p50Ms, p99Ms, cpuMicros });
          }
        }
        tellProduce(figures, name, encoding);
      }
      await http.stop();
    }),
  );
}

const overSocket = (child: Child, asked: SocketProducing) => child.ask<SocketProduced>("produceOverSocket", asked);

function overHttp(child: Child, url: string, encoding: "json" | "msgpack", durationMs: number): Promise<LoadResult> {
  const body = encoding === "json" ? jsonBody(1, valueBytes) : msgpackBody(1, valueBytes);
  const path = `/v1/topics/${topic}/records`;
  const bodyBase64 = Buffer.from(body).toString("base64");
  const request = { method: "POST", path, contentType: `application/${encoding}`, bodyBase64 } as const;
  return child.ask<LoadResult>("run", { url, requests: [request], connections: inFlight, durationMs } satisfies Load);
}

function tellProduce(figures: Figures, name: string, encoding: string): void {
  const of = (subject: string, metric: string) => figures.median(name, subject, metric);
  const tell = (subject: string) =>
    `${number(of(subject, "perSecond"))} records/s, p50 ${number(of(subject, "p50Ms"))} ms, p99 ${number(of(subject, "p99Ms"))} ms, ${number(of(subject, "cpuMicros"))} µs of CPU each`;
  const ratio = of("socket", "perSecond") / of("http", "perSecond");
  figures.add({
    what: `1 record a produce, ${encoding}, one socket with ${inFlight} in flight`,
    measured: `${tell("socket")}; ${ratio.toFixed(2)} × the HTTP route`,
    floor: `the HTTP route, ${inFlight} connections: ${tell("http")}`,
  });
}

async function client(figures: Figures, quick: boolean): Promise<void> {
  const durationMs = quick ? 1000 : 2000;
  for (const bytes of [1024, 100]) {
    const name = `client produce, ${bytes} B`;
    await withBroker(4, async ({ child, url }) => {
      for (let run = 0; run < (quick ? 2 : 3); run++) {
        for (const transport of ["auto", "http"] as const) {
          const asked: Producing = { url, topic, transport, valueBytes: bytes, durationMs };
          const before = await child.ask<ServerCounts>("counts");
          // A process each time: what one run has compiled and kept is not the next one's.
          const { records, seconds } = await withClients(1, ([one]) => one!.ask<Produced>("produceBatched", asked));
          const { batches } = await child.ask<ServerCounts>("counts");
          const perBatch = records / Math.max(1, batches - before.batches);
          const values = { perSecond: records / seconds, megabytes: (records * bytes) / seconds / 1e6, perBatch };
          figures.sample(name, transport, run, values);
        }
      }
    });
    for (const transport of ["auto", "http"]) {
      const of = (metric: string) => figures.median(name, transport, metric);
      figures.add({
        what: `millrace/client, one producer over ${transport === "http" ? "HTTP" : "a WebSocket"}, values of ${number(bytes)} B, 4 partitions, idempotent, acks all`,
        measured: `${number(of("megabytes"))} MB/s, ${number(of("perSecond"))} records/s`,
      });
    }
  }
}

async function tails(figures: Figures, quick: boolean): Promise<void> {
  const filesMax = await openFilesMax();
  for (const wanted of quick ? [1000] : [1000, 10_000]) {
    const subscribers = Math.min(wanted, filesMax - otherFiles);
    const less =
      subscribers < wanted ? ` (${number(wanted)} were meant; a process may open ${number(filesMax)} files)` : "";
    const processes = Math.ceil(subscribers / subscribersPerChild);
    await withBroker(1, (broker) =>
      withClients(processes, (children) => tailed(figures, broker, children, { subscribers, less, quick })),
    );
  }
}

interface TailsPlan {
  readonly subscribers: number;
  /** Said beside the number, where there are fewer than meant. */
  readonly less: string;
  readonly quick: boolean;
}

async function tailed(figures: Figures, broker: Broker, children: readonly Child[], plan: TailsPlan): Promise<void> {
  const { subscribers, quick } = plan;
  const name = `${subscribers} tails`;
  const who = `${number(subscribers)} subscribers of one topic${plan.less}`;
  await warmUp(broker, children[0]!);
  const before = await broker.child.ask<number>("restingRssBytes");
  await openTails(broker.url, children, subscribers);
  const idle = await broker.child.ask<number>("restingRssBytes");
  const bytesEach = (idle - before) / subscribers;
  figures.sample(name, "broker", 0, { before, idle, bytesEach });
  figures.add({
    what: `${who}, idle: the broker's memory for each`,
    measured: `${number(bytesEach / 1000)} KB`,
    goal: `< ${subscriberBytesGoal / 1000} KB`,
    met: bytesEach < subscriberBytesGoal,
    note: `${number(idle / 1e6)} MB in all`,
  });

  const pace: Pace = { perSecond: deliveriesPerSecond / subscribers, durationMs: quick ? 3000 : 6000 };
  const paced = await delivery(broker, children, subscribers, (one) => one.ask<number>("paced", pace));
  const { p50Ms, p99Ms, maxMs } = paced;
  figures.sample(name, "paced", 0, { ...paced });
  figures.add({
    what: `${who}, ${number(pace.perSecond)} records/s appended, from the append to the subscriber's socket`,
    measured: `p50 ${number(p50Ms)} ms, p99 ${number(p99Ms)} ms, slowest ${number(maxMs)} ms; ${number(paced.perSecond)} records/s delivered, ${told(paced)}`,
  });

  const flood: Flood = { recordsPerAppend, durationMs: quick ? 2000 : 4000 };
  const flooded = await delivery(broker, children, subscribers, (one) => one.ask<number>("flood", flood));
  figures.sample(name, "flood", 0, { ...flooded });
  figures.add({
    what: `${who}, ${recordsPerAppend} records of ${valueBytes} B an append, the next when the last has arrived`,
    measured: `${number(flooded.perSecond)} records/s delivered, ${number(flooded.perSecond / recordsPerAppend)} messages/s, ${told(flooded)}`,
  });
  for (const each of children) await each.ask("closeTails");
}

interface Delivery {
  readonly perSecond: number;
  readonly lost: number;
  readonly missing: number;
  readonly core: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const told = ({ core, lost, missing }: Delivery): string =>
  `${percent(core)} of a core in the broker${lost + missing === 0 ? "" : `, ${number(lost)} subscribers and ${number(missing)} deliveries lost`}`;

/** One child appends, all receive. Subscribers that were lost and records that did not come are told and fail nothing. */
async function delivery(
  broker: Broker,
  children: readonly Child[],
  subscribers: number,
  run: (one: Child) => Promise<number>,
) {
  const before = await broker.child.ask<ServerCounts>("counts");
  const startedMicros = nowMicros();
  const appended = await run(children[0]!);
  await Promise.all(children.map((each) => each.ask("arrived", { perSubscriber: appended })));
  const after = await broker.child.ask<ServerCounts>("counts");
  const micros = nowMicros() - startedMicros;
  const latencies = new Latencies();
  let [records, alive, lastMicros] = [0, 0, startedMicros + 1];
  for (const each of children) {
    const delivered = await each.ask<Delivered>("delivered");
    latencies.add(delivered.encodedLatencies);
    records += delivered.records;
    alive += delivered.alive;
    lastMicros = Math.max(lastMicros, delivered.lastMicros);
  }
  const { p50Ms, p99Ms, maxMs } = latencies.figures;
  const delivery: Delivery = {
    perSecond: (records * 1e6) / (lastMicros - startedMicros),
    lost: subscribers - alive,
    missing: Math.max(0, alive * appended - records),
    core: ((after.cpuMs - before.cpuMs) * 1000) / micros,
    p50Ms,
    p99Ms,
    maxMs,
  };
  return delivery;
}

/** All that is compiled, allocated and grown once is there before anything is weighed. */
async function warmUp({ url }: Broker, child: Child): Promise<void> {
  await openTails(url, [child], 100);
  await child.ask("flood", { recordsPerAppend, durationMs: 1500 } satisfies Flood);
  await child.ask("delivered");
  await child.ask("closeTails");
}

async function openTails(url: string, children: readonly Child[], subscribers: number): Promise<void> {
  const each = Math.ceil(subscribers / children.length);
  const shares = children.map((_, index) => Math.min(each, subscribers - index * each));
  const open = (child: Child, index: number) =>
    child.ask("openTails", { url, topic, subscribers: shares[index]! } satisfies TailsWanted);
  await Promise.all(children.map(open));
}

/** Node raises its own limit as far as it may. */
async function openFilesMax(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const max = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  return max === undefined ? Number.POSITIVE_INFINITY : Number(max);
}

async function latency(figures: Figures, quick: boolean): Promise<void> {
  const perSecond = 1000;
  const runs = quick ? 1 : 3;
  for (let run = 0; run < runs; run++) {
    await withBroker(1, ({ url }) =>
      withClients(1, async ([one]) => {
        const asked: EndToEnd = { url, topic, perSecond, warmUpMs: 3000, durationMs: quick ? 3000 : 6000 };
        const { endToEnd, acknowledged, sent, received } = await one!.ask<EndToEndResult>("endToEnd", asked);
        const { p50Ms, p99Ms, p999Ms } = endToEnd;
        const values = { p50Ms, p99Ms, p999Ms, acknowledgedMs: acknowledged.p50Ms, missing: sent - received };
        figures.sample("end to end", "client", run, values);
      }),
    );
  }
  const of = (metric: string) => figures.median("end to end", "client", metric);
  const what = `${number(perSecond)} records/s of ${valueBytes} B, open loop: from the client's send() to the handler of a client's consumer, both over WebSockets`;
  for (const metric of ["p50Ms", "p99Ms"] as const) {
    const goal = endToEndGoalMs[metric];
    figures.add({
      what: `${what}, ${metric.slice(0, 3)}`,
      measured: `${number(of(metric))} ms`,
      goal: `< ${goal} ms`,
      met: of(metric) < goal,
      note:
        metric === "p50Ms"
          ? `acknowledged after ${number(of("acknowledgedMs"))} ms`
          : `p99.9 ${number(of("p999Ms"))} ms${of("missing") === 0 ? "" : `, ${number(of("missing"))} missing`}`,
    });
  }
}
