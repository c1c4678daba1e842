import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BatchCorruptError } from "../../src/protocol/record-batch.ts";
import { VarintReader, varintSize, varlongSize, writeVarint, writeVarlong } from "../../src/protocol/varint.ts";

const written = (write: typeof writeVarint, value: number): Uint8Array => {
  const target = new Uint8Array(12);
  return target.subarray(0, write(target, 0, value));
};

/** The zigzag varint of any 64-bit value, the slow and plain way. */
function zigzag64(value: bigint): Uint8Array {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.from([...bytes, Number(rest)]);
}

const int32 = fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: -200, max: 200 }));
const safe = fc.oneof(fc.maxSafeInteger(), int32, fc.integer({ min: -(2 ** 40), max: 2 ** 40 }));

describe("varint", () => {
  test("the bytes of Kafka's ByteUtilsTest", () => {
    expect([...written(writeVarint, 0)]).toEqual([0]);
    expect([...written(writeVarint, -1)]).toEqual([1]);
    expect([...written(writeVarint, 1)]).toEqual([2]);
    expect([...written(writeVarint, 63)]).toEqual([0x7e]);
    expect([...written(writeVarint, -64)]).toEqual([0x7f]);
    expect([...written(writeVarint, 64)]).toEqual([0x80, 0x01]);
    expect([...written(writeVarint, 2 ** 31 - 1)]).toEqual([0xfe, 0xff, 0xff, 0xff, 0x0f]);
    expect([...written(writeVarint, -(2 ** 31))]).toEqual([0xff, 0xff, 0xff, 0xff, 0x0f]);
  });

  test("every int32 survives, in the size that was measured", () => {
    fc.assert(
      fc.property(int32, (value) => {
        const bytes = written(writeVarint, value);
        expect(bytes.length).toBe(varintSize(value));
        expect(bytes).toEqual(zigzag64(BigInt(value)));
        const reader = new VarintReader(bytes);
        expect(reader.varint()).toBe(value);
        expect(reader.position).toBe(bytes.length);
      }),
    );
  });

  test.each([
    ["six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x00]],
    ["more than 32 bits", [0xff, 0xff, 0xff, 0xff, 0x10]],
    ["no bytes", []],
    ["no last byte", [0x80, 0x80]],
  ])("refuses %s", (_, bytes) => {
    expect(() => new VarintReader(Uint8Array.from(bytes)).varint()).toThrow(BatchCorruptError);
  });

  test("does not read past its end, even if bytes are there", () => {
    const reader = new VarintReader(Uint8Array.of(0x80, 0x01, 0x02), 0, 1);
    expect(() => reader.varint()).toThrow(/past the end/);
    expect(() => new VarintReader(Uint8Array.of(2), 1).varlong()).toThrow(/past the end/);
  });
});

describe("varlong", () => {
  test("every safe integer survives, in the size that was measured", () => {
    fc.assert(
      fc.property(safe, (value) => {
        const bytes = written(writeVarlong, value);
        expect(bytes.length).toBe(varlongSize(value));
        expect(bytes).toEqual(zigzag64(BigInt(value)));
        expect(new VarintReader(bytes).varlong()).toBe(value);
      }),
    );
  });

  test("reads any 64 bits exactly or not at all", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.integer({ min: 0, max: 63 }),
        (wide, cut) => {
          const value = wide >> BigInt(cut);
          const reader = new VarintReader(zigzag64(value));
          if (Number.isSafeInteger(Number(value))) expect(reader.varlong()).toBe(Number(value));
          else expect(() => reader.varlong()).toThrow(BatchCorruptError);
        },
      ),
    );
  });

  test.each([2n ** 53n - 1n, -(2n ** 53n) + 1n])("the bound %s is in", (value) => {
    expect(new VarintReader(zigzag64(value)).varlong()).toBe(Number(value));
  });

  test.each([2n ** 53n, -(2n ** 53n), 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)])("%s is out", (value) => {
    expect(() => new VarintReader(zigzag64(value)).varlong()).toThrow(/2\^53/);
  });

  test("refuses eleven bytes", () => {
    const bytes = new Uint8Array(11).fill(0x80);
    bytes[10] = 0;
    expect(() => new VarintReader(bytes).varlong()).toThrow(BatchCorruptError);
  });
});
