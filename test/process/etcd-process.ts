// etcd under test: one member or more on free loopback ports and folders of their own. A test ends what it started, by `await
// using` or end(), and at the latest when the test's own process ends.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { EtcdStore, type EtcdStoreLimits, type EtcdStoreOptions } from "../../src/cluster/etcd-store.ts";
import { NodeClock } from "../../src/io/node-clock.ts";
import { NodeHttpClient } from "../../src/io/node-http-client.ts";
import { NodeRandom } from "../../src/io/node-random.ts";
import { PeerProxies } from "./peer-proxies.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

/** Short, so that a lost leader is soon replaced; long enough for a machine that is busy. */
const heartbeatMs = 50;
const electionMs = 500;
const startMsMax = 20_000;
const textMax = 200_000;
/** Where the system gives no ports away by itself: a member that was killed must find its own free again. */
const firstPort = 20_000;
const lastPort = 32_000;
/** Somebody else may take a port between the choice and the start. */
const startsMax = 3;
/** In the words of 3.4, and of those after it. */
const servingPattern = /serving (?:insecure )?client (?:requests|traffic)/;

/** Paths of PEM files. */
export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface EtcdOptions {
  readonly members?: number;
  /** Clients must show a certificate of the authority. */
  readonly tls?: EtcdTls;
  /** Members reach each other through proxies, so that one can be cut off. */
  readonly proxied?: boolean;
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
process.once("SIGTERM", () => process.exit(143));
process.once("disconnect", () => process.exit(1));

export class EtcdMember {
  readonly url: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #text = "";

  constructor(url: string, args: readonly string[]) {
    this.url = url;
    this.#args = args;
  }

  get text(): string {
    return this.#text;
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  start(): void {
    const env = Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD_"));
    const child = spawn("etcd", this.#args, { stdio: ["ignore", "pipe", "pipe"], env: Object.fromEntries(env) });
    running.add(child);
    for (const output of [child.stdout, child.stderr])
      output.on("data", (chunk) => {
        this.#text = (this.#text + chunk).slice(-textMax);
      });
    this.#exited = once(child, "close").then(() => running.delete(child));
    this.#child = child;
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }
}

export class Etcd {
  readonly members: readonly EtcdMember[];
  readonly #folder: TemporaryFolder;
  readonly #proxies: PeerProxies | undefined;

  private constructor(members: readonly EtcdMember[], folder: TemporaryFolder, proxies: PeerProxies | undefined) {
    this.members = members;
    this.#folder = folder;
    this.#proxies = proxies;
  }

  /** Resolves when it has a leader and all members serve. */
  static async start(options: EtcdOptions = {}): Promise<Etcd> {
    for (let starts = 1; ; starts++) {
      const etcd = await Etcd.#begin(options);
      try {
        await Promise.all(etcd.members.map(isServing));
        return etcd;
      } catch (error) {
        await etcd.end();
        if (starts === startsMax || !(error as Error).message.includes("address already in use")) throw error;
      }
    }
  }

  static async #begin(options: EtcdOptions): Promise<Etcd> {
    const count = options.members ?? 1;
    const ports = await freePorts(2 * count);
    const folder = new TemporaryFolder();
    const peerPorts = ports.filter((_, index) => index % 2 === 1);
    const proxies = options.proxied ? await PeerProxies.start(peerPorts) : undefined;
    const peerUrl = (index: number) => `http://127.0.0.1:${(proxies?.ports ?? peerPorts)[index]}`;
    const scheme = options.tls ? "https" : "http";
    const cluster = Array.from({ length: count }, (_, index) => `m${index}=${peerUrl(index)}`).join(",");
    const members = Array.from({ length: count }, (_, index) => {
      const url = `${scheme}://127.0.0.1:${ports[2 * index]}`;
      const args = [
        ...["--name", `m${index}`, "--data-dir", `${folder.path}/m${index}`],
        ...["--listen-client-urls", url, "--advertise-client-urls", url],
        ...[
          "--listen-peer-urls",
          `http://127.0.0.1:${peerPorts[index]}`,
          "--initial-advertise-peer-urls",
          peerUrl(index),
        ],
        ...["--initial-cluster", cluster, "--initial-cluster-token", folder.path],
        ...["--heartbeat-interval", `${heartbeatMs}`, "--election-timeout", `${electionMs}`],
        ...(options.tls ? tlsArgs(options.tls) : []),
      ];
      return new EtcdMember(url, args);
    });
    const etcd = new Etcd(members, folder, proxies);
    for (const member of members) member.start();
    return etcd;
  }

  get urls(): string[] {
    return this.members.map(({ url }) => url);
  }

  /** Clients reach it still; the other members do not, nor it them. */
  async cutOff(member: EtcdMember): Promise<void> {
    const { header } = await etcdGateway(member.url, "/v3/maintenance/status", {});
    const { member_id } = header as { member_id: string };
    this.#proxies!.cutOff(this.members.indexOf(member), BigInt(member_id).toString(16));
  }

  heal(): void {
    this.#proxies!.heal();
  }

  async end(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await this.#proxies?.end();
    this.#folder[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/** `first` is the endpoint that is asked first; else it is drawn. */
export function storeOn(
  urls: readonly string[],
  prefix: string,
  limits: Partial<EtcdStoreLimits> = {},
  first?: number,
  more: Partial<EtcdStoreOptions> = {},
): EtcdStore {
  const drawn = new NodeRandom();
  let isFirst = first !== undefined;
  const fraction = () => {
    if (!isFirst) return drawn.fraction();
    isFirst = false;
    return first! / urls.length;
  };
  const random = { fraction, bytes: (length: number) => drawn.bytes(length) };
  return new EtcdStore({
    endpoints: urls,
    prefix,
    http: new NodeHttpClient(),
    clock: new NodeClock(),
    random,
    limits,
    ...more,
  });
}

/** One call, past the store; etcd's errors are answers too. */
export async function etcdGateway(url: string, path: string, body: object): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body) });
  return (await answer.json()) as Record<string, unknown>;
}

function tlsArgs({ ca, cert, key }: EtcdTls): string[] {
  return ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth"];
}

async function isServing(member: EtcdMember): Promise<void> {
  const until = performance.now() + startMsMax;
  while (!servingPattern.test(member.text)) {
    if (performance.now() > until || !member.isRunning) throw new Error(`etcd did not start:\n${member.text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort));
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
    await once(server.close(), "close");
    return true;
  } catch {
    return false;
  }
}
