// Peers over real sockets on loopback: the contract, and who gets onto the route at all.

import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { createBroker } from "../../src/broker/broker.ts";
import { defaultSettings } from "../../src/config.ts";
import { createHttpServer } from "../../src/http/server.ts";
import { silentLogger } from "../../src/io/logger.ts";
import { NodeClock } from "../../src/io/node-clock.ts";
import { NodeRandom } from "../../src/io/node-random.ts";
import { NodePeerDialer } from "../../src/io/peers/node-peer-dialer.ts";
import type { PeerDialer, PeerSocketHandler } from "../../src/io/peers/peer-socket.ts";
import type { PeerHandler } from "../../src/io/peers/peers.ts";
import { SocketPeers } from "../../src/io/peers/socket-peers.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { peersContract } from "../io/peers/peers.contract.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";

const echo: PeerHandler = { handle: async ({ head, parts }) => ({ head, parts }) };
const identity = (brokerId: number) => ({ clusterId: "c", brokerId, incarnation: `i${brokerId}` });
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listening(handler: PeerHandler | undefined, secret = "s"): Promise<string> {
  const settings = { ...defaultSettings, listen: "127.0.0.1:0" };
  const common = { settings, clock: new NodeClock(), random: new NodeRandom(), logger: silentLogger };
  const disk = new SimulatedDisk().startProcess();
  const broker = await createBroker({ ...common, dataDir: "/data", disk });
  const http = createHttpServer({
    ...common,
    broker,
    metrics: new Metrics(),
    version: "0.0.0",
    ...(handler !== undefined && { peers: { identity: identity(2), handler, secret } }),
  });
  const origin = await http.listen();
  closing.push(async () => {
    await http.stop(100);
    await broker.close();
  });
  return origin;
}

function peersTo(origin: string, { secret = "s", dialer = new NodePeerDialer() as PeerDialer } = {}): SocketPeers {
  const peers = new SocketPeers({
    dialer,
    clock: new NodeClock(),
    random: new NodeRandom(),
    identity: identity(1),
    secret,
    originOf: (brokerId) => (brokerId === 2 ? origin : undefined),
  });
  closing.push(() => peers.close());
  return peers;
}

/** Real sockets, until they are cut. */
class CutDialer implements PeerDialer {
  readonly #dialer = new NodePeerDialer();
  isCut = false;

  dial(origin: string, handler: PeerSocketHandler) {
    const socket = this.#dialer.dial(origin, {
      opened: () => handler.opened(),
      message: (bytes) => this.isCut || handler.message(bytes),
      written: () => handler.written(),
      closed: (code, reason) => handler.closed(code, reason),
    });
    const send = (chunks: readonly Uint8Array[]) => this.isCut || socket.send(chunks);
    return {
      get bufferedBytes() {
        return socket.bufferedBytes;
      },
      send,
      close: (code: number, reason: string) => socket.close(code, reason),
      terminate: () => socket.terminate(),
    };
  }
}

describe("contract", () => {
  peersContract(async (handler) => {
    const dialer = new CutDialer();
    const peers = peersTo(await listening(handler), { dialer });
    return {
      peers,
      settle: (promise) => promise,
      cut: () => {
        dialer.isCut = true;
      },
      close: () => peers.close(),
    };
  });
});

async function refusal(origin: string, protocol: string | undefined, headers: Record<string, string>) {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/peer`, protocol, { headers });
  socket.on("error", () => {});
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  response.resume();
  return response.statusCode;
}

test("pages of browsers and sockets of clients do not get in; a single broker has no such route", async () => {
  const origin = await listening(echo);
  expect(await refusal(origin, "millrace.peer.v1", { origin })).toBe(403);
  expect(await refusal(origin, undefined, {})).toBe(400);
  expect(await refusal(origin, "millrace.v1.json", {})).toBe(400);
  expect(await refusal(await listening(undefined), "millrace.peer.v1", {})).toBe(404);
});

test("another secret gets no answer", async () => {
  const origin = await listening(echo);
  const stranger = peersTo(origin, { secret: "x" }).request(2, "m", { head: 1, parts: [] }, { timeoutMs: 5_000 });
  await expect(stranger).rejects.toMatchObject({ kind: "notSent" });
  expect((await peersTo(origin).request(2, "m", { head: 1, parts: [] }, { timeoutMs: 5_000 })).head).toBe(1);
});

test("a broker that connects again replaces its former connection", async () => {
  const origin = await listening({ handle: () => new Promise(() => {}) });
  const former = peersTo(origin).request(2, "m", { head: 1, parts: [] }, { timeoutMs: 30_000 });
  const verdict = expect(former).rejects.toThrow("the same broker has connected again");
  const second = peersTo(origin).request(2, "m", { head: 1, parts: [] }, { timeoutMs: 30_000 });
  second.catch(() => {});
  await verdict;
});
