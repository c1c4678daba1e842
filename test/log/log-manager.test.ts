import { describe, expect, test } from "vitest";
import type { Disk } from "../../src/io/disk.ts";
import { offsetCheckpointNames, readOffsets } from "../../src/log/checkpoint-file.ts";
import { type KnownPartition, LogManager } from "../../src/log/log-manager.ts";
import type { PartitionLog } from "../../src/log/partition-log.ts";
import { topicConfig } from "../../src/log/topic-config.ts";
import { SimulatedClock, settled } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { append, compactionSettings, logContext, readAll } from "./log-fixture.ts";
import { GatedDisk } from "./log-world.ts";

const idOf = (letter: string) => letter.repeat(22);

/** A data folder over several lives of its process; `known` is what the metadata store would say. */
class Folder {
  readonly disk = new SimulatedDisk({ folders: ["data"] });
  readonly clock = new SimulatedClock();
  readonly known: KnownPartition[] = [];
  readonly deleted = new Set<string>();
  readonly gate = new GatedDisk();
  readonly warnings: string[] = [];
  process: Disk = this.disk.startProcess();
  manager!: LogManager;

  async start(): Promise<LogManager> {
    const disk = this.gate.over(this.process);
    const tell = (_fields: object, message: string) => void this.warnings.push(message);
    const context = {
      ...logContext(disk, this.clock, { fileDeleteDelayMs: 1000 }),
      logger: { info() {}, warn: tell, error: tell },
    };
    const settings = {
      ...compactionSettings,
      recoveryConcurrency: 2,
      checkpointIntervalMs: 5000,
      retentionCheckMs: 60_000,
    };
    this.manager = await LogManager.open(context, "data", settings, await disk.lock("data"));
    await this.manager.load(this.known, (topicId) => this.deleted.has(topicId));
    return this.manager;
  }

  async add(
    topic: string,
    topicId: string,
    overrides: Record<string, unknown> = {},
    partition = 0,
  ): Promise<PartitionLog> {
    const made: KnownPartition = { topic, topicId, partition, config: topicConfig(overrides) };
    await this.manager.create([made]);
    this.known.push(made);
    return await this.lead(topic, 0, partition);
  }

  async lead(topic: string, epoch: number, partition = 0): Promise<PartitionLog> {
    const log = this.manager.get(topic, partition)!;
    log.listen({ advanced: () => log.advanceHighWatermark(log.acknowledgedOffset), wentOffline() {} });
    await log.becomeLeader(epoch);
    log.advanceHighWatermark(log.acknowledgedOffset);
    return log;
  }

  /** Deletes as the broker does: the store first. */
  async remove(topic: string): Promise<void> {
    const gone = this.known.filter((partition) => partition.topic === topic);
    for (const { topicId } of gone) this.deleted.add(topicId);
    this.forget(topic);
    await this.manager.delete(gone);
  }

  forget(topic: string): void {
    for (let i = this.known.length - 1; i >= 0; i--) if (this.known[i]!.topic === topic) this.known.splice(i, 1);
  }

  restart(): void {
    this.disk.kill();
    this.process = this.disk.startProcess();
  }

  async names(path = "data"): Promise<string[]> {
    return (await this.process.list(path)).map(({ name }) => name).sort();
  }

  text(name: string): string {
    return new TextDecoder().decode(this.disk.contentOf(`data/${name}`));
  }
}

const values = async (log: PartitionLog) => (await readAll(log)).map(({ value }) => value);

