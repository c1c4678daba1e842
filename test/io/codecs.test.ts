import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { compressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { CodecError, type CompressionCodec } from "../../src/protocol/codecs.ts";
import { xxhash32 } from "../../src/protocol/xxhash32.ts";
import { samples } from "./codec-samples.ts";

const golden = new URL("../golden/codecs/", import.meta.url);
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const tooLarge = expect.objectContaining({ name: "CodecError", kind: "tooLarge" });
const corrupt = expect.objectContaining({ name: "CodecError", kind: "corrupt" });

interface Packed {
  readonly name: string;
  readonly codec: CompressionCodec;
  readonly packed: Uint8Array;
  readonly data: Uint8Array;
}

const packedByTools: Packed[] = readdirSync(golden).map((name) => {
  const codec = name.endsWith(".zst") ? "zstd" : "lz4";
  const data = samples[name.slice(0, name.indexOf("."))]!();
  return { name, codec, packed: new Uint8Array(readFileSync(new URL(name, golden))), data };
});

/** As Java producers write snappy: the header of xerial, then blocks of at most 32 KiB behind their lengths. */
function xerial(data: Uint8Array, header = [0x82, ...ascii("SNAPPY"), 0, 0, 0, 0, 1, 0, 0, 0, 1]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.from(header)];
  for (let at = 0; at < data.length; at += 32_768) {
    const block = compressSync(data.slice(at, at + 32_768));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    parts.push(length, block);
  }
  return new Uint8Array(Buffer.concat(parts));
}

const packedHere: Packed[] = Object.entries(samples).flatMap(([name, make]) => {
  const data = make();
  return [
    { name: `${name}.gz`, codec: "gzip", packed: new Uint8Array(gzipSync(data)), data },
    { name: `${name}.snappy`, codec: "snappy", packed: new Uint8Array(compressSync(data)), data },
    { name: `${name}.xerial`, codec: "snappy", packed: xerial(data), data },
  ];
});
const all = [...packedByTools, ...packedHere];

const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const inflate = (codec: CompressionCodec, bytes: Uint8Array, maxBytes = 1 << 20) =>
  nodeCodecs.decompress(codec, bytes, maxBytes);
const same = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

