// Members that come, go and break off while records are produced: nothing acked is delivered again but by who did not know, nothing is
// missed, and each partition comes in order to whoever has it.

import { afterEach, beforeEach, expect, test } from "vitest";
import { settled } from "../../simulation/simulated-clock.ts";
import { SimulatedRandom } from "../../simulation/simulated-random.ts";
import { TestServer } from "../test-server.ts";
import { type Frame, TestSocket } from "./test-socket.ts";

const partitions = 4;
let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start();
  await server.createTopic("t", partitions);
});
afterEach(async () => {
  await server.stop();
  expect(server.errors).toEqual([]);
});

/** A client that acks what it gets, and remembers it. */
class Consumer {
  readonly socket: TestSocket;
  readonly #seen: Set<string>;
  readonly #next = new Map<number, number>();

  constructor(socket: TestSocket, seen: Set<string>) {
    this.socket = socket;
    this.#seen = seen;
  }

  static async join(memberId: string, seen: Set<string>): Promise<Consumer> {
    const socket = await TestSocket.open(server, "json");
    socket.send({ type: "subscribe", id: 1, group: "g", memberId, topics: ["t"], window: { records: 5 } });
    return new Consumer(socket, seen);
  }

  handle(): void {
    for (const frame of this.socket.frames.splice(0)) {
      if (frame.type === "assigned")
        for (const { partition, nextOffset } of frame.positions) this.#next.set(partition, nextOffset);
      if (frame.type !== "records") continue;
      expect(frame.records[0].offset).toBe(this.#next.get(frame.partition));
      for (const { offset } of frame.records as Frame[]) this.#seen.add(`${frame.partition}:${offset}`);
      this.#next.set(frame.partition, frame.nextOffset);
      const position = { topic: "t", partition: frame.partition, nextOffset: frame.nextOffset };
      this.socket.send({ type: "ack", id: 1, positions: [position] });
    }
  }
}

test.each([1, 2, 3, 4])("seed %i", async (seed) => {
  const random = new SimulatedRandom(seed);
  const seen = new Set<string>();
  const consumers = new Map<string, Consumer>();
  const ends = new Array<number>(partitions).fill(0);
  for (let step = 0; step < 60; step++) {
    const name = `m${random.between(0, 3)}`;
    const known = consumers.get(name);
    const draw = random.fraction();
    if (draw < 0.25 && known === undefined) consumers.set(name, await Consumer.join(name, seen));
    else if (draw < 0.32 && known !== undefined) {
      consumers.delete(name);
      known.socket.close();
    } else if (draw < 0.4 && known !== undefined) {
      known.socket.send({ type: "unsubscribe", id: 1 });
      await known.socket.settle();
      consumers.delete(name);
      known.socket.close();
    } else {
      const partition = random.between(0, partitions - 1);
      const records = Array.from({ length: random.between(1, 9) }, (_, at) => ({ value: at }));
      await server.post(`/v1/topics/t/partitions/${partition}/records`, { records });
      ends[partition]! += records.length;
    }
    if (random.fraction() < 0.3) await server.clock.advance(random.between(1, 8_000));
    for (let turn = 0; turn < 5; turn++) await settled();
    for (const consumer of consumers.values()) consumer.handle();
  }
  consumers.set("last", await Consumer.join("last", seen));
  const total = ends.reduce((sum, end) => sum + end, 0);
  const committed = async (): Promise<number> => {
    const { positions } = (await server.get("/v1/groups/g/offsets")).json();
    return positions.reduce((sum: number, { nextOffset }: Frame) => sum + (nextOffset ?? 0), 0);
  };
  for (let turn = 0; turn < 100 && (await committed()) < total; turn++) {
    await server.clock.advance(2_000);
    for (const consumer of consumers.values()) {
      await consumer.socket.settle();
      consumer.handle();
    }
  }
  expect(await committed()).toBe(total);
  expect(seen.size).toBe(total);
  for (const { socket } of consumers.values()) socket.close();
});
