// What all routes share: the broker, the doors, and the limits that count over all requests.

import type { Broker } from "../broker/broker.ts";
import type { Settings } from "../config.ts";
import type { Clock } from "../io/clock.ts";
import type { Logger } from "../io/logger.ts";
import type { PeerServing } from "../io/peers/peer-session.ts";
import type { Random } from "../io/random.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { BodyBudget } from "./body-budget.ts";
import { Deadlines } from "./deadlines.ts";
import { OpenStreams } from "./open-streams.ts";
import { StickyPartition } from "./sticky-partition.ts";
import { TopicMetrics } from "./topic-metrics.ts";
import { UnwaitedRefusals } from "./unwaited-refusals.ts";
import { SocketMetrics } from "./websocket/socket-metrics.ts";

export interface HttpOptions {
  readonly broker: Broker;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** What /v1/cluster and the metrics say. */
  readonly version: string;
  /** Of a broker in a cluster: what other brokers ask of it. */
  readonly peers?: PeerServing;
}

export class HttpContext {
  readonly broker: Broker;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly version: string;
  readonly bodyBudget: BodyBudget;
  readonly deadlines: Deadlines;
  readonly streams: OpenStreams;
  readonly sticky: StickyPartition;
  readonly topicMetrics: TopicMetrics;
  readonly unwaitedRefusals: UnwaitedRefusals;
  readonly socketMetrics: SocketMetrics;
  /** True from the first moment of a shutdown. */
  draining = false;
  #requests = 0;
  readonly #requestIdPrefix: string;

  constructor(options: HttpOptions) {
    this.broker = options.broker;
    this.settings = options.settings;
    this.clock = options.clock;
    this.random = options.random;
    this.logger = options.logger;
    this.metrics = options.metrics;
    this.version = options.version;
    const inFlight = options.metrics.gauge("millrace_request_bytes_in_flight", {});
    this.bodyBudget = new BodyBudget(options.settings.requestBytesInFlightMax, inFlight);
    this.deadlines = new Deadlines(options.clock, Math.min(1000, Math.ceil(options.settings.requestIdleMs / 4)));
    this.streams = new OpenStreams(options.metrics);
    this.sticky = new StickyPartition(options.random);
    this.topicMetrics = new TopicMetrics(options.metrics);
    this.unwaitedRefusals = new UnwaitedRefusals(options.clock, options.logger, options.metrics);
    this.socketMetrics = new SocketMetrics(options.metrics);
    this.#requestIdPrefix = Buffer.from(options.random.bytes(9)).toString("base64url");
  }

  newRequestId(): string {
    this.#requests += 1;
    return `${this.#requestIdPrefix}-${this.#requests.toString(36)}`;
  }
}
