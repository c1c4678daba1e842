// The HTTP server: what happens to every request before and after its route, and how the server starts and stops.
// All that fastify would do by itself to bodies, queries, errors and timeouts is off: a broker must not guess (docs/decisions/0001, 26).

import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { AssertionError, assert } from "../assert.ts";
import type { Gauge } from "../metrics/instruments.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { ClientGoneError } from "./body.ts";
import { type CurrentRequest, clientErrorAnswer } from "./client-error.ts";
import { Connections } from "./connections.ts";
import { HttpContext, type HttpOptions } from "./http-context.ts";
import {
  connectionsCheckMs,
  drainMs,
  headerBytesMax,
  headersTimeoutMs,
  keepAliveMs,
  pathParameterCharactersMax,
  requestHeadersMax,
} from "./limits.ts";
import { formatUrl, type ListenAddress, parseListenAddress } from "./listen-address.ts";
import { negotiate } from "./media-type.ts";
import { exposedHeaders, isLoopbackName, judgeHost, judgeOrigin, type OriginRules, originRefused } from "./origin.ts";
import { PathIndex } from "./path-index.ts";
import { type OwnStatuses, problemMediaType, problemOf, unexpected } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { OperationMetrics, RequestState } from "./request-state.ts";
import { asItIs, Exchange, notAcceptable, type Route } from "./route.ts";
import { allRoutes } from "./routes/all.ts";
import { peerRoute } from "./routes/peer.ts";
import { PeerHub } from "./websocket/peer-hub.ts";
import { SocketHub } from "./websocket/socket-hub.ts";
import { asksForWebSocket, judgeHandshake, type Opened, registerWebSockets, upgraded } from "./websocket/upgrade.ts";

export interface HttpServer {
  readonly app: FastifyInstance;
  /** Resolves with the URL once connections are taken. */
  listen(): Promise<string>;
  /**
   * Takes no more connections, ends waiting reads and streams, lets what is in flight finish for `graceMs`, then cuts what is left.
   * Readiness is false from the first moment.
   */
  stop(graceMs: number): Promise<void>;
}

const preconditions = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"] as const;
const visibleAscii = /^[\x21-\x7e]{1,128}$/;
const stateOf = Symbol("the request's state");
const emptyQueryText = { text: "" };

export function createHttpServer(options: HttpOptions): HttpServer {
  const http = new HttpContext(options);
  const app = newFastify(http);
  const sockets = new SocketHub(http);
  const peers = options.peers === undefined ? undefined : new PeerHub(http, options.peers);
  const routes = peers === undefined ? allRoutes(http) : [...allRoutes(http), peerRoute];
  const opened: Opened = (...handshake) => upgraded(sockets, peers, ...handshake);
  const paths = new PathIndex(routes);
  const unmatched = new OperationMetrics("unmatched", http.metrics);
  const rules = originRules(http);
  const inFlight = http.metrics.gauge("millrace_requests_in_flight", {});
  const awaitContinue = new WeakSet<IncomingMessage>();

  app.decorateRequest("state", null as unknown as RequestState);
  app.removeAllContentTypeParsers(); // routes read their bodies themselves: each knows its own limits
  app.setErrorHandler((error, request, reply) => refuse(http, request, reply, error));

  // Calls `done` for a WebSocket's handshake alone: every other request is answered from here, also one that no route knows.
  app.addHook("onRequest", (request, reply, done) => {
    const state = new RequestState(http.clock.monotonicMs(), unmatched);
    request.state = state;
    state.awaitsContinue = request.headers.expect !== undefined && awaitContinue.has(request.raw);
    inFlight.inc();
    (reply.raw as Stateful)[stateOf] = { http, request, inFlight };
    reply.raw.on("close", answerEnded);
    standardHeaders(http, request, reply);
    if (asksForWebSocket(request)) endWithAnswer(reply);
    const refusal = judgeRequest(request, reply, rules);
    const { run } = request.routeOptions.config as Partial<RouteConfig>;
    if (refusal !== undefined) refuse(http, request, reply, refusal);
    else if (request.method === "OPTIONS" && answerOptions(request, reply, paths)) return;
    else if (run !== undefined) run(request, reply, done);
    else refuse(http, request, reply, unrouted(request, reply, paths));
  });

  registerWebSockets(app, http, async () => {
    await Promise.all([sockets.drain(), peers?.drain()]);
  });
  for (const route of routes) {
    if (route.upgrade !== undefined) app.after(() => addRoute(app, http, opened, route));
    else addRoute(app, http, opened, route);
  }

  app.addHook("preClose", () => http.streams.drain());

  const connections = new Connections(app.server);
  app.server.maxHeadersCount = 0; // all are counted by judgeRequest; Node would drop the rest in silence
  app.server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    awaitContinue.add(request);
    app.server.emit("request", request, response);
  });
  return {
    app,
    listen: () => listen(http, app),
    stop: (graceMs) => stop(http, app, [sockets, ...(peers === undefined ? [] : [peers])], connections, graceMs),
  };
}

