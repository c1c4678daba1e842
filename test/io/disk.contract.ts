// What every Disk must do, apart from what survives a crash: run against the machine's disk and the simulated one.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Disk, DiskFile } from "../../src/io/disk.ts";
import { FolderLockedError } from "../../src/io/disk.ts";

export interface DiskUnderTest {
  readonly disk: Disk;
  /** An empty folder. */
  readonly directory: string;
  remove(): Promise<void>;
}

export function diskContract(name: string, make: () => Promise<DiskUnderTest>): void {
  describe(`${name} keeps the Disk contract`, () => {
    let under: DiskUnderTest;
    let disk: Disk;
    let at: (name: string) => string;

    beforeEach(async () => {
      under = await make();
      disk = under.disk;
      at = (entry) => `${under.directory}/${entry}`;
    });
    afterEach(() => under.remove());

    const bytes = (text: string) => new TextEncoder().encode(text);
    const contentOf = async (path: string) => new TextDecoder().decode(await disk.readFile(path));
    const namesIn = async (directory: string) => (await disk.list(directory)).map((entry) => entry.name).sort();
    async function made(path: string, content: string): Promise<DiskFile> {
      const file = await disk.create(path);
      await file.append([bytes(content)]);
      return file;
    }

    test("a created file is empty, grows by append, and its size follows", async () => {
      const file = await disk.create(at("a"));
      expect(file.path).toBe(at("a"));
      expect(file.sizeBytes).toBe(0);
      await file.append([bytes("one "), new Uint8Array(0), bytes("two ")]);
      await file.append([]);
      await file.append([bytes("three")]);
      expect(file.sizeBytes).toBe(13);
      await file.sync();
      await file.close();
      expect(await contentOf(at("a"))).toBe("one two three");
      expect(await disk.readFile(at("a"))).toEqual(bytes("one two three"));
      const again = await disk.open(at("a"));
      expect(again.sizeBytes).toBe(13);
      await again.close();
    });

    test("appends begun together land in the order of the calls", async () => {
      const file = await disk.create(at("a"));
      await Promise.all([
        file.append([bytes("1"), bytes("2")]),
        file.append([bytes("345")]),
        file.append([bytes("6")]),
      ]);
      expect(file.sizeBytes).toBe(6);
      expect(await contentOf(at("a"))).toBe("123456");
      await file.close();
    });

    test("an append of many and of large chunks is whole", async () => {
      const chunks: Uint8Array[] = [];
      for (let index = 0; index < 2_500; index++) chunks.push(new Uint8Array(index % 97).fill(index));
      for (let index = 0; index < 3; index++) chunks.push(new Uint8Array(70_000).fill(index + 1));
      const file = await disk.create(at("a"));
      await file.append([bytes("head")]);
      await file.append(chunks);
      const content = await disk.readFile(at("a"));
      expect(content.length).toBe(file.sizeBytes);
      let position = 4;
      for (const chunk of chunks) {
        expect(Buffer.compare(content.subarray(position, position + chunk.length), chunk)).toBe(0);
        position += chunk.length;
      }
      expect(position).toBe(content.length);
      await file.close();
    });

    test("reads fill the target, fewer only at the end", async () => {
      const file = await made(at("a"), "0123456789");
      const target = new Uint8Array(4);
      expect(await file.read(3, target)).toBe(4);
      expect(target).toEqual(bytes("3456"));
      expect(await file.read(8, target)).toBe(2);
      expect(target.subarray(0, 2)).toEqual(bytes("89"));
      expect(await file.read(10, target)).toBe(0);
      expect(await file.read(50, target)).toBe(0);
      await file.close();
    });

    test("write replaces inside and may go on past the end, but leaves no hole", async () => {
      const file = await made(at("a"), "0123456789");
      await file.write(2, bytes("ab"));
      await file.write(8, bytes("cdef"));
      await file.write(12, bytes("g"));
      expect(file.sizeBytes).toBe(13);
      expect(await contentOf(at("a"))).toBe("01ab4567cdefg");
      await expect(file.write(14, bytes("x"))).rejects.toThrow("hole");
      await file.append([bytes("!")]);
      expect(await contentOf(at("a"))).toBe("01ab4567cdefg!");
      await file.close();
    });

    test("truncate cuts, and the next append begins there", async () => {
      const file = await made(at("a"), "0123456789");
      await file.truncate(4);
      expect(file.sizeBytes).toBe(4);
      await file.append([bytes("X")]);
      expect(await contentOf(at("a"))).toBe("0123X");
      await file.truncate(0);
      await file.truncate(3);
      expect(await disk.readFile(at("a"))).toEqual(new Uint8Array(3));
      await file.close();
    });

    test("any sequence of changes leaves what an array would hold", async () => {
      const change = fc.oneof(
        fc.record({ kind: fc.constant("append" as const), sizes: fc.array(fc.nat(1_500), { maxLength: 4 }) }),
        fc.record({ kind: fc.constant("write" as const), at: fc.nat(9_999), size: fc.nat(3_000) }),
        fc.record({ kind: fc.constant("truncate" as const), at: fc.nat(9_999) }),
      );
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
          const path = at(`property-${run++}`);
          const file = await disk.create(path);
          let expected: number[] = [];
          let fill = 1;
          for (const step of changes) {
            fill = (fill % 250) + 1;
            if (step.kind === "append") {
              await file.append(step.sizes.map((size) => new Uint8Array(size).fill(fill)));
              for (const size of step.sizes) expected.push(...new Array<number>(size).fill(fill));
            } else if (step.kind === "write") {
              const position = step.at % (expected.length + 1);
              await file.write(position, new Uint8Array(step.size).fill(fill));
              expected.splice(position, step.size, ...new Array<number>(step.size).fill(fill));
            } else {
              const end = step.at % (expected.length + 1);
              await file.truncate(end);
              expected = expected.slice(0, end);
            }
            expect(file.sizeBytes).toBe(expected.length);
          }
          expect(Buffer.compare(await disk.readFile(path), Uint8Array.from(expected))).toBe(0);
          await file.close();
        }),
        { numRuns: 40 },
      );
    });

    test("a closed file refuses everything, and closing waits for what is under way", async () => {
      const file = await made(at("a"), "x");
      const append = file.append([bytes("yz")]);
      await file.close();
      await append;
      await file.close();
      expect(await contentOf(at("a"))).toBe("xyz");
      for (const refused of [
        () => file.append([bytes("1")]),
        () => file.write(0, bytes("1")),
        () => file.read(0, new Uint8Array(1)),
        () => file.sync(),
        () => file.truncate(0),
      ]) {
        await expect(refused()).rejects.toMatchObject({ name: "DiskError", code: "EBADF" });
      }
    });

    test("what is missing or already there is refused by its errno name", async () => {
      await disk.makeDir(at("d"));
      await (await made(at("f"), "x")).close();
      const refusals: [string, () => Promise<unknown>][] = [
        ["ENOENT", () => disk.open(at("none"))],
        ["EISDIR", () => disk.open(at("d"))],
        ["EEXIST", () => disk.create(at("f"))],
        ["EEXIST", () => disk.create(at("d"))],
        ["ENOENT", () => disk.create(at("none/f"))],
        ["ENOTDIR", () => disk.create(at("f/g"))],
        ["ENOENT", () => disk.readFile(at("none"))],
        ["EISDIR", () => disk.readFile(at("d"))],
        ["ENOENT", () => disk.list(at("none"))],
        ["ENOTDIR", () => disk.list(at("f"))],
        ["EEXIST", () => disk.makeDir(at("d"))],
        ["EEXIST", () => disk.makeDir(at("f"))],
        ["ENOENT", () => disk.makeDir(at("none/d"))],
        ["ENOENT", () => disk.rename(at("none"), at("x"))],
        ["ENOENT", () => disk.rename(at("f"), at("none/x"))],
        ["EISDIR", () => disk.rename(at("f"), at("d"))],
        ["ENOTDIR", () => disk.rename(at("d"), at("f"))],
        ["EINVAL", () => disk.rename(at("d"), at("d/x"))],
        ["ENOENT", () => disk.removeFile(at("none"))],
        ["EISDIR", () => disk.removeFile(at("d"))],
        ["ENOTDIR", () => disk.removeDir(at("f"))],
        ["ENOENT", () => disk.syncDir(at("none"))],
        ["ENOENT", () => disk.space(at("none"))],
        ["ENOENT", () => disk.lock(at("none"))],
      ];
      for (const [code, refused] of refusals) {
        await expect(refused(), `${code} by ${refused}`).rejects.toMatchObject({ name: "DiskError", code });
      }
      expect(await namesIn(under.directory)).toEqual(["d", "f"]);
    });

    test("list and stat tell files from folders, and undefined where nothing is", async () => {
      await disk.makeDir(at("d"));
      await (await made(at("f"), "four")).close();
      const entries = [...(await disk.list(under.directory))].sort((a, b) => a.name.localeCompare(b.name));
      expect(entries).toEqual([
        { name: "d", kind: "directory" },
        { name: "f", kind: "file" },
      ]);
      expect(await disk.stat(at("f"))).toMatchObject({ kind: "file", sizeBytes: 4, modifiedMs: expect.any(Number) });
      expect(await disk.stat(at("d"))).toMatchObject({ kind: "directory" });
      expect(await disk.stat(at("none"))).toBeUndefined();
      expect(await disk.stat(at("f/none"))).toBeUndefined();
    });

    test("rename replaces a file; those who have the old one open go on with it", async () => {
      const old = await made(at("a"), "old");
      const young = await made(at("b"), "young");
      await disk.rename(at("b"), at("a"));
      await disk.syncDir(under.directory);
      expect(await namesIn(under.directory)).toEqual(["a"]);
      expect(await contentOf(at("a"))).toBe("young");
      const target = new Uint8Array(3);
      expect(await old.read(0, target)).toBe(3);
      expect(target).toEqual(bytes("old"));
      await young.append([bytes("er")]);
      expect(await contentOf(at("a"))).toBe("younger");
      await old.close();
      await young.close();
    });

    test("a folder can be renamed with its content, also across folders", async () => {
      await disk.makeDir(at("d"));
      await disk.makeDir(at("e"));
      await (await made(at("d/f"), "x")).close();
      await disk.rename(at("d"), at("e/g"));
      expect(await namesIn(under.directory)).toEqual(["e"]);
      expect(await contentOf(at("e/g/f"))).toBe("x");
      await disk.rename(at("e/g/f"), at("h"));
      expect(await namesIn(at("e/g"))).toEqual([]);
      expect(await contentOf(at("h"))).toBe("x");
    });

    test("a removed file is gone by name and still readable by its handle", async () => {
      const file = await made(at("a"), "content");
      await disk.removeFile(at("a"));
      expect(await disk.stat(at("a"))).toBeUndefined();
      const target = new Uint8Array(7);
      expect(await file.read(0, target)).toBe(7);
      expect(target).toEqual(bytes("content"));
      await file.close();
    });

    test("removeDir removes all below, and one that is missing is no error", async () => {
      await disk.makeDir(at("d"));
      await disk.makeDir(at("d/e"));
      await (await made(at("d/e/f"), "x")).close();
      await disk.removeDir(at("d"));
      expect(await namesIn(under.directory)).toEqual([]);
      await disk.removeDir(at("d"));
    });

    test("space is told", async () => {
      const space = await disk.space(under.directory);
      expect(space.totalBytes).toBeGreaterThan(0);
      expect(space.freeBytes).toBeGreaterThan(0);
      expect(space.freeBytes).toBeLessThanOrEqual(space.totalBytes);
    });

    test("a folder has one holder, and only `.lock` shows", async () => {
      const lock = await disk.lock(under.directory);
      await expect(disk.lock(under.directory)).rejects.toThrow(FolderLockedError);
      expect(await disk.list(under.directory)).toEqual([{ name: ".lock", kind: "directory" }]);
      await lock.unlock();
      await (await disk.lock(under.directory)).unlock();
    });
  });
}
