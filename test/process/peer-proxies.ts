// Between the members of an etcd: a proxy in front of each, which can cut one member off from all others while clients still reach it.
// Members name themselves in a header of each connection's first request.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const fromPattern = /x-server-from: ([0-9a-f]+)/i;

interface Connection {
  readonly from: string | undefined;
  readonly to: number;
  readonly sockets: readonly Socket[];
}

export class PeerProxies {
  readonly ports: readonly number[];
  readonly #servers: readonly Server[];
  readonly #connections = new Set<Connection>();
  #isCut: (from: string | undefined, to: number) => boolean = () => false;

  private constructor(servers: readonly Server[]) {
    this.#servers = servers;
    this.ports = servers.map((server) => (server.address() as AddressInfo).port);
  }

  /** The proxy of each port in `targets`. */
  static async start(targets: readonly number[]): Promise<PeerProxies> {
    const servers = targets.map(() => createServer().listen(0, "127.0.0.1"));
    await Promise.all(servers.map((server) => once(server, "listening")));
    const proxies = new PeerProxies(servers);
    servers.forEach((server, to) => {
      server.on("connection", (socket) => proxies.#accept(socket, to, targets[to]!));
    });
    return proxies;
  }

  /** Nothing passes between member `index`, whose id is `id` in hexadecimal, and the others. */
  cutOff(index: number, id: string): void {
    this.#isCut = (from, to) => from !== undefined && (to === index || from === id);
    for (const { from, to, sockets } of this.#connections)
      if (this.#isCut(from, to)) for (const socket of sockets) socket.destroy();
  }

  heal(): void {
    this.#isCut = () => false;
  }

  async end(): Promise<void> {
    for (const { sockets } of this.#connections) for (const socket of sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => once(server.close(), "close")));
  }

  #accept(socket: Socket, to: number, port: number): void {
    socket.on("error", () => {});
    socket.once("data", (first: Buffer) => {
      const from = fromPattern.exec(first.toString("latin1"))?.[1]?.toLowerCase();
      if (this.#isCut(from, to)) {
        socket.destroy();
        return;
      }
      const onward = connect(port, "127.0.0.1");
      const connection = { from, to, sockets: [socket, onward] };
      this.#connections.add(connection);
      onward.on("error", () => socket.destroy());
      onward.on("close", () => socket.destroy());
      socket.on("close", () => {
        onward.destroy();
        this.#connections.delete(connection);
      });
      onward.write(first);
      socket.pipe(onward).pipe(socket);
    });
  }
}
