// How soon a broker is back with a larger log: after a kill it reads what it cannot trust, after a clean stop nothing.

import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { BrokerProcess } from "./broker-process.ts";
import { expectStatus, HttpClient } from "./http-client.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const partitionCount = 2;
const batches = 192;
const recordsPerBatch = 1000;
const valueBytes = 1000;
const inFlight = 4;
const logBytesMin = batches * recordsPerBatch * valueBytes;
const readyMsMax = 5_000;

/** Everything that the process has read from files, where the system tells. */
function bytesRead(pid: number): number | undefined {
  const path = `/proc/${pid}/io`;
  return existsSync(path) ? Number(/^rchar: (\d+)$/m.exec(readFileSync(path, "utf8"))?.[1]) : undefined;
}

async function fill(client: HttpClient, url: string): Promise<void> {
  expectStatus(await client.post(`${url}/v1/topics`, { name: "large", partitionCount }), 201);
  const record = { key: null, value: Buffer.alloc(valueBytes, "x"), headers: [], timestamp: Date.now() };
  const body = encodeRecordBatch(
    Array.from({ length: recordsPerBatch }, () => record),
    { codecs: nodeCodecs },
  );
  const headers = { "content-type": "application/vnd.kafka.record-batch" };
  let sent = 0;
  const lane = async () => {
    for (let batch = sent++; batch < batches; batch = sent++) {
      const path = `${url}/v1/topics/large/partitions/${batch % partitionCount}/records`;
      expectStatus(await client.send("POST", path, { headers, body }), 200);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

test(`ready within ${readyMsMax} ms of a kill with ${Math.round(logBytesMin / 2 ** 20)} MiB to look through`, async () => {
  using folder = new TemporaryFolder();
  await using client = new HttpClient(inFlight);
  const ends = async ({ url }: BrokerProcess) =>
    expectStatus<{ offsets: { offset: number }[] }>(await client.get(`${url}/v1/topics/large/offsets`), 200).offsets;
  await using first = await BrokerProcess.start({ dataDir: folder.path });
  await fill(client, first.url);
  const before = await ends(first);
  await first.kill();

  await using second = await BrokerProcess.start({ dataDir: folder.path });
  expect(second.startedInMs).toBeLessThan(readyMsMax);
  expect(await ends(second)).toEqual(before);
  expect(before.map(({ offset }) => offset)).toEqual([96_000, 96_000]);
  const scanned = bytesRead(second.pid);
  if (scanned !== undefined) expect(scanned, "after a kill all is read").toBeGreaterThan(logBytesMin);
  expect(await second.stop()).toEqual({ code: 0, signal: null });

  await using third = await BrokerProcess.start({ dataDir: folder.path });
  const read = bytesRead(third.pid);
  if (read !== undefined) expect(read, "after a clean stop the logs are not read").toBeLessThan(logBytesMin / 4);
  expect(await ends(third)).toEqual(before);
});
