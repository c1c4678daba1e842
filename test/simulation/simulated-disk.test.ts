// What a killed process and a power cut leave on the simulated disk, sentence by sentence of its contract.

import { describe, expect, test } from "vitest";
import type { Disk, DiskFile } from "../../src/io/disk.ts";
import { FolderLockedError } from "../../src/io/disk.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedRandom } from "./simulated-random.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (content: Uint8Array) => new TextDecoder().decode(content);
const filled = (length: number, value: number) => new Uint8Array(length).fill(value);

async function started(): Promise<{ machine: SimulatedDisk; disk: Disk }> {
  const machine = new SimulatedDisk({ folders: ["/data"] });
  return { machine, disk: machine.startProcess() };
}

/** A file whose name and first bytes are durable. */
async function durable(disk: Disk, path: string, content: Uint8Array): Promise<DiskFile> {
  const file = await disk.create(path);
  await file.append([content]);
  await file.sync();
  await disk.syncDir("/data");
  return file;
}

async function answered(promise: Promise<unknown>): Promise<boolean> {
  let isAnswered = false;
  const mark = () => {
    isAnswered = true;
  };
  promise.then(mark, mark);
  await new Promise(setImmediate);
  return isAnswered;
}

describe("kill", () => {
  test("keeps every finished write, name and removal, still unsynced", async () => {
    const { machine, disk } = await started();
    const file = await disk.create("/data/a");
    await file.append([bytes("one")]);
    machine.kill();
    const next = machine.startProcess();
    expect(text(await next.readFile("/data/a"))).toBe("one");
    machine.powerCut({ keep: "nothing" });
    expect(await machine.startProcess().list("/data")).toEqual([]);
  });

  test("what the next process syncs is durable although the dead one wrote it", async () => {
    const { machine, disk } = await started();
    await (await disk.create("/data/a")).append([bytes("one")]);
    machine.kill();
    const next = machine.startProcess();
    await (await next.open("/data/a")).sync();
    await next.syncDir("/data");
    machine.powerCut({ keep: "nothing" });
    expect(text(machine.contentOf("/data/a"))).toBe("one");
  });

  test("leaves any first part of a write under way, and nothing of other operations under way", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", bytes("x"));
    for (const [kept, content] of [
      [0, "x"],
      [4, "x1234"],
      [99, "x1234567"],
    ] as const) {
      const copies: SimulatedDisk[] = [];
      machine.onOperation = () => copies.push(machine.copy());
      void file.append([bytes("123"), bytes("4567")]);
      copies[0]!.kill(kept);
      expect(text(copies[0]!.contentOf("/data/a"))).toBe(content);
      machine.onOperation = undefined;
      await new Promise(setImmediate);
      await file.truncate(1);
    }
    void file.append([bytes("late")]);
    void disk.create("/data/b");
    machine.kill();
    expect(await machine.startProcess().list("/data")).toEqual([{ name: "a", kind: "file" }]);
    expect(text(machine.contentOf("/data/a"))).toBe("x");
  });

  test("neither end answers the dead process again: not what waits, not what it asks later", async () => {
    for (const end of ["kill", "powerCut"]) {
      const { machine, disk } = await started();
      const file = await durable(disk, "/data/a", bytes("x"));
      const waiting = file.append([bytes("y")]);
      if (end === "kill") machine.kill();
      else machine.powerCut({ keep: "everything" });
      const next = machine.startProcess();
      expect(await answered(waiting)).toBe(false);
      for (const late of [file.append([bytes("z")]), file.sync(), disk.list("/data"), file.read(0, filled(1, 0))]) {
        expect(await answered(late)).toBe(false);
      }
      expect(text(await next.readFile("/data/a"))).toBe("x");
    }
  });

  test("a process must end before the next one starts", async () => {
    const { machine } = await started();
    expect(() => machine.startProcess()).toThrow("one process at a time");
  });

  test("the lock of a dead process is free", async () => {
    const { machine, disk } = await started();
    await disk.lock("/data");
    await expect(disk.lock("/data")).rejects.toThrow(FolderLockedError);
    machine.kill();
    await machine.startProcess().lock("/data");
    machine.powerCut({ keep: "nothing" });
    await machine.startProcess().lock("/data");
  });
});