function newFastify(http: HttpContext): FastifyInstance {
  return fastify({
    logger: false,
    requestIdHeader: false,
    genReqId: (raw) => {
      const given = raw.headers["x-request-id"];
      return typeof given === "string" && visibleAscii.test(given) ? given : http.newRequestId();
    },
    bodyLimit: http.settings.maxBodyBytes,
    requestTimeout: 0,
    connectionTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    exposeHeadRoutes: false, // asked for route by route
    schemaController: { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } },
    routerOptions: {
      maxParamLength: pathParameterCharactersMax,
      querystringParser: (text) => (text === "" ? emptyQueryText : { text }),
    },
    http: {
      maxHeaderSize: headerBytesMax,
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: connectionsCheckMs,
    },
    clientErrorHandler: (error, socket) => clientErrorAnswer(error, socket as Socket, http, currentRequest(socket)),
    frameworkErrors: (_error, request, reply) => {
      request.state = new RequestState(http.clock.monotonicMs(), new OperationMetrics("unmatched", http.metrics));
      standardHeaders(http, request, reply);
      refuse(http, request, reply, new BrokerError("INVALID_REQUEST", "the path is not percent-encoded UTF-8"));
    },
  }) as unknown as FastifyInstance;
}

/** No route has a schema of fastify's; its own compilers would be loaded all the same, and take a fifth of the start. */
function noCompiler(): () => never {
  return () => {
    throw new AssertionError("no route has a schema of fastify's");
  };
}

function addRoute(app: FastifyInstance, http: HttpContext, opened: Opened, route: Route): void {
  const operation = new OperationMetrics(route.operationId, http.metrics);
  const queryNames = Object.keys(route.query ?? {});
  app.route({
    method: route.method,
    url: route.path,
    exposeHeadRoute: route.method === "GET" && route.ownHead !== true,
    config: { produce: route.produce === true, ownStatuses: route.ownStatuses, run } satisfies RouteConfig,
    handler: () => assert(false, "a request is answered before fastify would read its body"),
    ...(route.upgrade === undefined ? {} : { wsHandler: (socket, request) => opened(socket, request, route.upgrade) }),
  });

  function run(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
    try {
      request.state.operation = operation;
      if (route.upgrade !== undefined && asksForWebSocket(request)) {
        parseQuery((request.query as { readonly text: string }).text, queryNames);
        judgeHandshake(http, request, reply, route.upgrade);
        request.state.upgraded = () => requestIsOver(request, reply);
        done();
        return;
      }
      const mediaType = negotiate(request.headers.accept, route.offers);
      if (mediaType === undefined) throw notAcceptable(route.offers);
      const query = parseQuery((request.query as { readonly text: string }).text, queryNames);
      const handled = route.handle(new Exchange(http, request, reply, query, mediaType));
      handled?.catch((error: unknown) => failed(http, request, reply, error));
    } catch (error) {
      failed(http, request, reply, error);
    }
  }
}

function failed(http: HttpContext, request: FastifyRequest, reply: FastifyReply, error: unknown): void {
  if (!reply.sent) refuse(http, request, reply, error);
  else http.logger.error({ err: error, requestId: request.id }, "a request failed after its answer had begun");
}

/** What the checks outside a route need to know of it. */
interface RouteConfig {
  readonly produce: boolean;
  readonly ownStatuses: OwnStatuses | undefined;
  /** Answers the request. Called from the first hook: of what fastify does between that and a handler nothing is used here. */
  readonly run: (request: FastifyRequest, reply: FastifyReply, done: () => void) => void;
}

