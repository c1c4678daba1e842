// Consumer groups as a whole: list, describe, delete.

import { groupToFind } from "../group-names.ts";
import type { HttpContext } from "../http-context.ts";
import { listParameters, listRange } from "../list-range.ts";
import { booleanParameter } from "../query.ts";
import { objectOffers, type Route } from "../route.ts";
import { answerOf, coordinatorProblems, listOf, writeProblems } from "./groups-words.ts";

export function groupRoutes({ broker }: HttpContext): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/v1/groups",
      operationId: "listGroups",
      tag: "Consumer groups",
      summary: "List groups, sorted by name",
      query: {
        ...listParameters,
        lag: { description: "How far each is behind, too.", schema: { type: "boolean", default: false } },
      },
      offers: objectOffers,
      answers: {
        200: answerOf(
          "The groups.",
          listOf("groups", "GroupSummary", { next: { type: "string", description: "Give it as after." } }),
        ),
      },
      problems: coordinatorProblems,
      handle: async (exchange) => {
        const { query } = exchange;
        const lag = booleanParameter(query, "lag");
        exchange.answer(200, await broker.listGroups({ ...listRange(query), lag }));
      },
    },
    {
      method: "GET",
      path: "/v1/groups/:group",
      operationId: "describeGroup",
      tag: "Consumer groups",
      summary: "Describe a group",
      offers: objectOffers,
      answers: { 200: answerOf("The group.", { $ref: "#/components/schemas/Group" }) },
      problems: ["GROUP_ID_NOT_FOUND", ...coordinatorProblems],
      handle: async (exchange) => exchange.answer(200, await broker.describeGroup(groupToFind(exchange))),
    },
    {
      method: "DELETE",
      path: "/v1/groups/:group",
      operationId: "deleteGroup",
      tag: "Consumer groups",
      summary: "Delete a group without members, and its committed offsets",
      offers: objectOffers,
      answers: { 204: { description: "It is gone; its name is free." } },
      problems: ["GROUP_ID_NOT_FOUND", "NON_EMPTY_GROUP", ...writeProblems],
      handle: async (exchange) => {
        await broker.deleteGroup(groupToFind(exchange));
        exchange.empty();
      },
    },
  ];
}
