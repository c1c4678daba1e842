// The broker without HTTP: what a library user sees, over a whole life of a data folder.

import { describe, expect, test } from "vitest";
import { type Broker, createBroker } from "../../src/broker/broker.ts";
import type { BrokerError } from "../../src/protocol/error-codes.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";
import { batchSizeAt, readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { codecs } from "../log/log-fixture.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

const mebibyte = 1024 * 1024;

class Machine {
  readonly disk = new SimulatedDisk({ folders: ["srv"] });
  readonly clock = new SimulatedClock({ wallMs: 1_700_000_000_000 });
  readonly random = new SimulatedRandom(1);

  #runs = false;

  kill(): void {
    this.disk.kill();
    this.#runs = false;
  }

  powerCut(choice: Parameters<SimulatedDisk["powerCut"]>[0]): void {
    this.disk.powerCut(choice);
    this.#runs = false;
  }

  /** A new process; one that closed its broker, or could not start it, is gone then. */
  start(settings: Parameters<typeof createBroker>[0]["settings"] = {}): Promise<Broker> {
    if (this.#runs) this.disk.kill();
    this.#runs = true;
    const options = { dataDir: "srv/data", settings, codecs, clock: this.clock, random: this.random };
    return createBroker({ ...options, disk: this.disk.startProcess() });
  }
}

function batch(
  values: readonly string[],
  timestamp = 1_700_000_000_000,
  producer: { sequence?: number } = {},
): Uint8Array {
  const records = values.map((value) => ({
    key: null,
    value: new TextEncoder().encode(value),
    headers: [],
    timestamp,
  }));
  const { sequence } = producer;
  const idempotent = sequence === undefined ? {} : { producerId: 5n, producerEpoch: 0, baseSequence: sequence };
  return encodeRecordBatch(records, { codecs, ...idempotent });
}

async function append(broker: Broker, partition: number, bytes: Uint8Array, expectedOffset?: number) {
  const batches = [{ partition, batch: bytes, expectedOffset }];
  const [outcome] = await broker.produce({ topic: "t", acks: "all", timeoutMs: 1000, batches });
  return outcome!;
}

function fetchFrom(
  broker: Broker,
  offset: number,
  options: { waitMs?: number; signal?: AbortSignal; minBytes?: number } = {},
) {
  const { waitMs = 0, minBytes = 1, signal } = options;
  return broker.fetch({
    partitions: [{ topic: "t", partition: 0, offset }],
    maxBytes: mebibyte,
    minBytes,
    waitMs,
    signal,
  });
}

async function refusal(promise: Promise<unknown>): Promise<BrokerError> {
  return await promise.then(
    () => expect.fail("was not refused"),
    (error) => error as BrokerError,
  );
}

describe("a life of a data folder", () => {
  test("what was produced is there after a clean stop, after kill -9 and after a power cut", async () => {
    const machine = new Machine();
    const random = new SimulatedRandom(7);
    let broker = await machine.start();
    await broker.createTopic({ name: "t", partitionCount: 2 });
    const endings: (() => Promise<void> | void)[] = [
      () => broker.close(),
      () => machine.kill(),
      () => machine.powerCut(random),
    ];
    for (const [i, end] of endings.entries()) {
      expect(await append(broker, 0, batch([`value ${i}`]))).toMatchObject({ kind: "appended", baseOffset: i });
      await end();
      broker = await machine.start();
      const [fetched] = await fetchFrom(broker, 0);
      expect(fetched).toMatchObject({ logStartOffset: 0, highWatermark: i + 1, nextOffset: i + 1 });
    }
  });

  test("an unclean stop raises the leader epoch, a clean one keeps it", async () => {
    const machine = new Machine();
    let broker = await machine.start();
    await broker.createTopic({ name: "t" });
    await broker.close();
    broker = await machine.start();
    expect(await append(broker, 0, batch(["a"]))).toMatchObject({ leaderEpoch: 0 });
    machine.kill();
    broker = await machine.start();
    expect(await append(broker, 0, batch(["b"]))).toMatchObject({ leaderEpoch: 1 });
    expect((await broker.describeTopic("t")).partitions[0]).toMatchObject({ leaderEpoch: 1, logEndOffset: 2 });
  });

  test("a folder of another broker, and one whose metadata is gone, are refused", async () => {
    const machine = new Machine();
    await (await machine.start()).close();
    expect((await refusal(machine.start({ brokerId: 9 }))).message).toContain("belongs to broker 1");
    machine.kill();
    await machine.disk.startProcess().removeDir("srv/data/metadata");
    machine.kill();
    expect((await refusal(machine.start())).message).toContain("its metadata is gone");
  });

  test("a second broker on the same folder is refused", async () => {
    const machine = new Machine();
    const disk = machine.disk.startProcess();
    const options = { dataDir: "srv/data", codecs, clock: machine.clock, random: machine.random, disk };
    const broker = await createBroker(options);
    expect((await refusal(createBroker(options))).name).toBe("FolderLockedError");
    await broker.close();
    await (await createBroker(options)).close();
  });

  test("a partition that cannot begin its leader epoch is offline, and the broker serves the others", async () => {
    const machine = new Machine();
    const broker = await machine.start();
    await broker.createTopic({ name: "t", partitionCount: 2 });
    machine.kill(); // so the next start begins a new epoch
    let writes = 0; // recovery writes the file first, then the new epoch begins
    machine.disk.failWhen(
      ({ kind, path }) => kind === "append" && path.startsWith("srv/data/t-0/leader-epoch") && ++writes === 2,
      { code: "EIO" },
    );
    const again = await machine.start();
    expect(await append(again, 0, batch(["a"]))).toMatchObject({
      kind: "failed",
      error: { code: "KAFKA_STORAGE_ERROR" },
    });
    expect(await append(again, 1, batch(["b"]))).toMatchObject({ kind: "appended", baseOffset: 0 });
    expect(again.health().partitionsOffline).toBe(1);
  });

  test("appendGroupBytesMax below a topic's max.message.bytes is refused at start", async () => {
    const machine = new Machine();
    const broker = await machine.start();
    await broker.createTopic({ name: "t", config: { "max.message.bytes": 3 * mebibyte } });
    await broker.close();
    expect((await refusal(machine.start({ appendGroupBytesMax: 2 * mebibyte }))).message).toContain(
      "max.message.bytes",
    );
  });
});

describe("topics", () => {
  test("creating may be repeated; what differs is named", async () => {
    const broker = await new Machine().start();
    const first = await broker.createTopic({ name: "t", partitionCount: 2, config: { "retention.ms": 5000 } });
    expect(first).toMatchObject({ created: true, topic: { config: { "retention.ms": 5000 } } });
    expect(await broker.createTopic({ name: "t" })).toMatchObject({ created: false });
    const error = await refusal(broker.createTopic({ name: "t", partitionCount: 3 }));
    expect(error.code).toBe("TOPIC_ALREADY_EXISTS");
    expect(error.fields["differences"]).toEqual([{ field: "partitionCount", existing: 2, given: 3 }]);
  });

  test("two creations at once make one topic", async () => {
    const broker = await new Machine().start();
    const made = await Promise.all([broker.createTopic({ name: "t" }), broker.createTopic({ name: "t" })]);
    expect(made.map(({ created }) => created).sort()).toEqual([false, true]);
    expect(made[0].topic.topicId).toBe(made[1].topic.topicId);
  });

  test("partitions can be added, never taken away; a null config is the default again", async () => {
    const broker = await new Machine().start();
    await broker.createTopic({ name: "t", config: { "retention.ms": 5000 } });
    const altered = await broker.alterTopic("t", {
      partitionCount: 3,
      config: { "retention.ms": null, "segment.ms": 1000 },
    });
    expect(altered).toMatchObject({ partitionCount: 3, config: { "segment.ms": 1000 } });
    expect(altered.effectiveConfig["retention.ms"]).toBe(604_800_000);
    expect(await append(broker, 2, batch(["a"]))).toMatchObject({ kind: "appended", baseOffset: 0 });
    expect((await refusal(broker.alterTopic("t", { partitionCount: 2 }))).code).toBe("INVALID_PARTITIONS");
  });

  test("a deleted topic's name is free at once, its records are gone, and no wait on it is left", async () => {
    const machine = new Machine();
    const broker = await machine.start();
    await broker.createTopic({ name: "t" });
    await append(broker, 0, batch(["old"]));
    const waiting = fetchFrom(broker, 1, { waitMs: 10_000 });
    await broker.deleteTopic("t");
    expect((await waiting)[0]?.error?.code).toBe("UNKNOWN_TOPIC_OR_PARTITION");
    await broker.createTopic({ name: "t" });
    expect((await fetchFrom(broker, 0))[0]).toMatchObject({ highWatermark: 0 });
    machine.kill();
    const again = await machine.start();
    expect((await fetchFrom(again, 0))[0]).toMatchObject({ highWatermark: 0 });
  });

  test("lists are sorted, cut and go on where they were cut", async () => {
    const broker = await new Machine().start();
    for (const name of ["b2", "a", "b1", "b3"]) await broker.createTopic({ name });
    const page = broker.listTopics({ prefix: "b", limit: 2 });
    expect(page).toMatchObject({ topics: [{ name: "b1" }, { name: "b2" }], next: "b2" });
    expect(broker.listTopics({ prefix: "b", after: page.next })).toMatchObject({ topics: [{ name: "b3" }] });
  });

  test.for([["bad/name"], [".."], [""], ["__mine"], ["x".repeat(250)]])("%s is no name", async ([name]) => {
    const broker = await new Machine().start();
    expect((await refusal(broker.createTopic({ name: name! }))).code).toBe("INVALID_TOPIC_EXCEPTION");
  });
});

describe("produce", () => {
  test("nothing is appended when one of several batches is not legal", async () => {
    const broker = await new Machine().start();
    await broker.createTopic({ name: "t", partitionCount: 2 });
    const damaged = batch(["b"]);
    damaged[damaged.length - 1]! ^= 1;
    const batches = [
      { partition: 0, batch: batch(["a"]) },
      { partition: 1, batch: damaged },
    ];
    const error = await refusal(broker.produce({ topic: "t", acks: "all", timeoutMs: 1000, batches }));
    expect(error.code).toBe("CORRUPT_MESSAGE");
    expect((await fetchFrom(broker, 0))[0]).toMatchObject({ highWatermark: 0 });
  });

  test("a repeat after kill -9 gets its first offsets, and survives a power cut right after", async () => {
    const machine = new Machine();
    let broker = await machine.start();
    await broker.createTopic({ name: "t" });
    await append(broker, 0, batch(["a", "b"], undefined, { sequence: 0 }));
    machine.kill();
    broker = await machine.start();
    const repeat = await append(broker, 0, batch(["a", "b"], undefined, { sequence: 0 }));
    expect(repeat).toMatchObject({ baseOffset: 0, lastOffset: 1, duplicate: true });
    machine.powerCut({ keep: "nothing" });
    broker = await machine.start();
    expect((await fetchFrom(broker, 0))[0]).toMatchObject({ highWatermark: 2 });
  });

  test("expectedOffset appends only there", async () => {
    const broker = await new Machine().start();
    await broker.createTopic({ name: "t" });
    expect(await append(broker, 0, batch(["a"]), 0)).toMatchObject({ kind: "appended" });
    const late = await append(broker, 0, batch(["b"]), 0);
    expect(late).toMatchObject({ kind: "failed", error: { code: "EXPECTED_OFFSET_MISMATCH", maybeAppended: false } });
  });

  test("low disk refuses records, reads go on, and it heals by itself", async () => {
    const machine = new Machine();
    machine.disk.capacityBytes = 10 * mebibyte;
    const broker = await machine.start({ lowDiskBytes: mebibyte, lowDiskCheckMs: 1000 });
    await broker.createTopic({ name: "t" });
    await append(broker, 0, batch(["a"]));
    machine.disk.capacityBytes = mebibyte / 2;
    await machine.clock.advance(1000);
    expect(await append(broker, 0, batch(["b"]))).toMatchObject({
      kind: "failed",
      error: { code: "KAFKA_STORAGE_ERROR", maybeAppended: false },
    });
    expect((await fetchFrom(broker, 0))[0]).toMatchObject({ highWatermark: 1 });
    machine.disk.capacityBytes = 10 * mebibyte;
    await machine.clock.advance(1000);
    expect(await append(broker, 0, batch(["c"]))).toMatchObject({ kind: "appended", baseOffset: 1 });
  });
});

describe("fetch", () => {
  test("an append wakes a waiting fetch", async () => {
    const broker = await new Machine().start();
    await broker.createTopic({ name: "t" });
    const waiting = fetchFrom(broker, 0, { waitMs: 60_000 });
    await append(broker, 0, batch(["a"]));
    const [fetched] = await waiting;
    expect(readBatchHeader(viewOf(fetched!.batches), 0)).toMatchObject({ baseOffset: 0, recordsCount: 1 });
  });

  test("a wait ends when its time is up, when its caller goes, and when the broker drains", async () => {
    const machine = new Machine();
    const broker = await machine.start();
    await broker.createTopic({ name: "t" });
    const timed = fetchFrom(broker, 0, { waitMs: 500 });
    await machine.clock.advance(500);
    expect((await timed)[0]).toMatchObject({ nextOffset: 0, highWatermark: 0 });
    const gone = new AbortController();
    const aborted = fetchFrom(broker, 0, { waitMs: 60_000, signal: gone.signal });
    gone.abort();
    expect((await aborted)[0]).toMatchObject({ nextOffset: 0 });
    const drained = fetchFrom(broker, 0, { waitMs: 60_000 });
    broker.drain();
    expect((await drained)[0]).toMatchObject({ nextOffset: 0 });
    expect(await fetchFrom(broker, 0, { waitMs: 60_000 })).toHaveLength(1);
  });

  test("a wait on a partition that goes offline ends, and so does one that begins then", async () => {
    const machine = new Machine();
    const broker = await machine.start();
    await broker.createTopic({ name: "t" });
    const waiting = fetchFrom(broker, 0, { waitMs: 60_000 });
    machine.disk.failWhen(({ kind, path }) => kind === "sync" && path.endsWith(".log") && path.includes("/t-0/"), {
      code: "EIO",
    });
    expect(await append(broker, 0, batch(["a"]))).toMatchObject({ kind: "failed", error: { maybeAppended: true } });
    const later = fetchFrom(broker, 0, { waitMs: 60_000 });
    for (const [fetched] of await Promise.all([waiting, later]))
      expect(fetched!.error?.code).toBe("KAFKA_STORAGE_ERROR");
  });

  test("minBytes waits for more, and never when what is left does not fit", async () => {
    const machine = new Machine();
    const broker = await machine.start();
    await broker.createTopic({ name: "t" });
    await append(broker, 0, batch(["x".repeat(500)]));
    const waiting = fetchFrom(broker, 0, { waitMs: 60_000, minBytes: 1000 });
    await append(broker, 0, batch(["y".repeat(500)]));
    const [both] = await waiting;
    expect(both!.nextOffset).toBe(2);
    const partitions = [{ topic: "t", partition: 0, offset: 0 }];
    const [cut] = await broker.fetch({ partitions, maxBytes: 700, minBytes: 700, waitMs: 60_000 });
    expect(cut!.batches.byteLength).toBe(batchSizeAt(viewOf(cut!.batches), 0));
  });

  test("a partition that fails does not hold up the others", async () => {
    const broker = await new Machine().start();
    await broker.createTopic({ name: "t", partitionCount: 2 });
    await append(broker, 1, batch(["a"]));
    const partitions = [0, 1].map((partition) => ({ topic: "t", partition, offset: partition === 0 ? 99 : 0 }));
    const [bad, good] = await broker.fetch({ partitions, maxBytes: mebibyte, minBytes: 1, waitMs: 60_000 });
    expect(bad).toMatchObject({ error: { code: "OFFSET_OUT_OF_RANGE", fields: { logEndOffset: 0 } } });
    expect(good).toMatchObject({ nextOffset: 1 });
  });
});

describe("offsets", () => {
  test("expressions point where they say", async () => {
    const broker = await new Machine().start();
    await broker.createTopic({ name: "t" });
    for (let i = 0; i < 5; i++) await append(broker, 0, batch([`${i}`, `${i}`], 1_700_000_000_000 + i * 1000));
    const at = async (expression: Parameters<Broker["resolveOffsets"]>[2]) =>
      (await broker.resolveOffsets("t", [0], expression))[0];
    expect(await at({ kind: "earliest" })).toMatchObject({ offset: 0, timestamp: 1_700_000_000_000 });
    expect(await at({ kind: "latest" })).toMatchObject({ offset: 10, timestamp: null });
    expect(await at({ kind: "last", count: 3 })).toMatchObject({ offset: 7, timestamp: 1_700_000_003_000 });
    expect(await at({ kind: "last", count: 99 })).toMatchObject({ offset: 0 });
    expect(await at({ kind: "timestamp", timestampMs: 1_700_000_002_500 })).toMatchObject({ offset: 6 });
    expect(await at({ kind: "timestamp", timestampMs: 1_800_000_000_000 })).toMatchObject({
      offset: 10,
      timestamp: null,
    });
  });

  test("deleted records are out of range, after a crash too, and a time is looked up behind them", async () => {
    const machine = new Machine();
    let broker = await machine.start();
    await broker.createTopic({ name: "t" });
    for (let i = 0; i < 5; i++) await append(broker, 0, batch([`${i}`, `${i}`], 1_700_000_000_000 + i * 1000));
    expect(await broker.deleteRecords("t", 0, 3)).toEqual({ logStartOffset: 3 });
    machine.powerCut({ keep: "nothing" });
    broker = await machine.start();
    expect((await fetchFrom(broker, 2))[0]).toMatchObject({ error: { code: "OFFSET_OUT_OF_RANGE" } });
    const [found] = await broker.resolveOffsets("t", [0], { kind: "timestamp", timestampMs: 1 });
    expect(found).toMatchObject({ offset: 3, timestamp: 1_700_000_001_000 });
    expect((await refusal(broker.deleteRecords("t", 0, 11))).code).toBe("OFFSET_OUT_OF_RANGE");
  });
});

test("producer ids are never given twice, not even over a crash", async () => {
  const machine = new Machine();
  const given = new Set<number>();
  for (let life = 0; life < 3; life++) {
    const broker = await machine.start();
    for (let i = 0; i < 5; i++) given.add((await broker.allocateProducerId()).producerId);
    machine.powerCut({ keep: "nothing" });
  }
  expect(given.size).toBe(15);
});