describe("power cut", () => {
  test("keeps what was synced, also with everything else lost", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", bytes("synced "));
    await file.append([bytes("not")]);
    machine.powerCut({ keep: "nothing" });
    expect(text(machine.contentOf("/data/a"))).toBe("synced ");
  });

  test("a synced file without a synced folder has lost its name", async () => {
    const { machine, disk } = await started();
    const file = await disk.create("/data/a");
    await file.append([bytes("x")]);
    await file.sync();
    machine.powerCut({ keep: "nothing" });
    expect(await machine.startProcess().list("/data")).toEqual([]);
  });

  test("a durable name may point to lost data: empty, or zeros, or garbage", async () => {
    const { machine, disk } = await started();
    const file = await disk.create("/data/a");
    await disk.syncDir("/data");
    await file.append([filled(1_024, 7)]);
    const append = machine.operationCount - 1;
    const seen = (choice: Parameters<SimulatedDisk["powerCut"]>[0]) => {
      const copy = machine.copy();
      copy.powerCut(choice);
      return copy.contentOf("/data/a");
    };
    expect(seen({ keep: "nothing" })).toEqual(new Uint8Array(0));
    expect(seen({ keep: "torn", operation: append, bytes: 0, rest: "zeros" })).toEqual(new Uint8Array(1_024));
    const garbage = seen({ keep: "torn", operation: append, bytes: 0, rest: "garbage" });
    expect(garbage.length).toBe(1_024);
    expect(new Set(garbage).size).toBeGreaterThan(100);
  });

  test("a torn write keeps its first sectors; the file is cut there or filled", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", filled(100, 1));
    await file.append([filled(1_500, 2)]);
    const torn = machine.powerCutChoices().filter((choice) => choice.keep === "torn");
    const append = machine.operationCount - 1;
    expect(torn).toEqual(
      [412, 924, 1_436].flatMap((count) => [
        { keep: "torn", operation: append, bytes: count, rest: "cut" },
        { keep: "torn", operation: append, bytes: count, rest: "zeros" },
      ]),
    );
    for (const choice of torn) {
      const copy = machine.copy();
      copy.powerCut(choice);
      const rest = choice.rest === "cut" ? 0 : 1_500 - choice.bytes;
      expect(copy.contentOf("/data/a")).toEqual(
        Uint8Array.from([...filled(100, 1), ...filled(choice.bytes, 2), ...filled(rest, 0)]),
      );
    }
  });

  test("the sectors of a write in place survive one by one", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", filled(2_048, 1));
    await file.write(0, filled(2_048, 2));
    const seen = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const copy = machine.copy();
      copy.powerCut({ keep: "drawn", seed });
      const content = copy.contentOf("/data/a");
      expect(content.length).toBe(2_048);
      const sectors = [0, 1, 2, 3].map((sector) => new Set(content.subarray(sector * 512, sector * 512 + 512)));
      for (const sector of sectors) expect(sector.size).toBe(1);
      seen.add(sectors.map((sector) => [...sector][0]).join(""));
    }
    expect(seen.size).toBe(16);
  });

  test("growth survives as any prefix, at any byte", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", filled(10, 1));
    await file.append([filled(600, 2)]);
    const sizes = new Set<number>();
    for (let seed = 0; seed < 400; seed++) {
      const copy = machine.copy();
      copy.powerCut({ keep: "drawn", seed });
      const content = copy.contentOf("/data/a");
      expect(content.subarray(0, 10)).toEqual(filled(10, 1));
      sizes.add(content.length);
    }
    expect(Math.min(...sizes)).toBe(10);
    expect(Math.max(...sizes)).toBe(610);
    expect(sizes.size).toBeGreaterThan(40);
  });

  test("a sector holds its bytes as they were at one moment: a later change brings the earlier with it", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", filled(600, 1));
    await file.write(0, bytes("first"));
    await file.write(5, bytes("second"));
    const second = machine.operationCount - 1;
    await file.write(520, bytes("third"));
    machine.powerCut({ keep: "only", operation: second });
    expect(text(machine.contentOf("/data/a").subarray(0, 11))).toBe("firstsecond");
    expect(machine.contentOf("/data/a").subarray(512)).toEqual(filled(88, 1));
  });

  test("an unsynced truncate may be undone, and later growth may show zeros where it had cut", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", filled(1_024, 1));
    await file.truncate(100);
    await file.append([filled(924, 2)]);
    const append = machine.operationCount - 1;
    const undone = machine.copy();
    undone.powerCut({ keep: "nothing" });
    expect(undone.contentOf("/data/a")).toEqual(filled(1_024, 1));
    const cut = machine.copy();
    cut.powerCut({ keep: "everythingBut", operation: append });
    expect(cut.contentOf("/data/a")).toEqual(filled(100, 1));
    machine.powerCut({ keep: "torn", operation: append, bytes: 0, rest: "zeros" });
    expect(machine.contentOf("/data/a")).toEqual(Uint8Array.from([...filled(100, 1), ...filled(924, 0)]));
  });

  test("what an unsynced truncate cut off does not come back in later growth", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", filled(100, 1));
    await file.append([filled(2_000, 2)]);
    await file.truncate(100);
    await file.append([filled(2_000, 3)]);
    const append = machine.operationCount - 1;
    const left = (rest: "zeros" | "garbage") => {
      const copy = machine.copy();
      copy.powerCut({ keep: "torn", operation: append, bytes: 0, rest });
      return copy.contentOf("/data/a").subarray(100);
    };
    expect(left("zeros")).toEqual(filled(2_000, 0));
    for (let start = 0; start < 1_536; start += 512) {
      expect(new Set(left("garbage").subarray(start, start + 512)).size).toBeGreaterThan(50);
    }
  });

  test("the changes of a folder survive in their order, any prefix of them", async () => {
    const { machine, disk } = await started();
    for (const name of ["a", "b", "c"]) await disk.create(`/data/${name}`);
    await disk.removeFile("/data/a");
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const copy = machine.copy();
      copy.powerCut({ keep: "drawn", seed });
      const names = (await copy.startProcess().list("/data")).map((entry) => entry.name);
      seen.add(names.sort().join(""));
    }
    expect([...seen].sort()).toEqual(["", "a", "ab", "abc", "bc"]);
  });

  test("folders are not ordered against each other nor against data", async () => {
    const machine = new SimulatedDisk({ folders: ["/data", "/other"] });
    const disk = machine.startProcess();
    await (await disk.create("/data/a")).append([bytes("x")]);
    await disk.create("/other/b");
    const seen = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const copy = machine.copy();
      copy.powerCut({ keep: "drawn", seed });
      const next = copy.startProcess();
      const a = await next.stat("/data/a");
      seen.add(`${a === undefined ? "-" : a.sizeBytes}${(await next.stat("/other/b")) ? "b" : "-"}`);
    }
    expect([...seen].sort()).toEqual(["--", "-b", "0-", "0b", "1-", "1b"]);
  });

  test("a rename is whole or not at all, and replaces only when it survives", async () => {
    const { machine, disk } = await started();
    await durable(disk, "/data/checkpoint", bytes("old"));
    await durable(disk, "/data/checkpoint.tmp", bytes("new"));
    await disk.rename("/data/checkpoint.tmp", "/data/checkpoint");
    const before = machine.copy();
    before.powerCut({ keep: "nothing" });
    expect(text(before.contentOf("/data/checkpoint"))).toBe("old");
    expect(text(before.contentOf("/data/checkpoint.tmp"))).toBe("new");
    await disk.syncDir("/data");
    machine.powerCut({ keep: "nothing" });
    expect(text(machine.contentOf("/data/checkpoint"))).toBe("new");
    expect(await machine.startProcess().list("/data")).toHaveLength(1);
  });

  test("a rename across folders has two ends: without either sync a file may have both names or none", async () => {
    const machine = new SimulatedDisk({ folders: ["/data", "/other"] });
    const disk = machine.startProcess();
    await durable(disk, "/data/a", bytes("x"));
    await disk.rename("/data/a", "/other/b");
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const copy = machine.copy();
      copy.powerCut({ keep: "drawn", seed });
      const next = copy.startProcess();
      seen.add(`${(await next.stat("/data/a")) ? "a" : "-"}${(await next.stat("/other/b")) ? "b" : "-"}`);
    }
    expect([...seen].sort()).toEqual(["--", "-b", "a-", "ab"]);
  });

  test("a removed file is back with its content unless the removal was synced", async () => {
    const { machine, disk } = await started();
    await durable(disk, "/data/a", bytes("x"));
    await disk.removeFile("/data/a");
    const undone = machine.copy();
    undone.powerCut({ keep: "nothing" });
    expect(text(undone.contentOf("/data/a"))).toBe("x");
    await disk.syncDir("/data");
    machine.powerCut({ keep: "nothing" });
    expect(await machine.startProcess().stat("/data/a")).toBeUndefined();
  });

  test("a sync covers what was written before it was called, not what is still being written", async () => {
    const { machine, disk } = await started();
    const file = await durable(disk, "/data/a", bytes("1"));
    await file.append([bytes("2")]);
    const append = file.append([bytes("3")]);
    await file.sync();
    await append;
    machine.powerCut({ keep: "nothing" });
    expect(text(machine.contentOf("/data/a"))).toBe("12");
  });

  test("a sync of a folder covers the names before it was called", async () => {
    const { machine, disk } = await started();
    await disk.create("/data/a");
    const create = disk.create("/data/b");
    await disk.syncDir("/data");
    await create;
    machine.powerCut({ keep: "nothing" });
    expect(await machine.startProcess().list("/data")).toEqual([{ name: "a", kind: "file" }]);
  });

  test("what a power cut left is durable: a second one changes nothing", async () => {
    const { machine, disk } = await started();
    await (await disk.create("/data/a")).append([bytes("x")]);
    machine.powerCut({ keep: "everything" });
    const left = machine.fingerprint();
    machine.powerCut({ keep: "nothing" });
    expect(machine.fingerprint()).toBe(left);
    expect(machine.powerCutChoices()).toEqual([{ keep: "everything" }]);
  });

  test("the same seed leaves the same", async () => {
    const left = await Promise.all(
      [5, 5, 6].map(async (seed) => {
        const { machine, disk } = await started();
        const file = await durable(disk, "/data/a", filled(3_000, 1));
        await file.write(0, filled(3_000, 2));
        void file.append([filled(3_000, 3)]);
        machine.powerCut(new SimulatedRandom(seed));
        return machine.fingerprint();
      }),
    );
    expect(left[0]).toBe(left[1]);
    expect(left[2]).not.toBe(left[0]);
  });
});

