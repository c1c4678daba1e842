// Consumer groups: many members that only stay, one group that is rebalanced, commits at a fixed rate, and how soon a broker with
// a million committed offsets serves its groups again.

import { mkdir } from "node:fs/promises";
import type { Beating, Crowd, Parked, Parking } from "./group-child.ts";
import { batchBody } from "./lib/bodies.ts";
import { Child } from "./lib/child.ts";
import type { ServerCounts } from "./lib/child-side.ts";
import { Connection, requestBytes } from "./lib/connection.ts";
import { Figures, median, number, percent } from "./lib/figures.ts";
import type { LoadRunResult } from "./lib/load-run.ts";
import { ServingProcess } from "./lib/serving-process.ts";
import { withFolder } from "./lib/temporary-folder.ts";

const topic = "bench";
const heartbeatIntervalMs = 5000;
const groups = 1000;
const membersPerGroup = 10;
const rebalanceMs = 1000;
const positionsPerSecond = 10_000;
const positionsPerCall = 10;
const loadSeconds = 5;
const loadRssMB = 300;

interface Parties {
  readonly broker: Child;
  readonly url: string;
  readonly clients: Child;
}

export async function benchGroups(quick: boolean): Promise<Figures> {
  const figures = new Figures("groups");
  const only = process.env["BENCH_CASE"];
  const cases = { staying, rebalance, commits, load };
  for (const [name, run] of Object.entries(cases)) if (only === undefined || only === name) await run(figures, quick);
  return figures;
}

async function withParties<T>(partitionCount: number, run: (parties: Parties) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    await mkdir(`${folder}/broker`);
    const flags = process.env["BENCH_NODE_FLAGS"]?.split(" ") ?? [];
    const broker = new Child("broker-child", flags);
    const clients = new Child("group-child");
    try {
      const start = { folder: `${folder}/broker`, syncMs: 0, topics: { [topic]: { partitionCount } } };
      return await run({ broker, url: await broker.ask<string>("start", start), clients });
    } finally {
      for (const child of [clients, broker]) await child.stop();
    }
  });
}

/** What the broker used in the meantime. */
async function used<T>(broker: Child, run: () => Promise<T>) {
  const before = await broker.ask<ServerCounts>("counts");
  const startedMs = performance.now();
  const result = await run();
  const ms = performance.now() - startedMs;
  const after = await broker.ask<ServerCounts>("counts");
  return {
    result,
    core: (after.cpuMs - before.cpuMs) / ms,
    rssMB: after.rssBytes / 1e6,
    syncs: after.syncs - before.syncs,
  };
}

/** All members stay in their groups at the usual interval: by heartbeats that are answered at once, then parked in long polls. */
async function staying(figures: Figures, quick: boolean): Promise<void> {
  const count = groups * membersPerGroup;
  const rate = count / (heartbeatIntervalMs / 1000);
  const who = `${number(groups)} groups × ${membersPerGroup} members`;
  await withParties(membersPerGroup, async ({ broker, url, clients }) => {
    const crowd: Crowd = { url, groups, membersPerGroup, topic, partitionCount: membersPerGroup };
    const { seconds, polls } = await clients.ask<{ seconds: number; polls: number }>("join", crowd);
    figures.sample("join", "broker", 0, { seconds, polls });

    const beating: Beating = { rate, durationMs: quick ? 3000 : 10_000 };
    const beats = await used(broker, () => clients.ask<LoadRunResult>("beat", beating));
    const { answered, seconds: beatSeconds, p50Ms, p99Ms } = beats.result;
    figures.sample("heartbeats", "broker", 0, { p50Ms, p99Ms, core: beats.core, rssMB: beats.rssMB });
    figures.add({
      what: `${who}, each beating every ${heartbeatIntervalMs / 1000} s (maxRecords 0), ${number(rate)} polls/s, open loop over 64 connections`,
      measured: `${number(answered / beatSeconds)} polls/s, p50 ${number(p50Ms)} ms, p99 ${number(p99Ms)} ms, ${percent(beats.core)} of a core, ${number(beats.rssMB)} MB`,
      note: `all joined and at rest in ${number(seconds)} s and ${number(polls)} polls`,
    });

    const parking: Parking = { waitMs: heartbeatIntervalMs, durationMs: quick ? 6000 : 15_000 };
    await clients.ask("park", parking);
    const parked = await used(broker, () => clients.ask<Parked>("measureParked", parking));
    const { lateP50Ms, lateP99Ms } = parked.result;
    figures.sample("parked", "broker", 0, { lateP50Ms, lateP99Ms, core: parked.core, rssMB: parked.rssMB });
    figures.add({
      what: `${who}, each in a long poll of ${heartbeatIntervalMs / 1000} s, nothing to read, ${number(count)} connections`,
      measured: `${number(parked.result.answered / parked.result.seconds)} polls/s, answered p50 ${number(lateP50Ms)} ms, p99 ${number(lateP99Ms)} ms after the wait, ${percent(parked.core)} of a core, ${number(parked.rssMB)} MB`,
    });
  });
}

async function rebalance(figures: Figures, quick: boolean): Promise<void> {
  const count = 100;
  const partitionCount = 1000;
  await withParties(partitionCount, async ({ url, clients }) => {
    const crowd: Crowd = { url, groups: 1, membersPerGroup: count, topic, partitionCount };
    await clients.ask("startClients", crowd);
    for (let run = 0; run < (quick ? 2 : 5); run++) {
      figures.sample("one joins", "broker", run, { ms: await clients.ask<number>("oneJoins") });
      figures.sample("one leaves", "broker", run, { ms: await clients.ask<number>("oneLeaves") });
    }
  });
  for (const name of ["one joins", "one leaves"]) {
    const times = figures.samples.filter((sample) => sample.case === name).map(({ value }) => value);
    const slowest = Math.max(...times);
    figures.add({
      what: `${count} members on ${number(partitionCount)} partitions, ${name}, until everybody has the new share`,
      measured: `${number(median(times))} ms, the slowest of ${times.length} ${number(slowest)} ms`,
      goal: `< ${rebalanceMs} ms`,
      met: slowest < rebalanceMs,
    });
  }
}

