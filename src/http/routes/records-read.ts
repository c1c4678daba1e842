// Read: one partition or several, as a page, as server-sent events, as lines, as stored batches; and HEAD, the place alone.

import type { HttpContext } from "../http-context.ts";
import { mediaTypes } from "../media-type.ts";
import { readEvents } from "../read-events.ts";
import { readLines } from "../read-lines.ts";
import { readBatches, readPage, readPlace } from "../read-page.ts";
import { readPlan } from "../read-plan.ts";
import type { Exchange, Route } from "../route.ts";
import { partitionHeadRoute, partitionReadRoute, topicHeadRoute, topicReadRoute } from "./records-read-words.ts";

export function readRoutes(http: HttpContext): readonly Route[] {
  return [
    { ...topicReadRoute(http.settings), handle: (exchange) => read(exchange, false) },
    {
      ...topicHeadRoute(http.settings),
      handle: async (exchange) => readPlace(exchange, await readPlan(exchange, false)),
    },
    { ...partitionReadRoute(http.settings), handle: (exchange) => read(exchange, true) },
    {
      ...partitionHeadRoute(http.settings),
      handle: async (exchange) => readPlace(exchange, await readPlan(exchange, true)),
    },
  ];
}

async function read(exchange: Exchange, single: boolean): Promise<void> {
  switch (exchange.mediaType) {
    case mediaTypes.eventStream:
      return readEvents(exchange, () => readPlan(exchange, single));
    case mediaTypes.ndjson:
      return readLines(exchange, await readPlan(exchange, single));
    case mediaTypes.recordBatch:
      return readBatches(exchange, await readPlan(exchange, single));
    default:
      return readPage(exchange, await readPlan(exchange, single));
  }
}
