// A TCP proxy between clients and a broker that does to connections what networks do: cuts, stalls, half-closes, delays, refuses. By hand,
// or at random under a seed for a given time. A seed repeats which faults come after how long, not which bytes they meet.

import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

export type Direction = "toBroker" | "toClient";

export type NetworkFault =
  | { readonly kind: "cut"; readonly which: "one" | "all"; readonly how: "reset" | "close" }
  | { readonly kind: "cutMidway"; readonly direction: Direction; readonly afterBytes: number }
  | { readonly kind: "halfClose"; readonly direction: Direction }
  | { readonly kind: "stall"; readonly direction: Direction | "both"; readonly forMs: number }
  | { readonly kind: "delay"; readonly ms: number; readonly forMs: number }
  | { readonly kind: "refuse"; readonly forMs: number };

export interface ChaosStep {
  /** After the step before. */
  readonly afterMs: number;
  readonly fault: NetworkFault;
  /** Which of the open connections is met: a fraction of their number. */
  readonly victim: number;
}

const stepMsMax = 400;
const stallMsMax = 2_000;
const refuseMsMax = 500;
const delayMsMax = 40;
const delayForMsMax = 1_000;
const midwayBytesMax = 5_000;
const connectionsMax = 1_000;

/** The next of the faults that a seed stands for. */
export function drawStep(random: SimulatedRandom): ChaosStep {
  const direction = random.pick<Direction>(["toBroker", "toClient"]);
  const faults: readonly (() => NetworkFault)[] = [
    () => ({ kind: "cut", which: random.chance(0.3) ? "all" : "one", how: random.chance(0.5) ? "reset" : "close" }),
    () => ({ kind: "cutMidway", direction, afterBytes: random.integer(midwayBytesMax) }),
    () => ({ kind: "halfClose", direction }),
    () => ({ kind: "stall", direction: random.chance(0.5) ? "both" : direction, forMs: random.integer(stallMsMax) }),
    () => ({ kind: "delay", ms: 1 + random.integer(delayMsMax), forMs: random.integer(delayForMsMax) }),
    () => ({ kind: "refuse", forMs: random.integer(refuseMsMax) }),
  ];
  return { afterMs: random.integer(stepMsMax), fault: random.pick(faults)(), victim: random.fraction() };
}

export class ChaosProxy {
  readonly url: string;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #target: URL;
  #refusing = false;