const switchingProtocols = 101;

/** The answer to a request that asked for a WebSocket and gets none: its connection is of no use any more. */
function endWithAnswer(reply: FastifyReply): void {
  reply.header("connection", "close");
  const { socket } = reply.raw;
  reply.raw.once("finish", () => socket?.end(() => socket.destroy()));
}

/** The connection has become a WebSocket. */
function requestIsOver(request: FastifyRequest, reply: FastifyReply): void {
  reply.raw.statusCode = switchingProtocols;
  request.state.isStream = true;
  const { socket } = reply.raw;
  if (socket !== null) reply.raw.detachSocket(socket);
  reply.raw.emit("close");
}

interface Stateful extends ServerResponse {
  [stateOf]?: { readonly http: HttpContext; readonly request: FastifyRequest; readonly inFlight: Gauge };
}

function currentRequest(socket: object): CurrentRequest | undefined {
  const response = (socket as { readonly _httpMessage?: Stateful | null })._httpMessage;
  const request = response?.[stateOf]?.request;
  if (response == null || request === undefined) return undefined;
  const { produce } = request.routeOptions.config as Partial<RouteConfig>;
  return {
    id: request.id,
    isInBody: !request.raw.complete && !response.headersSent,
    isProduce: produce === true,
    isStream: request.state.isStream,
  };
}

/** The answer has ended or the connection is gone: gives back what the request held, and lets the rest of its body run out. */
function answerEnded(this: ServerResponse): void {
  const held = (this as Stateful)[stateOf];
  if (held === undefined) return;
  const { http, request, inFlight } = held;
  inFlight.dec();
  const state = request.state;
  http.bodyBudget.give(state.bytesHeld);
  state.bytesHeld = 0;
  const isAnswered = this.writableFinished || this.writableEnded || this.statusCode === switchingProtocols;
  state.operation.answered(isAnswered ? String(this.statusCode) : "aborted");
  if (!state.isStream) state.operation.duration.observe((http.clock.monotonicMs() - state.startedMs) / 1000);
  const raw = request.raw;
  if (this.statusCode === switchingProtocols) return;
  if (raw.complete !== false || raw.destroyed) return;
  const deadline = { dueMs: http.clock.monotonicMs() + drainMs, expire: () => raw.socket.destroy() };
  http.deadlines.add(deadline);
  raw.once("close", () => http.deadlines.remove(deadline)).resume();
}

function standardHeaders(http: HttpContext, request: FastifyRequest, reply: FastifyReply): void {
  reply.header("cache-control", "no-store");
  reply.header("x-content-type-options", "nosniff");
  reply.header("vary", "Accept, Origin");
  reply.header("x-request-id", request.id);
  if (http.draining) reply.header("connection", "close");
}

function originRules(http: HttpContext): OriginRules {
  const { allowedOrigins, allowedHosts } = http.settings;
  const { host } = addressOf(http);
  return {
    allowedOrigins,
    allowedHosts: isLoopbackName(host.includes(":") ? `[${host}]` : host) ? allowedHosts : undefined,
  };
}

/** What holds for every request, whatever its route; nothing was done yet. */
function judgeRequest(request: FastifyRequest, reply: FastifyReply, rules: OriginRules): BrokerError | undefined {
  const { headers, rawHeaders } = request.raw;
  if (rawHeaders.length > 2 * requestHeadersMax) {
    return new BrokerError("INVALID_REQUEST", `a request may have ${requestHeadersMax} headers`, {
      fields: { limit: { name: "requestHeadersMax", value: requestHeadersMax } },
    });
  }
  const hostRefusal = judgeHost(headers.host, rules);
  if (hostRefusal !== undefined) return hostRefusal;
  if (headers.origin !== undefined) {
    const verdict = judgeOrigin(headers.origin, headers.host, rules);
    if (verdict === "refused") return originRefused();
    if (verdict === "allowed") {
      reply.header("access-control-allow-origin", headers.origin);
      reply.header("access-control-expose-headers", exposedHeaders);
    }
  }
  const unknown = preconditions.filter((name) => headers[name] !== undefined);
  if (unknown.length === 0) return undefined;
  return new BrokerError("INVALID_REQUEST", `the precondition ${unknown[0]} is not known here; see expectedOffset`, {
    fields: { unknown },
  });
}

