// How soon a broker is ready (on an empty folder, after a clean stop, after kill -9), and how much memory it takes.

import { batchBody } from "./lib/bodies.ts";
import { Child } from "./lib/child.ts";
import { Figures, GiB, MiB, median, number } from "./lib/figures.ts";
import { ServingProcess } from "./lib/serving-process.ts";
import { withFolder } from "./lib/temporary-folder.ts";
import type { LoadResult } from "./load-child.ts";

const topic = "bench";
const partitionCount = 100;
const moreThanFastifyMs = 150;
const cleanStartMs = 1000;
const idleRssMB = 100;
const busyRssMB = 350;
const idleAfterMs = 5000;
const batch = batchBody(256, 990);
const bodyBase64 = Buffer.from(batch).toString("base64");

export async function benchStart(quick: boolean): Promise<Figures> {
  const figures = new Figures("start");
  await emptyFolder(figures, quick ? 3 : 9);
  await withFolder((folder) => fullFolder(figures, folder, quick));
  await withFolder((folder) => passThrough(figures, folder, quick));
  return figures;
}

async function emptyFolder(figures: Figures, runs: number): Promise<void> {
  const name = "ready on an empty folder";
  for (let run = -1; run < runs; run++) {
    const bare = await ServingProcess.bareFastify();
    await bare.end("SIGKILL");
    await withFolder(async (folder) => {
      const broker = await ServingProcess.broker(`${folder}/data`);
      if (run === runs - 1) await idleMemory(figures, broker);
      await broker.end("SIGTERM");
      if (run < 0) return; // the first reads the files of node_modules into the page cache
      figures.sample(name, "broker", run, { readyMs: broker.readyMs });
      figures.sample(name, "floor", run, { readyMs: bare.readyMs });
    });
  }
  const ready = figures.median(name, "broker", "readyMs");
  const floor = figures.median(name, "floor", "readyMs");
  figures.add({
    what: `${name}, from the spawn of the process`,
    measured: `${number(ready)} ms`,
    floor: `bare fastify ${number(floor)} ms; ${number(ready - floor)} ms more`,
    goal: `≤ ${moreThanFastifyMs} ms more`,
    met: ready - floor <= moreThanFastifyMs,
  });
}

async function idleMemory(figures: Figures, broker: ServingProcess): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, idleAfterMs));
  const rss = (await broker.rssBytes()) / 1e6;
  figures.sample("idle", "broker", 0, { rssMB: rss });
  figures.add({
    what: `resident memory, idle for ${idleAfterMs / 1000} s`,
    measured: `${number(rss)} MB`,
    goal: `< ${idleRssMB} MB`,
    met: rss < idleRssMB,
  });
}

async function fullFolder(figures: Figures, folder: string, quick: boolean): Promise<void> {
  const wanted = quick ? GiB / 8 : GiB;
  const filling = await ServingProcess.broker(folder);
  await filling.createTopic({ name: topic, partitionCount });
  const bytes = await produce(filling, wanted, partitionCount);
  await filling.end("SIGKILL");
  const about = `${number(bytes / GiB)} GiB in ${partitionCount} partitions`;

  const recovered = await ServingProcess.broker(folder);
  await recovered.end("SIGTERM");
  figures.sample("ready after kill -9", "broker", 0, { readyMs: recovered.readyMs });
  figures.add({
    what: `ready after kill -9 with ${about}, none of it below a checkpoint`,
    measured: `${number(recovered.readyMs)} ms, ${number(bytes / 1e6 / (recovered.readyMs / 1000))} MB/s scanned, start of the process included`,
  });

  const clean: number[] = [];
  for (let run = 0; run < (quick ? 3 : 5); run++) {
    const broker = await ServingProcess.broker(folder);
    await broker.end("SIGTERM");
    clean.push(broker.readyMs);
    figures.sample("ready after a clean stop", "broker", run, { readyMs: broker.readyMs });
  }
  const readyMs = median(clean);
  figures.add({
    what: `ready after a clean stop with ${about}`,
    measured: `${number(readyMs)} ms`,
    goal: `< ${cleanStartMs} ms`,
    met: readyMs < cleanStartMs,
  });
}

/** Until at least so many bytes are in; gives how many. */
async function produce(broker: ServingProcess, wanted: number, partitions: number): Promise<number> {
  const load = new Child("load-child");
  const contentType = "application/vnd.kafka.record-batch";
  const requests = Array.from({ length: partitions }, (_, partition) => ({
    method: "POST",
    path: `/v1/topics/${topic}/partitions/${partition}/records`,
    contentType,
    bodyBase64,
  }));
  let bytes = 0;
  while (bytes < wanted) {
    const asked = { url: broker.url, requests, connections: 8, durationMs: 500 };
    bytes += (await load.ask<LoadResult>("run", asked)).answered * batch.length;
  }
  await load.stop();
  return bytes;
}

/** Much more than the log keeps goes in, and the newest is read all the while: what stays in memory must not grow with it. */
async function passThrough(figures: Figures, folder: string, quick: boolean): Promise<void> {
  const flags = ["--retention-check-ms", "500", "--file-delete-delay-ms", "500"];
  const broker = await ServingProcess.broker(folder, flags);
  const config = { "retention.bytes": 256 * MiB, "segment.bytes": 64 * MiB };
  const partitions = 4;
  await broker.createTopic({ name: topic, partitionCount: partitions, config });
  const reader = new Child("load-child");
  const requests = Array.from({ length: partitions }, (_, partition) => ({
    method: "GET",
    path: `/v1/topics/${topic}/partitions/${partition}/records?offset=-2000`,
    accept: "application/vnd.kafka.record-batch",
  }));
  let over = false;
  let readBytes = 0;
  const reading = (async () => {
    while (!over)
      readBytes += (await reader.ask<LoadResult>("run", { url: broker.url, requests, connections: 8, durationMs: 500 }))
        .bodyBytes;
  })();
  let rssMax = 0;
  const watching = (async () => {
    for (let look = 0; !over; look++) {
      const rss = await broker.rssBytes();
      rssMax = Math.max(rssMax, rss);
      figures.sample("memory under load", "broker", look, { rssMB: rss / 1e6 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const producedBytes = await produce(broker, quick ? GiB : 10 * GiB, partitions);
  over = true;
  await Promise.all([reading, watching]);
  await reader.stop();
  await broker.end("SIGTERM");
  figures.add({
    what: `most resident memory while ${number(producedBytes / 1e9)} GB go in and ${number(readBytes / 1e9)} GB come out, in batches of 256 KiB, 8 + 8 connections`,
    measured: `${number(rssMax / 1e6)} MB`,
    goal: `< ${busyRssMB} MB`,
    met: rssMax / 1e6 < busyRssMB,
  });
}
