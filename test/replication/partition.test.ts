import { describe, expect, test } from "vitest";
import { PartitionLog } from "../../src/log/partition-log.ts";
import { recoverLog } from "../../src/log/recovery.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import { BrokerError } from "../../src/protocol/error-codes.ts";
import { readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { OffsetWaiters } from "../../src/replication/offset-waiters.ts";
import { type Acks, Partition } from "../../src/replication/partition.ts";
import { type BatchSketch, batchOf, identity, noCheckpoints } from "../log/log-fixture.ts";
import { LogWorld } from "../log/log-world.ts";

async function partitionOn(world: LogWorld, overrides: Record<string, unknown> = {}, epoch = 0): Promise<Partition> {
  const config = topicConfig(overrides);
  const unknown = { recoveryPoint: undefined, highWatermark: undefined, logStartOffset: undefined };
  const recovered = await recoverLog(world.context, { identity, config, clean: false, ...unknown });
  const partition = new Partition(
    new PartitionLog(world.context, identity, config, recovered, noCheckpoints),
    world.clock,
  );
  await partition.lead(epoch);
  return partition;
}

const append = (partition: Partition, sketch: BatchSketch, acks: Acks = "all", timeoutMs = 1000) => {
  const batch = batchOf(sketch);
  return partition.append(batch, readBatchHeader(viewOf(batch), 0), { acks, timeoutMs });
};

describe("a partition of one replica", () => {
  test("what it leads with after a start is committed", async () => {
    const world = await LogWorld.make();
    await append(await partitionOn(world), { values: ["a", "b"] });
    world.restart();
    const again = await partitionOn(world, {}, 1);
    expect([again.highWatermark, again.log.leaderEpoch]).toEqual([2, 1]);
  });

  test("an answered append can be read and is synced", async () => {
    const world = await LogWorld.make();
    const partition = await partitionOn(world);
    const info = await append(partition, { values: ["a", "b"] });
    expect(info).toEqual({ baseOffset: 0, lastOffset: 1, leaderEpoch: 0, duplicate: false });
    expect([partition.highWatermark, partition.log.flushedOffset]).toEqual([2, 2]);
    expect((await partition.read(0, 1000)).byteLength).toBeGreaterThan(0);
    expect(world.clock.timersPending).toBe(0);
    expect(partition.waiters.size).toBe(0);
  });

  test.each([0, 1, "all"] as const)("relaxed: committed once written, with acks %s", async (acks) => {
    const world = await LogWorld.make();
    const partition = await partitionOn(world, { "flush.messages": 100 });
    await append(partition, { values: ["a"] }, acks);
    expect([partition.highWatermark, partition.log.flushedOffset]).toEqual([1, 0]);
    await append(partition, { values: ["a"], producerId: 1n, producerEpoch: 0, baseSequence: 0 }, acks);
    const again = await append(partition, { values: ["a"], producerId: 1n, producerEpoch: 0, baseSequence: 0 }, acks);
    expect(again).toMatchObject({ baseOffset: 1, duplicate: true });
  });

  test("who waits is woken by an append, and told when the log goes offline", async () => {
    const world = await LogWorld.make();
    const partition = await partitionOn(world);
    const seen: string[] = [];
    partition.waiters.add({ offset: 1, done: (error) => seen.push(`first ${error?.code ?? partition.highWatermark}`) });
    partition.waiters.add({ offset: 5, done: (error) => seen.push(`second ${error?.code}`) });
    await append(partition, { values: ["a"] });
    expect(seen).toEqual(["first 1"]);
    world.disk.failWhen(({ kind, path }) => kind === "sync" && path.endsWith(".log"), { code: "EIO" });
    await expect(append(partition, { values: ["b"] })).rejects.toMatchObject({ maybeAppended: true });
    expect(seen).toEqual(["first 1", "second KAFKA_STORAGE_ERROR"]);
    expect(partition.highWatermark).toBe(1);
    // What is not committed by now never will be: who asks later need not wait.
    await expect(partition.committed(2, 1000)).rejects.toMatchObject({
      code: "KAFKA_STORAGE_ERROR",
      maybeAppended: true,
    });
    expect(world.clock.timersPending).toBe(0);
  });

  test("nothing above the high watermark is read, and asking there is no error", async () => {
    const world = await LogWorld.make();
    const partition = await partitionOn(world);
    await append(partition, { values: ["a"] });
    expect(await partition.read(1, 1000)).toHaveLength(0);
    await expect(partition.read(2, 1000)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  });
});

/** A log whose high watermark lags, as with followers. */
describe("waiting for the high watermark", () => {
  const lagging = async () => {
    const world = await LogWorld.make();
    const partition = await partitionOn(world);
    const reached = partition.waiters.reached.bind(partition.waiters);
    partition.log.listen({ advanced() {}, wentOffline() {} });
    const advance = (offset: number) => {
      partition.log.advanceHighWatermark(offset);
      reached(offset);
    };
    return { world, partition, advance };
  };

  test("acks=all waits for it, acks=1 does not; a duplicate waits as its original does", async () => {
    const { partition, advance } = await lagging();
    const batch = { values: ["a", "b"], producerId: 1n, producerEpoch: 0, baseSequence: 0 };
    expect((await append(partition, batch, 1)).lastOffset).toBe(1);
    let answered = 0;
    const both = [append(partition, batch), append(partition, batch)].map((answer) => answer.finally(() => answered++));
    while (partition.waiters.size < 2) await new Promise((resolve) => setImmediate(resolve));
    advance(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(0);
    advance(2);
    expect(await Promise.all(both)).toMatchObject([{ duplicate: true }, { duplicate: true }]);
  });

  test("after its time the answer is that nobody knows", async () => {
    const { world, partition } = await lagging();
    const answer = append(partition, { values: ["a"] }, "all", 500);
    const refused = expect(answer).rejects.toMatchObject({ code: "REQUEST_TIMED_OUT", maybeAppended: true });
    await world.clock.advance(500);
    await refused;
    expect(partition.waiters.size).toBe(0);
  });

  test("a topic deleted meanwhile: nobody knows", async () => {
    const { world, partition } = await lagging();
    const answer = append(partition, { values: ["a"] });
    const refused = expect(answer).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION", maybeAppended: true });
    while (partition.waiters.size < 1) await new Promise((resolve) => setImmediate(resolve));
    partition.waiters.failAll(new BrokerError("UNKNOWN_TOPIC_OR_PARTITION", "deleted"));
    await refused;
    expect(world.clock.timersPending).toBe(0);
  });
});

describe("waiters", () => {
  test("each is called once, at its offset; one removed never", () => {
    const waiters = new OffsetWaiters();
    const seen: string[] = [];
    const waiter = (name: string, offset: number) => ({ offset, done: () => void seen.push(name) });
    const removed = waiter("removed", 1);
    for (const one of [waiter("3", 3), removed, waiter("1", 1), waiter("2", 2)]) waiters.add(one);
    waiters.remove(removed);
    waiters.reached(0);
    expect(seen).toEqual([]);
    waiters.reached(2);
    waiters.reached(2);
    expect([seen, waiters.size]).toEqual([["1", "2"], 1]);
    waiters.failAll(new BrokerError("KAFKA_STORAGE_ERROR", "gone"));
    expect([seen, waiters.size]).toEqual([["1", "2", "3"], 0]);
  });

  test("one that takes others away while all are called", () => {
    const waiters = new OffsetWaiters();
    const seen: string[] = [];
    const second = { offset: 1, done: () => void seen.push("second") };
    const first = {
      offset: 1,
      done: () => {
        seen.push("first");
        waiters.remove(second);
      },
    };
    waiters.add(first);
    waiters.add(second);
    waiters.reached(5);
    expect([seen, waiters.size]).toEqual([["first"], 0]);
  });
});
