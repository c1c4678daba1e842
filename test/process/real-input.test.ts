// Real input through a real broker: produced as NDJSON, read back in every form, before and after a restart, and equal to
// the source in count, in order within each key, and in its sums.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { partitionForKey } from "../../src/protocol/partitioner.ts";
import { BrokerProcess } from "./broker-process.ts";
import { expectStatus, HttpClient } from "./http-client.ts";
import { type Flight, manyFlightTexts, type NamedFlight, namedFlights, weatherLines } from "./real-input.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { byLongPolls, byPartitionPages, type ReadRecord, type TopicAt, wholeReads } from "./whole-reads.ts";

const partitionCount = 4;
const connections = 8;
/** Where docs/worked-example.md says that the partitions end. */
const endsInWorkedExample = [4462, 6110, 3183, 6245];
const asLines = { "content-type": "application/x-ndjson" };

interface Sums {
  flights: number;
  delay: number;
  distance: number;
}

function addTo(sums: Map<string, Sums>, origin: string, { delay, distance }: Flight): void {
  const sum = sums.get(origin) ?? { flights: 0, delay: 0, distance: 0 };
  sum.flights += 1;
  sum.delay += delay;
  sum.distance += distance;
  sums.set(origin, sum);
}

function byKey(records: readonly ReadRecord[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  for (const { key, text } of records) {
    const known = texts.get(key ?? "");
    if (known === undefined) texts.set(key ?? "", [text]);
    else known.push(text);
  }
  return texts;
}

describe("flights, keyed by where they begin", () => {
  const folder = new TemporaryFolder();
  const client = new HttpClient(connections);
  const flights = namedFlights();
  const source = flights.map((flight) => ({
    partition: 0,
    offset: 0,
    key: flight.origin,
    text: JSON.stringify(flight),
  }));
  let broker: BrokerProcess;
  let at: TopicAt;

  const connect = async () => {
    broker = await BrokerProcess.start({ dataDir: folder.path });
    at = { client, url: broker.url, topic: "flights", partitionCount };
  };

  beforeAll(connect);
  afterAll(async () => {
    await client.close();
    await broker.kill();
    folder[Symbol.dispose]();
  });

  function expectSource(records: readonly ReadRecord[]): void {
    expect(records.length).toBe(flights.length);
    const texts = byKey(records);
    for (const [origin, expected] of byKey(source)) {
      if (texts.get(origin)?.join("\n") !== expected.join("\n")) expect.fail(`the flights from ${origin} differ`);
    }
    const sums = new Map<string, Sums>();
    for (const { key, text } of records) addTo(sums, key ?? "", JSON.parse(text) as NamedFlight);
    const expectedSums = new Map<string, Sums>();
    for (const flight of flights) addTo(expectedSums, flight.origin, flight);
    expect(sums).toEqual(expectedSums);
  }

  function expectPlaced(records: readonly ReadRecord[]): void {
    const next = Array.from({ length: partitionCount }, () => 0);
    for (const { partition, offset, key } of records) {
      if (offset !== next[partition]) expect.fail(`${partition}:${offset} came when ${next[partition]} was next`);
      next[partition] = offset + 1;
      const expected = partitionForKey(Buffer.from(key ?? ""), partitionCount);
      if (partition !== expected) expect.fail(`${key} is in partition ${partition}, its place is ${expected}`);
    }
  }

  test("long polls give them while they are produced", async () => {
    const made = await client.post(`${at.url}/v1/topics`, { name: at.topic, partitionCount });
    expectStatus(made, 201);
    const following = byLongPolls(at, flights.length);
    const body = flights.map((flight) => `${JSON.stringify({ key: flight.origin, value: flight })}\n`).join("");
    const answer = await client.send("POST", `${at.url}/v1/topics/${at.topic}/records`, { headers: asLines, body });
    expect(expectStatus(answer, 200)).toEqual({ appended: flights.length });
    const ends = await client.get(`${at.url}/v1/topics/${at.topic}/offsets`);
    const { offsets } = expectStatus<{ offsets: { offset: number }[] }>(ends, 200);
    expect(offsets.map(({ offset }) => offset)).toEqual(endsInWorkedExample);
    const followed = await following;
    expectSource(followed);
    expectPlaced(followed);
  });

  const everyForm = (when: string) => {
    for (const [form, readWhole] of Object.entries(wholeReads)) {
      test(`${form} give them ${when}`, async () => {
        const records = await readWhole(at);
        expectSource(records);
        expectPlaced(records);
      });
    }
  };

  everyForm("back");

  test("the broker stops and starts again", async () => {
    expect(await broker.stop()).toEqual({ code: 0, signal: null });
    await connect();
  });

  everyForm("after the restart");

  test("the broker is killed and starts again, and every partition ends where it ended", async () => {
    const ends = async () => expectStatus(await client.get(`${at.url}/v1/topics/${at.topic}/offsets?at=latest`), 200);
    const before = await ends();
    await broker.kill();
    await connect();
    expect(await ends()).toEqual(before);
  });
});

test("200,000 flights without keys: each comes back, to the letter, and the sums are those of the source", async () => {
  using folder = new TemporaryFolder();
  await using client = new HttpClient(connections);
  await using broker = await BrokerProcess.start({ dataDir: folder.path });
  const at: TopicAt = { client, url: broker.url, topic: "many", partitionCount };
  expectStatus(await client.post(`${at.url}/v1/topics`, { name: at.topic, partitionCount }), 201);
  const texts = manyFlightTexts();
  const body = texts.map((text) => `{"value":${text}}\n`).join("");
  const answer = await client.send("POST", `${at.url}/v1/topics/many/records`, { headers: asLines, body });
  expect(expectStatus(answer, 200)).toEqual({ appended: texts.length });
  for (const form of ["NDJSON", "record batches"]) {
    const records = await wholeReads[form]!(at);
    const read = records.map(({ text }) => text);
    expect(read.length).toBe(texts.length);
    expect(read.sort().join("\n") === [...texts].sort().join("\n"), `${form}: as texts`).toBe(true);
    expect(sumsOf(read)).toEqual(sumsOf(texts));
  }
});

function sumsOf(texts: readonly string[]): Sums {
  const sums = new Map<string, Sums>();
  for (const text of texts) addTo(sums, "all", JSON.parse(text) as Flight);
  return sums.get("all")!;
}

test("a CSV file, line by line as text, comes back as the same file", async () => {
  using folder = new TemporaryFolder();
  await using client = new HttpClient(connections);
  await using broker = await BrokerProcess.start({ dataDir: folder.path });
  const at: TopicAt = { client, url: broker.url, topic: "weather", partitionCount: 1 };
  expectStatus(await client.post(`${at.url}/v1/topics`, { name: at.topic }), 201);
  const lines = weatherLines();
  const body = lines.map((line) => `${JSON.stringify({ value: line })}\n`).join("");
  const path = `${at.url}/v1/topics/weather/partitions/0/records?valueFormat=string`;
  const answer = await client.send("POST", path, { headers: asLines, body });
  expect(expectStatus(answer, 200)).toEqual({ appended: lines.length });
  for (const readWhole of [...Object.values(wholeReads), byPartitionPages]) {
    expect((await readWhole(at)).map(({ text }) => text)).toEqual(lines);
  }
});
