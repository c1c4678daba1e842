// Kafka's own code reads the group records we write: DumpLogSegments with --offsets-decoder shows every key and value of a log
// of __consumer_offsets, with the fields that went in.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runJava } from "../../scripts/interop-kafka/kafka-classpath.mjs";
import { NodeDisk } from "../../src/io/node-disk.ts";
import { writeIdentity } from "../../src/log/data-folder.ts";
import { ShardWorld } from "../consumer-groups/shard-world.ts";
import { needs } from "../required-tools.ts";
import { appendRecords, logOf, openFolder, topicConfig } from "./data-folder.ts";

/** The first run on a machine fetches Kafka's jars. */
const firstRunMs = 300_000;
const topic = { topic: "__consumer_offsets", topicId: "b2Zmc2V0cy1vZmZzZXRzLQ", config: topicConfig() };
const groupId = "readers";

/** A life with every kind of record, tombstones too. */
function lifeOfAGroup(): ShardWorld {
  const world = new ShardWorld();
  world.setTopic("t", 4);
  const poll = (memberId: string, more: object) =>
    world.handle({ kind: "poll", groupId, memberId, forRecords: true, ...more }).reply;
  const first = poll("m1", { topics: ["t"], instanceId: "slot", assignor: "range" });
  const memberEpoch = first.kind === "poll" ? first.memberEpoch : -1;
  const position = { topic: "t", partition: 1, nextOffset: 12, leaderEpoch: 3, metadata: "a note" };
  poll("m1", { memberEpoch, commit: [position] });
  poll("m2", { topics: ["t"] });
  poll("m1", { memberEpoch });
  poll("m1", { memberEpoch });
  world.handle({ kind: "leave", groupId, memberId: "m2" });
  world.handle({ kind: "leave", groupId, memberId: "m1" });
  world.handle({ kind: "deleteGroup", groupId });
  return world;
}

interface Dumped {
  readonly key: { readonly type: string; readonly data: Readonly<Record<string, unknown>> };
  readonly payload: { readonly version: string; readonly data: Readonly<Record<string, unknown>> } | null;
}

function parseDump(stdout: string): Dumped[] {
  return stdout.split("\n").flatMap((line) => {
    const match = / key: (\{.*\}) payload: (.*)$/.exec(line);
    if (!match) return [];
    const payload = match[2]?.startsWith("{") ? match[2] : "null";
    return [{ key: JSON.parse(match[1]!), payload: JSON.parse(payload) } as Dumped];
  });
}

needs("java", "maven").describe("Kafka reads the records of groups", () => {
  const world = lifeOfAGroup();
  let scratch: string;
  let dumped: Dumped[];

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "millrace-interop-"));
    const dataDir = join(scratch, "data");
    mkdirSync(dataDir);
    const identity = { clusterId: "bWlsbHJhY2UtdGVzdGluZw", brokerId: 1, directoryId: "ZGlyZWN0b3J5LW9mLW91cg" };
    await writeIdentity(new NodeDisk(), dataDir, identity);
    const manager = await openFolder(dataDir, []);
    await manager.create([{ ...topic, partition: 0 }]);
    const log = logOf(manager, topic.topic);
    await log.becomeLeader(0);
    const records = world.log.map(({ key, value }) => ({ key, value, headers: [], timestamp: 1_750_000_000_000 }));
    await appendRecords(log, records);
    await manager.close(1);
    const file = join(dataDir, "__consumer_offsets-0", "00000000000000000000.log");
    const tool = "kafka.tools.DumpLogSegments";
    const { exitCode, stdout } = await runJava(tool, ["--offsets-decoder", "--files", file]);
    expect(exitCode).toBe(0);
    dumped = parseDump(stdout);
  }, firstRunMs);

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  test("each of them, by kind", () => {
    expect(dumped.length).toBe(world.log.length);
    expect(new Set(dumped.map(({ key }) => key.type))).toEqual(new Set(["1", "3", "5", "6", "7", "8"]));
    expect(dumped.every(({ key }) => Object.values(key.data).includes(groupId))).toBe(true);
    const tombstones = world.log.filter(({ value }) => value === null).length;
    expect(dumped.filter(({ payload }) => payload === null).length).toBe(tombstones);
  });

  test("with the fields that went in", () => {
    const of = (type: string) => dumped.filter(({ key, payload }) => key.type === type && payload !== null);
    const topicId = world.topic("t")!.topicId;
    expect(of("1")[0]).toEqual({
      key: { type: "1", data: { group: groupId, topic: "t", partition: 1 } },
      payload: {
        version: "4",
        data: { offset: 12, leaderEpoch: 3, metadata: "a note", commitTimestamp: world.now.wallMs, topicId },
      },
    });
    expect(of("5")[0]?.payload?.data).toMatchObject({
      instanceId: "slot",
      subscribedTopicNames: ["t"],
      rebalanceTimeoutMs: 300_000,
      serverAssignor: "range",
    });
    expect(of("7")[0]?.payload?.data).toEqual({ topicPartitions: [{ topicId, partitions: [0, 1, 2, 3] }] });
    const revoking = of("8")
      .map(({ payload }) => payload?.data)
      .find((data) => data?.["state"] === 1);
    expect(revoking).toMatchObject({
      memberEpoch: 1,
      assignedPartitions: [{ topicId, partitions: [2, 3] }],
      partitionsPendingRevocation: [{ topicId, partitions: [0, 1] }],
    });
    expect(of("3").map(({ payload }) => payload?.data["epoch"])).toEqual([1, 2, 3, 4]);
    expect(of("6").map(({ payload }) => payload?.data["assignmentEpoch"])).toEqual([1, 2, 3]);
  });
});
