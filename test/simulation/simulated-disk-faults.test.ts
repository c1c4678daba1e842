// Faults of the simulated disk: crashes at an operation, errors, failed syncs, a full disk, decay.

import { expect, test } from "vitest";
import type { Disk, DiskFile } from "../../src/io/disk.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const contentOf = (machine: SimulatedDisk, path: string) => new TextDecoder().decode(machine.contentOf(path));

async function durable(disk: Disk, path: string, content: string): Promise<DiskFile> {
  const file = await disk.create(path);
  await file.append([bytes(content)]);
  await file.sync();
  await disk.syncDir("/data");
  return file;
}

/** Replaces a checkpoint the careful way: six operations. */
async function replaceCheckpoint(disk: Disk): Promise<void> {
  const file = await disk.create("/data/new");
  await file.append([bytes("new content")]);
  await file.sync();
  await file.close();
  await disk.rename("/data/new", "/data/checkpoint");
  await disk.syncDir("/data");
}

async function withCheckpoint(): Promise<{ machine: SimulatedDisk; disk: Disk; first: number }> {
  const machine = new SimulatedDisk({ folders: ["/data"] });
  const disk = machine.startProcess();
  await durable(disk, "/data/checkpoint", "old content");
  return { machine, disk, first: machine.operationCount };
}

test("operations are recorded by number, kind, path and size", async () => {
  const { machine, disk, first } = await withCheckpoint();
  await replaceCheckpoint(disk);
  expect(machine.operations.slice(first)).toEqual([
    { number: first, kind: "create", path: "/data/new", changes: true },
    { number: first + 1, kind: "append", path: "/data/new", bytes: 11, changes: true },
    { number: first + 2, kind: "sync", path: "/data/new", bytes: 0, changes: true },
    { number: first + 3, kind: "close", path: "/data/new", bytes: 0, changes: false },
    { number: first + 4, kind: "rename", path: "/data/new", to: "/data/checkpoint", changes: true },
    { number: first + 5, kind: "syncDir", path: "/data", changes: true },
  ]);
});

test("every crash of a careful replacement leaves the old content or the new, and every careless one is found", async () => {
  const crashStates = async (work: (disk: Disk) => Promise<void>) => {
    const { machine, disk } = await withCheckpoint();
    const contents = new Set<string>();
    const branch = () => {
      for (const choice of machine.powerCutChoices(["cut", "zeros", "garbage"])) {
        const copy = machine.copy();
        copy.powerCut(choice);
        contents.add(contentOf(copy, "/data/checkpoint"));
      }
    };
    machine.onOperation = branch;
    await work(disk);
    branch();
    return [...contents].sort();
  };
  expect(await crashStates(replaceCheckpoint)).toEqual(["new content", "old content"]);
  const withoutSync = await crashStates(async (disk) => {
    const file = await disk.create("/data/new");
    await file.append([bytes("new content")]);
    await disk.rename("/data/new", "/data/checkpoint");
    await disk.syncDir("/data");
  });
  expect(withoutSync).toEqual(["", "new content", "old content"]);
});

test("crashAt stops the process at an operation: before it, after it, or in its middle", async () => {
  const outcomes: string[] = [];
  for (const mode of ["before", "after", { bytes: 3 }] as const) {
    const { machine, disk, first } = await withCheckpoint();
    machine.crashAt(first + 1, mode);
    let isDone = false;
    const work = replaceCheckpoint(disk).then(() => {
      isDone = true;
    });
    await Promise.race([work, machine.whenCrashed]);
    await new Promise(setImmediate);
    expect([isDone, machine.hasCrashed, machine.operationCount]).toEqual([false, true, first + 2]);
    machine.kill();
    expect(machine.hasCrashed).toBe(false);
    outcomes.push(new TextDecoder().decode(await machine.startProcess().readFile("/data/new")));
  }
  expect(outcomes).toEqual(["", "new content", "new"]);
});

test("a sync that happened and was not answered is durable; one in whose middle the crash came is not", async () => {
  for (const [mode, kept] of [
    ["after", "xy"],
    [{ bytes: 0 }, "x"],
  ] as const) {
    const machine = new SimulatedDisk({ folders: ["/data"] });
    const file = await durable(machine.startProcess(), "/data/a", "x");
    await file.append([bytes("y")]);
    machine.crashAt(machine.operationCount, mode);
    void file.sync();
    await machine.whenCrashed;
    machine.powerCut({ keep: "nothing" });
    expect(contentOf(machine, "/data/a")).toBe(kept);
  }
});

