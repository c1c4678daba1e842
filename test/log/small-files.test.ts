import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkpointNumber,
  decodeCheckpoint,
  encodeCheckpoint,
  readFileIfThere,
  readOffsets,
  replaceFile,
  writeOffsets,
} from "../../src/log/checkpoint-file.ts";
import {
  readIdentity,
  readTopicId,
  takeCleanMarker,
  writeCleanMarker,
  writeIdentity,
  writeTopicId,
} from "../../src/log/data-folder.ts";
import { LeaderEpochCache } from "../../src/log/leader-epoch-cache.ts";
import { OffsetIndex } from "../../src/log/offset-index.ts";
import { decodeProducerSnapshot, encodeProducerSnapshot } from "../../src/log/producer-snapshot.ts";
import type { ProducerEntry } from "../../src/log/producer-state.ts";
import { TimeIndex } from "../../src/log/time-index.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { codecs } from "./log-fixture.ts";

const newDisk = () => {
  const simulated = new SimulatedDisk({ folders: ["data"] });
  return { simulated, disk: simulated.startProcess() };
};
const corrupt = expect.objectContaining({ name: "CheckpointCorruptError" });

describe("checkpoint text", () => {
  test("is Kafka's", () => {
    expect(new TextDecoder().decode(encodeCheckpoint(["a 0 1", "b 1 2"]))).toBe("0\n2\na 0 1\nb 1 2\n");
    expect(decodeCheckpoint("f", encodeCheckpoint([]), 3)).toEqual([]);
  });

  test.each([
    "",
    "0",
    "0\n",
    "0\n1\n",
    "1\n0\n",
    "0\n1\na 0 1",
    "0\n2\na 0 1\n",
    "0\n\n",
    "0\n1\na 0\n",
    "0\n1\na 0 1 2\n",
    "0\nx\na 0 1\n",
    "\0\0\0\0",
  ])("refuses %j", (content) => {
    expect(() => decodeCheckpoint("f", new TextEncoder().encode(content), 3)).toThrow(corrupt);
  });

  test.each(["", "-1", "1.5", "1e3", "0x10", " 1", "1 ", "NaN", "Infinity", "9007199254740993", undefined])(
    "%j is no offset",
    (number) => {
      expect(() => checkpointNumber("f", number)).toThrow(corrupt);
    },
  );

  test("offsets of any folder names come back", async () => {
    const { disk } = newDisk();
    const offsets = new Map([
      ["a-b-0", 0],
      ["a-12", 2 ** 53 - 1],
      ["__consumer_offsets-49", 7],
    ]);
    await writeOffsets(disk, "data", "f", offsets);
    expect(await readOffsets(disk, "data", "f")).toEqual(offsets);
    expect(await readOffsets(disk, "data", "none")).toBeUndefined();
  });

  test("a replaced file is the old or the new one, whatever a power cut leaves", async () => {
    const { simulated, disk } = newDisk();
    await replaceFile(disk, "data", "f", new Uint8Array([1, 1, 1]));
    const seen = new Set<string>();
    simulated.onOperation = () => {
      for (const choice of simulated.powerCutChoices()) {
        const copy = simulated.copy();
        copy.powerCut(choice);
        seen.add(copy.contentOf("data/f").join(""));
      }
    };
    await replaceFile(disk, "data", "f", new Uint8Array([2, 2]));
    expect([...seen].sort()).toEqual(["111", "22"]);
    expect(await readFileIfThere(disk, "data/f")).toEqual(new Uint8Array([2, 2]));
    expect((await disk.list("data")).map(({ name }) => name)).toEqual(["f"]);
  });

  test("a leftover of an earlier attempt is no hindrance", async () => {
    const { disk } = newDisk();
    await (await disk.create("data/f.tmp")).append([new Uint8Array(9)]);
    await replaceFile(disk, "data", "f", new Uint8Array([3]));
    expect(await disk.readFile("data/f")).toEqual(new Uint8Array([3]));
  });
});

