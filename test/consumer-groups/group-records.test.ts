// Group records as bytes: what is written is read again, older and newer writers are understood, damaged bytes are refused.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CurrentAssignmentValue,
  decodeGroupRecord,
  encodeGroupRecord,
  type GroupRecord,
  memberStates,
} from "../../src/consumer-groups/group-records.ts";
import { GroupRecordCorruptError, RecordWriter } from "../../src/consumer-groups/record-bytes.ts";
import { formatTopicId } from "../../src/protocol/topic-partition.ts";

const name = fc.string({ unit: "grapheme", maxLength: 300 });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const natural = fc.nat(2 ** 31 - 1);
const topicId = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatTopicId);
const partitions = fc.uniqueArray(natural, { minLength: 1, maxLength: 20 });
const assignment = fc
  .array(fc.tuple(topicId, partitions), { maxLength: 4 })
  .map((entries) => new Map(entries.map(([id, numbers]) => [id, numbers.sort((a, b) => a - b)])));
const held = fc
  .array(fc.tuple(topicId, fc.array(fc.tuple(natural, int32), { minLength: 1, maxLength: 20 })), { maxLength: 4 })
  .map((entries) => new Map(entries.map(([id, numbers]) => [id, new Map(numbers)])));
const value = {
  offsetCommit: fc.record({
    offset: fc.maxSafeNat(),
    leaderEpoch: int32,
    metadata: name,
    commitTimestamp: fc.maxSafeInteger(),
    topicId: fc.option(topicId),
    memberEpoch: fc.integer({ min: -1, max: 2 ** 47 }),
  }),
  groupMetadata: fc.record({
    epoch: int32,
    metadataHash: fc.nat(2 ** 48),
    emptySinceMs: fc.option(fc.maxSafeNat()),
  }),
  memberMetadata: fc.record({
    instanceId: fc.option(name),
    topics: fc.array(name, { maxLength: 5 }),
    rebalanceTimeoutMs: int32,
    sessionTimeoutMs: int32,
    assignor: fc.option(name),
    joins: natural,
  }),
  targetAssignmentMetadata: fc.record({ assignmentEpoch: int32 }),
  targetAssignmentMember: assignment,
  currentAssignment: fc.record<CurrentAssignmentValue>({
    state: fc.constantFrom(...memberStates),
    memberEpoch: int32,
    previousMemberEpoch: int32,
    assigned: held,
    pendingRevocation: held,
  }),
};
const record = fc.oneof(
  ...(["memberMetadata", "targetAssignmentMember", "currentAssignment"] as const).map((kind) =>
    fc.record({ kind: fc.constant(kind), groupId: name, memberId: name, value: fc.option<unknown>(value[kind]) }),
  ),
  ...(["groupMetadata", "targetAssignmentMetadata"] as const).map((kind) =>
    fc.record({ kind: fc.constant(kind), groupId: name, value: fc.option<unknown>(value[kind]) }),
  ),
  fc.record({
    kind: fc.constant("offsetCommit"),
    groupId: name,
    topic: name,
    partition: natural,
    value: fc.option(value.offsetCommit),
  }),
) as fc.Arbitrary<GroupRecord>;

function written(write: (writer: RecordWriter) => void): Uint8Array {
  const writer = new RecordWriter();
  write(writer);
  return writer.taken();
}

