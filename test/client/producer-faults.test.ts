// Under any mix of lost requests, lost answers, repeats, refusals and proxies that lie: nothing is lost, nothing is
// doubled, order per partition is kept, and a rejection says truly whether the record can be in the log.

import fc from "fast-check";
import { expect, test } from "vitest";
import { MillraceError } from "../../src/client/millrace-error.ts";
import { ClientWorld, type Fault, type Seen } from "./client-world.ts";

const faults: readonly Fault[] = [
  "refused",
  "lostRequest",
  "lostAnswer",
  "late",
  "repeated",
  "unavailable",
  "badGateway",
];
const isBatch = ({ headers }: Seen): boolean => headers["content-type"] === "application/vnd.kafka.record-batch";

interface Plan {
  readonly faults: readonly (Fault | undefined)[];
  /** Records sent in one go, then the next ones. */
  readonly bursts: readonly (readonly { readonly partition: number; readonly pauseMs: number }[])[];
  readonly deliveryTimeoutMs: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  faults: fc.array(fc.option(fc.constantFrom(...faults), { nil: undefined, freq: 3 }), { maxLength: 60 }),
  bursts: fc.array(
    fc.array(fc.record({ partition: fc.nat(1), pauseMs: fc.constantFrom(0, 0, 0, 30, 500) }), {
      minLength: 1,
      maxLength: 6,
    }),
    { minLength: 1, maxLength: 8 },
  ),
  deliveryTimeoutMs: fc.constantFrom(400, 1_500, 120_000),
});

/** What the log of a partition holds: values in order. */
async function logOf(world: ClientWorld, partition: number): Promise<number[]> {
  return (await world.server.valuesOf("topic", partition)) as number[];
}

async function runPlan({ faults, bursts, deliveryTimeoutMs }: Plan, seed: number): Promise<void> {
  const world = await ClientWorld.start({}, seed);
  await world.server.createTopic("topic", 2);
  let request = 0;
  world.fault = (seen) => {
    const fault = faults[request++];
    // A lost answer of another call proves nothing here, and only batches are in doubt.
    return fault === "repeated" && !isBatch(seen) ? undefined : fault;
  };
  const producer = world.client().producer<string, number>({ deliveryTimeoutMs });
  const sends: { readonly value: number; readonly partition: number; readonly sent: Promise<unknown> }[] = [];
  for (const burst of bursts) {
    for (const { partition, pauseMs } of burst) {
      const value = sends.length;
      const sent = producer.send({ topic: "topic", value, partition });
      sent.catch(() => {});
      sends.push({ value, partition, sent });
      if (pauseMs > 0) await world.server.clock.advance(pauseMs);
    }
    await world.idle();
  }
  const outcomes = await world.run(Promise.allSettled(sends.map(({ sent }) => sent)));
  await world.run(world.server.clock.advance(5_000)); // what is late arrives
  await world.idle();
  for (const partition of [0, 1]) {
    const log = await logOf(world, partition);
    expect(log, "doubled or out of order").toEqual([...new Set(log)].sort((a, b) => a - b));
    for (const { value, partition: own } of sends) {
      if (own !== partition) continue;
      const outcome = outcomes[value]!;
      if (outcome.status === "fulfilled") {
        expect(log[(outcome.value as { offset: number }).offset], "not where the answer says").toBe(value);
      } else {
        expect(outcome.reason).toBeInstanceOf(MillraceError);
        if (!outcome.reason.maybeAppended) expect(log, "said not to be in the log").not.toContain(value);
      }
    }
  }
  if (deliveryTimeoutMs > 100_000) expect(outcomes.map(({ status }) => status)).not.toContain("rejected");
  expect(producer.bufferedBytes).toBe(0);
  await world.stop();
}

test("a producer under faults", { timeout: 60_000 }, async () => {
  await fc.assert(fc.asyncProperty(plan, fc.nat(), runPlan), {
    numRuns: 60,
    interruptAfterTimeLimit: 6_000,
    markInterruptAsFailure: false,
  });
});