describe("what a data folder says of itself", () => {
  test("whose it is", async () => {
    const { simulated, disk } = newDisk();
    expect(await readIdentity(disk, "data")).toBeUndefined();
    const identity = { clusterId: "c", brokerId: 3, directoryId: "d" };
    await writeIdentity(disk, "data", identity);
    expect(await readIdentity(disk, "data")).toEqual(identity);
    for (const damage of [
      "",
      "version=2\ncluster.id=c\nnode.id=3\n",
      "version=1\nnode.id=3\n",
      "version=1\ncluster.id=c\nnode.id=x\n",
    ]) {
      simulated.replaceContent("data/meta.properties", new TextEncoder().encode(damage));
      await expect(readIdentity(disk, "data")).rejects.toMatchObject({ name: "DataFolderError" });
    }
    simulated.replaceContent(
      "data/meta.properties",
      new TextEncoder().encode("#of Kafka\nversion = 1\ncluster.id=c=\nnode.id=3"),
    );
    expect(await readIdentity(disk, "data")).toEqual({ clusterId: "c=", brokerId: 3, directoryId: "" });
  });

  test("the clean mark is taken once, durably", async () => {
    const { simulated, disk } = newDisk();
    await writeCleanMarker(disk, "data", 5);
    expect(await takeCleanMarker(disk, "data")).toBe(true);
    simulated.powerCut({ keep: "nothing" });
    expect(await takeCleanMarker(simulated.startProcess(), "data")).toBe(false);
  });

  test("a partition's topic id", async () => {
    const { simulated, disk } = newDisk();
    const topicId = "abcdefghijklmnopqrstu_";
    await writeTopicId(disk, "data", topicId);
    expect(await readTopicId(disk, "data")).toBe(topicId);
    for (const damage of [
      "",
      "version: 1\ntopic_id: abcdefghijklmnopqrstu_\n",
      "version: 0\ntopic_id: short\n",
      "version: 0\ntopic_id: abcdefghijklmnopqrstu_x\n",
    ]) {
      simulated.replaceContent("data/partition.metadata", new TextEncoder().encode(damage));
      expect(await readTopicId(disk, "data")).toBeUndefined();
    }
  });
});

describe("leader epochs", () => {
  const { disk } = newDisk();
  const cacheOf = (...entries: [number, number][]) =>
    new LeaderEpochCache(
      disk,
      "data",
      entries.map(([epoch, startOffset]) => ({ epoch, startOffset })),
    );
  const pairs = (cache: LeaderEpochCache) => cache.entries.map(({ epoch, startOffset }) => [epoch, startOffset]);

  test("only a newer epoch is noted; one that wrote nothing leaves no trace", () => {
    const cache = cacheOf([1, 0], [3, 10]);
    expect(cache.assign(3, 20)).toBe(false);
    expect(cache.assign(2, 20)).toBe(false);
    expect(cache.assign(4, 10)).toBe(true);
    expect(pairs(cache)).toEqual([
      [1, 0],
      [4, 10],
    ]);
    expect(cache.assign(6, 30)).toBe(true);
    expect(pairs(cache)).toEqual([
      [1, 0],
      [4, 10],
      [6, 30],
    ]);
  });

  test.each<[number, { epoch: number; endOffset: number } | undefined]>([
    [0, { epoch: 0, endOffset: 5 }],
    [1, { epoch: 1, endOffset: 10 }],
    [2, { epoch: 1, endOffset: 10 }],
    [3, { epoch: 3, endOffset: 20 }],
    [4, { epoch: 3, endOffset: 20 }],
    [5, { epoch: 5, endOffset: 25 }],
    [6, undefined],
  ])("where epoch %i ends (KIP-279)", (epoch, expected) => {
    expect(cacheOf([1, 5], [3, 10], [5, 20]).endOffsetFor(epoch, 25)).toEqual(expected);
  });

  test("without entries nothing is known", () => {
    expect(cacheOf().endOffsetFor(0, 5)).toBeUndefined();
    expect(cacheOf().epochOf(5)).toBeUndefined();
  });

  test("whose an offset is", () => {
    const cache = cacheOf([1, 5], [3, 10]);
    expect([4, 5, 9, 10, 99].map((offset) => cache.epochOf(offset))).toEqual([undefined, 1, 1, 3, 3]);
  });

  test.each<[number, [number, number][], boolean]>([
    [0, [], true],
    [5, [], true],
    [6, [[1, 5]], true],
    [10, [[1, 5]], true],
    [
      11,
      [
        [1, 5],
        [3, 10],
      ],
      false,
    ],
  ])("cut at the end %i", (end, expected, changed) => {
    const cache = cacheOf([1, 5], [3, 10]);
    expect([cache.truncateFromEnd(end), pairs(cache)]).toEqual([changed, expected]);
  });

  test.each<[number, [number, number][], boolean]>([
    [
      0,
      [
        [1, 5],
        [3, 10],
      ],
      false,
    ],
    [
      5,
      [
        [1, 5],
        [3, 10],
      ],
      false,
    ],
    [
      7,
      [
        [1, 7],
        [3, 10],
      ],
      true,
    ],
    [10, [[3, 10]], true],
    [15, [[3, 15]], true],
  ])("cut at the start %i", (start, expected, changed) => {
    const cache = cacheOf([1, 5], [3, 10]);
    expect([cache.truncateFromStart(start), pairs(cache)]).toEqual([changed, expected]);
  });

  test("a file comes back; an older epoch cannot begin", async () => {
    const cache = cacheOf([1, 5]);
    await cache.begin(2, 7);
    await expect(cache.begin(1, 9)).rejects.toThrow("below 2");
    expect(pairs((await LeaderEpochCache.read(disk, "data"))!)).toEqual([
      [1, 5],
      [2, 7],
    ]);
  });
});

