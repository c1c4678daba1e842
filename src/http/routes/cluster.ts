// The one discovery document.

import type { HttpContext } from "../http-context.ts";
import {
  maxPositionsPerCall,
  maxTopicsPerMember,
  rebalanceTimeoutMsMax,
  rebalanceTimeoutMsMin,
  requestHeadersMax,
  sessionTimeoutMsMax,
  sessionTimeoutMsMin,
} from "../limits.ts";
import { objectContent, objectOffers, type Route } from "../route.ts";
import { socketLimits } from "../websocket/socket-limits.ts";

/** What this broker knows beyond the first version of the API. */
export const features: readonly string[] = [
  "groups",
  "idempotency-key",
  "idempotent-producer",
  "ndjson",
  "record-batch",
  "sse",
  "websocket",
];

const clusterSchema = {
  type: "object",
  required: ["clusterId", "version", "features", "controller", "brokers", "limits"],
  properties: {
    clusterId: { type: "string" },
    version: { type: "string" },
    features: { type: "array", items: { type: "string" } },
    controller: { type: ["integer", "null"] },
    brokers: {
      type: "array",
      items: {
        type: "object",
        required: ["id", "url", "rack", "state"],
        properties: {
          id: { type: "integer" },
          url: { type: ["string", "null"] },
          rack: { type: ["string", "null"] },
          state: { type: "string" },
        },
      },
    },
    limits: { type: "object", additionalProperties: { type: "number" } },
  },
} as const;

export function clusterRoutes({ broker, settings, version }: HttpContext): readonly Route[] {
  const limits = {
    maxBodyBytes: settings.maxBodyBytes,
    maxFrameBytes: settings.maxFrameBytes,
    ...socketLimits,
    maxLineBytes: settings.maxLineBytes,
    maxPageBytes: settings.maxPageBytes,
    maxPartitionsPerRead: settings.maxPartitionsPerRead,
    maxRecordBytes: settings.appendGroupBytesMax, // as far as max.message.bytes goes; a topic may have less
    maxPositionsPerCall,
    maxTopicsPerMember,
    sessionTimeoutMsMin,
    sessionTimeoutMsMax,
    rebalanceTimeoutMsMin,
    rebalanceTimeoutMsMax,
    maxRequestHeaders: requestHeadersMax,
    maxWaitMs: settings.maxWaitMs,
    idempotencyKeysMax: settings.idempotencyKeysMax,
    idempotencyWindowMs: settings.idempotencyWindowMs,
    requestBytesInFlightMax: settings.requestBytesInFlightMax,
    requestIdleMs: settings.requestIdleMs,
  };
  return [
    {
      method: "GET",
      path: "/v1/cluster",
      operationId: "describeCluster",
      tag: "Operation",
      summary: "Brokers, features and limits",
      offers: objectOffers,
      answers: {
        200: {
          description: "The cluster.",
          content: objectContent(clusterSchema),
        },
      },
      problems: [],
      handle: (exchange) => {
        const { clusterId, controller, brokers } = broker.describeCluster();
        exchange.answer(200, { clusterId, version, features, controller, brokers, limits });
      },
    },
  ];
}
