// Produce over HTTP, beside a bare fastify route that parses the same body and appends its bytes with the same group commit.
// Throughput: closed loop, 64 connections, medians of interleaved runs. Latency: open loop at a quarter of the floor's throughput.

import { batchBody, jsonBody, msgpackBody } from "./lib/bodies.ts";
import { Figures, number, percent } from "./lib/figures.ts";
import { type Measured, put, type Servers, type Subject, topic, withServers } from "./lib/servers.ts";

interface Case {
  readonly name: string;
  readonly contentType: string;
  readonly path: string;
  readonly body: Uint8Array;
  readonly records: number;
  readonly goal?: number;
  /** Latency is told too. */
  readonly latency?: true;
}

const byTopic = `/v1/topics/${topic}/records`;
const byPartition = `/v1/topics/${topic}/partitions/0/records`;
const connections = 64;
const latencyGoal = 1.3;
/** Of the floor's throughput: a load that leaves both room, also while the machine does something else. */
const latencyLoad = 0.25;

const cases: readonly Case[] = [
  {
    name: "1 record, JSON",
    contentType: "application/json",
    path: byTopic,
    body: jsonBody(1, 100),
    records: 1,
    goal: 0.8,
    latency: true,
  },
  {
    name: "100 × 1 KiB, JSON",
    contentType: "application/json",
    path: byTopic,
    body: jsonBody(100, 1024),
    records: 100,
    goal: 0.6,
  },
  {
    name: "1 record, msgpack",
    contentType: "application/msgpack",
    path: byTopic,
    body: msgpackBody(1, 100),
    records: 1,
  },
  {
    name: "100 × 1 KiB, msgpack",
    contentType: "application/msgpack",
    path: byTopic,
    body: msgpackBody(100, 1024),
    records: 100,
  },
  {
    name: "1 record, record batch",
    contentType: "application/vnd.kafka.record-batch",
    path: byPartition,
    body: batchBody(1, 100),
    records: 1,
  },
  {
    name: "100 × 1 KiB, record batch",
    contentType: "application/vnd.kafka.record-batch",
    path: byPartition,
    body: batchBody(100, 1024),
    records: 100,
    goal: 0.8,
  },
];

export async function benchHttpProduce(quick: boolean): Promise<Figures> {
  const figures = new Figures("http-produce");
  const only = process.env["BENCH_CASE"];
  for (const one of cases.filter(({ name }) => only === undefined || name.includes(only)))
    await withServers({}, (servers) => compare(figures, servers, one, quick));
  if (only === undefined || only === "slow") await slowSync(figures, quick);
  return figures;
}

async function compare(figures: Figures, servers: Servers, one: Case, quick: boolean): Promise<void> {
  const durationMs = quick ? 1500 : 2500;
  await interleaved(figures, servers, one, "warm-up", { connections, durationMs, runs: 2 });
  await interleaved(figures, servers, one, one.name, { connections, durationMs, runs: quick ? 3 : 7 });
  const of = (subject: Subject, metric: string) => figures.median(one.name, subject, metric);
  const ratio = of("broker", "perSecond") / of("floor", "perSecond");
  figures.add({
    what: `${one.name}, ${connections} connections`,
    measured: `${number(of("broker", "perSecond"))} requests/s, ${number(of("broker", "perSecond") * one.records)} records/s, p50 ${number(of("broker", "p50Ms"))} ms, ${number(of("broker", "cpuMicros"))} µs of CPU each`,
    floor: `${number(of("floor", "perSecond"))} requests/s, p50 ${number(of("floor", "p50Ms"))} ms, ${number(of("floor", "cpuMicros"))} µs; the ratio is ${percent(ratio)}`,
    ...(one.goal !== undefined && { goal: `≥ ${percent(one.goal)}`, met: ratio >= one.goal }),
  });
  if (one.latency) await latency(figures, servers, one, of("floor", "perSecond") * latencyLoad, quick);
}

async function latency(figures: Figures, servers: Servers, one: Case, rate: number, quick: boolean): Promise<void> {
  const name = `${one.name}, open loop`;
  const rounded = Math.round(rate / 100) * 100;
  const durationMs = quick ? 1500 : 4000;
  await interleaved(figures, servers, one, name, { connections, durationMs, runs: quick ? 3 : 5, rate: rounded });
  const of = (subject: Subject, metric: string) => figures.median(name, subject, metric);
  const tell = (subject: Subject) =>
    `p50 ${number(of(subject, "p50Ms"))} ms, p99 ${number(of(subject, "p99Ms"))} ms, p99.9 ${number(of(subject, "p999Ms"))} ms`;
  const ratio = of("broker", "p50Ms") / of("floor", "p50Ms");
  figures.add({
    what: `${one.name}, ${number(rounded)} requests/s, open loop over ${connections} connections`,
    measured: tell("broker"),
    floor: `${tell("floor")}; the ratio of p50 is ${ratio.toFixed(2)}`,
    goal: `p50 ≤ ${latencyGoal}×`,
    met: ratio <= latencyGoal,
  });
}

/** fdatasync takes 2 ms more, as it does on disks that flush a cache: what shares a sync decides. */
async function slowSync(figures: Figures, quick: boolean): Promise<void> {
  const one = cases[0]!;
  const perSecond = new Map<number, number>();
  await withServers({ syncMs: 2 }, async (servers) => {
    await interleaved(figures, servers, one, "warm-up", { connections, durationMs: 1500, runs: 1 });
    for (const count of [1, 16, 64, 256]) {
      const name = `${one.name}, fdatasync + 2 ms, ${count} connections`;
      const durationMs = quick ? 1500 : 2000;
      await interleaved(figures, servers, one, name, { connections: count, durationMs, runs: quick ? 1 : 5 });
      const of = (subject: Subject, metric: string) => figures.median(name, subject, metric);
      const ratio = of("broker", "perSecond") / of("floor", "perSecond");
      perSecond.set(count, of("broker", "perSecond"));
      const times = perSecond.get(count)! / perSecond.get(1)!;
      figures.add({
        what: name,
        measured: `${number(of("broker", "perSecond"))} requests/s, ${number(of("broker", "batchesPerSync"))} records a sync, p50 ${number(of("broker", "p50Ms"))} ms; ${number(times)} × one connection`,
        floor: `${number(of("floor", "perSecond"))} requests/s, ${number(of("floor", "batchesPerSync"))} a sync; the ratio is ${percent(ratio)}`,
        ...(count === 64 && { goal: "≥ 20 × one connection", met: times >= 20 }),
      });
    }
  });
}

interface Plan {
  readonly connections: number;
  readonly durationMs: number;
  readonly runs: number;
  readonly rate?: number;
}

async function interleaved(figures: Figures, servers: Servers, one: Case, name: string, plan: Plan): Promise<void> {
  const { runs, ...shape } = plan;
  const request = {
    method: "POST",
    contentType: one.contentType,
    bodyBase64: Buffer.from(one.body).toString("base64"),
  } as const;
  for (let run = 0; run < runs; run++) {
    for (const subject of run % 2 === 0 ? (["broker", "floor"] as const) : (["floor", "broker"] as const)) {
      const path = subject === "broker" ? one.path : "/append";
      const measured: Measured = await put(servers[subject], servers.load, {
        ...shape,
        requests: [{ ...request, path }],
      });
      figures.sample(name, subject, run, { ...measured });
    }
  }
}