describe("offset index", () => {
  const filled = () => {
    const index = new OffsetIndex(100);
    for (let i = 0; i < 200; i++) index.append(100 + 3 * i, 50 * i);
    return index;
  };

  test("finds the place at or before an offset, against a plain search", () => {
    const index = filled();
    const again = OffsetIndex.decode(100, index.encode(), 10_000)!;
    for (let offset = 90; offset < 720; offset++) {
      let position = 0;
      for (let i = 0; i < 200; i++) if (100 + 3 * i <= offset) position = 50 * i;
      expect([index.positionBefore(offset), again.positionBefore(offset)]).toEqual([position, position]);
    }
    expect([again.count, again.lastPosition, new OffsetIndex(0).lastPosition]).toEqual([200, 9950, 0]);
  });

  test("is Kafka's bytes", () => {
    const index = new OffsetIndex(7);
    index.append(8, 4097);
    index.append(300, 2 ** 31 - 1);
    expect(Buffer.from(index.encode()).toString("hex")).toBe("0000000100001001000001257fffffff");
  });

  test("refuses what cannot be: overflow, and offsets that do not rise", () => {
    expect(() => new OffsetIndex(0).append(2 ** 31, 0)).toThrow("overflows");
    expect(() => new OffsetIndex(0).append(0, 2 ** 31)).toThrow("overflows");
    expect(() => filled().append(697, 0)).toThrow("rise");
  });

  test("any bytes are a rising index or none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 2 ** 31 - 1 }), (bytes, size) => {
        const index = OffsetIndex.decode(0, bytes, size);
        if (bytes.byteLength % 8 !== 0) expect(index).toBeUndefined();
        if (index) expect(index.encode()).toEqual(bytes);
        if (index && index.count > 0) expect(index.lastPosition).toBeLessThan(size);
      }),
    );
  });
});