  private constructor(server: Server, target: string) {
    this.#server = server;
    this.#target = new URL(target);
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket: Socket) => this.#connected(socket));
  }

  /** `target`: the broker's URL. */
  static async start(target: string): Promise<ChaosProxy> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new ChaosProxy(server, target);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Where connections lead that come from now on. */
  leadTo(target: string): void {
    this.#target = new URL(target);
  }

  cutAll(how: "reset" | "close" = "reset"): void {
    for (const connection of this.#connections) connection.cut(how);
  }

  /** What goes that way stands still, on the connections there are, until heal(). */
  stallAll(direction: Direction | "both"): void {
    for (const connection of this.#connections) connection.stall(direction);
  }

  halfCloseAll(direction: Direction): void {
    for (const connection of this.#connections) connection.halfClose(direction);
  }

  /** New connections are closed at once, until heal(). */
  refuseNew(): void {
    this.#refusing = true;
  }

  /** What stands goes on, what is delayed is no longer; what is cut or half closed stays so. */
  heal(): void {
    this.#refusing = false;
    for (const connection of this.#connections) connection.heal();
  }

  /** Faults at random for so long; then everything heals. Gives how many of each kind there were. */
  async wreak({ seed, seconds }: { readonly seed: number; readonly seconds: number }): Promise<Record<string, number>> {
    const random = new SimulatedRandom(seed);
    const counts: Record<string, number> = {};
    const endMs = performance.now() + seconds * 1_000;
    for (;;) {
      const { afterMs, fault, victim } = drawStep(random);
      const leftMs = endMs - performance.now();
      await new Promise((resolve) => setTimeout(resolve, Math.min(afterMs, Math.max(0, leftMs))));
      if (afterMs >= leftMs) break;
      if (this.#carryOut(fault, victim)) counts[fault.kind] = (counts[fault.kind] ?? 0) + 1;
    }
    this.heal();
    return counts;
  }

  async close(): Promise<void> {
    this.cutAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #connected(client: Socket): void {
    if (this.#refusing || this.#connections.size === connectionsMax) {
      client.destroy();
      return;
    }
    const broker = connect({ host: this.#target.hostname, port: Number(this.#target.port), allowHalfOpen: true });
    const connection = new Connection(client, broker, () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }

  /** False if there was nothing to meet. */
  #carryOut(fault: NetworkFault, victim: number): boolean {
    if (fault.kind === "refuse") {
      this.#refusing = true;
      later(fault.forMs, () => {
        this.#refusing = false;
      });
      return true;
    }
    const connection = [...this.#connections][Math.floor(victim * this.#connections.size)];
    if (connection === undefined) return false;
    if (fault.kind === "cut" && fault.which === "all") this.cutAll(fault.how);
    else connection.meet(fault);
    return true;
  }
}

class Connection {
  readonly #client: Socket;
  readonly #broker: Socket;
  readonly #pipes: Readonly<Record<Direction, Pipe>>;

  constructor(client: Socket, broker: Socket, gone: () => void) {
    this.#client = client;
    this.#broker = broker;
    const cut = () => this.cut("reset");
    this.#pipes = { toBroker: new Pipe(client, broker, cut), toClient: new Pipe(broker, client, cut) };
    for (const socket of [client, broker]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.cut("close"));
    }
    const ends = this.#pipes;
    void Promise.all([ends.toBroker.done, ends.toClient.done]).then(() => {
      this.cut("close");
      gone();
    });
  }

  meet(fault: Exclude<NetworkFault, { kind: "refuse" }>): void {
    switch (fault.kind) {
      case "cut":
        this.cut(fault.how);
        return;
      case "cutMidway":
        this.#pipes[fault.direction].cutAfter(fault.afterBytes);
        return;
      case "halfClose":
        this.halfClose(fault.direction);
        return;
      case "stall":
        this.stall(fault.direction);
        later(fault.forMs, () => this.heal());
        return;
      case "delay":
        for (const pipe of Object.values(this.#pipes)) pipe.delayMs = fault.ms;
        later(fault.forMs, () => this.heal());
    }
  }

  cut(how: "reset" | "close"): void {
    for (const socket of [this.#client, this.#broker]) {
      if (how === "reset" && !socket.connecting) socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  halfClose(direction: Direction): void {
    this.#pipes[direction].end();
  }

  stall(direction: Direction | "both"): void {
    if (direction !== "toClient") this.#pipes.toBroker.stall();
    if (direction !== "toBroker") this.#pipes.toClient.stall();
  }

  heal(): void {
    for (const pipe of Object.values(this.#pipes)) pipe.heal();
  }
}

/** One direction of a connection. Reads no more than it can pass on. */
class Pipe {
  /** Resolves when nothing will pass any more. */
  readonly done: Promise<void>;
  delayMs = 0;
  readonly #to: Socket;
  readonly #cut: () => void;
  #bytesLeft = Number.POSITIVE_INFINITY;
  #ended = false;
  #gate: Promise<void> = Promise.resolve();
  #open = (): void => {};

  constructor(from: Socket, to: Socket, cut: () => void) {
    this.#to = to;
    this.#cut = cut;
    from.once("close", () => this.#open());
    to.once("close", () => this.#open());
    this.done = this.#run(from);
  }

  stall(): void {
    this.#open();
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  heal(): void {
    this.delayMs = 0;
    this.#open();
  }

  /** Says the end to that side, and throws away what would have followed. */
  end(): void {
    this.#ended = true;
    this.#to.end();
  }

  cutAfter(bytes: number): void {
    this.#bytesLeft = Math.min(this.#bytesLeft, bytes);
  }

  async #run(from: Socket): Promise<void> {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false })) await this.#pass(chunk as Buffer);
      await this.#gate;
      if (!this.#ended) this.#to.end();
    } catch {
      // The connection is gone; whoever asked for that knows.
    }
  }

  async #pass(chunk: Buffer): Promise<void> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    await this.#gate;
    if (this.#ended || this.#to.destroyed) return;
    const part = chunk.subarray(0, this.#bytesLeft);
    this.#bytesLeft -= part.length;
    const wrote = new Promise<void>((resolve) => this.#to.write(part, () => resolve()));
    await wrote;
    if (this.#bytesLeft === 0) this.#cut();
  }
}

function later(ms: number, run: () => void): void {
  setTimeout(run, ms).unref();
}