test("a crash in the middle of removeDir leaves a part of the folder", async () => {
  const machine = new SimulatedDisk({ folders: ["/data", "/data/t"] });
  const disk = machine.startProcess();
  for (const name of ["a", "b", "c", "d"]) await disk.create(`/data/t/${name}`);
  machine.crashAt(machine.operationCount, { bytes: 0 });
  void disk.removeDir("/data/t");
  await machine.whenCrashed;
  machine.kill();
  expect(await machine.startProcess().list("/data/t")).toHaveLength(2);
});

test("failing operation 1, 2, 3 … until a run ends visits each of them; after healing all works", async () => {
  let failures = 0;
  for (let offset = 0; ; offset++) {
    const { machine, disk, first } = await withCheckpoint();
    machine.failAt(first + offset, { code: "EIO" });
    const outcome = await replaceCheckpoint(disk).catch((error: unknown) => error);
    expect(["old content", "new content"]).toContain(contentOf(machine, "/data/checkpoint"));
    if (outcome === undefined) break;
    expect(outcome).toMatchObject({ name: "DiskError", code: "EIO" });
    failures++;
  }
  expect(failures).toBe(6);
});

test("a persistent failure stays until it is healed", async () => {
  const { machine, disk } = await withCheckpoint();
  machine.failAt(machine.operationCount, { code: "EIO" }, true);
  await expect(disk.list("/data")).rejects.toMatchObject({ code: "EIO" });
  await expect(disk.readFile("/data/checkpoint")).rejects.toMatchObject({ code: "EIO" });
  machine.heal();
  expect(await disk.list("/data")).toHaveLength(1);
});

test("a persistent ENOSPC refuses what needs space and lets reading, syncing and removing go on", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  machine.failAt(machine.operationCount, { code: "ENOSPC" }, true);
  await expect(file.append([bytes("x")])).rejects.toMatchObject({ code: "ENOSPC" });
  await expect(disk.create("/data/x")).rejects.toMatchObject({ code: "ENOSPC" });
  await file.truncate(3);
  await file.sync();
  expect(new TextDecoder().decode(await disk.readFile("/data/checkpoint"))).toBe("old");
  await disk.removeFile("/data/checkpoint");
});

test("failWhen hits the first operations that match, as often as it says", async () => {
  const { machine, disk } = await withCheckpoint();
  machine.failWhen(({ kind }) => kind === "list", { code: "EACCES" }, 2);
  await disk.stat("/data");
  await expect(disk.list("/data")).rejects.toMatchObject({ code: "EACCES" });
  await expect(disk.list("/data")).rejects.toMatchObject({ code: "EACCES" });
  expect(await disk.list("/data")).toHaveLength(1);
});

test("a failed append may leave a first part, which the file's size does not count", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  machine.failAt(machine.operationCount, { code: "EIO", writtenBytes: 4 });
  await expect(file.append([bytes("12345678")])).rejects.toMatchObject({ code: "EIO" });
  expect(file.sizeBytes).toBe(11);
  expect(contentOf(machine, "/data/checkpoint")).toBe("old content1234");
  await file.truncate(11);
  await file.append([bytes("!")]);
  expect(contentOf(machine, "/data/checkpoint")).toBe("old content!");
});

test("a failed sync drops its data: reads see it, the next sync succeeds, a power cut loses it", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  await file.append([new Uint8Array(600).fill(65)]);
  machine.failAt(machine.operationCount, { code: "EIO" });
  await expect(file.sync()).rejects.toMatchObject({ code: "EIO" });
  expect((await disk.readFile("/data/checkpoint")).length).toBe(611);
  await file.sync();
  await file.append([new Uint8Array(600).fill(66)]);
  await file.sync();
  machine.kill();
  const next = machine.startProcess();
  expect((await next.readFile("/data/checkpoint"))[100]).toBe(65);
  await (await next.open("/data/checkpoint")).sync();
  machine.powerCut({ keep: "everything" });
  // The sector where the second append began was written whole, the one before it never was.
  const left = machine.contentOf("/data/checkpoint");
  expect(left.length).toBe(1_211);
  expect(left.subarray(0, 11)).toEqual(bytes("old content"));
  expect(left.subarray(11, 512)).toEqual(new Uint8Array(501));
  expect(left.subarray(512, 611)).toEqual(new Uint8Array(99).fill(65));
  expect(left.subarray(611)).toEqual(new Uint8Array(600).fill(66));
});

test("writing the bytes again after a failed sync makes them durable", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  await file.write(0, bytes("OLD"));
  machine.failAt(machine.operationCount, { code: "EIO" });
  await expect(file.sync()).rejects.toMatchObject({ code: "EIO" });
  machine.kill();
  const again = await machine.startProcess().open("/data/checkpoint");
  const content = new Uint8Array(again.sizeBytes);
  await again.read(0, content);
  await again.write(0, content);
  await again.sync();
  machine.powerCut({ keep: "nothing" });
  expect(contentOf(machine, "/data/checkpoint")).toBe("OLD content");
});

