import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isReserved,
  type ProducerLimits,
  ProducerState,
  StagedProducers,
  type Verdict,
} from "../../src/log/producer-state.ts";
import { type BatchHeader, noProducerId } from "../../src/protocol/record-batch.ts";

const limits: ProducerLimits = {
  producerIdsMax: 100,
  producerIdExpirationMs: 1_000_000,
  idempotencyKeysMax: 3,
  idempotencyWindowMs: 1000,
};
const sequenceMax = 2 ** 31 - 1;

interface Sketch {
  readonly id?: bigint;
  readonly epoch?: number;
  readonly sequence: number;
  readonly count?: number;
  readonly offset?: number;
}

function header({ id = 1n, epoch = 0, sequence, count = 1, offset = 0 }: Sketch): BatchHeader {
  return {
    baseOffset: offset,
    lastOffset: offset + count - 1,
    sizeBytes: 100,
    partitionLeaderEpoch: 0,
    crc: 0,
    attributes: 0,
    lastOffsetDelta: count - 1,
    baseTimestamp: 0,
    maxTimestamp: 0,
    producerId: id,
    producerEpoch: epoch,
    baseSequence: sequence,
    recordsCount: count,
  };
}

/** Remembers what is accepted and says what each batch got. */
function run(state: ProducerState, batches: readonly Sketch[], nowMs = 0): Verdict[] {
  let offset = 0;
  return batches.map((sketch) => {
    const staged = new StagedProducers(state, nowMs);
    const at = { ...sketch, offset };
    const verdict = staged.judge(header(at));
    if (verdict.kind === "accepted") {
      staged.stage(header(at));
      staged.remember();
      offset += sketch.count ?? 1;
    }
    return verdict;
  });
}

const kinds = (verdicts: readonly Verdict[]) => verdicts.map(({ kind }) => kind);

describe("the rules, one by one", () => {
  test.each<[string, readonly Sketch[], readonly Verdict["kind"][]]>([
    ["an unknown producer begins anywhere", [{ sequence: 77 }, { sequence: 78 }], ["accepted", "accepted"]],
    ["also at a higher epoch", [{ epoch: 9, sequence: 5 }], ["accepted"]],
    ["a gap", [{ sequence: 0 }, { sequence: 2 }], ["accepted", "outOfOrder"]],
    [
      "a repeat",
      [
        { sequence: 0, count: 3 },
        { sequence: 0, count: 3 },
      ],
      ["accepted", "duplicate"],
    ],
    [
      "a repeat of another length",
      [
        { sequence: 0, count: 3 },
        { sequence: 0, count: 2 },
      ],
      ["accepted", "outOfOrder"],
    ],
    ["one within an earlier one", [{ sequence: 0, count: 3 }, { sequence: 1 }], ["accepted", "outOfOrder"]],
    ["the wrap", [{ sequence: sequenceMax }, { sequence: 0 }], ["accepted", "accepted"]],
    [
      "a batch across the wrap, twice",
      [{ sequence: sequenceMax - 1, count: 4 }, { sequence: 2 }, { sequence: sequenceMax - 1, count: 4 }],
      ["accepted", "accepted", "duplicate"],
    ],
    [
      "an older epoch",
      [
        { epoch: 2, sequence: 0 },
        { epoch: 1, sequence: 1 },
      ],
      ["accepted", "fenced"],
    ],
    [
      "a newer epoch begins at 0",
      [{ sequence: 5 }, { epoch: 1, sequence: 6 }, { epoch: 1, sequence: 0 }],
      ["accepted", "outOfOrder", "accepted"],
    ],
    [
      "a repeat across epochs is none",
      [{ sequence: 0 }, { epoch: 1, sequence: 0 }, { sequence: 0 }],
      ["accepted", "accepted", "fenced"],
    ],
    [
      "producers do not mix",
      [
        { id: 1n, sequence: 0 },
        { id: 2n, sequence: 9 },
        { id: 1n, sequence: 1 },
      ],
      ["accepted", "accepted", "accepted"],
    ],
    [
      "no producer id, no rules",
      [
        { id: noProducerId, sequence: -1 },
        { id: noProducerId, sequence: -1 },
      ],
      ["accepted", "accepted"],
    ],
  ])("%s", (_what, batches, expected) => {
    expect(kinds(run(new ProducerState(limits), batches))).toEqual(expected);
  });

  test("what is expected is said, and who fences", () => {
    const verdicts = run(new ProducerState(limits), [
      { sequence: 0, count: 4, epoch: 3 },
      { sequence: 9, epoch: 3 },
      { sequence: 4, epoch: 4 },
      { sequence: 0, epoch: 1 },
    ]);
    expect(verdicts.slice(1)).toEqual([
      { kind: "outOfOrder", expectedSequence: 4 },
      { kind: "outOfOrder", expectedSequence: 0 },
      { kind: "fenced", currentEpoch: 3 },
    ]);
  });

  test("five batches are remembered", () => {
    const state = new ProducerState(limits);
    run(
      state,
      [0, 1, 2, 3, 4, 5].map((sequence) => ({ sequence })),
    );
    const verdicts = run(
      state,
      [0, 1, 2, 3, 4, 5, 6].map((sequence) => ({ sequence })),
    );
    expect(kinds(verdicts)).toEqual([
      "outOfOrder",
      "duplicate",
      "duplicate",
      "duplicate",
      "duplicate",
      "duplicate",
      "accepted",
    ]);
  });

  test("the first offsets are the answer to a repeat", () => {
    const state = new ProducerState(limits);
    run(state, [
      { sequence: 0, count: 10 },
      { sequence: 10, count: 10 },
    ]);
    expect(run(state, [{ sequence: 10, count: 10 }])[0]).toMatchObject({
      kind: "duplicate",
      batch: { firstOffset: 10, lastOffset: 19 },
    });
  });
});

