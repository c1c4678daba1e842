// The machine's disk: the contract, short writes, errors, and what a slow sync may and may not hold up.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { DiskFile } from "../../src/io/disk.ts";
import type { FileSystemCalls } from "../../src/io/node-disk.ts";
import { NodeDisk } from "../../src/io/node-disk.ts";
import type { Done } from "../../src/io/node-disk-file.ts";
import { diskContract } from "./disk.contract.ts";

diskContract("NodeDisk", async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-disk-"));
  return { disk: new NodeDisk(), directory, remove: () => rm(directory, { recursive: true }) };
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "millrace-disk-"));
});
afterEach(() => rm(directory, { recursive: true }));

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

test("short writes are continued until all is written", async () => {
  const calls: FileSystemCalls = {
    ...fs,
    write: (fd, bytes, offset, length, position, done) =>
      fs.write(fd, bytes, offset, Math.min(length, 7), position, done),
    writev: (fd, chunks, position, done) =>
      fs.write(fd, chunks[0]!, 0, Math.min(chunks[0]!.length, 999), position, done),
  };
  const file = await new NodeDisk({ calls }).create(join(directory, "a"));
  const chunks = [new Uint8Array(5).fill(1), new Uint8Array(20).fill(2), new Uint8Array(0), new Uint8Array(3).fill(3)];
  await file.append(chunks);
  const large = [new Uint8Array(5_000).fill(4), new Uint8Array(998).fill(5), new Uint8Array(1_500).fill(6)];
  await file.append(large);
  await file.write(0, new Uint8Array(15).fill(9));
  const expected = Buffer.concat([...chunks, ...large]).fill(9, 0, 15);
  expect(file.sizeBytes).toBe(expected.length);
  expect(Buffer.compare(fs.readFileSync(file.path), expected)).toBe(0);
  await file.close();
});

test("a write that makes no progress is an error, not a loop", async () => {
  const calls: FileSystemCalls = {
    ...fs,
    write: (_fd, _bytes, _offset, _length, _position, done) => done(null, 0),
    writev: (_fd, _chunks, _position, done) => done(null, 0),
  };
  const file = await new NodeDisk({ calls }).create(join(directory, "a"));
  await expect(file.append([new Uint8Array(10)])).rejects.toMatchObject({ code: "EIO" });
  await expect(file.append([new Uint8Array(5_000), new Uint8Array(5_000)])).rejects.toMatchObject({ code: "EIO" });
  expect(file.sizeBytes).toBe(0);
  await file.close();
});

test("an error carries its errno name, the operation, the path and the cause", async () => {
  const cause = failure("ENOSPC");
  const calls: FileSystemCalls = { ...fs, fdatasync: (_fd, done) => done(cause, undefined) };
  const path = join(directory, "a");
  const file = await new NodeDisk({ calls }).create(path);
  const refused = await file.sync().catch((error: unknown) => error);
  expect(refused).toMatchObject({ name: "DiskError", code: "ENOSPC", path, message: `sync ${path}: ENOSPC`, cause });
  await file.close();
});

test("a file whose size cannot be learnt is closed again", async () => {
  const closed: number[] = [];
  const calls: FileSystemCalls = {
    ...fs,
    fstat: (_fd, done) => done(failure("EIO"), new fs.Stats()),
    close: (fd, done) => {
      closed.push(fd);
      fs.close(fd, (error) => done(error, undefined));
    },
  };
  await expect(new NodeDisk({ calls }).create(join(directory, "a"))).rejects.toMatchObject({ code: "EIO" });
  expect(closed).toHaveLength(1);
});

test("half the pool at most is in syncs, in the order of the calls; reads and writes do not wait", async () => {
  const running: Done<void>[] = [];
  const calls: FileSystemCalls = {
    ...fs,
    fdatasync: (_fd, done) => void running.push(done),
    fsync: (_fd, done) => void running.push(done),
  };
  const disk = new NodeDisk({ calls, poolThreads: 6 });
  const files = await Promise.all([0, 1, 2, 3].map((number) => disk.create(join(directory, `f${number}`))));
  const ended: number[] = [];
  const syncs = files.map((file, index) => file.sync().then(() => ended.push(index)));
  const folderSync = disk.syncDir(directory).then(() => ended.push(4));
  expect(running).toHaveLength(3);
  await files[3]!.append([new Uint8Array(3)]);
  expect(await files[3]!.read(0, new Uint8Array(3))).toBe(3);
  expect(running).toHaveLength(3);
  running[1]!(null, undefined);
  await syncs[1];
  expect(ended).toEqual([1]);
  expect(running).toHaveLength(4);
  running[0]!(failure("EIO"), undefined);
  await expect(syncs[0]).rejects.toMatchObject({ code: "EIO" });
  await expect.poll(() => running.length).toBe(5);
  for (const done of running.slice(2)) done(null, undefined);
  await Promise.all([syncs[2], syncs[3], folderSync]);
  expect(ended).toHaveLength(4);
  for (const file of files) await file.close();
});

// A read of an empty pipe holds its pool thread until a byte comes: a slow sync without a slow disk.
test("with four syncs stuck in the real pool, reads from the page cache stay fast", async () => {
  const pipePath = join(directory, "pipe");
  execFileSync("mkfifo", [pipePath]);
  const pipe = fs.openSync(pipePath, "r+");
  const calls: FileSystemCalls = {
    ...fs,
    fdatasync: (_fd, done) => fs.read(pipe, new Uint8Array(1), 0, 1, null, (error) => done(error, undefined)),
  };
  const disk = new NodeDisk({ calls });
  const stuck: DiskFile[] = [];
  for (let number = 0; number < 4; number++) stuck.push(await disk.create(join(directory, `stuck${number}`)));
  const file = await disk.create(join(directory, "read"));
  await file.append([new Uint8Array(4_096)]);
  const syncs = stuck.map((slow) => slow.sync());
  const target = new Uint8Array(4_096);
  const tookMs: number[] = [];
  for (let count = 0; count < 1_000; count++) {
    const beganMs = performance.now();
    expect(await file.read(0, target)).toBe(4_096);
    tookMs.push(performance.now() - beganMs);
  }
  tookMs.sort((a, b) => a - b);
  expect(tookMs[989]).toBeLessThan(20);
  fs.writeSync(pipe, new Uint8Array(syncs.length));
  await Promise.all(syncs);
  for (const opened of [...stuck, file]) await opened.close();
  fs.closeSync(pipe);
});
