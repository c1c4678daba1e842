// The records of __consumer_offsets, in the schemas of Apache Kafka's group coordinator (4.3), as values and as bytes. A key
// is an int16 kind and Kafka's strings; a value is an int16 version and its fields; a missing value is a tombstone.
// What Kafka has no field for stands in tagged fields with numbers of our own, which Kafka's readers skip.

import { type Assignment, type HeldPartitions, rising } from "./assignment.ts";
import { GroupRecordCorruptError, int32ArraySize, RecordReader, RecordWriter } from "./record-bytes.ts";

export const memberStates = ["stable", "unrevokedPartitions", "unreleasedPartitions"] as const;
export type MemberState = (typeof memberStates)[number];

export interface OffsetCommitValue {
  /** The next offset to read. */
  readonly offset: number;
  /** −1: not known. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  /** Milliseconds since the epoch. */
  readonly commitTimestamp: number;
  /** Null in records of old versions. */
  readonly topicId: string | null;
  /** The member epoch of the commit, as members see it; −1: committed without a member. */
  readonly memberEpoch: number;
}

export interface GroupMetadataValue {
  readonly epoch: number;
  /** Changes whenever a subscribed topic does. */
  readonly metadataHash: number;
  /** When the last member went, in milliseconds since the epoch; null while there are members. */
  readonly emptySinceMs: number | null;
}

export interface MemberMetadataValue {
  readonly instanceId: string | null;
  readonly topics: readonly string[];
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  readonly assignor: string | null;
  /** How often this id has joined; the lower half of the epoch that members see. */
  readonly joins: number;
}

export interface CurrentAssignmentValue {
  readonly state: MemberState;
  /** Kafka's: −2 for a static member that is away. */
  readonly memberEpoch: number;
  /** The lowest epoch that the client may still be at, if replies to it were lost. */
  readonly previousMemberEpoch: number;
  readonly assigned: HeldPartitions;
  readonly pendingRevocation: HeldPartitions;
}

interface Of<Kind extends string, Value> {
  readonly kind: Kind;
  readonly groupId: string;
  /** Null: a tombstone. */
  readonly value: Value | null;
}

interface OfMember<Kind extends string, Value> extends Of<Kind, Value> {
  readonly memberId: string;
}

export interface OffsetCommitRecord extends Of<"offsetCommit", OffsetCommitValue> {
  readonly topic: string;
  readonly partition: number;
}

export type GroupRecord =
  | OffsetCommitRecord
  | Of<"groupMetadata", GroupMetadataValue>
  | OfMember<"memberMetadata", MemberMetadataValue>
  | Of<"targetAssignmentMetadata", { readonly assignmentEpoch: number }>
  | OfMember<"targetAssignmentMember", Assignment>
  | OfMember<"currentAssignment", CurrentAssignmentValue>;

export interface EncodedGroupRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Kafka's CoordinatorRecordType. */
const kinds = {
  offsetCommit: 1,
  groupMetadata: 3,
  memberMetadata: 5,
  targetAssignmentMetadata: 6,
  targetAssignmentMember: 7,
  currentAssignment: 8,
} as const satisfies Record<GroupRecord["kind"], number>;
/** Written by Kafka before its topic's id could be told apart; same fields as kind 1. */
const legacyOffsetCommit = 0;

const offsetCommitVersion = 4;
const kafkaTags = { topicId: 0, metadataHash: 0, assignmentEpochs: 0 };
const ownTags = { joins: 10_000, sessionTimeoutMs: 10_001, emptySinceMs: 10_002, memberEpoch: 10_003 };
const defaultSessionTimeoutMs = 45_000;
const kindOf = new Map<number, GroupRecord["kind"]>(
  Object.entries(kinds).map(([name, number]) => [number, name as GroupRecord["kind"]]),
);
/** Encoding is synchronous, so one writer serves all. */
const writer = new RecordWriter();

export function encodeGroupRecord(record: GroupRecord): EncodedGroupRecord {
  writer.clear();
  writer.int16(kinds[record.kind]);
  writer.string(record.groupId);
  if ("memberId" in record) writer.string(record.memberId);
  if ("topic" in record) {
    writer.string(record.topic);
    writer.int32(record.partition);
  }
  const key = writer.taken();
  if (record.value === null) return { key, value: null };
  writer.int16(record.kind === "offsetCommit" ? offsetCommitVersion : 0);
  writeValue(record);
  return { key, value: writer.taken() };
}

