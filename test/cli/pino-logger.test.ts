// What the operator's log never holds: a record's key or value, a header's secret.

import { expect, test } from "vitest";
import { createLogger } from "../../src/cli/pino-logger.ts";
import { encodeMsgpack } from "../../src/http/formats/msgpack-writer.ts";
import { batchSizeAt, viewOf } from "../../src/protocol/record-batch.ts";
import { bytes, json, msgpack, ndjson, recordBatch, TestServer } from "../http/test-server.ts";

const canary = "cAnArY-7f3e";
/** The canary as it is, and in the forms that bytes take in a log. */
const forms = [
  canary,
  Buffer.from(canary).toString("base64").slice(2, -4),
  Buffer.from(canary).toString("hex"),
  JSON.stringify([...Buffer.from(canary)]).slice(1, -1),
];
const tells = (text: string) => forms.filter((form) => text.includes(form));

function memoryLog(): { readonly log: ReturnType<typeof createLogger>; text: () => string } {
  const lines: string[] = [];
  return { log: createLogger("trace", { write: (line) => void lines.push(line) }), text: () => lines.join("") };
}

test("no key or value, whatever goes well or wrong", async () => {
  const { log, text } = memoryLog();
  const server = await TestServer.start({ maxLineBytes: 2000 }, { log });
  await server.createTopic("t", 2, { "segment.bytes": 1_000_000, "max.message.bytes": 100_000 });
  const records = "/v1/topics/t/records";
  const first = "/v1/topics/t/partitions/0/records";
  const record = { key: canary, value: canary, headers: [{ key: canary, value: canary }] };

  for (const path of [records, first]) {
    const packed = { records: [{ key: canary, value: Buffer.from(canary), headers: [{ key: "h", value: canary }] }] };
    await server.post(path, { records: [record] }, { ...json, authorization: canary, cookie: canary });
    await server.post(path, { records: [record] }, { ...json, "idempotency-key": canary });
    await server.post(path, encodeMsgpack(packed), msgpack);
    await server.post(path, `${JSON.stringify(record)}\n`, ndjson);
    await server.post(`${path}?key=${canary}`, canary, { ...bytes, "record-header-h": canary });
    const bad: readonly (readonly [string | Buffer, Record<string, string>])[] = [
      [`{"records":[{"value":"${canary}"`, json],
      [`{"records":[{"${canary}":"${canary}"}]}`, json],
      [`{"records":[{"value":"${canary}"}],"valueFormat":"base64"}`, json],
      [`{"records":[{"value":"${canary.repeat(20_000)}"}]}`, json],
      [`{"records":[{"key":"${canary}","value":1,"timestamp":4503599627370496}]}`, json],
      [`{"records":[{"key":"${canary}","value":1,"timestamp":4503599627370496}],"acks":0}`, json],
      [`{"value":"${canary}"}\n{"value":${canary}}\n`, ndjson],
      [`{"value":"${canary.repeat(300)}"}\n`, ndjson],
      [encodeMsgpack(packed).subarray(0, 20), msgpack],
      [canary.repeat(20), recordBatch],
      [canary, { "content-type": `text/${canary}` }],
    ];
    for (const [body, headers] of bad) await server.post(path, body, headers);
  }
  for (const accept of ["application/json", "application/msgpack", "application/x-ndjson"]) {
    expect((await server.get(first, { accept })).statusCode).toBe(200);
  }
  const follower = await server.stream({ url: `${first}?follow=true`, headers: { accept: "application/x-ndjson" } });
  follower
    .stream()
    .on("error", () => {})
    .resume(); // broken off by the stop
  for (let roll = 0; roll < 12; roll++) await server.post(first, canary.repeat(9_000), bytes); // some segments

  // Bytes that decay, a disk that fails, a broker that stops and one that finds what it left.
  const log0 = "/data/t-0/00000000000000000000.log";
  server.disk.flipBit(log0, batchSizeAt(viewOf(server.disk.contentOf(log0)), 0) + 70, 3);
  expect((await server.get(`${first}?offset=1`)).statusCode).toBe(503);
  server.disk.failWhen((operation) => operation.kind === "sync" && operation.path.includes("/t-1/"), { code: "EIO" });
  await server.post("/v1/topics/t/partitions/1/records", { records: [record] });
  expect(server.errors.length).toBeGreaterThan(1);

  await server.stop();
  server.disk.kill();
  const again = await TestServer.start({}, { disk: server.disk, log });
  await again.get(records);
  await again.ask({ method: "DELETE", url: "/v1/topics/t" });
  await again.stop();

  expect(text()).toContain('"msg":"logs loaded"');
  expect(text()).toContain('"msg":"rolled to a new segment"');
  expect(text()).toContain("acks 0");
  expect(tells(text())).toEqual([]);
});

test("the search above finds what is there", () => {
  for (const leak of [{ value: canary }, { value: Buffer.from(canary) }, { detail: `xx ${canary} xx` }]) {
    const { log, text } = memoryLog();
    log.info(leak, "");
    expect(tells(text())).not.toEqual([]);
  }
});

test("whatever it is given it takes", () => {
  const { log, text } = memoryLog();
  log.error(
    { err: Object.assign(new Error("odd"), { bytes: new Uint8Array(3) }), at: null, nothing: undefined },
    "odd",
  );
  expect(JSON.parse(text())).toMatchObject({
    level: "error",
    err: { type: "Error", message: "odd" },
    at: null,
    msg: "odd",
  });
});

test("secrets of headers and settings are cut out, near the top and below", () => {
  const { log, text } = memoryLog();
  const secrets = { Authorization: canary, cookie: canary, password: canary, secret: canary, token: canary };
  log.info(secrets, "top");
  log.warn({ headers: secrets }, "below");
  log.error({ request: { headers: secrets } }, "further below");
  expect(tells(text())).toEqual([]);
  expect(text().match(/\[hidden\]/g)).toHaveLength(15);
});