describe("time index", () => {
  test("takes only what rises, and finds the offset before a time", () => {
    const index = new TimeIndex(100);
    for (const [timestamp, offset] of [
      [10, 105],
      [10, 110],
      [9, 111],
      [20, 105],
      [20, 120],
      [2 ** 41, 130],
    ] as const)
      index.append(timestamp, offset);
    const again = TimeIndex.decode(100, index.encode())!;
    for (const one of [index, again]) {
      expect(one.count).toBe(3);
      expect([9, 10, 11, 20, 21, 2 ** 41, 2 ** 42].map((time) => one.offsetBefore(time))).toEqual([
        100, 100, 105, 105, 120, 120, 130,
      ]);
      expect(one.last).toEqual({ timestamp: 2 ** 41, offset: 130 });
    }
  });

  test("grows, and negative times survive the bytes", () => {
    const index = new TimeIndex(0);
    for (let i = 0; i < 500; i++) index.append(i - 1, i);
    expect(TimeIndex.decode(0, index.encode())!.last).toEqual({ timestamp: 498, offset: 499 });
    expect(TimeIndex.decode(0, index.encode())!.encode()).toEqual(index.encode());
    expect(() => index.append(1e6, 2 ** 31)).toThrow("overflows");
  });

  test.each([[new Uint8Array(5)], [new Uint8Array(24)], [new Uint8Array(12).fill(0xff)]])("refuses %j", (bytes) => {
    expect(TimeIndex.decode(0, bytes)).toBeUndefined();
  });
});

describe("producer snapshots", () => {
  const batch = fc
    .record({
      first: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      count: fc.integer({ min: 1, max: 1000 }),
      offset: fc.integer({ min: 0, max: 2 ** 40 }),
    })
    .map(({ first, count, offset }) => ({
      firstSequence: first,
      lastSequence: (first + count - 1) % 2 ** 31,
      firstOffset: offset,
      lastOffset: offset + count - 1,
      timestamp: offset,
    }));
  const entries = fc.uniqueArray(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), { maxLength: 8 }).chain((ids) =>
    fc.tuple(
      ...ids.map((producerId) =>
        fc.record({
          producerId: fc.constant(producerId),
          producerEpoch: fc.integer({ min: 0, max: 32766 }),
          batches: fc.array(batch, { minLength: 1, maxLength: 5 }),
          seenMs: fc.constant(9),
        }),
      ),
    ),
  );

  test("come back whole", () => {
    fc.assert(
      fc.property(entries, (some: readonly ProducerEntry[]) => {
        expect(decodeProducerSnapshot(encodeProducerSnapshot(some, codecs), codecs, 9)).toEqual(some);
      }),
    );
  });

  test("any flipped bit and any length is noticed", () => {
    const entry = {
      producerId: 5n,
      producerEpoch: 1,
      seenMs: 0,
      batches: [{ firstSequence: 0, lastSequence: 2, firstOffset: 5, lastOffset: 7, timestamp: 1 }],
    };
    const bytes = encodeProducerSnapshot([entry], codecs);
    for (let i = 0; i < bytes.byteLength * 8; i++) {
      bytes[i >> 3]! ^= 1 << (i & 7);
      expect(decodeProducerSnapshot(bytes, codecs, 0), `bit ${i}`).toBeUndefined();
      bytes[i >> 3]! ^= 1 << (i & 7);
    }
    for (let length = 0; length < bytes.byteLength; length++)
      expect(decodeProducerSnapshot(bytes.slice(0, length), codecs, 0)).toBeUndefined();
    expect(decodeProducerSnapshot(bytes, codecs, 0)).toEqual([entry]);
  });

  test("a row as Kafka writes it: the last batch only; a row without a sequence is left out", () => {
    const row = { producerId: 5n, producerEpoch: 1, seenMs: 0 };
    const kept = { firstSequence: 2 ** 31 - 2, lastSequence: 1, firstOffset: 5, lastOffset: 8, timestamp: 1 };
    const none = { firstSequence: -1, lastSequence: -1, firstOffset: 9, lastOffset: 9, timestamp: 1 };
    const bytes = encodeProducerSnapshot(
      [
        { ...row, batches: [kept] },
        { ...row, producerId: 6n, batches: [none] },
      ],
      codecs,
    );
    expect(bytes.byteLength).toBe(10 + 2 * 46);
    expect(decodeProducerSnapshot(bytes, codecs, 0)).toEqual([{ ...row, batches: [kept] }]);
  });
});
