// A broker in the test's own process: what it serves, how it ends, and that it starts again where it was.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startBroker } from "../../src/testing.ts";
import { TemporaryFolder } from "../process/temporary-folder.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { createTopic, produce, valuesOf } from "./calls.ts";

test("it serves the contract on a free port, and takes its folder with it", async () => {
  const broker = await startBroker();
  expect(broker.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9][0-9]*$/);
  await createTopic(broker.url, "t");
  expect((await produce(broker.url, "t", { a: 1 })).status).toBe(200);
  expect(await valuesOf(broker.url, "t")).toEqual([{ a: 1 }]);
  const metrics = await (await fetch(`${broker.url}/metrics`)).text();
  expect(metrics).toMatch(/^millrace_topics 1$/m);
  expect(existsSync(broker.dataDir)).toBe(true);
  await broker.close();
  await broker.close();
  expect(existsSync(broker.dataDir)).toBe(false);
  await expect(fetch(`${broker.url}/readyz`)).rejects.toThrow();
  await expect(broker.restart()).rejects.toThrow("closed");
});

test("two run side by side and know nothing of each other", async () => {
  await using one = await startBroker();
  await using other = await startBroker();
  await createTopic(one.url, "t");
  expect((await produce(other.url, "t", 1)).status).toBe(404);
});

test("settings and the clock are the test's", async () => {
  const clock = new SimulatedClock();
  await using broker = await startBroker({ settings: { autoCreateTopics: true }, clock });
  expect((await produce(broker.url, "made-by-itself", 1)).status).toBe(200);
  const answer = await fetch(`${broker.url}/v1/topics/made-by-itself/partitions/0/records`);
  const { records } = (await answer.json()) as { records: { timestamp: number }[] };
  expect(records[0]?.timestamp).toBe(clock.nowMs());
});

test("a folder that is given stays, and is a broker's like any other", async () => {
  using folder = new TemporaryFolder();
  const dataDir = join(folder.path, "data");
  const first = await startBroker({ dataDir });
  await createTopic(first.url, "t");
  await produce(first.url, "t", "kept");
  await expect(startBroker({ dataDir })).rejects.toThrow(/in use/);
  await first.close();
  expect(readdirSync(dataDir)).toContain(".kafka_cleanshutdown");
  await using second = await startBroker({ dataDir });
  expect(await valuesOf(second.url, "t")).toEqual(["kept"]);
});

async function leaderEpoch(url: string): Promise<number> {
  const topic = (await (await fetch(`${url}/v1/topics/t`)).json()) as { partitions: { leaderEpoch: number }[] };
  return topic.partitions[0]!.leaderEpoch;
}

test("restart: the same address, the same records, a clean stop", async () => {
  await using broker = await startBroker();
  const { url } = broker;
  await createTopic(url, "t");
  await produce(url, "t", 1);
  const epoch = await leaderEpoch(url);
  await broker.restart();
  expect(broker.url).toBe(url);
  expect(await valuesOf(url, "t")).toEqual([1]);
  expect(await leaderEpoch(url)).toBe(epoch);
  await broker.stop();
  await expect(fetch(`${url}/readyz`)).rejects.toThrow();
  await broker.restart();
  expect(await valuesOf(url, "t")).toEqual([1]);
});

test("kill: a waiting read breaks, nothing is closed in order, and a restart recovers what was acknowledged", async () => {
  await using broker = await startBroker();
  const { url } = broker;
  await createTopic(url, "t");
  await produce(url, "t", 1);
  const epoch = await leaderEpoch(url);
  const waiting = fetch(`${url}/v1/topics/t/partitions/0/records?offset=1&waitMs=50000`);
  waiting.catch(() => {});
  const inFlight = async () => (await (await fetch(`${url}/metrics`)).text()).match(/^millrace_requests_in_flight 2$/m);
  while (!(await inFlight())) await new Promise(setImmediate);
  await broker.kill();
  await broker.kill();
  await expect(waiting).rejects.toThrow();
  await expect(fetch(`${url}/readyz`)).rejects.toThrow();
  expect(readdirSync(broker.dataDir)).not.toContain(".kafka_cleanshutdown");
  await broker.restart();
  expect(await valuesOf(url, "t")).toEqual([1]);
  expect(await leaderEpoch(url)).toBeGreaterThan(epoch);
  expect((await produce(url, "t", 2)).status).toBe(200);
});

test("kill under load, again and again: what was acknowledged is there once, in order", async () => {
  await using broker = await startBroker();
  await createTopic(broker.url, "t");
  const producer = { producerId: 7, producerEpoch: 0 };
  const kills = 8;
  let sequence = 0;
  for (let kill = 0; kill < kills; kill++) {
    const killAfter = sequence + kill;
    let killed: Promise<void> | undefined;
    for (const until = sequence + kills; sequence < until; ) {
      if (sequence === killAfter) killed ??= broker.kill().then(() => broker.restart());
      const answer = await produce(broker.url, "t", sequence, { ...producer, baseSequence: sequence }).catch(
        () => null,
      );
      if (answer === null) {
        await killed; // then the same sequence again: whether it was appended is not known
        continue;
      }
      expect(answer.status).toBe(200);
      sequence += 1;
    }
    await killed;
  }
  expect(await valuesOf(broker.url, "t")).toEqual(Array.from({ length: sequence }, (_, value) => value));
});