describe("a life of a data folder", () => {
  test("made, written, closed clean, opened without a scan", async () => {
    const folder = new Folder();
    await folder.start();
    expect(folder.manager.unclean).toBe(true);
    const log = await folder.add("a", idOf("A"));
    await append(log, { values: ["1"] });
    await append(log, { values: ["2"] });
    await folder.manager.close(7);
    expect(folder.text(".kafka_cleanshutdown")).toBe('{"version":0,"brokerEpoch":7}');
    expect(folder.text(offsetCheckpointNames.recoveryPoint)).toBe("0\n1\na 0 2\n");
    expect(folder.text(offsetCheckpointNames.highWatermark)).toBe("0\n1\na 0 2\n");
    expect(folder.text(offsetCheckpointNames.logStart)).toBe("0\n1\na 0 0\n");
    expect(folder.text("a-0/partition.metadata")).toBe(`version: 0\ntopic_id: ${idOf("A")}\n`);
    expect(folder.clock.timersPending).toBe(0);
    folder.restart();
    await folder.start();
    expect(folder.manager.unclean).toBe(false);
    expect(await folder.names()).not.toContain(".kafka_cleanshutdown");
    expect(await values(await folder.lead("a", 0))).toEqual(["1", "2"]);
  });

  test("killed: unclean, recovered, nothing lost", async () => {
    const folder = new Folder();
    await folder.start();
    await append(await folder.add("a", idOf("A")), { values: ["1"] });
    folder.restart();
    await folder.start();
    expect(folder.manager.unclean).toBe(true);
    expect(await values(await folder.lead("a", 1))).toEqual(["1"]);
    folder.restart(); // while loaded: unclean again, since the mark goes before anything is opened
    expect((await folder.start()).unclean).toBe(true);
  });

  test("a created topic survives a power cut right after", async () => {
    const folder = new Folder();
    await folder.start();
    await folder.add("a", idOf("A"), {}, 3);
    folder.disk.powerCut({ keep: "nothing" });
    folder.process = folder.disk.startProcess();
    await folder.start();
    expect(folder.manager.offlineCount).toBe(0);
    expect(folder.manager.get("a", 3)!.logEndOffset).toBe(0);
  });

  test("no clean mark while a log is offline; its checkpoints are kept as they were", async () => {
    const folder = new Folder();
    await folder.start();
    for (const [topic, id] of [
      ["a", "A"],
      ["b", "B"],
    ] as const) {
      const log = await folder.add(topic, idOf(id));
      await append(log, { values: ["1"] });
    }
    await folder.manager.close(1);
    folder.restart();
    const path = "data/a-0/00000000000000000000.log";
    folder.disk.replaceContent(path, new Uint8Array(3));
    await folder.start();
    expect(folder.manager.offlineCount).toBe(1);
    expect(() => folder.manager.get("a", 0)).toThrow(expect.objectContaining({ code: "KAFKA_STORAGE_ERROR" }));
    expect(await values(await folder.lead("b", 0))).toEqual(["1"]);
    await folder.manager.close(2);
    expect(await folder.names()).not.toContain(".kafka_cleanshutdown");
    expect(folder.text(offsetCheckpointNames.recoveryPoint)).toBe("0\n2\na 0 1\nb 0 1\n");
  });

  test("a log that went offline while running prevents the mark", async () => {
    const folder = new Folder();
    await folder.start();
    const log = await folder.add("a", idOf("A"));
    folder.disk.failWhen(({ kind, path }) => kind === "sync" && path.endsWith(".log"), { code: "EIO" });
    await expect(append(log, { values: ["1"] })).rejects.toMatchObject({ maybeAppended: true });
    expect(folder.manager.offlineCount).toBe(1);
    await folder.manager.close(1);
    expect(await folder.names()).not.toContain(".kafka_cleanshutdown");
  });

  test("checkpoints are written now and then, and bound the next recovery", async () => {
    const folder = new Folder();
    await folder.start();
    const log = await folder.add("a", idOf("A"));
    await append(log, { values: ["1", "2"] });
    await folder.clock.advance(5000);
    expect(folder.text(offsetCheckpointNames.recoveryPoint)).toBe("0\n1\na 0 2\n");
    await append(log, { values: ["3"] });
    await folder.clock.advance(5000);
    expect(folder.text(offsetCheckpointNames.highWatermark)).toBe("0\n1\na 0 3\n");
  });

  test("a checkpoint that cannot be written is tried again later", async () => {
    const folder = new Folder();
    await folder.start();
    const log = await folder.add("a", idOf("A"));
    await append(log, { values: ["1"] });
    folder.disk.failWhen(({ kind, path }) => kind === "create" && path.endsWith(".tmp"), { code: "ENOSPC" });
    await folder.clock.advance(5000);
    expect(folder.warnings.join()).toContain("background work");
    await folder.clock.advance(5000);
    expect(folder.text(offsetCheckpointNames.recoveryPoint)).toBe("0\n1\na 0 1\n");
    expect(log.offline).toBeUndefined();
  });

  test("retention runs by itself", async () => {
    const folder = new Folder();
    await folder.start();
    const log = await folder.add("a", idOf("A"), { "segment.bytes": 1024, "retention.bytes": 1024 });
    for (let i = 0; i < 5; i++) await append(log, { values: ["x".repeat(900)], timestamp: folder.clock.nowMs() });
    await folder.clock.advance(60_000);
    expect(log.logStartOffset).toBe(3);
    expect(folder.text(offsetCheckpointNames.logStart)).toBe("0\n1\na 0 3\n");
    await folder.clock.advance(1000);
    expect((await folder.names("data/a-0")).filter((name) => name.endsWith(".log"))).toHaveLength(2);
  });

  test.each(Object.values(offsetCheckpointNames))("%s of garbage: recovery does without it", async (name) => {
    for (const garbage of [
      "",
      "garbage",
      "1\n0\n",
      "0\n2\na 0 1\n",
      "0\n1\na 0 -1\n",
      "0\n1\na 0 0x1\n",
      "0\n1\na 0\n",
    ]) {
      const folder = new Folder();
      await folder.start();
      const log = await folder.add("a", idOf("A"));
      await append(log, { values: ["1"] });
      await log.changeConfig(topicConfig({ "cleanup.policy": "compact", "segment.ms": 1 }));
      await append(log, { values: ["2"], timestamp: 2000 });
      await folder.manager.compact();
      folder.restart();
      folder.disk.replaceContent(`data/${name}`, new TextEncoder().encode(garbage));
      await folder.start();
      expect(folder.warnings.join()).toContain("a checkpoint cannot be read");
      const recovered = await folder.lead("a", 1);
      expect((await readAll(recovered)).map(({ offset }) => offset)).toEqual([1]); // the first had no key
    }
  });

  test("a new topic of a compacted one's name is not taken for compacted", async () => {
    const folder = new Folder();
    const compact = { "cleanup.policy": "compact", "segment.ms": 1 };
    await folder.start();
    const log = await folder.add("a", idOf("A"), compact);
    for (const timestamp of [1000, 2000, 3000]) await append(log, { values: ["1"], timestamp });
    await folder.manager.compact();
    expect(log.compaction.cleanedTo).toBe(2);
    await folder.manager.delete([{ topic: "a", topicId: idOf("A"), partition: 0 }]);
    await folder.add("a", idOf("B"), compact);
    const loaded = await readOffsets(folder.process, "data", offsetCheckpointNames.cleaner);
    expect([...loaded!.keys()]).toEqual([]);
  });

  test("the lock is given back even if the last checkpoint cannot be written", async () => {
    const folder = new Folder();
    await folder.start();
    await folder.add("a", idOf("A"));
    folder.disk.failWhen(({ kind, path }) => kind === "create" && path.endsWith("checkpoint.tmp"), { code: "ENOSPC" });
    await expect(folder.manager.close(1)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(folder.disk.operations.at(-1)!.kind).toBe("unlock");
  });
});

describe("folders nobody knows, or everybody", () => {
  test("a stray is kept under another name and told; a deleted topic's folder goes", async () => {
    const folder = new Folder();
    await folder.start();
    await append(await folder.add("stray", idOf("S")), { values: ["kept"] });
    await folder.add("gone", idOf("G"));
    await folder.add("kept", idOf("K"));
    await folder.manager.close(1);
    folder.restart();
    folder.forget("stray");
    folder.forget("gone");
    folder.deleted.add(idOf("G"));
    await folder.start();
    const names = await folder.names();
    expect(names.filter((name) => /stray|gone|kept/.test(name))).toEqual([`${idOf("S")}-0-stray`, "kept-0"]);
    expect(folder.warnings.join()).toContain("belongs to no known topic");
    expect(folder.disk.contentOf(`data/${idOf("S")}-0-stray/00000000000000000000.log`).byteLength).toBeGreaterThan(0);
    expect(folder.text(offsetCheckpointNames.recoveryPoint)).toBe("0\n1\nkept 0 0\n");
  });

  test("a folder of another topic id under a known name is set aside; two of them do not collide", async () => {
    const folder = new Folder();
    await folder.start();
    for (const round of [0, 1]) {
      await folder.add("a", idOf("A"));
      await folder.manager.close(1);
      folder.restart();
      folder.forget("a");
      await folder.start();
      expect((await folder.names()).filter((name) => name.endsWith("-stray"))).toHaveLength(round + 1);
    }
  });

  test("a known partition without its folder is offline, never made again empty", async () => {
    const folder = new Folder();
    await folder.start();
    await folder.add("a", idOf("A"));
    await folder.manager.close(1);
    folder.restart();
    await folder.process.removeDir("data/a-0");
    await folder.start();
    expect(() => folder.manager.get("a", 0)).toThrow(/missing/);
    expect(await folder.names()).not.toContain("a-0");
  });

  test.each([
    ["is missing", undefined],
    ["is garbage", "version: 9\n"],
    ["is a folder", "folder"],
  ])(
    "a known partition whose metadata file %s is offline and left as it is; the others are served",
    async (_what, content) => {
      const folder = new Folder();
      await folder.start();
      await folder.add("a", idOf("A"));
      await folder.add("b", idOf("B"));
      await folder.manager.close(1);
      folder.restart();
      const path = "data/a-0/partition.metadata";
      if (content === "folder" || content === undefined) await folder.process.removeFile(path);
      if (content === "folder") await folder.process.makeDir(path);
      else if (content) folder.disk.replaceContent(path, new TextEncoder().encode(content));
      await folder.start();
      expect(folder.manager.offlineCount).toBe(1);
      expect(() => folder.manager.get("a", 0)).toThrow(/partition.metadata/);
      expect(await folder.names()).toContain("a-0");
      expect(folder.manager.get("b", 0)).toBeDefined();
    },
  );

  test("what is no partition's folder is not touched", async () => {
    const folder = new Folder();
    await folder.process.makeDir("data/notes");
    await folder.process.makeDir("data/a-01");
    await folder.process.makeDir("data/-3");
    await (await folder.process.create("data/file-0")).close();
    await folder.start();
    for (const name of ["notes", "a-01", "-3", "file-0"]) expect(await folder.names()).toContain(name);
  });
});

describe("delete", () => {
  test("frees the name at once; files go a little later, or with the next start", async () => {
    const folder = new Folder();
    await folder.start();
    const log = await folder.add("a", idOf("A"));
    await append(log, { values: ["old"] });
    await folder.remove("a");
    await expect(append(log, { values: ["x"] })).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
    const again = await folder.add("a", idOf("B"));
    expect(again.logEndOffset).toBe(0);
    expect(await folder.names()).toContain(`${idOf("A")}-0-delete`);
    await folder.clock.advance(1000);
    expect(await folder.names()).not.toContain(`${idOf("A")}-0-delete`);
    await folder.remove("a");
    folder.restart();
    await folder.start();
    expect(await folder.names()).not.toContain(`${idOf("B")}-0-delete`);
  });

  test("a topic made again under the name does not inherit checkpoints", async () => {
    const folder = new Folder();
    await folder.start();
    const log = await folder.add("a", idOf("A"));
    for (let i = 0; i < 5; i++) await append(log, { values: ["old"] });
    await folder.clock.advance(5000);
    await folder.remove("a");
    const again = await folder.add("a", idOf("B"));
    await append(again, { values: ["new"] });
    folder.restart();
    const path = "data/a-0/00000000000000000000.log";
    folder.disk.replaceContent(path, new Uint8Array([...folder.disk.contentOf(path), 0, 0, 0]));
    await folder.start();
    expect(folder.manager.offlineCount).toBe(0);
    expect(await values(await folder.lead("a", 1))).toEqual(["new"]);
  });

  test.each([
    ["rolls", "create", (log: PartitionLog) => append(log, { values: ["x".repeat(900)] })],
    ["removes segments", "rename", (log: PartitionLog) => log.applyRetention()],
    ["begins an epoch", "create", (log: PartitionLog) => log.becomeLeader(9)],
  ] as const)(
    "while the log %s: nothing lands in the folder of the next topic of that name",
    async (_what, kind, work) => {
      const folder = new Folder();
      await folder.start();
      const config = { "segment.bytes": 1024, "retention.bytes": 0 };
      const log = await folder.add("a", idOf("A"), config);
      for (let i = 0; i < 3; i++) await append(log, { values: ["x".repeat(900)] });
      let held = 0;
      folder.gate.holds = (operation, path) =>
        operation === kind && /^data\/a-0\/(0.*log$|leader)/.test(path) && held++ === 0;
      const busy = work(log).then(
        () => "done",
        () => "refused",
      );
      await settled();
      expect(folder.gate.waitingCount).toBe(1);
      const added = folder.remove("a").then(() => folder.add("a", idOf("B")));
      await settled();
      folder.gate.releaseAll(); // if the folder could be taken over by now, the work would go on in it
      await busy;
      await append(await added, { values: ["new"] });
      await settled();
      expect((await folder.names("data/a-0")).filter((name) => /\.log|deleted/.test(name))).toEqual([
        "00000000000000000000.log",
      ]);
      folder.restart();
      await folder.start();
      expect(folder.manager.offlineCount).toBe(0);
      const reopened = await folder.lead("a", 1);
      expect(await values(reopened)).toEqual(["new"]);
      expect(reopened.epochs.entries[0]!.epoch).toBe(0);
    },
  );

  test("an offline partition's folder goes too", async () => {
    const folder = new Folder();
    await folder.start();
    await append(await folder.add("a", idOf("A")), { values: ["1"] });
    await folder.manager.close(1);
    folder.restart();
    folder.disk.replaceContent("data/a-0/00000000000000000000.log", new Uint8Array(3));
    await folder.start();
    await folder.remove("a");
    expect(folder.manager.get("a", 0)).toBeUndefined();
    expect(folder.manager.offlineCount).toBe(0);
    expect((await folder.add("a", idOf("B"))).logEndOffset).toBe(0);
  });

  test("at the end of the process no timer is left", async () => {
    const folder = new Folder();
    await folder.start();
    await folder.add("a", idOf("A"));
    await folder.add("b", idOf("B"));
    folder.gate.holds = (operation, path) => operation === "rename" && path.startsWith("data/a-0");
    const removed = folder.remove("a");
    await settled();
    const closed = folder.manager.close(1);
    await settled();
    folder.gate.releaseAll();
    await Promise.all([removed, closed]);
    expect(folder.clock.timersPending).toBe(0);
  });
});

test("a create that fails leaves the name free", async () => {
  const folder = new Folder();
  await folder.start();
  folder.disk.failWhen(({ kind, path }) => kind === "makeDir" && path === "data/a-1", { code: "ENOSPC" });
  const both = [0, 1].map((partition) => ({ topic: "a", topicId: idOf("A"), partition, config: topicConfig({}) }));
  await expect(folder.manager.create(both)).rejects.toMatchObject({ code: "ENOSPC" });
  await folder.manager.create(both);
  expect([...folder.manager.logs()]).toHaveLength(2);
  expect(folder.manager.get("a", 1)!.logEndOffset).toBe(0);
});
