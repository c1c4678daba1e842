// Members come, go and die while the network does what it likes: every record is handled, each member sees a partition's
// records in order, and what is committed was handled.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Consumer } from "../../src/client/consumer.ts";
import type { Millrace } from "../../src/client/millrace.ts";
import { ClientWorld, type Fault } from "./client-world.ts";
import { StreamSockets } from "./stream-sockets.ts";

const partitionCount = 3;

type Step =
  | { readonly kind: "join"; readonly concurrency: number; readonly handleMs: number }
  | { readonly kind: "close" | "die"; readonly which: number }
  | { readonly kind: "produce"; readonly count: number }
  | { readonly kind: "pause"; readonly which: number }
  | { readonly kind: "cut"; readonly isUp: boolean }
  | { readonly kind: "pass"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("join" as const),
      concurrency: fc.constantFrom(1, 4),
      handleMs: fc.constantFrom(0, 40),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("close" as const, "die" as const), which: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("pause" as const), which: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cut" as const), isUp: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("produce" as const), count: fc.integer({ min: 1, max: 12 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(50, 700, 6_000, 20_000) }),
  },
);
const faults: readonly Fault[] = ["refused", "lostRequest", "lostAnswer", "unavailable", "badGateway"];

interface Member {
  readonly millrace: Millrace;
  readonly consumer: Consumer<string, number>;
  /** What it has handled, by partition, since it last was assigned something. */
  readonly last: Map<number, number>;
  isDead: boolean;
}

class GroupRun {
  readonly world: ClientWorld;
  readonly sockets: StreamSockets | undefined;
  /** Handled by whomever, by partition. */
  readonly handled: readonly Set<number>[] = Array.from({ length: partitionCount }, () => new Set<number>());
  readonly produced: number[] = new Array(partitionCount).fill(0);
  members: Member[] = [];
  readonly #broken: string[] = [];

  constructor(world: ClientWorld, sockets: StreamSockets | undefined) {
    this.world = world;
    this.sockets = sockets;
  }

  async take(step: Step): Promise<void> {
    if (step.kind === "join") {
      if (this.members.length < 3) this.join(step.concurrency, step.handleMs);
    } else if (step.kind === "produce") {
      for (let each = 0; each < step.count; each++) await this.#produce(each % partitionCount);
    } else if (step.kind === "cut") {
      if (this.sockets !== undefined) this.sockets.isUp = step.isUp;
      this.sockets?.cut();
    } else if (step.kind === "pass") {
      await this.world.run(this.world.server.clock.advance(step.ms));
    } else {
      const member = this.members[step.which % Math.max(1, this.members.length)];
      if (member !== undefined) await this.#end(member, step.kind);
    }
  }

  join(concurrency: number, handleMs: number): void {
    const member = { isDead: false, last: new Map<number, number>() } as Member;
    const { sockets } = this;
    const { fetch } = this.world;
    const millrace = this.world.client({
      fetch: (url, init) => (member.isDead ? Promise.reject(new TypeError("dead")) : fetch(url, init)),
      ...(sockets === undefined ? { transport: "http" } : { webSocket: sockets.opener(() => member.isDead) }),
    });
    const consumer = millrace.consumer<string, number>({
      group: "g",
      topics: ["t"],
      sessionTimeoutMs: 10_000,
      pageRecordsMax: 7,
    });
    Object.assign(member, { millrace, consumer });
    consumer.on("assigned", ({ partitions }) => {
      for (const partition of partitions.flatMap((each) => each.partitions)) member.last.delete(partition);
    });
    const handling = consumer.eachRecord(
      async ({ partition, offset }) => {
        if (handleMs > 0)
          await new Promise<void>((resolve) => this.world.server.clock.setTimer(handleMs, () => resolve()));
        if (member.isDead) return;
        const last = member.last.get(partition);
        if (concurrency === 1 && last !== undefined && offset !== last + 1)
          this.#broken.push(`${partition}: ${last} then ${offset}`);
        member.last.set(partition, offset);
        this.handled[partition]!.add(offset);
      },
      { concurrency },
    );
    handling.catch((error: unknown) => {
      if (!member.isDead) this.#broken.push(String(error));
    });
    this.members.push(member);
  }

  async #end(member: Member, kind: "close" | "die" | "pause"): Promise<void> {
    if (kind === "pause") {
      member.consumer.pause([{ topic: "t", partitions: [0] }]);
      await this.world.run(this.world.server.clock.advance(300));
      member.consumer.resume();
      return;
    }
    this.members = this.members.filter((other) => other !== member);
    if (kind === "die") {
      member.isDead = true;
      this.sockets?.cut();
    }
    const closed = member.consumer.close({ signal: AbortSignal.abort() }).catch(() => {});
    await this.world.run(closed);
  }

  async #produce(partition: number): Promise<void> {
    const body = { records: [{ value: this.produced[partition], key: null }] };
    const answer = await this.world.server.post(`/v1/topics/t/partitions/${partition}/records`, body);
    expect(answer.statusCode).toBe(200);
    this.produced[partition]!++;
  }

  async check(): Promise<void> {
    expect(this.#broken).toEqual([]);
    const answer = await this.world.server.get("/v1/groups/g/offsets");
    if (answer.statusCode === 404) return;
    for (const { partition, nextOffset } of answer.json().positions) {
      for (let offset = 0; offset < (nextOffset ?? 0); offset++) {
        expect(
          this.handled[partition]!.has(offset),
          `partition ${partition}: ${nextOffset} is committed, ${offset} was never handled`,
        ).toBe(true);
      }
    }
  }

  async finish(): Promise<void> {
    this.world.fault = () => undefined;
    if (this.sockets !== undefined) this.sockets.isUp = true;
    this.join(1, 0);
    await this.world.run(this.world.server.clock.advance(60_000));
    for (const [partition, count] of this.produced.entries()) {
      expect([...this.handled[partition]!].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, at) => at));
    }
    await this.check();
    for (const { millrace } of this.members) await this.world.run(millrace.close());
    expect(this.world.server.errors).toEqual([]);
    await this.world.stop();
  }
}

const plan = fc.record({
  steps: fc.array(step, { minLength: 3, maxLength: 14 }),
  faults: fc.array(fc.option(fc.constantFrom(...faults), { nil: undefined, freq: 4 }), { maxLength: 150 }),
});

test.each(["http", "WebSocket"] as const)("a group under faults over %s", { timeout: 90_000 }, async (transport) => {
  await fc.assert(
    fc.asyncProperty(plan, fc.nat(), async ({ steps, faults }, seed) => {
      const world = await ClientWorld.start({}, seed);
      await world.server.createTopic("t", partitionCount);
      const run = new GroupRun(world, transport === "WebSocket" ? new StreamSockets(world) : undefined);
      let request = 0;
      world.fault = () => faults[request++];
      for (const each of steps) {
        await run.take(each);
        await run.check();
      }
      await run.finish();
    }),
    { numRuns: 20, interruptAfterTimeLimit: 8_000, markInterruptAsFailure: false },
  );
});
