import fc from "fast-check";
import { expect, test } from "vitest";
import type { OffsetCommitValue } from "../../src/consumer-groups/group-records.ts";
import { TopicOffsets } from "../../src/consumer-groups/topic-offsets.ts";

const value = fc.record<OffsetCommitValue>({
  offset: fc.maxSafeNat(),
  leaderEpoch: fc.integer({ min: -1, max: 5 }),
  metadata: fc.constantFrom("", "m", "other"),
  commitTimestamp: fc.maxSafeNat(),
  topicId: fc.constantFrom(null, "AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg"),
  memberEpoch: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
});
const partition = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 2 ** 31 - 1 }));
const step = fc.oneof(
  fc.record({ partition, value: fc.option(value, { freq: 4 }) }),
  fc.record({ partition: fc.constantFrom(3, 7), value }),
);

test("it holds what a map would hold, in the order of the partitions", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const offsets = new TopicOffsets();
      const model = new Map<number, OffsetCommitValue>();
      for (const { partition, value } of steps) {
        if (value === null) expect(offsets.delete(partition)).toBe(model.delete(partition));
        else {
          expect(offsets.set(partition, value)).toBe(!model.has(partition));
          model.set(partition, value);
        }
        expect(offsets.get(partition)).toEqual(model.get(partition));
        expect(offsets.count).toBe(model.size);
      }
      expect([...offsets.entries()]).toEqual([...model].sort(([a], [b]) => a - b));
    }),
  );
});