test("a failed sync of a folder drops its names in the same way", async () => {
  const { machine, disk } = await withCheckpoint();
  await disk.create("/data/a");
  machine.failAt(machine.operationCount, { code: "EIO" });
  await expect(disk.syncDir("/data")).rejects.toMatchObject({ code: "EIO" });
  await disk.create("/data/b");
  await disk.syncDir("/data");
  expect(await disk.list("/data")).toHaveLength(3);
  machine.powerCut({ keep: "everything" });
  const names = (await machine.startProcess().list("/data")).map((entry) => entry.name);
  expect(names.sort()).toEqual(["b", "checkpoint"]);
});

test("a lost write is seen by reads and never reaches the medium", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  machine.failWhen(({ kind }) => kind === "write", { lost: true });
  await file.write(0, bytes("NEW"));
  await file.sync();
  expect(contentOf(machine, "/data/checkpoint")).toBe("NEW content");
  machine.powerCut({ keep: "everything" });
  expect(contentOf(machine, "/data/checkpoint")).toBe("old content");
});

test("a full disk takes what fits, says ENOSPC, and tells its space", async () => {
  const machine = new SimulatedDisk({ folders: ["/data"], capacityBytes: 100 });
  const disk = machine.startProcess();
  const file = await disk.create("/data/a");
  await file.append([new Uint8Array(90)]);
  expect(await disk.space("/data")).toEqual({ freeBytes: 10, totalBytes: 100 });
  await expect(file.append([new Uint8Array(6), new Uint8Array(6)])).rejects.toMatchObject({ code: "ENOSPC" });
  expect(file.sizeBytes).toBe(90);
  expect(machine.contentOf("/data/a").length).toBe(100);
  await expect(disk.create("/data/b")).rejects.toMatchObject({ code: "ENOSPC" });
  await file.write(0, new Uint8Array(90));
  await file.truncate(50);
  await file.append([new Uint8Array(50)]);
  machine.capacityBytes = 200;
  await file.append([new Uint8Array(50)]);
  expect(await disk.space("/data")).toEqual({ freeBytes: 50, totalBytes: 200 });
});

test("a flipped bit is seen at once and after any crash; other copies of the disk keep theirs", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  await file.append([bytes("!")]);
  const sound = machine.copy();
  machine.flipBit("/data/checkpoint", 0, 5);
  machine.flipBit("/data/checkpoint", 11, 0);
  expect(new TextDecoder().decode(await disk.readFile("/data/checkpoint"))).toBe("Old content ");
  machine.powerCut({ keep: "everything" });
  expect(contentOf(machine, "/data/checkpoint")).toBe("Old content ");
  expect(contentOf(sound, "/data/checkpoint")).toBe("old content!");
});

test("content put in place from outside is durable", async () => {
  const { machine } = await withCheckpoint();
  machine.replaceContent("/data/checkpoint", bytes("garbage"));
  machine.powerCut({ keep: "nothing" });
  expect(contentOf(machine, "/data/checkpoint")).toBe("garbage");
});

test("a failed sync drops only what was written before it", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  await file.write(0, new Uint8Array(1_024).fill(65));
  machine.failWhen(({ kind }) => kind === "sync", { code: "EIO" });
  const later = file.append([new Uint8Array(512).fill(66)]);
  await expect(file.sync()).rejects.toMatchObject({ code: "EIO" });
  await later;
  await file.sync();
  machine.powerCut({ keep: "nothing" });
  const left = machine.contentOf("/data/checkpoint");
  expect(left.subarray(11, 1_024)).toEqual(new Uint8Array(1_013));
  expect(left.subarray(1_024)).toEqual(new Uint8Array(512).fill(66));
});

test("a bit flipped in a copy after a failed sync stays in the copy", async () => {
  const { machine, disk } = await withCheckpoint();
  const file = await disk.open("/data/checkpoint");
  await file.write(0, bytes("OLD"));
  machine.failAt(machine.operationCount, { code: "EIO" });
  await expect(file.sync()).rejects.toMatchObject({ code: "EIO" });
  await file.sync();
  machine.copy().flipBit("/data/checkpoint", 10, 0);
  await file.write(1, bytes("l"));
  await file.sync();
  machine.powerCut({ keep: "nothing" });
  expect(contentOf(machine, "/data/checkpoint")).toBe("OlD content");
});
