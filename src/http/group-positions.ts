// Positions and partitions in the bodies of consumer groups. What one call answers another takes unchanged: what only our own answers
// say of a position is passed over, and one that has nowhere to go on from is left out.

import type { Position, TopicPartitions } from "../broker/group-calls.ts";
import { partitionMax } from "../protocol/topic-partition.ts";
import { invalidField } from "./formats/body-refusal.ts";
import { checkCount, checkTopicName } from "./group-names.ts";
import type { FieldHints, Schema } from "./json-schema.ts";
import { maxPositionsPerCall, nameCharactersMax } from "./limits.ts";
import { offsetSchema } from "./schemas.ts";

const topic: Schema = { type: "string", maxLength: nameCharactersMax };
const partition: Schema = { type: "integer", minimum: 0, maximum: partitionMax };
const answered: Schema = { description: "As answers say it; not looked at." };

const positionSchema: Schema = {
  type: "object",
  required: ["topic", "partition", "nextOffset"],
  properties: {
    topic,
    partition,
    nextOffset: {
      ...offsetSchema,
      type: ["integer", "null"],
      description: "Where to go on: the last handled record's offset + 1. null, as answers say it: left out.",
    },
    leaderEpoch: { type: "integer", minimum: 0, maximum: 2 ** 31 - 1 },
    metadata: { type: ["string", "null"], description: "Anything to keep beside it; up to 4096 bytes of UTF-8." },
    highWatermark: answered,
    lag: answered,
    lagMs: answered,
    memberId: answered,
    previous: answered,
  },
  additionalProperties: false,
};

export const positionsSchema: Schema = {
  type: "array",
  items: positionSchema,
  description: `At most ${maxPositionsPerCall}, each partition once.`,
};

export const ownedSchema: Schema = {
  type: "array",
  items: {
    type: "object",
    required: ["topic", "partitions"],
    properties: { topic, partitions: { type: "array", items: partition } },
    additionalProperties: false,
  },
};

/** For whoever commits the record's own offset: the record would be delivered again. */
export const positionHints: FieldHints = new Map([
  ["offset", "a position has nextOffset: the last handled record's offset + 1"],
  ["position", "did you mean positions?"],
  ["commits", "did you mean commit?"],
  ["offsets", "did you mean positions?"],
]);

/** As the schema has let it through. */
interface PositionField extends Omit<Position, "nextOffset" | "metadata"> {
  readonly nextOffset: number | null;
  readonly metadata?: string | null;
}

export function readPositions(path: string, value: unknown): readonly Position[] | undefined {
  if (value === undefined) return undefined;
  const fields = value as readonly PositionField[];
  checkCount(path, fields.length, "maxPositionsPerCall", maxPositionsPerCall);
  const seen = new Set<string>();
  const positions: Position[] = [];
  for (const [index, field] of fields.entries()) {
    const { nextOffset, leaderEpoch, metadata } = field;
    checkPartition(`${path}[${index}]`, field.topic, field.partition, seen);
    if (nextOffset === null) continue;
    positions.push({
      topic: field.topic,
      partition: field.partition,
      nextOffset,
      ...(leaderEpoch === undefined ? {} : { leaderEpoch }),
      ...(metadata === undefined || metadata === null ? {} : { metadata }),
    });
  }
  return positions;
}

export function readOwned(value: unknown): readonly TopicPartitions[] | undefined {
  if (value === undefined) return undefined;
  const owned = value as readonly TopicPartitions[];
  const count = owned.reduce((sum, { partitions }) => sum + partitions.length, 0);
  checkCount("owned", count, "maxPositionsPerCall", maxPositionsPerCall);
  checkCount("owned", owned.length, "maxPositionsPerCall", maxPositionsPerCall);
  const seen = new Set<string>();
  for (const [index, one] of owned.entries()) {
    for (const number of one.partitions) checkPartition(`owned[${index}]`, one.topic, number, seen);
  }
  return owned;
}

function checkPartition(path: string, topicName: string, number: number, seen: Set<string>): void {
  checkTopicName(`${path}.topic`, topicName);
  const name = `${topicName}-${number}`;
  if (seen.has(name)) throw invalidField(path, `names ${name} twice`);
  seen.add(name);
}
