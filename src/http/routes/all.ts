// Every route, in the order the document shows them.

import type { HttpContext } from "../http-context.ts";
import type { Route } from "../route.ts";
import { clusterRoutes } from "./cluster.ts";
import { docsRoutes } from "./docs.ts";
import { groupOffsetRoutes } from "./group-offsets.ts";
import { memberRoutes } from "./group-poll.ts";
import { groupRoutes } from "./groups.ts";
import { offsetRoutes } from "./offsets.ts";
import { operationRoutes } from "./operation.ts";
import { producerRoutes } from "./producers.ts";
import { produceRoutes } from "./records-produce.ts";
import { readRoutes } from "./records-read.ts";
import { topicRoutes } from "./topics.ts";
import { webSocketRoutes } from "./websocket.ts";

export function allRoutes(http: HttpContext): readonly Route[] {
  const routes = [
    ...topicRoutes(http),
    ...offsetRoutes(http),
    ...produceRoutes(http),
    ...producerRoutes(http),
    ...readRoutes(http),
    ...memberRoutes(http),
    ...groupOffsetRoutes(http),
    ...groupRoutes(http),
    ...clusterRoutes(http),
    ...operationRoutes(http),
    ...webSocketRoutes(),
  ];
  const docs: readonly Route[] = docsRoutes(http, () => [...routes, ...docs]);
  return [...routes, ...docs];
}
