// Many clients at work on one topic while its broker is stopped, killed and cut off from power; their history is judged
// when all faults are over. A seed repeats what each client draws, not how they interleave.

import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkHistory, type Verdict } from "../history/check-history.ts";
import { History } from "../history/history.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";
import { BrokerAddress } from "./broker-address.ts";
import { expectStatus, HttpClient } from "./http-client.ts";
import { Reader, readWhole } from "./reader.ts";
import {
  IdempotentSender,
  KeyedSender,
  PlainSender,
  RefusedSender,
  type Sender,
  type SenderContext,
} from "./senders.ts";

export interface LoadOptions {
  readonly url: string;
  readonly seed: number;
  readonly topic: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly partitionCount: number;
  /** Idempotent producers, each with one send in flight to every partition. */
  readonly producers: number;
  readonly keyed: number;
  readonly plain: number;
  readonly refused: number;
  /** One reader a partition follows the log. */
  readonly follow: boolean;
  /** Between two sends of one client; without it each sends as fast as it is answered. */
  readonly pauseMs?: number;
}

const connectionsMax = 128;

export class Load {
  readonly address = new BrokerAddress();
  readonly history = new History();
  /** Values acknowledged so far. */
  acknowledged = 0;
  readonly #options: LoadOptions;
  readonly #client = new HttpClient(connectionsMax);
  readonly #senders: Sender[] = [];
  readonly #readers: Reader[] = [];
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  #stopping = false;
  #lanes: Promise<void> = Promise.resolve();

  private constructor(options: LoadOptions) {
    this.#options = options;
    this.address.up(options.url);
  }

  /** Makes the topic and sets its clients to work. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    await load.#prepare();
    const lanes = [...load.#senders.map((sender) => load.#run(sender)), ...load.#readers.map((reader) => reader.run())];
    load.#lanes = Promise.all(lanes).then(() => undefined);
    load.#lanes.catch(() => {}); // whoever waits next is told
    return load;
  }

  /** Resolves when `count` more values are acknowledged; rejects when a client met what it must not meet. */
  async waitForAcknowledged(count: number): Promise<void> {
    const enough = new Promise<void>((resolve) => {
      this.#waiting.push({ count: this.acknowledged + count, resolve });
    });
    const ended = this.#lanes.then(() => {
      throw new Error("the clients have ended");
    });
    await Promise.race([enough, ended]);
  }

  /** Lets every client settle what it has begun, reads all there is, and judges. */
  async finish(): Promise<Verdict> {
    this.#stopping = true;
    for (const reader of this.#readers) reader.stop();
    await this.#lanes;
    await this.#readAll();
    await this.#checkSequences();
    return checkHistory(this.history);
  }

  /** Leaves all that is under way in doubt, as when the clients' machine goes too. Wants the broker dead. */
  async abandon(): Promise<void> {
    this.#stopping = true;
    for (const reader of this.#readers) reader.stop();
    this.address.close();
    await this.#lanes;
  }

  /** Reads all there is at `url` and judges, after abandon(). */
  async judgeAt(url: string): Promise<Verdict> {
    await this.#readAll(url);
    return checkHistory(this.history);
  }

  /** Keeps the history where the tests' temporary files are; tells where. */
  saveHistory(): string {
    const path = join(tmpdir(), `millrace-history-${this.#options.topic}-${process.pid}.jsonl`);
    writeFileSync(path, this.history.toJsonLines());
    return path;
  }

  /** Ends every client where it stands. */
  async close(): Promise<void> {
    this.#stopping = true;
    for (const reader of this.#readers) reader.stop();
    this.address.close();
    await this.#client.close();
    await this.#lanes.catch(() => {}); // who waited for them was told
  }

  async #prepare(): Promise<void> {
    const { url, topic, config = {}, partitionCount, producers, keyed, plain, refused, follow, seed } = this.#options;
    const made = await this.#client.post(`${url}/v1/topics`, { name: topic, partitionCount, config });
    expectStatus(made, 201);
    let lane = 0;
    const context = (): SenderContext => ({
      client: this.#client,
      address: this.address,
      history: this.history,
      random: new SimulatedRandom(seed * 1_000 + lane++),
      topic,
      partitionCount,
      acknowledged: (values) => this.#count(values),
    });
    for (let producer = 0; producer < producers; producer++) {
      const answer = await this.#client.post(`${url}/v1/producers`, {});
      const { producerId } = expectStatus<{ producerId: number }>(answer, 201);
      for (let partition = 0; partition < partitionCount; partition++) {
        this.#senders.push(new IdempotentSender(`producer${producer}-${partition}`, context(), producerId, partition));
      }
    }
    for (let index = 0; index < keyed; index++) this.#senders.push(new KeyedSender(`keyed${index}`, context()));
    for (let index = 0; index < plain; index++) this.#senders.push(new PlainSender(`plain${index}`, context()));
    for (let index = 0; index < refused; index++) this.#senders.push(new RefusedSender(`refused${index}`, context()));
    for (let partition = 0; follow && partition < partitionCount; partition++) {
      this.#readers.push(new Reader(this.#client, this.address, this.history, topic, partition));
    }
  }

  async #run(sender: Sender): Promise<void> {
    const { pauseMs } = this.#options;
    while (!this.#stopping) {
      if (!(await sender.sendOne())) return;
      if (pauseMs !== undefined) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  #count(values: number): void {
    this.acknowledged += values;
    for (let index = this.#waiting.length - 1; index >= 0; index--) {
      if (this.#waiting[index]!.count <= this.acknowledged) this.#waiting.splice(index, 1)[0]!.resolve();
    }
  }

  async #readAll(at?: string): Promise<void> {
    const url = at ?? (await this.address.current());
    if (url === undefined) throw new Error("there is no broker to read from");
    const { topic, partitionCount } = this.#options;
    for (let partition = 0; partition < partitionCount; partition++) {
      await readWhole(this.#client, url, this.history, topic, partition);
    }
  }

  /** What the broker remembers of a producer is what the producer knows. */
  async #checkSequences(): Promise<void> {
    const url = await this.address.current();
    for (const sender of this.#senders) {
      if (!(sender instanceof IdempotentSender)) continue;
      const { producerId, partition, nextSequence } = sender;
      const path = `${url}/v1/topics/${this.#options.topic}/partitions/${partition}/producers?producerId=${producerId}`;
      const answer = await this.#client.get(path);
      const { producers } = expectStatus<{ producers: { lastSequence: number }[] }>(answer, 200);
      const known = producers[0]?.lastSequence ?? -1;
      if (known !== nextSequence - 1) {
        throw new Error(`${sender.process} has sent up to ${nextSequence - 1}; the broker knows ${known}`);
      }
    }
  }
}