describe("crc32c", () => {
  test("known vectors", () => {
    expect(nodeCodecs.crc32c(ascii("123456789"))).toBe(0xe3069283);
    expect(nodeCodecs.crc32c(new Uint8Array(0))).toBe(0);
    expect(nodeCodecs.crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(nodeCodecs.crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
  });
});

test("xxhash32 of known inputs", () => {
  expect(xxhash32(new Uint8Array(0))).toBe(0x02cc5d05);
  expect(xxhash32(ascii("a"))).toBe(0x550d7456);
  expect(xxhash32(ascii("abc"))).toBe(0x32d153ff);
  expect(xxhash32(ascii("Nobody inspects the spammish repetition"))).toBe(0xe2293b2f);
});

describe("decompress", () => {
  test("the files of the tools are there", () => {
    expect(packedByTools.length).toBeGreaterThanOrEqual(40);
  });

  test.each(all)("$name", ({ codec, packed, data }) => {
    expect(same(inflate(codec, packed, data.length), data)).toBe(true);
    if (data.length > 0) expect(() => inflate(codec, packed, data.length - 1)).toThrow(tooLarge);
  });

  test.each(["gzip", "zstd", "lz4"] as const)("%s frames may follow one another", (codec) => {
    const [first, second] = all.filter((one) => one.codec === codec && /^(text|json)/.test(one.name));
    const both = inflate(codec, join(first!.packed, second!.packed));
    expect(same(both, join(first!.data, second!.data))).toBe(true);
  });

  test.each(["zstd", "lz4"] as const)("%s skips what is marked to be skipped", (codec) => {
    const { packed, data } = all.find((one) => one.codec === codec && one.name.startsWith("text"))!;
    const skippable = Uint8Array.of(0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
    expect(same(inflate(codec, join(skippable, packed)), data)).toBe(true);
    expect(() => inflate(codec, join(packed, skippable.subarray(0, 10)))).toThrow(corrupt);
  });

  test("none is passed on within the bound", () => {
    const bytes = ascii("abc");
    expect(inflate("none", bytes, 3)).toBe(bytes);
    expect(() => inflate("none", bytes, 2)).toThrow(tooLarge);
  });

  test("a bound of nothing lets nothing through", () => {
    expect(inflate("gzip", gzipSync(""), 0).length).toBe(0);
    expect(() => inflate("gzip", gzipSync("a"), 0)).toThrow(tooLarge);
  });
});

describe("bombs stop at the bound", () => {
  const zstdFrame = (...blocks: number[][]) =>
    Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, ...blocks.flat(), 0x01, 0, 0]);
  /** 128 KiB of one byte, in four. */
  const rleBlock = [0x02, 0x00, 0x10, 65];
  const lz4 = packedByTools.find((one) => one.name === "zeros.1.lz4")!.packed;
  const bombs: [string, CompressionCodec, Uint8Array][] = [
    ["gzip of 64 MiB of zeros", "gzip", new Uint8Array(gzipSync(Buffer.alloc(64 << 20)))],
    ["snappy that announces 4 GiB", "snappy", Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0)],
    ["xerial snappy of many blocks", "snappy", xerial(new Uint8Array(4 << 20))],
    ["zstd of 2 GiB in run-length blocks", "zstd", zstdFrame(...new Array<number[]>(16_384).fill(rleBlock))],
    ["zstd that announces 2^62 bytes", "zstd", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40)],
    ["lz4 of many frames", "lz4", join(...new Array<Uint8Array>(2_000).fill(lz4))],
  ];

  test.each(bombs)("%s", (_, codec, bomb) => {
    const before = process.memoryUsage().arrayBuffers;
    expect(() => inflate(codec, bomb, 1 << 20)).toThrow(tooLarge);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(12 << 20);
  });

  test("the run-length block is what it says", () => {
    expect(same(inflate("zstd", zstdFrame(rleBlock)), new Uint8Array(128 << 10).fill(65))).toBe(true);
  });

  test("frames without content cost little each", () => {
    const empty = zstdFrame();
    expect(inflate("zstd", join(...new Array<Uint8Array>(50_000).fill(empty))).length).toBe(0);
  });
});

describe("damaged input", () => {
  const small = all.filter((one) => one.packed.length > 0 && one.packed.length < 9_000);

  function inflatesOrRefuses(codec: CompressionCodec, bytes: Uint8Array): void {
    try {
      expect(inflate(codec, bytes, 400_000).length).toBeLessThanOrEqual(400_000);
    } catch (error) {
      expect(error).toBeInstanceOf(CodecError);
    }
  }

  test.each(["gzip", "snappy", "lz4", "zstd"] as const)("empty or random bytes are no %s", (codec) => {
    expect(() => inflate(codec, new Uint8Array(0))).toThrow(corrupt);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => inflatesOrRefuses(codec, bytes)));
  });

  test("cut short it is refused, wherever the cut is", () => {
    const cuttable = small.filter((one) => one.name.startsWith("skewed"));
    fc.assert(
      fc.property(
        fc.constantFrom(...cuttable),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (one, at) => {
          const cut = one.packed.subarray(0, Math.floor(one.packed.length * at));
          // Between two xerial blocks a cut cannot be seen; this sample is a single one.
          if (one.name.endsWith("xerial") && cut.length === 16) return;
          expect(() => inflate(one.codec, cut)).toThrow(corrupt);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("changed bytes inflate to something bounded or are refused", () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(fc.constantFrom(...small), fc.array(change, { minLength: 1, maxLength: 4 }), (one, changes) => {
        const bytes = one.packed.slice();
        for (const [at, bits] of changes) bytes[at % bytes.length]! ^= bits;
        inflatesOrRefuses(one.codec, bytes);
      }),
      { numRuns: 1_500 },
    );
  });

  test("an lz4 frame with any bit of its header or checksum changed is refused", () => {
    const { packed } = packedByTools.find((one) => one.name === "text.2.lz4")!;
    for (const at of [...Array.from({ length: 15 }, (_, index) => index), packed.length - 1]) {
      const bytes = packed.slice();
      bytes[at]! ^= 1;
      expect(() => inflate("lz4", bytes), `byte ${at}`).toThrow(CodecError);
    }
  });
});