/** No route took the request: its path is unknown, or known with other methods. */
function unrouted(request: FastifyRequest, reply: FastifyReply, paths: PathIndex): BrokerError {
  const allowed = paths.methodsOf(pathOf(request));
  if (allowed.length === 0) {
    return new BrokerError("ROUTE_NOT_FOUND", "there is no such route; /openapi.json lists them");
  }
  const methods = allowed.join(", ");
  reply.header("allow", methods);
  return new BrokerError("METHOD_NOT_ALLOWED", `this route takes ${methods}`);
}

function pathOf(request: FastifyRequest): string {
  const url = request.raw.url ?? "/";
  const end = url.search(/[?#]/);
  return end < 0 ? url : url.slice(0, end);
}

/** OPTIONS: the methods of a path; to a browser of an allowed origin also what it may send. False if there is no such path. */
function answerOptions(request: FastifyRequest, reply: FastifyReply, paths: PathIndex): boolean {
  const allowed = paths.methodsOf(pathOf(request));
  if (allowed.length === 0) return false;
  const methods = allowed.join(", ");
  reply.header("allow", methods);
  const wanted = request.headers["access-control-request-headers"];
  if (reply.hasHeader("access-control-allow-origin")) {
    reply.header("access-control-allow-methods", methods);
    reply.header("access-control-max-age", "600");
    if (wanted !== undefined && /^[\w!#$%&'*+.^`|~, -]{1,2000}$/.test(wanted)) {
      reply.header("access-control-allow-headers", wanted);
    }
  }
  reply.code(204).send();
  return true;
}

/** Every refusal of a request ends here, a bug too. */
function refuse(http: HttpContext, request: FastifyRequest, reply: FastifyReply, cause: unknown): void {
  if (cause instanceof ClientGoneError) {
    reply.hijack();
    reply.raw.destroy();
    return;
  }
  const error = asBrokerError(http, request, cause);
  const { produce = false, ownStatuses } = request.routeOptions.config as Partial<RouteConfig>;
  const problem = problemOf(error, { requestId: request.id, random: http.random, produce, ownStatuses });
  if (problem.retryAfter !== undefined) reply.header("retry-after", problem.retryAfter);
  reply.code(problem.status).header("content-type", problemMediaType).serializer(asItIs).send(problem.body);
}

function asBrokerError(http: HttpContext, request: FastifyRequest, cause: unknown): BrokerError {
  if (cause instanceof BrokerError && cause.code !== "UNKNOWN_SERVER_ERROR") return cause;
  // A broken invariant stops the process, whoever asked.
  if (cause instanceof AssertionError) {
    queueMicrotask(() => {
      throw cause;
    });
  }
  http.logger.error(
    { err: cause, requestId: request.id, operation: request.state.operation.api },
    "a request met a bug and was answered 500",
  );
  return unexpected(cause);
}

async function listen(http: HttpContext, app: FastifyInstance): Promise<string> {
  const { host, port } = addressOf(http);
  await app.listen({ host, port });
  const bound = app.server.address() as AddressInfo;
  return formatUrl({ host, port: bound.port });
}

function addressOf(http: HttpContext): ListenAddress {
  const address = parseListenAddress(http.settings.listen);
  assert(address !== undefined, `listen is no address: ${http.settings.listen}`);
  return address;
}

async function stop(
  http: HttpContext,
  app: FastifyInstance,
  hubs: readonly Pick<SocketHub, "drain" | "terminate">[],
  connections: Connections,
  graceMs: number,
): Promise<void> {
  http.draining = true;
  const streamsEnded = Promise.all([http.streams.drain(), ...hubs.map((hub) => hub.drain())]);
  http.broker.drain();
  const cut = http.clock.setTimer(graceMs, () => {
    http.logger.warn({ graceMs }, "requests did not finish in time and were cut off");
    app.server.closeAllConnections();
    for (const hub of hubs) hub.terminate();
  });
  connections.closeIdle(http.clock);
  try {
    await app.close();
    await streamsEnded;
  } finally {
    cut.cancel();
    connections.stopLooking();
    http.deadlines.stop();
  }
}
