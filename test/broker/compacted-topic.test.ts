// A compacted topic through the broker: compaction runs by its interval, and readers and offset look-ups pass over what is gone.

import { expect, test } from "vitest";
import { type Broker, createBroker } from "../../src/broker/broker.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

const startMs = 1_700_000_000_000;
const encoder = new TextEncoder();

async function append(broker: Broker, key: string | null, value: string) {
  const record = { key: key === null ? null : encoder.encode(key), value: encoder.encode(value), headers: [] };
  const batch = encodeRecordBatch([{ ...record, timestamp: startMs }], { codecs });
  const batches = [{ partition: 0, batch, expectedOffset: undefined }];
  return (await broker.produce({ topic: "t", acks: "all", timeoutMs: 1000, batches }))[0];
}

async function fetchAt(broker: Broker, offset: number) {
  const partitions = [{ topic: "t", partition: 0, offset }];
  return (await broker.fetch({ partitions, maxBytes: 1, minBytes: 1, waitMs: 0 }))[0]!;
}

test("readers get over the gaps, look-ups find the next record, records without a key are refused", async () => {
  const clock = new SimulatedClock({ wallMs: startMs });
  const disk = new SimulatedDisk({ folders: ["srv"] });
  const options = { dataDir: "srv/data", codecs, clock, random: new SimulatedRandom(1), disk: disk.startProcess() };
  const broker = await createBroker(options);
  await broker.createTopic({ name: "t", config: { "cleanup.policy": "compact", "segment.bytes": 1024 } });
  for (let n = 0; n < 8; n++) await append(broker, "a", `${n}`.padEnd(400));
  await expect(append(broker, null, "x")).rejects.toMatchObject({ code: "INVALID_RECORD" });
  await clock.advance(broker.settings.compactionCheckMs + 1);

  const seen: number[] = [];
  for (let offset = 0, reads = 0; offset < 8; reads++) {
    expect(reads).toBeLessThan(8);
    const { nextOffset } = await fetchAt(broker, offset);
    expect(nextOffset).toBeGreaterThan(offset);
    offset = nextOffset;
    seen.push(offset - 1);
  }
  expect(seen.length).toBeLessThan(8);
  expect(seen.slice(-2)).toEqual([6, 7]);
  const at = async (at_: Parameters<Broker["resolveOffsets"]>[2]) => (await broker.resolveOffsets("t", [0], at_))[0]!;
  expect(await at({ kind: "earliest" })).toMatchObject({ offset: 5, timestamp: startMs });
  expect(await at({ kind: "last", count: 5 })).toMatchObject({ offset: 5, timestamp: startMs });
  expect(await at({ kind: "timestamp", timestampMs: startMs })).toMatchObject({ offset: 5 });
  expect(await at({ kind: "latest" })).toMatchObject({ offset: 8 });
  await broker.close();
});