function writeValue(record: GroupRecord): void {
  if (record.value === null) return;
  switch (record.kind) {
    case "offsetCommit":
      writeOffsetCommit(record.value);
      break;
    case "groupMetadata":
      writeGroupMetadata(record.value);
      break;
    case "memberMetadata":
      writeMemberMetadata(record.value);
      break;
    case "targetAssignmentMetadata":
      writer.int32(record.value.assignmentEpoch);
      writer.taggedFields([]);
      break;
    case "targetAssignmentMember":
      writeAssignment(record.value);
      break;
    case "currentAssignment":
      writeCurrentAssignment(record.value);
      break;
  }
}

function writeOffsetCommit(value: OffsetCommitValue): void {
  writer.int64(value.offset);
  writer.int32(value.leaderEpoch);
  writer.compactString(value.metadata);
  writer.int64(value.commitTimestamp);
  const { topicId, memberEpoch } = value;
  writer.taggedFields([
    topicId === null ? undefined : { tag: kafkaTags.topicId, size: 16, write: () => writer.uuid(topicId) },
    memberEpoch < 0 ? undefined : { tag: ownTags.memberEpoch, size: 8, write: () => writer.int64(memberEpoch) },
  ]);
}

function writeGroupMetadata({ epoch, metadataHash, emptySinceMs }: GroupMetadataValue): void {
  writer.int32(epoch);
  writer.taggedFields([
    metadataHash === 0 ? undefined : { tag: kafkaTags.metadataHash, size: 8, write: () => writer.int64(metadataHash) },
    emptySinceMs === null ? undefined : { tag: ownTags.emptySinceMs, size: 8, write: () => writer.int64(emptySinceMs) },
  ]);
}

function writeMemberMetadata(value: MemberMetadataValue): void {
  writer.compactString(value.instanceId);
  writer.compactString(null); // rack
  writer.compactString(""); // client id
  writer.compactString(""); // client host
  writer.compactArray(value.topics, (topic) => writer.compactString(topic));
  writer.compactString(null); // regular expression
  writer.int32(value.rebalanceTimeoutMs);
  writer.compactString(value.assignor);
  writer.taggedFields([
    { tag: ownTags.joins, size: 4, write: () => writer.int32(value.joins) },
    { tag: ownTags.sessionTimeoutMs, size: 4, write: () => writer.int32(value.sessionTimeoutMs) },
  ]);
}

function writeAssignment(assignment: Assignment): void {
  writer.compactArray([...assignment], ([topicId, partitions]) => {
    writer.uuid(topicId);
    writer.compactArray(partitions, (partition) => writer.int32(partition));
    writer.taggedFields([]);
  });
  writer.taggedFields([]);
}

function writeCurrentAssignment(value: CurrentAssignmentValue): void {
  writer.int32(value.memberEpoch);
  writer.int32(value.previousMemberEpoch);
  writer.int8(memberStates.indexOf(value.state));
  for (const held of [value.assigned, value.pendingRevocation]) {
    writer.compactArray([...held], ([topicId, epochs]) => {
      const partitions = rising(epochs.keys());
      writer.uuid(topicId);
      writer.compactArray(partitions, (partition) => writer.int32(partition));
      const write = (): void => writer.compactArray(partitions, (partition) => writer.int32(epochs.get(partition)!));
      writer.taggedFields([{ tag: kafkaTags.assignmentEpochs, size: int32ArraySize(partitions.length), write }]);
    });
  }
  writer.taggedFields([]);
}

/** Undefined for kinds that are not ours: other types of groups, and what Kafka no longer writes. */
export function decodeGroupRecord(key: Uint8Array, value: Uint8Array | null): GroupRecord | undefined {
  const reader = new RecordReader(key);
  const kind = reader.int16();
  const body = value === null ? null : new RecordReader(value);
  const version = body?.int16() ?? 0;
  if (kind === legacyOffsetCommit || kind === kinds.offsetCommit) {
    const place = { groupId: reader.string(), topic: reader.string(), partition: reader.int32() };
    return { kind: "offsetCommit", ...place, value: body && readOffsetCommit(body, version) };
  }
  const name = kindOf.get(kind);
  if (name === undefined || name === "offsetCommit") return undefined;
  if (version !== 0) throw new GroupRecordCorruptError(`version ${version} of ${name} is not known`);
  const groupId = reader.string();
  switch (name) {
    case "groupMetadata":
      return { kind: name, groupId, value: body && readGroupMetadata(body) };
    case "targetAssignmentMetadata":
      return { kind: name, groupId, value: body && { assignmentEpoch: body.int32() } };
    case "memberMetadata":
      return { kind: name, groupId, memberId: reader.string(), value: body && readMemberMetadata(body) };
    case "targetAssignmentMember":
      return { kind: name, groupId, memberId: reader.string(), value: body && readAssignment(body) };
    case "currentAssignment":
      return { kind: name, groupId, memberId: reader.string(), value: body && readCurrentAssignment(body) };
  }
}

