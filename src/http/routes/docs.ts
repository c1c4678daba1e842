// The API's description of itself: /openapi.json and /asyncapi.json for machines, /docs for people. Each is made at its first request.

import type { HttpContext } from "../http-context.ts";
import { mediaTypes } from "../media-type.ts";
import type { Route } from "../route.ts";

export function docsRoutes(http: HttpContext, routes: () => readonly Route[]): readonly Route[] {
  let document: Promise<string> | undefined;
  let page: Promise<string> | undefined;
  let frames: Promise<string> | undefined;
  const makeDocument = async () => {
    const { openapiDocument } = await import("../openapi.ts");
    return JSON.stringify(openapiDocument(routes(), http.version));
  };
  const makeFrames = async () => {
    const { asyncapiDocument } = await import("../websocket/asyncapi.ts");
    return JSON.stringify(asyncapiDocument(http.version));
  };
  const makePage = async () => {
    const { docsPage } = await import("../docs-page.ts");
    return docsPage(routes(), http.version);
  };
  return [
    {
      method: "GET",
      path: "/openapi.json",
      operationId: "openapi",
      tag: "Operation",
      summary: "This document",
      offers: [mediaTypes.json],
      answers: { 200: { description: "OpenAPI 3.1.", content: { [mediaTypes.json]: { type: "object" } } } },
      problems: [],
      handle: async (exchange) => {
        document ??= makeDocument();
        exchange.begin(200, mediaTypes.json).send(await document);
      },
    },
    {
      method: "GET",
      path: "/asyncapi.json",
      operationId: "asyncapi",
      tag: "Operation",
      summary: "The frames of the WebSocket",
      offers: [mediaTypes.json],
      answers: { 200: { description: "AsyncAPI 3.", content: { [mediaTypes.json]: { type: "object" } } } },
      problems: [],
      handle: async (exchange) => {
        frames ??= makeFrames();
        exchange.begin(200, mediaTypes.json).send(await frames);
      },
    },
    {
      method: "GET",
      path: "/docs",
      operationId: "docs",
      tag: "Operation",
      summary: "The API for people, with the table of error codes",
      offers: [mediaTypes.html],
      answers: { 200: { description: "A page.", content: { [mediaTypes.html]: { type: "string" } } } },
      problems: [],
      handle: async (exchange) => {
        page ??= makePage();
        const reply = exchange.begin(200, "text/html; charset=utf-8");
        reply.header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'").send(await page);
      },
    },
  ];
}