describe("group records", () => {
  test("are read as they were written", () => {
    fc.assert(
      fc.property(record, (record) => {
        const { key, value } = encodeGroupRecord(record);
        expect(decodeGroupRecord(key, value)).toEqual(record);
      }),
    );
  });

  test("cut short or with any byte changed, they give a record or are refused, nothing else", () => {
    const damage = fc.tuple(record, fc.nat(), fc.option(fc.nat(255)));
    fc.assert(
      fc.property(damage, ([record, place, byte]) => {
        const { key, value } = encodeGroupRecord(record);
        const bytes = (value ?? key).slice();
        const damaged = byte === null ? bytes.subarray(0, place % bytes.length) : bytes;
        if (byte !== null) damaged[place % bytes.length] = byte;
        try {
          decodeGroupRecord(value ? key : damaged, value ? damaged : null);
        } catch (error) {
          expect(error).toBeInstanceOf(GroupRecordCorruptError);
        }
      }),
    );
  });

  test("have the very bytes of Kafka's schemas", () => {
    const hex = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes).toString("hex");
    const id = formatTopicId(new Uint8Array(16).fill(0xab));
    const offset = encodeGroupRecord({
      kind: "offsetCommit",
      groupId: "g",
      topic: "t",
      partition: 3,
      value: { offset: 258, leaderEpoch: 5, metadata: "m", commitTimestamp: 1, topicId: id, memberEpoch: -1 },
    });
    expect(hex(offset.key)).toBe("0001" + "000167" + "000174" + "00000003");
    expect(hex(offset.value)).toBe(
      `${"0004" + "0000000000000102" + "00000005" + "026d" + "0000000000000001" + "01" + "00" + "10"}${"ab".repeat(16)}`,
    );
    const current = encodeGroupRecord({
      kind: "currentAssignment",
      groupId: "g",
      memberId: "m",
      value: {
        state: "unreleasedPartitions",
        memberEpoch: 7,
        previousMemberEpoch: 6,
        assigned: new Map([[id, new Map([[2, 4]])]]),
        pendingRevocation: new Map(),
      },
    });
    expect(hex(current.key)).toBe("0008" + "000167" + "00016d");
    const epochs = "01" + "00" + "05" + "0200000004"; // one tag: number 0, five bytes, an array of one
    expect(hex(current.value)).toBe(
      `${"0000" + "00000007" + "00000006" + "02" + "02"}${"ab".repeat(16)}${"02" + "00000002"}${epochs}${"01" + "00"}`,
    );
  });

  test("that cannot be written leave nothing behind for the next", () => {
    const groupMetadata = { kind: "groupMetadata", groupId: "g", value: null } as const;
    const before = encodeGroupRecord(groupMetadata);
    const value = new Map([["no topic id", [1]]]);
    const bad = { kind: "targetAssignmentMember", groupId: "g", memberId: "m", value } as const;
    expect(() => encodeGroupRecord(bad)).toThrow(GroupRecordCorruptError);
    expect(() => encodeGroupRecord({ ...groupMetadata, groupId: "x".repeat(40_000) })).toThrow(GroupRecordCorruptError);
    expect(encodeGroupRecord(groupMetadata)).toEqual(before);
  });

  test("of kinds that are not ours are skipped", () => {
    for (const kind of [2, 4, 9, 16, 25]) {
      const key = written((writer) => {
        writer.int16(kind);
        writer.string("g");
      });
      expect(decodeGroupRecord(key, new Uint8Array([0, 0]))).toBeUndefined();
    }
  });

  test("with tags that nobody here knows are read all the same", () => {
    const { key } = encodeGroupRecord({ kind: "groupMetadata", groupId: "g", value: null });
    const value = written((writer) => {
      writer.int16(0);
      writer.int32(9);
      writer.taggedFields([
        { tag: 0, size: 8, write: (inner) => inner.int64(77) },
        { tag: 5, size: 17, write: (inner) => inner.string("from the future") },
        { tag: 20_000, size: 1, write: (inner) => inner.int8(1) },
      ]);
    });
    const expected = { epoch: 9, metadataHash: 77, emptySinceMs: null };
    expect(decodeGroupRecord(key, value)).toEqual({ kind: "groupMetadata", groupId: "g", value: expected });
  });

  test("of offsets in Kafka's older versions are read", () => {
    const key = written((writer) => {
      writer.int16(0);
      writer.string("g");
      writer.string("t");
      writer.int32(1);
    });
    for (const version of [0, 1, 2, 3]) {
      const value = written((writer) => {
        writer.int16(version);
        writer.int64(42);
        if (version >= 3) writer.int32(8);
        writer.string("note");
        writer.int64(1000);
        if (version === 1) writer.int64(2000);
      });
      const leaderEpoch = version >= 3 ? 8 : -1;
      expect(decodeGroupRecord(key, value)).toMatchObject({
        kind: "offsetCommit",
        value: { offset: 42, leaderEpoch, metadata: "note", commitTimestamp: 1000, topicId: null, memberEpoch: -1 },
      });
    }
    expect(() => decodeGroupRecord(key, new Uint8Array([0, 5]))).toThrow(GroupRecordCorruptError);
  });

  test("of members without assignment epochs count as assigned at the member's epoch", () => {
    const { key } = encodeGroupRecord({ kind: "currentAssignment", groupId: "g", memberId: "m", value: null });
    const id = formatTopicId(new Uint8Array(16).fill(1));
    const value = written((writer) => {
      writer.int16(0);
      writer.int32(12);
      writer.int32(11);
      writer.int8(0);
      writer.compactArray([3, 5].slice(0, 1), () => {
        writer.uuid(id);
        writer.compactArray([3, 5], (partition) => writer.int32(partition));
        writer.taggedFields([]);
      });
      writer.compactArray([], () => {});
      writer.taggedFields([]);
    });
    expect(decodeGroupRecord(key, value)).toMatchObject({
      value: { assigned: new Map([[id, new Map([3, 5].map((partition) => [partition, 12]))]]) },
    });
  });
});