describe("idempotency keys", () => {
  const key = 2n ** 62n + 3n;

  test("have ids of their own, a repeat of another length is a key used twice", () => {
    expect([isReserved(key), isReserved(2n ** 62n), isReserved(2n ** 62n - 1n)]).toEqual([true, true, false]);
    const request = { id: key, sequence: 0 };
    const verdicts = run(new ProducerState(limits), [
      { ...request, count: 2 },
      { ...request, count: 2 },
      { ...request, count: 3 },
    ]);
    expect(verdicts).toMatchObject([{ kind: "accepted" }, { kind: "duplicate" }, { kind: "keyReused", records: 2 }]);
  });

  test("the oldest go when there are too many, and all after their window; producers stay", () => {
    const state = new ProducerState(limits);
    run(state, [{ id: 1n, sequence: 0 }]);
    run(
      state,
      [0n, 1n, 2n, 3n].map((n) => ({ id: key + n, sequence: 0 })),
    );
    expect([...state.entries()].map(({ producerId }) => producerId)).toEqual([1n, key + 1n, key + 2n, key + 3n]);
    expect(state.get(key + 1n, 1000)).toBeDefined();
    expect(state.get(key + 1n, 1001)).toBeUndefined();
    state.forgetOld(1001);
    expect([...state.entries()].map(({ producerId }) => producerId)).toEqual([1n]);
  });
});

test("producers are forgotten by number, least recently seen first, and by age", () => {
  const state = new ProducerState({ ...limits, producerIdsMax: 2, producerIdExpirationMs: 10 });
  run(state, [{ id: 1n, sequence: 0 }], 0);
  run(state, [{ id: 2n, sequence: 0 }], 5);
  run(state, [{ id: 1n, sequence: 1 }], 6);
  run(state, [{ id: 3n, sequence: 0 }], 7);
  expect([...state.entries()].map(({ producerId }) => producerId)).toEqual([1n, 3n]);
  state.forgetOld(17);
  expect([...state.entries()].map(({ producerId }) => producerId)).toEqual([3n]);
});

