// The clients of one group, each parked in a long poll of its own, and how long it takes after one came or went until the
// partitions are shared evenly again and every client knows its share.

import { BenchMember } from "./bench-member.ts";
import { Connection } from "./connection.ts";

interface Client {
  readonly member: BenchMember;
  readonly connection: Connection;
  isGone: boolean;
}

export interface RebalancedGroupOptions {
  readonly url: string;
  readonly membersPerGroup: number;
  readonly topic: string;
  readonly partitionCount: number;
}

const waitMs = 5000;
const settleMsMax = 60_000;

export class RebalancedGroup {
  readonly #options: RebalancedGroupOptions;
  readonly #clients = new Set<Client>();
  #started = 0;
  #settled: (() => void) | undefined;
  #failed: ((error: unknown) => void) | undefined;

  private constructor(options: RebalancedGroupOptions) {
    this.#options = options;
  }

  /** Resolves when everybody has a share. */
  static async start(options: RebalancedGroupOptions): Promise<RebalancedGroup> {
    const group = new RebalancedGroup(options);
    const settled = group.#whenSettled(options.membersPerGroup);
    for (let index = 0; index < options.membersPerGroup; index++) await group.#add();
    await settled;
    return group;
  }

  /** Milliseconds until the newcomer, and everybody else, has its share. */
  async oneJoins(): Promise<number> {
    const started = performance.now();
    const settled = this.#whenSettled(this.#clients.size + 1);
    await this.#add();
    await settled;
    return performance.now() - started;
  }

  async oneLeaves(): Promise<number> {
    const [client] = this.#clients;
    if (client === undefined) throw new Error("there is nobody left to leave");
    const connection = await this.#connect();
    client.isGone = true;
    this.#clients.delete(client);
    const started = performance.now();
    const settled = this.#whenSettled(this.#clients.size);
    const { status, text } = await connection.ask(client.member.leave());
    if (status !== 204) throw new Error(`leaving was answered ${status}: ${text}`);
    await settled;
    const tookMs = performance.now() - started;
    client.connection.close();
    connection.close();
    return tookMs;
  }

  stop(): void {
    for (const client of this.#clients) {
      client.isGone = true;
      client.connection.close();
    }
  }

  async #add(): Promise<void> {
    const member = new BenchMember("rebalanced", `client-${this.#started++}`, this.#options.topic);
    const client = { member, connection: await this.#connect(), isGone: false };
    this.#clients.add(client);
    this.#live(client).catch((error: unknown) => {
      if (!client.isGone) this.#failed?.(error);
    });
  }

  #connect(): Promise<Connection> {
    const port = Number(new URL(this.#options.url).port);
    return Connection.open(port, { receiveBytes: 16 * 1024, wantsText: true });
  }

  async #live(client: Client): Promise<void> {
    while (!client.isGone) {
      const answer = await client.connection.ask(client.member.poll(waitMs));
      if (client.isGone) return;
      if (client.member.received(answer)) this.#look();
    }
  }

  #whenSettled(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${count} members have not come to rest`)), settleMsMax);
      this.#failed = reject;
      this.#settled = () => {
        if (this.#clients.size !== count || !this.#isSettled()) return;
        clearTimeout(late);
        this.#settled = undefined;
        resolve();
      };
    });
  }

  #look(): void {
    this.#settled?.();
  }

  /** Every partition is with one client, and nobody has two more than another. */
  #isSettled(): boolean {
    const sizes = [...this.#clients].map(({ member }) => member.partitions.length);
    if (Math.max(...sizes) - Math.min(...sizes) > 1) return false;
    const held = new Set([...this.#clients].flatMap(({ member }) => member.partitions));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    return total === this.#options.partitionCount && held.size === total;
  }
}
