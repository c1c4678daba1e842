// A member of a consumer group: one route for its whole life, and one to leave.

import { memberToFind } from "../group-names.ts";
import { answerPoll } from "../group-poll.ts";
import { pollSchema, readPoll } from "../group-poll-call.ts";
import type { HttpContext } from "../http-context.ts";
import { booleanParameter } from "../query.ts";
import { objectContent, objectOffers, type Route } from "../route.ts";
import { answerOf, pollDescription, writeProblems } from "./groups-words.ts";

export function memberRoutes({ broker, settings }: HttpContext): readonly Route[] {
  const schema = pollSchema(settings);
  return [
    {
      method: "POST",
      path: "/v1/groups/:group/members/:member/poll",
      operationId: "pollGroup",
      tag: "Consumer groups",
      summary: "Join, stay, commit, and get the next records",
      description: pollDescription,
      body: objectContent(schema),
      bodyRequired: true,
      offers: objectOffers,
      answers: { 200: answerOf("The assignment and records of it.", { $ref: "#/components/schemas/Poll" }) },
      problems: [
        "UNKNOWN_MEMBER_ID",
        "FENCED_MEMBER_EPOCH",
        "UNRELEASED_INSTANCE_ID",
        "UNSUPPORTED_ASSIGNOR",
        "INVALID_TOPIC_EXCEPTION",
        "GROUP_MAX_SIZE_REACHED",
        "OFFSET_METADATA_TOO_LARGE",
        "OFFSET_OUT_OF_RANGE",
        "NOT_LEADER_OR_FOLLOWER",
        "OFFSET_NOT_AVAILABLE",
        ...writeProblems,
      ],
      handle: async (exchange) => answerPoll(exchange, await readPoll(exchange, schema)),
    },
    {
      method: "DELETE",
      path: "/v1/groups/:group/members/:member",
      operationId: "leaveGroup",
      tag: "Consumer groups",
      summary: "Leave, or remove any member",
      description:
        "Its partitions are free at once, and what it still sends is refused. Those of a member with an instanceId wait for " +
        "whoever joins with that instanceId, until the session of the one that left would have ended.",
      query: {
        forGood: {
          description: "Free the partitions of a member with an instanceId too, also of one that left before.",
          schema: { type: "boolean", default: false },
        },
      },
      offers: objectOffers,
      answers: { 204: { description: "The group does not have the member any more." } },
      problems: ["UNKNOWN_MEMBER_ID", "GROUP_ID_NOT_FOUND", ...writeProblems],
      ownStatuses: { UNKNOWN_MEMBER_ID: 404 },
      handle: async (exchange) => {
        const { groupId, memberId } = memberToFind(exchange);
        await broker.leaveGroup(groupId, memberId, booleanParameter(exchange.query, "forGood"));
        exchange.empty();
      },
    },
  ];
}
