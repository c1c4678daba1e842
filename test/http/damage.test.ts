// A bit that flips on the disk after it was acknowledged: readers are told where, get everything before and behind it, and never
// wrong bytes.

import { afterEach, expect, test, vi } from "vitest";
import { batchHeaderBytes, batchSizeAt, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { TestServer } from "./test-server.ts";

let server: TestServer;
afterEach(() => server.stop());

test("a damaged batch is a problem with its offsets; what lies before and behind is read", async () => {
  server = await TestServer.start();
  await server.createTopic("t");
  for (const value of [0, 1, 2]) await server.produceNumbers("t", value);
  const path = "/data/t-0/00000000000000000000.log";
  const first = batchSizeAt(viewOf(server.disk.contentOf(path)), 0);
  server.disk.flipBit(path, first + 30, 3);
  const read = (offset: number) => server.get(`/v1/topics/t/partitions/0/records?offset=${offset}`);
  const before = await read(0);
  expect(before.json()).toMatchObject({ records: [{ offset: 0, value: 0 }], nextOffset: 1, caughtUp: false });
  const damaged = await read(1);
  expect(damaged.statusCode).toBe(503);
  expect(damaged.json()).toMatchObject({ code: "KAFKA_STORAGE_ERROR", baseOffset: 1, lastOffset: 1 });
  const behind = await read(2);
  expect(behind.json()).toMatchObject({ records: [{ offset: 2, value: 2 }], caughtUp: true });
  await server.produceNumbers("t", 3); // one decayed record is no reason to refuse new ones
  expect(server.errors).not.toEqual([]);
});

test("one partition offline: a read over it is refused and names it, a read of the others is not", async () => {
  server = await TestServer.start();
  await server.createTopic("t", 2);
  await server.produceNumbers("t", 7);
  await server.post("/v1/topics/t/partitions/1/records", { records: [{ value: 8 }] });
  server.disk.failWhen((operation) => operation.kind === "sync" && operation.path.includes("/t-1/"), { code: "EIO" });
  await server.post("/v1/topics/t/partitions/1/records", { records: [{ value: 1 }] });
  for (const accept of ["application/json", "application/x-ndjson"]) {
    const whole = await server.get("/v1/topics/t/records", { accept });
    expect(whole.json()).toMatchObject({ status: 503, code: "KAFKA_STORAGE_ERROR" });
    expect(whole.json().detail).toContain("t-1 is offline");
    expect((await server.get("/v1/topics/t/records?partitions=0", { accept })).body).toContain('"value":7');
  }
});

test("a batch that cannot be decoded comes as a problem once the records before it were read", async () => {
  server = await TestServer.start();
  await server.createTopic("t");
  for (const value of [0, 1, 2]) await server.produceNumbers("t", value);
  const whole = server.broker.fetch.bind(server.broker);
  const fetched = vi.spyOn(server.broker, "fetch").mockImplementation(async (request) => {
    const [one] = await whole(request);
    const batches = Uint8Array.from(one!.batches);
    const view = viewOf(batches);
    for (let at = 0; at < batches.length; at += batchSizeAt(view, at)) {
      if (readBatchHeader(view, at).baseOffset === 1)
        batches.fill(0xff, at + batchHeaderBytes, at + batchHeaderBytes + 9);
    }
    return [{ ...one!, batches }];
  });
  const read = async (offset: number) =>
    (await server.get(`/v1/topics/t/partitions/0/records?offset=${offset}`)).json();
  expect(await read(0)).toMatchObject({ records: [{ offset: 0 }], nextOffset: 1, caughtUp: false });
  expect(await read(1)).toMatchObject({ status: 503, code: "KAFKA_STORAGE_ERROR", baseOffset: 1, lastOffset: 1 });
  expect(await read(2)).toMatchObject({ records: [{ offset: 2 }], caughtUp: true });
  fetched.mockRestore();
});
