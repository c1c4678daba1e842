// Random histories of two replicas that lead in turn: whatever they wrote apart, the one that follows ends with the leader's bytes and
// the leader's memory, and what it knows is at every cut what a start would find.

import fc from "fast-check";
import { expect, test } from "vitest";
import { observe, signatureOf } from "../simulation/log-observation.ts";
import type { BatchSketch } from "./log-fixture.ts";
import { catchUp, checkpointIntervalMs, Replica, rememberedBy } from "./replica-world.ts";

const firstKeyId = 2n ** 62n;

/** Sends of several producers, each with the sequence it has reached in the log that leads. */
class Producers {
  #epoch = 0;
  #key = 0n;
  #next = new Map<string, number>();

  /** What the logs remember may have been cut: producers begin a new epoch. */
  newLeader(): void {
    this.#epoch += 1;
    this.#next = new Map();
  }

  sketch(producer: number, sizes: readonly number[]): BatchSketch {
    const values = sizes.map((size) => "x".repeat(size));
    if (producer === 0) return { values };
    if (producer === 3) {
      this.#key += 1n;
      return { values, producerId: firstKeyId + this.#key, producerEpoch: 0, baseSequence: 0 };
    }
    const baseSequence = this.#next.get(`${producer}`) ?? 0;
    this.#next.set(`${producer}`, baseSequence + values.length);
    return { values, producerId: BigInt(producer), producerEpoch: this.#epoch, baseSequence };
  }
}

const batch = fc.tuple(fc.nat(3), fc.array(fc.nat(300), { minLength: 1, maxLength: 4 }));
const event = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("send"), batches: fc.array(batch, { minLength: 1, maxLength: 5 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("follow"),
      steps: fc.integer({ min: 1, max: 4 }),
      bytesMax: fc.integer({ min: 1, max: 5000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("change"), gracefully: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart"), powerCut: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("checkpoint") }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("delete"), part: fc.double({ min: 0.3, max: 1, noNaN: true }) }),
  },
);
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

/** Two replicas; the first leads. */
class Pair {
  leader: Replica;
  follower: Replica;
  epoch = 0;
  readonly producers = new Producers();
  readonly steps = new Set<string>();

  constructor(leader: Replica, follower: Replica) {
    this.leader = leader;
    this.follower = follower;
  }

  async begin(): Promise<void> {
    this.epoch += 1;
    await this.follower.log.becomeFollower(this.epoch);
    await this.leader.lead(this.epoch);
    this.producers.newLeader();
  }

  async run(event: Event): Promise<void> {
    if ("batches" in event)
      await this.leader.send(...event.batches.map(([producer, sizes]) => this.producers.sketch(producer, sizes)));
    else if ("steps" in event) await this.follow(event.bytesMax, event.steps);
    else if ("gracefully" in event) {
      if (event.gracefully) await this.follow();
      [this.leader, this.follower] = [this.follower, this.leader];
      await this.begin();
    } else if ("powerCut" in event) {
      this.follower = await this.follower.restart(event.powerCut);
      await this.follower.log.becomeFollower(this.epoch);
    } else if ("part" in event)
      await this.leader.log.deleteRecordsBefore(Math.floor(this.leader.log.highWatermark * event.part));
    else for (const { clock } of [this.leader, this.follower]) await clock.advance(checkpointIntervalMs);
  }

  async follow(bytesMax = 700, stepsMax?: number): Promise<void> {
    const { log } = this.follower;
    const done = async (kind: string) => {
      this.steps.add(kind);
      const { logStartOffset, highWatermark, flushedOffset, logEndOffset } = log;
      expect([logStartOffset, highWatermark, flushedOffset, logEndOffset]).toEqual(
        [logStartOffset, highWatermark, flushedOffset, logEndOffset].sort((a, b) => a - b),
      );
      if (kind === "truncate" || kind === "startOver")
        expect(signatureOf(await observe(log))).toBe(await this.follower.asRecovered());
    };
    await catchUp(this.leader.log, this.epoch, log, { bytesMax, done, ...(stepsMax && { stepsMax }) });
  }
}

const send = (...sizes: number[]): Event => ({ do: "send", batches: [[1, sizes]] });
const examples: Record<string, Event[]> = {
  // The leader's log begins within a batch, above the follower's end.
  cutByRetention: [
    send(10, 10),
    { do: "follow", steps: 1, bytesMax: 5000 },
    send(200, 200, 200, 200, 200),
    { do: "delete", part: 0.6 },
  ],
  // The leader's log begins within a batch, right at the end of a follower that has something else there.
  partedBelowTheStart: [send(1), { do: "change", gracefully: false }, send(1, 1), { do: "delete", part: 0.5 }, send(1)],
  // Two epochs below the log start, and nothing above it.
  emptyAboveTwoEpochs: [
    send(1),
    { do: "follow", steps: 1, bytesMax: 1 },
    { do: "change", gracefully: false },
    send(1),
    send(1, 1),
    { do: "delete", part: 0.5 },
    send(1),
    { do: "follow", steps: 1, bytesMax: 1 },
    { do: "follow", steps: 1, bytesMax: 1 },
    { do: "change", gracefully: false },
    send(1),
  ],
};

test("a follower ends with its leader's bytes and memory, whatever both wrote before", {
  timeout: 60_000,
}, async () => {
  const steps = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 40 }), async (events) => {
      const pair = new Pair(await Replica.make(), await Replica.make());
      await pair.begin();
      for (const one of events) await pair.run(one);
      await pair.follow();
      const [leader, follower] = [await observe(pair.leader.log), await observe(pair.follower.log)];
      // It may start above its leader: what was deleted while it led does not come back.
      expect(follower.logStartOffset).toBeGreaterThanOrEqual(leader.logStartOffset);
      const shown = ({ batches, logEndOffset, highWatermark }: typeof leader) => ({
        bytes: batches
          .filter(({ header }) => header.lastOffset >= follower.logStartOffset)
          .map(({ bytes }) => Buffer.from(bytes).toString("latin1")),
        ends: [highWatermark, logEndOffset],
      });
      expect(shown(follower)).toEqual(shown(leader));
      const isWhole = follower.logStartOffset === 0;
      if (isWhole) expect(await pair.follower.bytes()).toEqual(await pair.leader.bytes());
      const { logEndOffset } = leader;
      const written = leader.epochs.filter(({ startOffset }) => startOffset < logEndOffset);
      const known = follower.epochs.filter(({ startOffset }) => startOffset < logEndOffset);
      if (isWhole) expect(known).toEqual(written);
      if (isWhole) expect(rememberedBy(pair.follower.log)).toEqual(rememberedBy(pair.leader.log));
      const before = signatureOf({ ...follower, epochs: known });
      pair.follower = await pair.follower.restart(true);
      expect(signatureOf(await observe(pair.follower.log))).toBe(before);
      for (const kind of pair.steps) steps.add(kind);
    }),
    { numRuns: 100, examples: Object.values(examples).map((events): [Event[]] => [events]) },
  );
  expect([...steps].sort()).toEqual(["append", "ends", "startOver", "truncate"]);
});
