// The faults that a test may order, as a client meets them.

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Fault, startBroker, type TestBroker } from "../../src/testing.ts";
import { createTopic, problemOf, produce, valuesOf } from "./calls.ts";

let broker: TestBroker;
let topics = 0;
let topic: string;
const ordered: Fault[] = [];
const order = (fault: Fault): Fault => {
  ordered.push(fault);
  return fault;
};

beforeAll(async () => {
  broker = await startBroker();
});
afterEach(() => {
  for (const fault of ordered.splice(0)) fault.end();
});
afterAll(() => broker.close());

async function newTopic(): Promise<string> {
  topic = `t${topics++}`;
  await createTopic(broker.url, topic);
  return topic;
}

test("refuse: the next two produces meet the problem, the third is taken; reads are not met", async () => {
  const name = await newTopic();
  const fault = order(broker.refuse({ code: "NOT_LEADER_OR_FOLLOWER", method: "POST", path: /\/records$/, times: 2 }));
  for (let repeat = 0; repeat < 2; repeat++) {
    const answer = await produce(broker.url, name, repeat);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toMatch(/^[0-9]+$/);
    const problem = await problemOf(answer);
    expect(problem).toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER", retriable: true, maybeAppended: false });
    expect(await valuesOf(broker.url, name)).toEqual([]);
  }
  expect((await produce(broker.url, name, 2)).status).toBe(200);
  expect(await valuesOf(broker.url, name)).toEqual([2]);
  expect(fault.met).toBe(2);
});

test("refuse: with fields, in doubt, until it is ended", async () => {
  const name = await newTopic();
  const path = `/v1/topics/${name}/partitions/0/records`;
  {
    using _fault = broker.refuse({
      code: "OUT_OF_ORDER_SEQUENCE_NUMBER",
      detail: "so",
      fields: { expectedSequence: 7 },
      path,
    });
    const problem = await problemOf(await produce(broker.url, name, 1));
    expect(problem).toMatchObject({ status: 409, detail: "so", expectedSequence: 7, maybeAppended: false });
  }
  expect((await produce(broker.url, name, 1)).status).toBe(200);
  order(broker.refuse({ code: "REQUEST_TIMED_OUT", maybeAppended: true, path, times: 1 }));
  expect(await problemOf(await produce(broker.url, name, 2))).toMatchObject({ status: 504, maybeAppended: true });
});

test("refuse: a large body is read to its end, so that the client sees the answer", async () => {
  const name = await newTopic();
  order(broker.refuse({ code: "THROTTLING_QUOTA_EXCEEDED", method: "POST", times: 1 }));
  const answer = await produce(broker.url, name, "x".repeat(8 * 1024 * 1024));
  expect(answer.status).toBe(429);
});

test("delay: handled, but not before its time", async () => {
  const name = await newTopic();
  const ms = 120;
  order(broker.delay({ ms, method: "POST", times: 1 }));
  const begun = performance.now();
  const late = produce(broker.url, name, "late");
  expect((await produce(broker.url, name, "other")).status).toBe(200);
  expect((await late).status).toBe(200);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(ms - 1);
  expect(await valuesOf(broker.url, name)).toEqual(["other", "late"]);
});

test("drop before: no answer, and nothing is done", async () => {
  const name = await newTopic();
  order(broker.drop({ when: "before", method: "POST", times: 1 }));
  await expect(produce(broker.url, name, 1)).rejects.toThrow();
  expect(await valuesOf(broker.url, name)).toEqual([]);
});

test("drop after: no answer, and it is done; the repeat is told that it is one", async () => {
  const name = await newTopic();
  const producer = { producerId: 9, producerEpoch: 0, baseSequence: 0 };
  order(broker.drop({ when: "after", method: "POST", times: 1 }));
  await expect(produce(broker.url, name, 1, producer)).rejects.toThrow();
  const repeat = await produce(broker.url, name, 1, producer);
  expect(await repeat.json()).toMatchObject({ duplicate: true, baseOffset: 0 });
  expect(await valuesOf(broker.url, name)).toEqual([1]);
});

test("drop after: a stream is cut at its first bytes, and goes on the next time", async () => {
  const name = await newTopic();
  await produce(broker.url, name, 1);
  order(broker.drop({ when: "after", method: "GET", times: 1 }));
  const url = `${broker.url}/v1/topics/${name}/partitions/0/records?until=latest`;
  const headers = { accept: "text/event-stream" };
  await expect(fetch(url, { headers })).rejects.toThrow();
  expect(await (await fetch(url, { headers })).text()).toContain('"value":1');
});

test("cutConnections: a waiting read breaks, the next is answered", async () => {
  const name = await newTopic();
  const url = `${broker.url}/v1/topics/${name}/partitions/0/records`;
  const following = await fetch(`${url}?follow=true`, { headers: { accept: "application/x-ndjson" } });
  broker.cutConnections();
  await expect(following.text()).rejects.toThrow();
  expect((await fetch(url)).status).toBe(200);
});

test("the fault that was ordered first meets a request, and orders outlive a restart", async () => {
  const name = await newTopic();
  const path = `/v1/topics/${name}/partitions/0/records`;
  const first = order(broker.refuse({ code: "KAFKA_STORAGE_ERROR", path, times: 1 }));
  const second = order(broker.refuse({ code: "REQUEST_TIMED_OUT", path, times: 1 }));
  await broker.restart();
  expect(await problemOf(await produce(broker.url, name, 1))).toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  expect([first.met, second.met]).toEqual([1, 0]);
  expect(await problemOf(await produce(broker.url, name, 1))).toMatchObject({ code: "REQUEST_TIMED_OUT" });
});

test("an order of no use is refused", () => {
  expect(() => broker.drop({ when: "before", times: 0 })).toThrow(RangeError);
});
