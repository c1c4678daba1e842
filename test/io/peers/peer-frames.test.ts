// Frames as bytes: what they look like, that everything comes back, and that nothing malformed gets through or throws anything else.

import fc from "fast-check";
import { expect, test } from "vitest";
import { MessageAssembly } from "../../../src/io/peers/message-assembly.ts";
import {
  decodeMessage,
  decodePiece,
  emptyMessage,
  encodeMessage,
  framePiece,
  MalformedFrameError,
} from "../../../src/io/peers/peer-frames.ts";
import { isLoopbackAddress, openHello, sealHello } from "../../../src/io/peers/peer-hello.ts";

const hex = (chunks: readonly Uint8Array[]) => Buffer.concat(chunks).toString("hex");

test("golden bytes: brokers of all versions read them so", () => {
  const message = encodeMessage("request", 258, {
    head: { method: "fetch", timeoutMs: 500, head: { offset: 2 ** 40 } },
    parts: [Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(4)],
  });
  expect(hex(framePiece(message, 0, message.totalBytes))).toMatchInlineSnapshot(
    `"0400000000000102000000360000003a000000009283a66d6574686f64a56665746368a974696d656f75744d73cd01f4a46865616481a66f6666736574cb42700000000000009303000101020304"`,
  );
  expect(hex(framePiece(emptyMessage("ping", 0), 0, 0))).toMatchInlineSnapshot(
    `"0800000000000000000000000000000000000000"`,
  );
});

test("golden proof of a hello", () => {
  const nonces = { listener: new Uint8Array(32).fill(1), dialler: new Uint8Array(32).fill(2) };
  const hello = { clusterId: "c", brokerId: 1, incarnation: "i", version: 1, to: 2 };
  const sealed = sealHello("secret", nonces, hello);
  expect(Buffer.from(sealed).toString("hex")).toMatchInlineSnapshot(
    `"c867fcc5ac2fcc9e5da431cbedeff271590a236c99bf0b40070c8f43a11610ee02020202020202020202020202020202020202020202020202020202020202027b22636c75737465724964223a2263222c2262726f6b65724964223a312c22696e6361726e6174696f6e223a2269222c2276657273696f6e223a312c22746f223a327d"`,
  );
  expect(openHello("secret", nonces.listener, sealed)?.hello).toEqual(hello);
  expect(openHello("Secret", nonces.listener, sealed)).toBeUndefined();
  expect(openHello("secret", nonces.dialler, sealed)).toBeUndefined();
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed);
    changed[at]! ^= 1;
    expect(openHello("secret", nonces.listener, changed)).toBeUndefined();
  }
});

const heads = fc.jsonValue({ maxDepth: 3, noUnicodeString: false });
const messages = fc.record({ head: heads, parts: fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 }) });

test("messages in pieces of any size, mixed with each other, come back as they were", () => {
  fc.assert(
    fc.property(fc.array(messages, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 90 }), (sent, size) => {
      const encoded = sent.map((message, index) => encodeMessage("reply", index + 1, message));
      const assembly = new MessageAssembly();
      const came = new Map<number, unknown>();
      for (let position = 0; came.size < sent.length; position += size) {
        for (const message of encoded.filter(({ totalBytes }) => position < totalBytes)) {
          const length = Math.min(size, message.totalBytes - position);
          const piece = decodePiece(Buffer.concat(framePiece(message, position, length)));
          const whole = assembly.add(piece);
          if (whole !== undefined) came.set(piece.id, decodeMessage(piece.headBytes, whole));
        }
      }
      for (const [index, { head, parts }] of sent.entries()) {
        const back = came.get(index + 1) as { head: unknown; parts: Uint8Array[] };
        expect(JSON.stringify(back.head)).toEqual(JSON.stringify(head));
        expect(back.parts.map((part) => Buffer.from(part).toString("hex"))).toEqual(
          parts.map((part) => Buffer.from(part).toString("hex")),
        );
      }
    }),
    { numRuns: 200 },
  );
});

function read(frame: Uint8Array): void {
  const piece = decodePiece(frame);
  const whole = new MessageAssembly().add(piece);
  if (whole !== undefined) decodeMessage(piece.headBytes, whole);
}

test("bytes of any kind are read or malformed, and nothing else", () => {
  const damaged = fc
    .tuple(messages, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }), fc.nat())
    .map(([message, changes, cut]) => {
      const encoded = encodeMessage("request", 1, message);
      const frame = Buffer.concat(framePiece(encoded, 0, encoded.totalBytes));
      for (const [at, value] of changes) frame[at % frame.length] = value;
      return cut % 2 === 0 ? frame : frame.subarray(0, cut % frame.length);
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), damaged), (frame) => {
      try {
        read(frame);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedFrameError);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("pieces out of their order, twice, or with another length are malformed", () => {
  const message = encodeMessage("reply", 1, { head: null, parts: [new Uint8Array(100)] });
  const piece = (position: number, length: number) => decodePiece(Buffer.concat(framePiece(message, position, length)));
  const after = (...pieces: ReturnType<typeof piece>[]) => {
    const assembly = new MessageAssembly();
    return () => pieces.forEach((next) => void assembly.add(next));
  };
  expect(after(piece(10, 10))).toThrow("has no beginning");
  expect(after(piece(0, 10), piece(0, 10))).toThrow("begins twice");
  expect(after(piece(0, 10), piece(20, 10))).toThrow("does not follow");
  expect(after(piece(0, 10), { ...piece(10, 10), totalBytes: 90 })).toThrow("does not follow");
  expect(after(piece(0, 10), { ...piece(10, 10), kind: "refusal" })).toThrow("does not follow");
  expect(after(piece(0, 10), piece(10, 90))).not.toThrow();
});

test("what has begun to come is bounded", () => {
  const assembly = new MessageAssembly();
  const begin = (id: number) => {
    const header = { kind: "reply", id, headBytes: 4, totalBytes: 64 * 2 ** 20, position: 0 } as const;
    return assembly.add({ ...header, bytes: new Uint8Array(10) });
  };
  begin(1);
  begin(2);
  expect(() => begin(3)).toThrow("too much at once");
  assembly.drop(1);
  expect(() => begin(3)).not.toThrow();
});

test("which addresses are of this machine", () => {
  for (const address of ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "::ffff:127.0.0.1", "localhost"]) {
    expect(isLoopbackAddress(address)).toBe(true);
  }
  for (const address of [undefined, "", "128.0.0.1", "10.0.0.127", "::2", "127.0.0.1.example.org"]) {
    expect(isLoopbackAddress(address)).toBe(false);
  }
});
