// The proxy does what it is asked for, and a seed asks for the same each time.

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { ChaosProxy, drawStep } from "./chaos-proxy.ts";

let echo: Server;
let proxy: ChaosProxy;
let echoEnded: Promise<unknown>;
const echoing = new Set<Socket>();
const clients: Client[] = [];

beforeEach(async () => {
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    echoEnded = new Promise((resolve) => socket.once("end", resolve));
    echoing.add(socket);
    socket.on("error", () => {});
    socket.pipe(socket, { end: false });
  });
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  proxy = await ChaosProxy.start(`http://127.0.0.1:${(echo.address() as AddressInfo).port}`);
});
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy.close();
  for (const socket of echoing) socket.destroy();
  echoing.clear();
  await new Promise((resolve) => echo.close(resolve));
});

class Client {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  readonly ended: Promise<unknown>;
  error = "";
  #text = "";
  #heard: () => void = () => {};

  constructor() {
    this.socket = connect({ port: Number(new URL(proxy.url).port), host: "127.0.0.1", allowHalfOpen: true });
    this.socket.setEncoding("utf8").on("data", (text) => {
      this.#text += text;
      this.#heard();
    });
    this.socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? "";
    });
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.ended = new Promise((resolve) => this.socket.once("end", resolve));
    clients.push(this);
  }

  get text(): string {
    return this.#text;
  }

  say(text: string): this {
    this.socket.write(text);
    return this;
  }

  async hears(text: string): Promise<void> {
    while (this.#text !== text) {
      if (!text.startsWith(this.#text)) throw new Error(`heard ${this.#text}`);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }
}

test("without faults it is not there", async () => {
  const text = "x".repeat(3_000_000);
  await new Client().say(text).hears(text);
});

test("cut: every connection ends, by reset or without, and new ones are taken", async () => {
  const [one, other] = [new Client().say("a"), new Client().say("b")];
  await Promise.all([one.hears("a"), other.hears("b")]);
  expect(proxy.connections).toBe(2);
  proxy.cutAll("reset");
  await Promise.all([one.closed, other.closed]);
  expect(one.error).toBe("ECONNRESET");
  const third = new Client().say("c");
  await third.hears("c");
  proxy.cutAll("close");
  await third.ended;
  expect(third.error).toBe("");
});

test("stall: one way stands until it heals, and nothing is lost", async () => {
  const client = new Client().say("a");
  await client.hears("a");
  proxy.stallAll("toClient");
  client.say("b");
  const heard = client.hears("ab");
  expect(await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 50, "silence"))])).toBe("silence");
  proxy.heal();
  await heard;
});

test("half-close: the broker hears the end, what it says still comes; the other way round too", async () => {
  const client = new Client().say("a");
  await client.hears("a");
  proxy.halfCloseAll("toBroker");
  await echoEnded;
  expect(client.socket.destroyed).toBe(false);
  proxy.halfCloseAll("toClient");
  await client.ended;
});

test("refused until it heals", async () => {
  proxy.refuseNew();
  await new Client().ended;
  proxy.heal();
  await new Client().say("a").hears("a");
});

test("a seed stands for its faults: the same each time, of every kind, others under another seed", () => {
  const steps = (seed: number) => {
    const random = new SimulatedRandom(seed);
    return Array.from({ length: 100 }, () => drawStep(random));
  };
  expect(steps(1)).toEqual(steps(1));
  expect(steps(1)).not.toEqual(steps(2));
  const kinds = new Set(steps(1).map(({ fault }) => fault.kind));
  expect([...kinds].sort()).toEqual(["cut", "cutMidway", "delay", "halfClose", "refuse", "stall"]);
});

test("chaos for its time: clients that begin again get through, and then all is well", async () => {
  const chaos = proxy.wreak({ seed: 11, seconds: 1.5 });
  let over = false;
  void chaos.then(() => {
    over = true;
  });
  let broken = 0;
  while (!over) {
    const client = new Client().say("hello");
    await Promise.race([client.hears("hello"), client.closed, client.ended, chaos]);
    if (client.text !== "hello") broken += 1;
    await Promise.race([client.ended, client.closed, chaos, new Promise((resolve) => setTimeout(resolve, 100))]);
    client.socket.destroy();
  }
  const counts = await chaos;
  expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(2);
  expect(broken).toBeGreaterThan(0);
  await new Client().say("after").hears("after");
});
