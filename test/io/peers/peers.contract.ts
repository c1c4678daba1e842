// What every Peers promises, whatever carries the messages: in a simulation, over sockets in memory, over loopback.

import { expect, test } from "vitest";
import type { PeerHandler, PeerMessage, PeerRequest, Peers } from "../../../src/io/peers/peers.ts";
import { BrokerError } from "../../../src/protocol/error-codes.ts";

/** Brokers 1 and 2: requests of 1 go to the handler. */
export interface PeerWorld {
  readonly peers: Peers;
  /** Lets time pass until the promise settles. */
  settle<T>(promise: Promise<T>): Promise<T>;
  /** Nothing goes either way any more, and nobody is told. */
  cut(): void;
  close(): Promise<void>;
}

const bytes = (length: number, seed: number) => Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);

class TestHandler implements PeerHandler {
  readonly requests: PeerRequest[] = [];
  async handle(request: PeerRequest): Promise<PeerMessage> {
    this.requests.push(request);
    if (request.method === "echo") return { head: request.head, parts: request.parts };
    if (request.method === "large") {
      return { head: null, parts: [bytes(request.head as number, 7)] };
    }
    if (request.method === "refuse") {
      throw new BrokerError("OUT_OF_ORDER_SEQUENCE_NUMBER", "a gap", { fields: { expectedSequence: 7 } });
    }
    if (request.method === "doubt") throw new BrokerError("REQUEST_TIMED_OUT", "who knows", { maybeAppended: true });
    return new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(new Error("aborted"))));
  }
}

export function peersContract(make: (handler: PeerHandler) => Promise<PeerWorld>): void {
  async function withWorld(run: (world: PeerWorld, handler: TestHandler) => Promise<void>): Promise<void> {
    const handler = new TestHandler();
    const world = await make(handler);
    try {
      await run(world, handler);
    } finally {
      await world.close();
    }
  }
  const ask = (world: PeerWorld, method: string, head: unknown, parts: Uint8Array[] = [], timeoutMs = 5_000) =>
    world.settle(world.peers.request(2, method, { head, parts }, { timeoutMs }));

  test("head and parts arrive as they were sent, and the answer too", () =>
    withWorld(async (world, handler) => {
      const head = { topic: "t", offset: 2 ** 52, negative: -1, none: null, list: [1, "ä", true], fraction: 0.5 };
      const parts = [bytes(3, 1), bytes(0, 0), bytes(300_000, 2)];
      const answer = await ask(world, "echo", head, parts);
      expect(answer.head).toEqual(head);
      expect(answer.parts.map((part) => Buffer.from(part).equals(parts[answer.parts.indexOf(part)]!))).toEqual([
        true,
        true,
        true,
      ]);
      expect(handler.requests[0]).toMatchObject({ from: { brokerId: 1 }, method: "echo", timeoutMs: 5_000 });
    }));

  test("many requests at once each get their own answer", () =>
    withWorld(async (world) => {
      const answers = Array.from({ length: 100 }, (_, index) =>
        world.peers.request(2, "echo", { head: index, parts: [bytes(index * 500, index)] }, { timeoutMs: 5_000 }),
      );
      const heads = (await world.settle(Promise.all(answers))).map(({ head, parts }) => [head, parts[0]!.length]);
      expect(heads).toEqual(Array.from({ length: 100 }, (_, index) => [index, index * 500]));
    }));

  test("an answer of many megabytes comes whole", () =>
    withWorld(async (world) => {
      const { parts } = await ask(world, "large", 5_000_001);
      expect(Buffer.from(parts[0]!).equals(bytes(5_000_001, 7))).toBe(true);
    }));

  test("a refusal travels with its code, message, fields and doubt", () =>
    withWorld(async (world) => {
      await expect(ask(world, "refuse", null)).rejects.toMatchObject({
        name: "BrokerError",
        code: "OUT_OF_ORDER_SEQUENCE_NUMBER",
        message: "a gap",
        fields: { expectedSequence: 7 },
        maybeAppended: false,
      });
      await expect(ask(world, "doubt", null)).rejects.toMatchObject({ maybeAppended: true });
    }));

  test("a request without an answer is in doubt after its time, and over there is told so", () =>
    withWorld(async (world, handler) => {
      await expect(ask(world, "never", null, [], 100)).rejects.toMatchObject({ name: "PeerFailure", kind: "noAnswer" });
      await ask(world, "echo", null);
      expect(handler.requests[0]!.signal.aborted).toBe(true);
    }));

  test("a request that is given up is in doubt; one given up before is not sent", () =>
    withWorld(async (world, handler) => {
      await ask(world, "echo", null);
      const giving = new AbortController();
      const request = world.peers.request(
        2,
        "never",
        { head: 1, parts: [] },
        { timeoutMs: 5_000, signal: giving.signal },
      );
      await ask(world, "echo", null);
      await ask(world, "echo", null);
      giving.abort();
      await expect(world.settle(request)).rejects.toMatchObject({ kind: "noAnswer" });
      const before = handler.requests.length;
      const late = world.peers.request(2, "echo", { head: 1, parts: [] }, { timeoutMs: 50, signal: giving.signal });
      await expect(world.settle(late)).rejects.toMatchObject({ kind: "notSent" });
      expect(handler.requests.length).toBe(before);
    }));

  test("nobody is there: nothing was sent", () =>
    withWorld(async (world) => {
      const request = world.peers.request(9, "echo", { head: null, parts: [] }, { timeoutMs: 1_000 });
      await expect(world.settle(request)).rejects.toMatchObject({ kind: "notSent" });
    }));

  test("cut off in the middle of a request: in doubt", () =>
    withWorld(async (world) => {
      await ask(world, "echo", null);
      world.cut();
      await expect(ask(world, "echo", null, [], 300)).rejects.toMatchObject({ kind: "noAnswer" });
    }));

  test("after closing nothing is sent, and what was under way is in doubt", () =>
    withWorld(async (world) => {
      await ask(world, "echo", null);
      const request = world.peers.request(2, "never", { head: null, parts: [] }, { timeoutMs: 60_000 });
      const verdict = expect(request).rejects.toMatchObject({ kind: "noAnswer" });
      await ask(world, "echo", null);
      await world.peers.close();
      await verdict;
      await expect(ask(world, "echo", null)).rejects.toMatchObject({ kind: "notSent" });
    }));
}
