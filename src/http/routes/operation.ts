// Is it alive, is it ready, what does it count.

import { renderNodeMetrics } from "../../metrics/node-metrics.ts";
import type { HttpContext } from "../http-context.ts";
import { booleanParameter } from "../query.ts";
import { objectContent, objectOffers, type Route } from "../route.ts";

const metricsMediaType = "text/plain; version=0.0.4; charset=utf-8";

const liveSchema = {
  type: "object",
  required: ["live"],
  properties: { live: { type: "boolean", const: true } },
} as const;

const readySchema = {
  type: "object",
  required: ["ready"],
  properties: {
    ready: { type: "boolean" },
    reasons: { type: "array", items: { type: "string" }, description: "With verbose: what is still missing." },
  },
} as const;

export function operationRoutes(http: HttpContext): readonly Route[] {
  return [
    {
      method: "GET",
      path: "/livez",
      operationId: "livez",
      tag: "Operation",
      summary: "200 while the process answers",
      offers: objectOffers,
      answers: { 200: { description: "It lives.", content: objectContent(liveSchema) } },
      problems: [],
      handle: (exchange) => exchange.answer(200, { live: true }),
    },
    {
      method: "GET",
      path: "/readyz",
      operationId: "readyz",
      tag: "Operation",
      summary: "200 once recovered and registered, until it drains",
      query: { verbose: { description: "Say why not.", schema: { type: "boolean", default: false } } },
      offers: objectOffers,
      answers: {
        200: { description: "Ready.", content: objectContent(readySchema) },
        503: { description: "Not ready; no problem body, this is an answer.", content: objectContent(readySchema) },
      },
      problems: [],
      handle: (exchange) => {
        const { ready, reasons } = readiness(http);
        const verbose = booleanParameter(exchange.query, "verbose");
        exchange.answer(ready ? 200 : 503, verbose ? { ready, reasons } : { ready });
      },
    },
    {
      method: "GET",
      path: "/metrics",
      operationId: "metrics",
      tag: "Operation",
      summary: "Metrics in the Prometheus text format",
      offers: ["text/plain"],
      answers: { 200: { description: "The metrics.", content: { "text/plain": { type: "string" } } } },
      problems: [],
      handle: async (exchange) => {
        const text = http.metrics.render() + (await renderNodeMetrics());
        exchange.begin(200, metricsMediaType).send(text);
      },
    },
  ];
}

function readiness({ broker, draining }: HttpContext): { ready: boolean; reasons: readonly string[] } {
  return draining ? { ready: false, reasons: ["the broker is shutting down"] } : broker.readiness();
}