test("the choices name each unsynced operation alone and left out, and only what can still be lost", async () => {
  const { machine, disk } = await started();
  const file = await durable(disk, "/data/a", filled(10, 1));
  await file.append([filled(10, 2)]);
  const append = machine.operationCount - 1;
  expect(machine.powerCutChoices()).toEqual([{ keep: "everything" }, { keep: "nothing" }]);
  await disk.create("/data/b");
  const create = append + 1;
  expect(machine.unsyncedOperations()).toEqual([append, create]);
  expect(machine.powerCutChoices()).toEqual([
    { keep: "everything" },
    { keep: "nothing" },
    { keep: "everythingBut", operation: append },
    { keep: "only", operation: append },
    { keep: "everythingBut", operation: create },
    { keep: "only", operation: create },
  ]);
  await file.sync();
  expect(machine.unsyncedOperations()).toEqual([create]);
});

test("a copy and its original go separate ways, by content, names and what is unsynced", async () => {
  const { machine, disk } = await started();
  const file = await durable(disk, "/data/a", filled(5_000, 1));
  await file.write(4_000, filled(10, 2));
  const copy = machine.copy();
  const unsynced = machine.copy();
  expect(copy.fingerprint()).toBe(machine.fingerprint());
  await file.write(0, filled(10, 3));
  await disk.create("/data/b");
  copy.kill();
  const other = copy.startProcess();
  const opened = await other.open("/data/a");
  await opened.write(0, filled(10, 4));
  await opened.sync();
  expect(machine.contentOf("/data/a")[0]).toBe(3);
  expect(copy.contentOf("/data/a")[0]).toBe(4);
  expect(copy.contentOf("/data/a")[4_000]).toBe(2);
  expect(await other.stat("/data/b")).toBeUndefined();
  unsynced.powerCut({ keep: "nothing" });
  expect(unsynced.contentOf("/data/a")).toEqual(filled(5_000, 1));
  machine.powerCut({ keep: "everything" });
  expect(machine.contentOf("/data/a")[4_000]).toBe(2);
});

test("with a clock operations take seeded time, and none is answered early", async () => {
  const run = async (seed: number) => {
    const clock = new SimulatedClock();
    const random = new SimulatedRandom(seed);
    const disk = new SimulatedDisk({ folders: ["/data"], latency: { clock, random, mostMs: 50 } }).startProcess();
    const creating = disk.create("/data/a");
    expect(await answered(creating)).toBe(false);
    const file = await clock.runUntilSettled(creating);
    const ended: number[] = [];
    const appends = [1, 2, 3, 4, 5, 6].map((value) => file.append([filled(3, value)]).then(() => ended.push(value)));
    await clock.runUntilSettled(Promise.all(appends));
    const content = await clock.runUntilSettled(disk.readFile("/data/a"));
    expect([...content]).toEqual([1, 2, 3, 4, 5, 6].flatMap((value) => [value, value, value]));
    return `${ended} ${clock.monotonicMs()}`;
  };
  expect(await run(1)).toBe(await run(1));
  expect(await run(1)).not.toBe(await run(2));
});
