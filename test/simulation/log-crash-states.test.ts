// Small workloads, ended at every operation in every way: no legal crash loses, moves or doubles what was acknowledged.

import { expect, test } from "vitest";
import { type Explored, type ExploreOptions, exploreCrashes } from "./log-crash-explorer.ts";
import type { SendSketch, Step } from "./log-plan.ts";

const topic = "t";
const small = { "segment.bytes": 1500, "index.interval.bytes": 200 };
const relaxed = { ...small, "flush.messages": 1_000_000 };
const create: Step = { do: "create", topic, overrides: small };
const send = (...batches: SendSketch[]): Step => ({ do: "send", topic, batches });
const checkpoint: Step = { do: "advance", ms: 5_000 };

interface Workload extends ExploreOptions {
  readonly name: string;
  readonly plan: readonly Step[];
}

const workloads: readonly Workload[] = [
  {
    name: "appends, several batches a write",
    plan: [create, send({ sizes: [30] }), send({ sizes: [600] }, { sizes: [30, 30] }, { sizes: [700] })],
  },
  {
    name: "idempotent producers with several batches in flight, and their repeats",
    before: [create],
    plan: [
      send({ sizes: [30], producer: 1 }, { sizes: [600, 20], producer: 1 }, { sizes: [40], producer: 2, twice: true }),
      send({ sizes: [30], producer: 1, twice: true }, { sizes: [30], key: 1 }, { sizes: [10], producer: 1, gap: 3 }),
      { do: "retry", topic },
      send(
        { sizes: [30], producer: 2, newEpoch: true },
        { sizes: [30], producer: 2 },
        { sizes: [9], expectedOffsetOff: 0 },
      ),
    ],
  },
  {
    name: "rolls",
    before: [create],
    plan: [
      send({ sizes: [800], producer: 1 }),
      send({ sizes: [900], producer: 1 }),
      send({ sizes: [400], producer: 1 }),
      send({ sizes: [500], producer: 1 }, { sizes: [900], producer: 1 }),
      checkpoint,
      send({ sizes: [900], producer: 1 }),
    ],
  },
  {
    name: "retention by size",
    before: [
      { ...create, overrides: { ...small, "retention.bytes": 1500 } } as Step,
      send({ sizes: [1200], producer: 1 }),
      send({ sizes: [1200], producer: 1 }),
      send({ sizes: [1200], producer: 2 }),
    ],
    plan: [{ do: "retention" }, send({ sizes: [20], producer: 1 })],
  },
  {
    name: "retention and removal of records",
    before: [
      { ...create, overrides: { ...small, "retention.bytes": 2500 } } as Step,
      send({ sizes: [1200], producer: 1 }),
      send({ sizes: [1200], producer: 1 }),
      send({ sizes: [1200], producer: 2 }),
      send({ sizes: [600], producer: 1 }),
    ],
    plan: [
      { do: "deleteRecords", topic, part: 0.6 },
      { do: "retention" },
      send({ sizes: [1200], producer: 1 }),
      checkpoint,
      { do: "retention" },
      { do: "advance", ms: 2_000 },
      { do: "deleteRecords", topic, part: 1 },
      { do: "retention" },
      send({ sizes: [20], producer: 1 }),
    ],
  },
  {
    name: "checkpoints of a relaxed topic",
    before: [{ ...create, overrides: relaxed } as Step],
    plan: [send({ sizes: [600] }), checkpoint],
  },
  {
    name: "removal of records of a relaxed topic",
    before: [{ ...create, overrides: relaxed } as Step, send({ sizes: [600] }, { sizes: [300] })],
    plan: [{ do: "deleteRecords", topic, part: 1 }],
  },
  {
    name: "a relaxed topic: flush, checkpoints, removal, and strict from then on",
    plan: [
      { ...create, overrides: relaxed } as Step,
      send({ sizes: [600], producer: 1 }, { sizes: [300] }),
      checkpoint,
      send({ sizes: [700], producer: 1 }),
      { do: "flush", topic },
      send({ sizes: [1000], producer: 1 }),
      checkpoint,
      { do: "deleteRecords", topic, part: 1 },
      send({ sizes: [300], producer: 1 }),
      { do: "configure", topic, overrides: small },
      send({ sizes: [300], producer: 1 }),
    ],
  },
  {
    name: "topics made, deleted and made again under the same name",
    plan: [
      create,
      send({ sizes: [30], producer: 1 }, { sizes: [30] }, { sizes: [30] }),
      checkpoint,
      { do: "delete", topic },
      create,
      send({ sizes: [600], producer: 1 }),
      { do: "advance", ms: 2_000 },
      send({ sizes: [30], producer: 1 }),
    ],
  },
  {
    name: "clean stops",
    before: [create, send({ sizes: [800], producer: 1 }), send({ sizes: [900], producer: 1 })],
    plan: [
      { do: "restart" },
      send({ sizes: [300], producer: 1, twice: true }),
      { do: "retry", topic },
      { do: "restart" },
      send({ sizes: [900], producer: 1 }),
      { do: "check" },
    ],
  },
  {
    name: "a clean stop of a relaxed topic",
    before: [{ ...create, overrides: relaxed } as Step, send({ sizes: [900], producer: 1 })],
    plan: [{ do: "restart" }, send({ sizes: [600], producer: 1 })],
  },
];

test.for(workloads.map((workload) => [workload.name, workload] as const))(
  "%s",
  { timeout: 60_000 },
  async ([, workload]) => {
    const { plan, ...options } = workload;
    const explored: Explored = await exploreCrashes(plan, options);
    expect(explored.states).toBeGreaterThan(explored.operations / 4);
    expect(explored.recoveries).toBeGreaterThan(100);
  },
);
