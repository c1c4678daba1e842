// What a consumer group has committed: read it, commit from outside a poll, move it.

import type { CommitCall, ResetCall } from "../../broker/group-calls.ts";
import { type OffsetExpression, parseOffsetExpression } from "../../protocol/offset-expression.ts";
import { partitionMax } from "../../protocol/topic-partition.ts";
import { invalidField } from "../formats/body-refusal.ts";
import { checkCount, checkName, checkTopicNames, groupToFind, groupToUse } from "../group-names.ts";
import { positionHints, positionsSchema, readPositions } from "../group-positions.ts";
import type { HttpContext } from "../http-context.ts";
import type { Schema } from "../json-schema.ts";
import { maxPositionsPerCall, maxTopicsPerMember, nameCharactersMax } from "../limits.ts";
import { type Exchange, objectContent, objectOffers, type Route } from "../route.ts";
import { answerOf, coordinatorProblems, listOf, writeProblems } from "./groups-words.ts";

const commitSchema: Schema = {
  type: "object",
  required: ["positions"],
  properties: {
    positions: positionsSchema,
    memberId: { type: "string", description: "Needed while the group has members, with its memberEpoch." },
    memberEpoch: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  },
  additionalProperties: false,
};

const resetSchema: Schema = {
  type: "object",
  required: ["to"],
  properties: {
    to: {
      type: "string",
      description: "Any offset expression of a read: a number, earliest, latest, -n, @ms, @time, or 0:43,1:99.",
    },
    topics: {
      type: "array",
      items: { type: "string", maxLength: nameCharactersMax },
      description: "Default: those with committed offsets. With topics a group that is not there is made.",
    },
    partitions: {
      type: "array",
      items: { type: "integer", minimum: 0, maximum: partitionMax },
      description: "Default: every partition of the topics.",
    },
    dryRun: { type: "boolean", default: false, description: "Only say what would be." },
  },
  additionalProperties: false,
};

export function groupOffsetRoutes({ broker }: HttpContext): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/v1/groups/:group/offsets",
      operationId: "describeGroupOffsets",
      tag: "Consumer groups",
      summary: "How far a group is, and how far behind",
      description: "Every partition that is committed or assigned.",
      offers: objectOffers,
      answers: { 200: answerOf("By topic and partition.", listOf("positions", "GroupPosition")) },
      problems: ["GROUP_ID_NOT_FOUND", ...coordinatorProblems],
      handle: async (exchange) => exchange.answer(200, await broker.groupOffsets(groupToFind(exchange))),
    },
    {
      method: "POST",
      path: "/v1/groups/:group/offsets",
      operationId: "commitGroupOffsets",
      tag: "Consumer groups",
      summary: "Commit offsets, all or nothing",
      description:
        "Members commit with their polls; this is for those who read without being one. A group without members takes any commit, also one that goes back; it is made if it is not there.",
      body: objectContent(commitSchema),
      bodyRequired: true,
      offers: objectOffers,
      answers: { 204: { description: "They are committed." } },
      problems: [
        "UNKNOWN_TOPIC_OR_PARTITION",
        "INVALID_TOPIC_EXCEPTION",
        "UNKNOWN_MEMBER_ID",
        "FENCED_MEMBER_EPOCH",
        "STALE_MEMBER_EPOCH",
        "OFFSET_METADATA_TOO_LARGE",
        "OFFSET_OUT_OF_RANGE",
        ...writeProblems,
      ],
      handle: async (exchange) => {
        const groupId = groupToUse(exchange);
        await broker.commitOffsets(groupId, await readCommit(exchange));
        exchange.empty();
      },
    },
    {
      method: "POST",
      path: "/v1/groups/:group/offsets/reset",
      operationId: "resetGroupOffsets",
      tag: "Consumer groups",
      summary: "Move a group without members to another place",
      description: "Places outside the log are moved to its nearest end.",
      body: objectContent(resetSchema),
      bodyRequired: true,
      offers: objectOffers,
      answers: { 200: answerOf("Where each partition goes on now, or would.", listOf("positions", "ResetPosition")) },
      problems: [
        "GROUP_ID_NOT_FOUND",
        "NON_EMPTY_GROUP",
        "UNKNOWN_TOPIC_OR_PARTITION",
        "INVALID_TOPIC_EXCEPTION",
        "OFFSET_OUT_OF_RANGE",
        ...writeProblems,
      ],
      handle: async (exchange) => {
        const groupId = groupToUse(exchange);
        exchange.answer(200, await broker.resetOffsets(groupId, await readReset(exchange)));
      },
    },
  ];
}

async function readCommit(exchange: Exchange): Promise<CommitCall> {
  const body = await exchange.readObject(commitSchema, true, positionHints);
  const { memberId, memberEpoch } = body as { readonly memberId?: string; readonly memberEpoch?: number };
  if ((memberId === undefined) !== (memberEpoch === undefined)) {
    const missing = memberId === undefined ? "memberId" : "memberEpoch";
    throw invalidField(missing, "is missing", "memberId and memberEpoch go together, both or none");
  }
  if (memberId !== undefined) checkName("memberId", memberId);
  return { positions: readPositions("positions", body["positions"]) ?? [], memberId, memberEpoch };
}

async function readReset(exchange: Exchange): Promise<ResetCall> {
  const body = await exchange.readObject(resetSchema, true);
  const { to, topics, partitions, dryRun } = body as {
    readonly to: string;
    readonly topics?: readonly string[];
    readonly partitions?: readonly number[];
    readonly dryRun?: boolean;
  };
  if (topics !== undefined) {
    if (topics.length === 0) throw invalidField("topics", "must name a topic");
    checkCount("topics", topics.length, "maxTopicsPerMember", maxTopicsPerMember);
    checkTopicNames("topics", topics);
  }
  if (partitions !== undefined) {
    if (partitions.length === 0) throw invalidField("partitions", "must name a partition");
    checkCount("partitions", partitions.length, "maxPositionsPerCall", maxPositionsPerCall);
    if (new Set(partitions).size < partitions.length) throw invalidField("partitions", "names a partition twice");
  }
  return { to: expression(to), topics, partitions, dryRun: dryRun ?? false };
}

function expression(to: string): OffsetExpression {
  const parsed = parseOffsetExpression(to);
  if (parsed.kind === "invalid") throw invalidField("to", parsed.reason);
  return parsed;
}