/** One member in each of many groups commits a step further in all its partitions with each heartbeat. */
async function commits(figures: Figures, quick: boolean): Promise<void> {
  const rate = positionsPerSecond / positionsPerCall;
  const durationMs = quick ? 3000 : 10_000;
  await withParties(positionsPerCall, async ({ broker, url, clients }) => {
    await fill(url, durationMs / 1000);
    const crowd: Crowd = { url, groups, membersPerGroup: 1, topic, partitionCount: positionsPerCall };
    await clients.ask("join", crowd);
    const beating: Beating = { rate, durationMs, positions: positionsPerCall };
    const { result, core, syncs } = await used(broker, () => clients.ask<LoadRunResult>("beat", beating));
    const achieved = (result.answered * positionsPerCall) / result.seconds;
    const { p50Ms, p99Ms } = result;
    figures.sample("commits", "broker", 0, { achieved, p50Ms, p99Ms, core, syncs });
    figures.add({
      what: `${number(positionsPerSecond)} positions/s committed, ${positionsPerCall} a call, ${number(groups)} groups, open loop over 64 connections`,
      measured: `${number(achieved)} positions/s, p50 ${number(p50Ms)} ms, p99 ${number(p99Ms)} ms, ${percent(core)} of a core, ${number(syncs / result.seconds)} syncs/s`,
      goal: `${number(positionsPerSecond)} positions/s`,
      met: achieved >= positionsPerSecond * 0.99,
    });
  });
}

/** More records in each partition than commits go through. */
async function fill(url: string, seconds: number): Promise<void> {
  const connection = await Connection.open(Number(new URL(url).port));
  const contentType = "application/vnd.kafka.record-batch";
  const body = batchBody(Math.ceil(seconds) * 2 + 10, 20);
  for (let partition = 0; partition < positionsPerCall; partition++) {
    const path = `/v1/topics/${topic}/partitions/${partition}/records`;
    const { status, text } = await connection.ask(requestBytes({ method: "POST", path, contentType, body }));
    if (status !== 200) throw new Error(`answered ${status}: ${text}`);
  }
  connection.close();
}

/** The offsets are committed through HTTP, the broker stops, and another process starts on its folder. */
async function load(figures: Figures, quick: boolean): Promise<void> {
  const partitionCount = 100;
  const groupCount = quick ? 1000 : 10_000;
  const about = `${number(groupCount * partitionCount)} offsets of ${number(groupCount)} groups`;
  await withFolder(async (folder) => {
    const filling = await ServingProcess.broker(folder);
    await filling.createTopic({ name: topic, partitionCount });
    await commitEverywhere(filling.url, groupCount, partitionCount);
    await filling.end("SIGTERM");
    for (let run = 0; run < (quick ? 1 : 3); run++) {
      const broker = await ServingProcess.broker(folder);
      const listening = performance.now();
      const answer = await fetch(`${broker.url}/v1/groups?limit=1`);
      if (answer.status !== 200) throw new Error(`the groups were not listed: ${await answer.text()}`);
      const servedMs = broker.readyMs + performance.now() - listening;
      const rssMB = (await broker.peakRssBytes()) / 1e6;
      await expectOffsets(broker.url, groupCount, partitionCount);
      await broker.end("SIGTERM");
      figures.sample("load", "broker", run, { readyMs: broker.readyMs, servedMs, rssMB });
    }
  });
  const seconds = figures.median("load", "broker", "servedMs") / 1000;
  const rssMB = figures.median("load", "broker", "rssMB");
  figures.add({
    what: `${about}: from the spawn of the process until every group is served`,
    measured: `${number(seconds)} s; it listens after ${number(figures.median("load", "broker", "readyMs") / 1000)} s`,
    goal: `< ${loadSeconds} s`,
    met: seconds < loadSeconds,
  });
  figures.add({
    what: `${about}: most resident memory until then`,
    measured: `${number(rssMB)} MB`,
    goal: `< ${loadRssMB} MB`,
    met: rssMB < loadRssMB,
  });
}

async function commitEverywhere(url: string, groupCount: number, partitionCount: number): Promise<void> {
  const positions = Array.from({ length: partitionCount }, (_, partition) => ({ topic, partition, nextOffset: 0 }));
  const body = Buffer.from(JSON.stringify({ positions }));
  let next = 0;
  const work = async () => {
    const connection = await Connection.open(Number(new URL(url).port));
    for (let group = next++; group < groupCount; group = next++) {
      const path = `/v1/groups/group-${group}/offsets`;
      const request = requestBytes({ method: "POST", path, contentType: "application/json", body });
      const { status, text } = await connection.ask(request);
      if (status !== 204) throw new Error(`a commit was answered ${status}: ${text}`);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

async function expectOffsets(url: string, groupCount: number, partitionCount: number): Promise<void> {
  for (const group of [0, groupCount - 1]) {
    const answer = await fetch(`${url}/v1/groups/group-${group}/offsets`);
    const { positions } = (await answer.json()) as { readonly positions: readonly unknown[] };
    if (positions.length !== partitionCount) throw new Error(`group-${group} has ${positions.length} offsets`);
  }
}