function readOffsetCommit(reader: RecordReader, version: number): OffsetCommitValue {
  if (version < 0 || version > offsetCommitVersion) {
    throw new GroupRecordCorruptError(`version ${version} of offsetCommit is not known`);
  }
  const offset = reader.int64();
  const leaderEpoch = version >= 3 ? reader.int32() : -1;
  const metadata = version >= 4 ? reader.compactString() : reader.string();
  const commitTimestamp = reader.int64();
  let topicId: string | null = null;
  let memberEpoch = -1;
  const readTag = (tag: number): void => {
    if (tag === kafkaTags.topicId) topicId = reader.uuid();
    else if (tag === ownTags.memberEpoch) memberEpoch = reader.int64();
  };
  if (version >= 4) reader.taggedFields(readTag);
  return { offset, leaderEpoch, metadata, commitTimestamp, topicId, memberEpoch };
}

function readGroupMetadata(reader: RecordReader): GroupMetadataValue {
  const epoch = reader.int32();
  let metadataHash = 0;
  let emptySinceMs: number | null = null;
  reader.taggedFields((tag) => {
    // Kafka's own hash uses all 64 bits; rounded it differs from any of ours just as well.
    if (tag === kafkaTags.metadataHash) metadataHash = reader.roundedInt64();
    else if (tag === ownTags.emptySinceMs) emptySinceMs = reader.int64();
  });
  return { epoch, metadataHash, emptySinceMs };
}

function readMemberMetadata(reader: RecordReader): MemberMetadataValue {
  const instanceId = reader.nullableCompactString();
  reader.nullableCompactString();
  reader.compactString();
  reader.compactString();
  const topics = reader.compactArray(() => reader.compactString());
  reader.nullableCompactString();
  const rebalanceTimeoutMs = reader.int32();
  const assignor = reader.nullableCompactString();
  let joins = 0;
  let sessionTimeoutMs = defaultSessionTimeoutMs;
  reader.taggedFields((tag) => {
    if (tag === ownTags.joins) joins = reader.int32();
    else if (tag === ownTags.sessionTimeoutMs) sessionTimeoutMs = reader.int32();
  });
  return { instanceId, topics, rebalanceTimeoutMs, sessionTimeoutMs, assignor, joins };
}

function readAssignment(reader: RecordReader): Assignment {
  const entries = reader.compactArray((): [string, number[]] => {
    const topicId = reader.uuid();
    const partitions = rising(reader.compactArray(() => reader.int32()));
    reader.taggedFields();
    return [topicId, partitions];
  });
  return new Map(entries.filter(([, partitions]) => partitions.length > 0));
}

function readCurrentAssignment(reader: RecordReader): CurrentAssignmentValue {
  const memberEpoch = reader.int32();
  const previousMemberEpoch = reader.int32();
  const state = memberStates[reader.int8()];
  if (state === undefined) throw new GroupRecordCorruptError("a state of a member is not known");
  const [assigned, pendingRevocation] = [readHeld(reader, memberEpoch), readHeld(reader, memberEpoch)];
  return { state, memberEpoch, previousMemberEpoch, assigned, pendingRevocation };
}

/** Without epochs (Kafka before 4.3) a partition counts as assigned at the member's present epoch. */
function readHeld(reader: RecordReader, memberEpoch: number): HeldPartitions {
  const entries = reader.compactArray((): [string, Map<number, number>] => {
    const topicId = reader.uuid();
    const partitions = reader.compactArray(() => reader.int32());
    let epochs: number[] | null = null;
    reader.taggedFields((tag) => {
      if (tag === kafkaTags.assignmentEpochs) epochs = reader.nullableCompactArray(() => reader.int32());
    });
    const known: readonly number[] = epochs ?? [];
    return [topicId, new Map(partitions.map((partition, index) => [partition, known[index] ?? memberEpoch]))];
  });
  return new Map(entries.filter(([, partitions]) => partitions.size > 0));
}
