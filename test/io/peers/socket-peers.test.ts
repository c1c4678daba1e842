// Links and sessions over sockets in memory: the contract, the handshake, signs of life, limits, and what malformed frames do.

import { describe, expect, test } from "vitest";
import { decodePiece, framePiece, handshakeMessage } from "../../../src/io/peers/peer-frames.ts";
import { nonceBytes, sealWelcome } from "../../../src/io/peers/peer-hello.ts";
import type { PeerSocket, PeerSocketHandler } from "../../../src/io/peers/peer-socket.ts";
import type { PeerHandler, PeerMessage } from "../../../src/io/peers/peers.ts";
import { SocketPeers } from "../../../src/io/peers/socket-peers.ts";
import { BrokerError } from "../../../src/protocol/error-codes.ts";
import { SimulatedRandom } from "../../simulation/simulated-random.ts";
import { peersContract } from "./peers.contract.ts";
import { identity, testCluster } from "./test-cluster.ts";

const empty: PeerMessage = { head: null, parts: [] };
const echo: PeerHandler = { handle: async ({ head, parts }) => ({ head, parts }) };
const soon = { timeoutMs: 60_000 };

describe("contract", () => {
  peersContract(async (handler) => {
    const { clock, network, peers } = testCluster(handler);
    return {
      peers,
      settle: (promise) => clock.runUntilSettled(promise),
      cut: () => {
        network.isCut = true;
      },
      close: () => peers.close(),
    };
  });
});

test("the secret itself never travels, and another one is refused before anything is asked", async () => {
  let asked = 0;
  const handler = {
    handle: async () => {
      asked += 1;
      return empty;
    },
  };
  const { clock, network, peers } = testCluster(handler, { secret: "other secret" });
  await expect(clock.runUntilSettled(peers.request(2, "m", empty, soon))).rejects.toMatchObject({ kind: "notSent" });
  expect(asked).toBe(0);
  expect(network.sent.map((frame) => decodePiece(frame).kind)).toEqual(["challenge", "hello"]);
  expect(Buffer.concat(network.sent).includes("other secret")).toBe(false);
  expect(network.sessions[0]!.peer).toBeUndefined();
});

test("a listener that does not know the secret is sent no request", async () => {
  const { clock } = testCluster(echo);
  const nonce = new Uint8Array(nonceBytes);
  const kinds: string[] = [];
  const frame = (kind: "challenge" | "welcome", bytes: Uint8Array) =>
    Buffer.concat(framePiece(handshakeMessage(kind, bytes), 0, bytes.length));
  const dial = (_origin: string, handler: PeerSocketHandler): PeerSocket => {
    clock.setTimer(1, () => handler.message(frame("challenge", nonce)));
    return {
      bufferedBytes: 0,
      send: (chunks) => {
        const { kind, bytes } = decodePiece(Buffer.concat(chunks));
        kinds.push(kind);
        const nonces = { listener: nonce, dialler: bytes.subarray(32, 64) };
        const welcome = sealWelcome("guess", nonces, { ...identity(2), version: 1, frameBytesMax: 2 ** 20 });
        clock.setTimer(1, () => handler.message(frame("welcome", welcome)));
      },
      close: (code, reason) => void clock.setTimer(1, () => handler.closed(code, reason)),
      terminate: () => {},
    };
  };
  const peers = new SocketPeers({
    dialer: { dial },
    clock,
    random: new SimulatedRandom(1),
    identity: identity(1),
    secret: "s",
    originOf: () => "http://127.0.0.1:2",
  });
  const request = clock.runUntilSettled(peers.request(2, "m", empty, soon));
  await expect(request).rejects.toThrow("the cluster secret is not the same");
  expect(kinds).toEqual(["hello"]);
});

test("a broker of another cluster, or another broker than was meant, is not talked to", async () => {
  const other = testCluster(echo, { clusterId: "d" });
  const refused = other.clock.runUntilSettled(other.peers.request(2, "m", empty, soon));
  await expect(refused).rejects.toThrow("of another cluster");
  const moved = testCluster(echo, {}, { identity: identity(7) });
  const wrong = moved.clock.runUntilSettled(moved.peers.request(2, "m", empty, soon));
  await expect(wrong).rejects.toThrow("of another cluster, version or broker");
});

test("without a secret only this machine is dialled", async () => {
  const { clock, network, peers } = testCluster(echo, { secret: "" }, { secret: "" });
  await clock.runUntilSettled(peers.request(2, "m", empty, soon));
  await expect(clock.runUntilSettled(peers.request(3, "m", empty, soon))).rejects.toMatchObject({ kind: "notSent" });
  expect(network.dials).toBe(1);
});

