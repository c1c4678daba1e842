// Reading over HTTP from the page cache: stored batches, JSON pages, and event streams that many listen to. The floor sends
// as many bytes from memory.

import { batchBody, jsonBody } from "./lib/bodies.ts";
import { Figures, MiB, number, percent } from "./lib/figures.ts";
import { put, type Servers, type Subject, topic, withServers } from "./lib/servers.ts";

const byPartition = `/v1/topics/${topic}/partitions/0/records`;
const recordsPerBatch = 64;
const pageBytes = MiB;
const batchGoalMBps = 500;

export async function benchHttpFetch(quick: boolean): Promise<Figures> {
  const figures = new Figures("http-fetch");
  await withServers({ pageBytes }, async (servers) => {
    const records = await fill(servers, (quick ? 128 : 1024) * MiB);
    await fetchBatches(figures, servers, records, quick);
    await fetchPages(figures, servers, records, quick);
  });
  await withServers({}, (servers) => fanOut(figures, servers, quick));
  return figures;
}

/** Gives the number of records. */
async function fill({ broker, load }: Servers, bytes: number): Promise<number> {
  const body = batchBody(recordsPerBatch, 990);
  const requests = [
    {
      method: "POST",
      path: byPartition,
      contentType: "application/vnd.kafka.record-batch",
      bodyBase64: Buffer.from(body).toString("base64"),
    },
  ] as const;
  let batches = 0;
  while (batches * body.length < bytes)
    batches += (await put(broker, load, { requests, connections: 16, durationMs: 500 })).answered;
  return batches * recordsPerBatch;
}

async function fetchBatches(figures: Figures, servers: Servers, records: number, quick: boolean): Promise<void> {
  for (const connections of [1, 4]) {
    const name = `record batches, 1 MiB a request, ${connections} connections`;
    const pages = pathsOver(records, 256, `maxBytes=${pageBytes}`);
    const requests = pages.map(
      (path) => ({ method: "GET", path, accept: "application/vnd.kafka.record-batch" }) as const,
    );
    await interleaved(figures, servers, name, requests, connections, quick);
    const of = (subject: Subject) => figures.median(name, subject, "MBps");
    figures.add({
      what: name,
      measured: `${number(of("broker"))} MB/s`,
      floor: `${number(of("floor"))} MB/s from memory; the ratio is ${percent(of("broker") / of("floor"))}`,
      ...(connections === 4 && { goal: `≥ ${batchGoalMBps} MB/s`, met: of("broker") >= batchGoalMBps }),
    });
  }
}

async function fetchPages(figures: Figures, servers: Servers, records: number, quick: boolean): Promise<void> {
  const name = "JSON pages of 500 × 1 KiB records, 4 connections";
  const requests = pathsOver(records - 500, 256, "maxRecords=500").map(
    (path) => ({ method: "GET", path, accept: "application/json" }) as const,
  );
  for (let run = 0; run < (quick ? 3 : 5); run++) {
    const { bodyBytes, seconds, perSecond } = await put(servers.broker, servers.load, {
      requests,
      connections: 4,
      durationMs: 2000,
    });
    figures.sample(name, "broker", run, { MBps: bodyBytes / 1e6 / seconds, recordsPerSecond: perSecond * 500 });
  }
  const of = (metric: string) => figures.median(name, "broker", metric);
  figures.add({ what: name, measured: `${number(of("MBps"))} MB/s, ${number(of("recordsPerSecond"))} records/s` });
}

function pathsOver(records: number, count: number, query: string): string[] {
  return Array.from({ length: count }, (_, i) => `${byPartition}?offset=${Math.floor((records * i) / count)}&${query}`);
}

async function interleaved(
  figures: Figures,
  servers: Servers,
  name: string,
  requests: readonly { method: "GET"; path: string; accept: string }[],
  connections: number,
  quick: boolean,
): Promise<void> {
  for (let run = 0; run < (quick ? 3 : 7); run++) {
    for (const subject of ["broker", "floor"] as const) {
      const asked = subject === "broker" ? requests : [{ method: "GET", path: "/page" } as const];
      const measured = await put(servers[subject], servers.load, {
        requests: asked,
        connections,
        durationMs: quick ? 1000 : 2000,
      });
      figures.sample(name, subject, run, { ...measured, MBps: measured.bodyBytes / 1e6 / measured.seconds });
    }
  }
}

/** Every record to every listener. */
async function fanOut(figures: Figures, { broker, load }: Servers, quick: boolean): Promise<void> {
  const streams = 100;
  const body = jsonBody(10, 100);
  const name = `event streams: ${streams} listeners`;
  await load.ask("openTails", { url: broker.url, path: `${byPartition}?offset=latest`, streams });
  const requests = [
    {
      method: "POST",
      path: byPartition,
      contentType: "application/json",
      bodyBase64: Buffer.from(body).toString("base64"),
    },
  ] as const;
  const started = performance.now();
  const produced = await put(broker, load, { requests, connections: 4, durationMs: quick ? 1000 : 3000, rate: 200 });
  const wanted = produced.answered * 10 * streams;
  let arrived = 0;
  for (let looks = 0; arrived < wanted && looks < 1000; looks++) {
    arrived = await load.ask<number>("tailedRecords");
    if (arrived < wanted) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const seconds = (performance.now() - started) / 1000;
  await load.ask("closeTails");
  if (arrived < wanted) throw new Error(`${arrived} records arrived of ${wanted}`);
  figures.sample(name, "broker", 0, { deliveriesPerSecond: arrived / seconds, seconds });
  figures.add({
    what: name,
    measured: `${number(produced.perSecond * 10)} records/s produced, ${number(arrived / seconds)} records/s delivered, all of them`,
  });
}