test("nothing is remembered before the group is written", () => {
  const state = new ProducerState(limits);
  const staged = new StagedProducers(state, 0);
  staged.stage(header({ sequence: 10, count: 10 }));
  expect(staged.judge(header({ sequence: 20, count: 10 })).kind).toBe("accepted");
  staged.stage(header({ sequence: 20, count: 10, offset: 10 }));
  expect(staged.judge(header({ sequence: 10, count: 10 }))).toMatchObject({
    kind: "duplicate",
    batch: { firstOffset: 0 },
  });
  expect([...state.entries()]).toEqual([]);
  staged.remember();
  expect([...state.entries()][0]!.batches).toHaveLength(2);
});

test("replay takes what is in the log as it is, and leaves control batches out", () => {
  const state = new ProducerState(limits);
  state.replay(header({ sequence: 0 }), 0);
  state.replay(header({ sequence: 7, offset: 1 }), 0);
  state.replay(header({ sequence: -1, offset: 2 }), 0);
  state.replay(header({ id: noProducerId, sequence: -1, offset: 3 }), 0);
  expect([...state.entries()]).toMatchObject([{ batches: [{ firstSequence: 0 }, { firstSequence: 7 }] }]);
});

/** The rules once more, from a plain history of what was accepted. */
class Model {
  readonly #accepted: { epoch: number; first: number; count: number; offset: number }[] = [];
  #offset = 0;

  judge(epoch: number, first: number, count: number): string {
    const current = this.#accepted.at(-1);
    if (current) {
      const window = this.#accepted.filter((batch) => batch.epoch === current.epoch).slice(-5);
      const seen = window.find((batch) => batch.epoch === epoch && batch.first === first && batch.count === count);
      if (seen) return `duplicate ${seen.offset}`;
      if (epoch < current.epoch) return `fenced ${current.epoch}`;
      const next = epoch > current.epoch ? 0 : Number((BigInt(current.first) + BigInt(current.count)) % 2n ** 31n);
      if (first !== next) return `outOfOrder ${next}`;
    }
    this.#accepted.push({ epoch, first, count, offset: this.#offset });
    this.#offset += count;
    return "accepted";
  }
}

test("any run of batches, judged in groups of any size, as the model says", () => {
  const step = fc.record({
    epoch: fc.constantFrom(0, 0, 0, 1, 2),
    /** Relative to what is due next, mostly. */
    behind: fc.constantFrom(0, 0, 0, 0, 1, 2, 5, 9),
    count: fc.integer({ min: 1, max: 3 }),
    repeats: fc.boolean(),
    closesGroup: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.constantFrom(0, sequenceMax - 6), fc.array(step, { maxLength: 40 }), (start, steps) => {
      const state = new ProducerState(limits);
      const model = new Model();
      let staged = new StagedProducers(state, 0);
      let next = start;
      let offset = 0;
      const past: { epoch: number; first: number; count: number }[] = [];
      for (const { epoch, behind, count, repeats, closesGroup } of steps) {
        const fresh = { epoch, first: Number((BigInt(next) - BigInt(behind) + 2n ** 31n) % 2n ** 31n), count };
        const batch = repeats && past.length > 0 ? past[Math.max(0, past.length - 1 - behind)]! : fresh;
        const made = header({ epoch: batch.epoch, sequence: batch.first, count: batch.count, offset });
        const verdict = staged.judge(made);
        const said =
          verdict.kind === "duplicate"
            ? `duplicate ${verdict.batch.firstOffset}`
            : verdict.kind === "fenced"
              ? `fenced ${verdict.currentEpoch}`
              : verdict.kind === "outOfOrder"
                ? `outOfOrder ${verdict.expectedSequence}`
                : verdict.kind;
        expect(said).toBe(model.judge(batch.epoch, batch.first, batch.count));
        if (verdict.kind === "accepted") {
          staged.stage(made);
          offset += batch.count;
          past.push(batch);
          next = Number((BigInt(batch.first) + BigInt(batch.count)) % 2n ** 31n);
        }
        if (verdict.kind === "outOfOrder") next = verdict.expectedSequence;
        if (!closesGroup) continue;
        staged.remember();
        staged = new StagedProducers(state, 0);
      }
    }),
    { numRuns: 500 },
  );
});
