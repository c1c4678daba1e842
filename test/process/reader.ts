// Readers of one partition that write down what they are given.

import type { History } from "../history/history.ts";
import type { BrokerAddress } from "./broker-address.ts";
import { type Answer, expectStatus, type HttpClient } from "./http-client.ts";

interface Page {
  readonly records: readonly { readonly offset: number; readonly value: string }[];
  readonly nextOffset: number;
  readonly caughtUp: boolean;
  readonly highWatermark: number;
}

const pollWaitMs = 200;
const pageBytes = 4 * 1024 * 1024;

/** Follows a partition by long polls, over restarts of the broker. */
export class Reader {
  readonly #client: HttpClient;
  readonly #address: BrokerAddress;
  readonly #history: History;
  readonly #topic: string;
  readonly #partition: number;
  #stopping = false;

  constructor(client: HttpClient, address: BrokerAddress, history: History, topic: string, partition: number) {
    this.#client = client;
    this.#address = address;
    this.#history = history;
    this.#topic = topic;
    this.#partition = partition;
  }

  stop(): void {
    this.#stopping = true;
  }

  async run(): Promise<void> {
    let from = 0;
    while (!this.#stopping) {
      const url = await this.#address.current();
      if (url === undefined) return;
      const invokedAfter = this.#history.length;
      const path = `${url}/v1/topics/${this.#topic}/partitions/${this.#partition}/records`;
      let answer: Answer;
      try {
        answer = await this.#client.get(`${path}?offset=${from}&waitMs=${pollWaitMs}&valueFormat=string`);
      } catch {
        // No answer, or a part of one: asked again, when others have had their turn.
        await new Promise(setImmediate);
        continue;
      }
      if (answer.status === 503) continue;
      const { records, nextOffset, highWatermark } = expectStatus<Page>(answer, 200);
      const poll = { f: "poll", type: "ok", process: "reader", partition: this.#partition } as const;
      this.#history.add({ ...poll, from, records: records.map(bare), highWatermark, invokedAfter });
      from = nextOffset;
    }
  }
}

/** The final polls: everything that the partition holds. */
export async function readWhole(
  client: HttpClient,
  url: string,
  history: History,
  topic: string,
  partition: number,
): Promise<void> {
  for (let from = 0, caughtUp = false; !caughtUp; ) {
    const invokedAfter = history.length;
    const limits = `maxRecords=100000&maxBytes=${pageBytes}&valueFormat=string`;
    const answer = await client.get(
      `${url}/v1/topics/${topic}/partitions/${partition}/records?offset=${from}&${limits}`,
    );
    const page = expectStatus<Page>(answer, 200);
    const records = page.records.map(bare);
    const { highWatermark } = page;
    history.add({
      f: "poll",
      type: "ok",
      process: "final",
      partition,
      from,
      records,
      highWatermark,
      invokedAfter,
      final: true,
    });
    from = page.nextOffset;
    caughtUp = page.caughtUp;
  }
}

function bare({ offset, value }: { readonly offset: number; readonly value: string }): {
  offset: number;
  value: string;
} {
  return { offset, value };
}