test("a small request overtakes a large answer", async () => {
  const large = new Uint8Array(8 * 2 ** 20);
  const handler: PeerHandler = {
    handle: async ({ method }) => ({ head: null, parts: method === "fetch" ? [large] : [] }),
  };
  const { clock, peers } = testCluster(handler);
  await clock.runUntilSettled(peers.request(2, "heartbeat", empty, soon));
  const order: string[] = [];
  const fetched = peers.request(2, "fetch", empty, soon).then(() => order.push("fetch"));
  await clock.advance(5);
  const beat = peers.request(2, "heartbeat", empty, soon).then(() => order.push("heartbeat"));
  await clock.runUntilSettled(Promise.all([fetched, beat]));
  expect(order).toEqual(["heartbeat", "fetch"]);
});

test("a line that is cut is noticed on both sides without a request", async () => {
  const ended: unknown[] = [];
  const { clock, network, peers } = testCluster(echo, {}, { ended: (session) => ended.push(session) });
  await clock.runUntilSettled(peers.request(2, "m", empty, soon));
  await clock.advance(60_000);
  expect(ended).toEqual([]); // a silent line is kept by its signs of life
  network.isCut = true;
  const request = peers.request(2, "m", empty, soon);
  const verdict = expect(request).rejects.toMatchObject({ kind: "noAnswer" });
  await clock.advance(20_000);
  await verdict;
  expect(ended.length).toBe(1);
});

test("tries to reach a broker that is down come at growing distances", async () => {
  const { clock, network, peers } = testCluster(echo);
  network.listeners.clear();
  const failures = [];
  const startMs = clock.monotonicMs();
  for (let round = 0; round < 12; round++) {
    failures.push(await clock.runUntilSettled(peers.request(2, "m", empty, soon).catch((error) => error.kind)));
  }
  expect(new Set(failures)).toEqual(new Set(["notSent"]));
  expect(network.dials).toBe(12);
  const tookMs = clock.monotonicMs() - startMs;
  expect(tookMs).toBeGreaterThan(3_000);
  expect(tookMs).toBeLessThan(15_000);
});

test("more requests than may be in flight are not sent", async () => {
  const { clock, peers } = testCluster({ handle: () => new Promise(() => {}) });
  const kinds = new Map<string, number>();
  for (let count = 0; count < 1_030; count++) {
    peers
      .request(2, "m", empty, { timeoutMs: 1_000 })
      .catch(({ kind }: { kind: string }) => kinds.set(kind, (kinds.get(kind) ?? 0) + 1));
  }
  await clock.advance(5_000);
  expect(Object.fromEntries(kinds)).toEqual({ notSent: 6, noAnswer: 1_024 });
});

test("a request that did not leave before its time is surely not sent, and never arrives", async () => {
  const methods: string[] = [];
  const { clock, network, peers } = testCluster({
    handle: async ({ method }) => {
      methods.push(method);
      return empty;
    },
  });
  await clock.runUntilSettled(peers.request(2, "first", empty, soon));
  network.isStuck = true;
  const large = { head: null, parts: [new Uint8Array(2 ** 20)] };
  const kind = await clock.runUntilSettled(
    peers.request(2, "large", large, { timeoutMs: 100 }).catch((error) => error.kind),
  );
  network.isStuck = false;
  await clock.advance(1_000);
  expect([kind, methods]).toEqual(["notSent", ["first"]]);
});

test("draining refuses what is new, answers what runs, and then closes", async () => {
  let answer: ((message: PeerMessage) => void) | undefined;
  const handler: PeerHandler = {
    handle: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  };
  const ended: unknown[] = [];
  const { clock, network, peers } = testCluster(handler, {}, { ended: (session) => ended.push(session) });
  const running = peers.request(2, "m", empty, soon);
  await clock.advance(100);
  network.sessions[0]!.drain();
  await expect(clock.runUntilSettled(peers.request(2, "m", empty, soon))).rejects.toMatchObject({
    code: "BROKER_SHUTTING_DOWN",
    maybeAppended: false,
  });
  answer?.({ head: "done", parts: [] });
  expect((await clock.runUntilSettled(running)).head).toBe("done");
  await clock.advance(100);
  expect(ended.length).toBe(1);
});

test("a bug in a handler is told as a refusal in doubt", async () => {
  const bug = new TypeError("x of undefined");
  const { clock, peers, bugs } = testCluster({ handle: () => Promise.reject(bug) });
  const refused = clock.runUntilSettled(peers.request(2, "m", empty, soon));
  await expect(refused).rejects.toMatchObject({ code: "UNKNOWN_SERVER_ERROR", maybeAppended: true });
  await expect(refused).rejects.toBeInstanceOf(BrokerError);
  expect(bugs).toEqual([bug]);
});

test("a malformed frame closes the session and throws nothing out", async () => {
  for (const frame of [new Uint8Array(0), new Uint8Array(20), Uint8Array.of(5, ...new Uint8Array(19))]) {
    const ended: unknown[] = [];
    const { clock, network, peers } = testCluster(echo, {}, { ended: (session) => ended.push(session) });
    await clock.runUntilSettled(peers.request(2, "m", empty, soon));
    network.sessions[0]!.message(frame);
    await clock.advance(100);
    expect(ended.length).toBe(1);
    await clock.runUntilSettled(peers.request(2, "m", empty, soon));
    expect(network.dials).toBe(2);
  }
});
