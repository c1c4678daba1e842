// How a broker ends when it is asked to, and who else may use its folder meanwhile.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { request } from "undici";
import { expect, test } from "vitest";
import { BrokerProcess, runBroker } from "./broker-process.ts";
import { parsedEvent, StreamedParts } from "./event-stream.ts";
import { expectStatus, HttpClient, jsonOf } from "./http-client.ts";
import { expectUnbroken, seedOfRun } from "./judgement.ts";
import { Load } from "./load.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const clients = { partitionCount: 3, producers: 3, keyed: 3, plain: 3, refused: 1, follow: true };

async function leaderEpochs(client: HttpClient, url: string, topic: string): Promise<number[]> {
  const answer = await client.get(`${url}/v1/topics/${topic}`);
  return expectStatus<{ partitions: { leaderEpoch: number }[] }>(answer, 200).partitions.map((one) => one.leaderEpoch);
}

function loadedLine(broker: BrokerProcess): Readonly<Record<string, unknown>> | undefined {
  return broker.logLines.find(({ msg }) => msg === "logs loaded");
}

test("asked to end under load it closes its logs clean, and the next start goes on where it was", async () => {
  using folder = new TemporaryFolder();
  await using client = new HttpClient(2);
  const seed = seedOfRun();
  await using first = await BrokerProcess.start({ dataDir: folder.path });
  const load = await Load.start({ url: first.url, seed, topic: "ended", ...clients });
  try {
    await load.waitForAcknowledged(500);
    const epochs = await leaderEpochs(client, first.url, "ended");
    const stopped = first.stop();
    load.address.down();
    expect(await stopped, first.text).toEqual({ code: 0, signal: null });
    expect(existsSync(join(folder.path, ".kafka_cleanshutdown"))).toBe(true);

    await using second = await BrokerProcess.start({ dataDir: folder.path });
    expect(loadedLine(second)).toMatchObject({ unclean: false, offline: 0 });
    expect(existsSync(join(folder.path, ".kafka_cleanshutdown"))).toBe(false);
    load.address.up(second.url);
    expect(await leaderEpochs(client, second.url, "ended")).toEqual(epochs);
    await load.waitForAcknowledged(500);
    expectUnbroken(load, await load.finish(), seed);
  } finally {
    await load.close();
  }
});

test("open streams are told where to go on, and go on there", async () => {
  using folder = new TemporaryFolder();
  await using client = new HttpClient(8);
  await using first = await BrokerProcess.start({ dataDir: folder.path });
  expectStatus(await client.post(`${first.url}/v1/topics`, { name: "streamed" }), 201);
  const path = "/v1/topics/streamed/partitions/0/records";
  const asEvents = { accept: "text/event-stream" };
  const asLines = { accept: "application/x-ndjson" };
  const events = await client.open("GET", `${first.url}${path}?valueFormat=string`, { headers: asEvents });
  const eventParts = new StreamedParts(events.body, "\n\n");
  const lines = await client.open("GET", `${first.url}${path}?follow=true`, { headers: asLines });
  const lineParts = new StreamedParts(lines.body, "\n");

  const body = new PassThrough();
  const producing = request(`${first.url}${path}?valueFormat=string`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body,
  });
  for (const value of ["a", "b", "c"]) body.write(`${JSON.stringify({ value })}\n`);
  await lineParts.until((parts) => parts.length === 3);
  await eventParts.until((parts) => parsedEvent(parts.at(-1) ?? "").id === "3");

  expect(await first.stop(), first.text).toEqual({ code: 0, signal: null });
  const produced = await producing;
  expect(produced.statusCode).toBe(503);
  expect(await produced.body.json()).toMatchObject({ code: "BROKER_SHUTTING_DOWN", appended: 3, maybeAppended: false });
  expect(await eventParts.ended).toBe("complete");
  expect(parsedEvent(eventParts.parts.at(-1) ?? "").retry).toMatch(/^[0-9]{1,4}$/);
  expect(await lineParts.ended).toBe("broken off");
  expect(lineParts.parts.length).toBe(3);

  await using second = await BrokerProcess.start({ dataDir: folder.path });
  expectStatus(await client.post(`${second.url}${path}`, { records: [{ value: "d" }], valueFormat: "string" }), 200);
  const headers = { ...asEvents, "last-event-id": "3" };
  const resumed = await client.send("GET", `${second.url}${path}?until=latest&valueFormat=string`, { headers });
  const data = resumed.body
    .toString()
    .split("\n\n")
    .map(parsedEvent)
    .flatMap((event) => event.data ?? []);
  const records = data.flatMap(
    (page) => (JSON.parse(page) as { records: { offset: number; value: string }[] }).records,
  );
  expect(records).toMatchObject([{ offset: 3, value: "d" }]);
});

test("a long poll that waits is answered when the broker ends", async () => {
  using folder = new TemporaryFolder();
  await using client = new HttpClient(2);
  await using broker = await BrokerProcess.start({ dataDir: folder.path });
  expectStatus(await client.post(`${broker.url}/v1/topics`, { name: "waiting" }), 201);
  const path = `${broker.url}/v1/topics/waiting/partitions/0/records`;
  const waiting = client.get(`${path}?waitMs=50000`);
  // Until the broker has the poll beside this request.
  const metrics = async () => (await client.get(`${broker.url}/metrics`, "text/plain")).body.toString();
  while (!/^millrace_requests_in_flight 2$/m.test(await metrics())) await new Promise(setImmediate);
  expect(await broker.stop(), broker.text).toEqual({ code: 0, signal: null });
  const answer = await waiting;
  expect(jsonOf(answer)).toMatchObject({ records: [], nextOffset: 0 });
  expect(answer.headers["connection"]).toBe("close");
});

test("a second broker on the same folder is refused and told who holds it", async () => {
  using folder = new TemporaryFolder();
  await using holder = await BrokerProcess.start({ dataDir: folder.path });
  const refused = await runBroker({ dataDir: folder.path });
  expect(refused.code).toBe(1);
  expect(refused.text).toContain(folder.path);
  expect(refused.text).toMatch(new RegExp(`\\b${holder.pid}\\b`));
  expect((await fetch(`${holder.url}/readyz`)).status).toBe(200);
  await holder.kill();
  await using heir = await BrokerProcess.start({ dataDir: folder.path });
  expect((await fetch(`${heir.url}/readyz`)).status).toBe(200);
});
