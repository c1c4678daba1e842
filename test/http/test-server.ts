// The whole HTTP surface over a broker on a simulated disk and clock, without a port. Every answer is held against the OpenAPI document:
// its status, its content type and its body must stand there.

import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import { Unpackr } from "msgpackr";
import { type Broker, createBroker } from "../../src/broker/broker.ts";
import { defaultSettings, type Settings } from "../../src/config.ts";
import { createHttpServer, type HttpServer } from "../../src/http/server.ts";
import { type Logger, silentLogger } from "../../src/io/logger.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { SimulatedRandom } from "../simulation/simulated-random.ts";

interface OpenapiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenapiOperation>>>>;
}
interface OpenapiOperation {
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, object>> }>>;
}

export const json = { "content-type": "application/json" };
export const ndjson = { "content-type": "application/x-ndjson" };
export const bytes = { "content-type": "application/octet-stream" };
export const msgpack = { "content-type": "application/msgpack" };
export const recordBatch = { "content-type": "application/vnd.kafka.record-batch" };

export class TestServer {
  readonly broker: Broker;
  readonly http: HttpServer;
  readonly clock: SimulatedClock;
  readonly disk: SimulatedDisk;
  /** What was logged as an error: a test that expects none can look. */
  readonly errors: object[];
  /** The same of warnings. */
  readonly warnings: object[];
  #document: OpenapiDocument | undefined;
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false });
  readonly #validators = new Map<string, ValidateFunction>();

  private constructor(
    broker: Broker,
    http: HttpServer,
    clock: SimulatedClock,
    disk: SimulatedDisk,
    logged: { readonly errors: object[]; readonly warnings: object[] },
  ) {
    this.broker = broker;
    this.http = http;
    this.clock = clock;
    this.disk = disk;
    this.errors = logged.errors;
    this.warnings = logged.warnings;
  }

  /** `disk`: what an earlier broker left. `log`: hears everything beside the test. */
  static async start(
    changed: Partial<Settings> = {},
    { disk = new SimulatedDisk(), log = silentLogger }: { disk?: SimulatedDisk; log?: Logger } = {},
  ): Promise<TestServer> {
    const clock = new SimulatedClock();
    const logged = { errors: [] as object[], warnings: [] as object[] };
    const logger: Logger = {
      info: (fields, message) => log.info(fields, message),
      warn: (fields, message) => {
        logged.warnings.push(fields);
        log.warn(fields, message);
      },
      error: (fields, message) => {
        logged.errors.push(fields);
        log.error(fields, message);
      },
    };
    const settings = { ...defaultSettings, ...changed };
    const broker = await createBroker({
      dataDir: "/data",
      settings,
      clock,
      disk: disk.startProcess(),
      random: new SimulatedRandom(1),
      logger,
    });
    const random = new SimulatedRandom(2);
    const http = createHttpServer({
      broker,
      settings,
      clock,
      random,
      logger,
      metrics: new Metrics(),
      version: "0.0.0",
    });
    await http.app.ready();
    return new TestServer(broker, http, clock, disk, logged);
  }

  async stop(): Promise<void> {
    await this.http.stop(1000);
    await this.broker.close();
  }

  /** Asks, and checks the answer against the document. */
  async ask(options: InjectOptions): Promise<LightMyRequestResponse> {
    const response = await this.http.app.inject(options);
    await this.#check(options, response);
    return response;
  }

  /** The answer's headers at once, its body as it comes. */
  async stream(options: InjectOptions): Promise<LightMyRequestResponse> {
    return this.http.app.inject({ ...options, payloadAsStream: true });
  }

  get(url: string, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
    return this.ask({ method: "GET", url, headers });
  }

  post(url: string, payload: string | Buffer | object, headers: Record<string, string> = json) {
    const body = typeof payload === "string" || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload);
    return this.ask({ method: "POST", url, headers, payload: body });
  }

  async createTopic(name: string, partitionCount = 1, config: Record<string, unknown> = {}): Promise<void> {
    const response = await this.post("/v1/topics", { name, partitionCount, config });
    if (response.statusCode !== 201) throw new Error(response.body);
  }

  /** Values as JSON numbers, one record each, into partition 0. */
  async produceNumbers(topic: string, ...values: number[]): Promise<void> {
    const body = { records: values.map((value) => ({ value })) };
    const response = await this.post(`/v1/topics/${topic}/partitions/0/records`, body);
    if (response.statusCode !== 200) throw new Error(response.body);
  }

  /** The values of a partition, as JSON. */
  async valuesOf(topic: string, partition = 0): Promise<unknown[]> {
    const response = await this.get(`/v1/topics/${topic}/partitions/${partition}/records?maxRecords=100000`);
    return response.json().records.map(({ value }: { value: unknown }) => value);
  }

  /** Where every partition of every topic ends: a request that was refused must not move it. */
  async logEnds(): Promise<string> {
    const ends: string[] = [];
    for (const { name } of this.broker.listTopics({ internal: true }).topics) {
      const { partitions } = await this.broker.describeTopic(name);
      for (const { partition, logEndOffset } of partitions) ends.push(`${name}-${partition}:${logEndOffset}`);
    }
    return ends.join(" ");
  }

  async document(): Promise<OpenapiDocument> {
    this.#document ??= (await this.http.app.inject({ url: "/openapi.json" })).json<OpenapiDocument>();
    if (this.#validators.size === 0 && this.#ajv.getSchema("openapi") === undefined) {
      this.#ajv.addSchema(this.#document, "openapi");
    }
    return this.#document;
  }

  async #check(options: InjectOptions, response: LightMyRequestResponse): Promise<void> {
    const document = await this.document();
    const url = typeof options.url === "string" ? options.url : (options.url?.pathname ?? "/");
    const path = url.split("?")[0]!;
    const template = Object.keys(document.paths).find((candidate) =>
      new RegExp(`^${candidate.replaceAll(".", "\\.").replaceAll(/\{[a-zA-Z]+\}/g, "[^/]+")}$`).test(path),
    );
    const method = (options.method ?? "GET").toLowerCase();
    const operation = document.paths[template ?? ""]?.[method];
    if (template === undefined || operation === undefined) {
      // No such operation: only a refusal can be right, or the description of the methods.
      if (method === "options" || method === "head") return;
      if (![404, 405, 400, 403].includes(response.statusCode)) {
        throw new Error(`${method} ${path} is not in the document and was answered ${response.statusCode}`);
      }
      return this.#validate("#/components/schemas/Problem", response.json());
    }
    const described = operation.responses[String(response.statusCode)];
    const where = `${method} ${template} ${response.statusCode}`;
    if (described === undefined) throw new Error(`${where} is not in the document: ${response.body}`);
    const contentType = String(response.headers["content-type"] ?? "").split(";")[0]!;
    if (method === "head") return;
    if (described.content === undefined) {
      if (response.body !== "") throw new Error(`${where} has a body that is not in the document`);
      return;
    }
    if (described.content[contentType] === undefined)
      throw new Error(`${where} is ${contentType}, not in the document`);
    if (
      contentType !== "application/json" &&
      contentType !== "application/problem+json" &&
      contentType !== "application/msgpack"
    )
      return;
    const pointer = [
      "paths",
      template,
      method,
      "responses",
      String(response.statusCode),
      "content",
      contentType,
      "schema",
    ]
      .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
      .join("/");
    const body = contentType === "application/msgpack" ? unpack(response.rawPayload) : response.json();
    this.#validate(`#/${pointer}`, body);
  }

  #validate(reference: string, body: unknown): void {
    let validate = this.#validators.get(reference);
    if (validate === undefined) {
      validate = this.#ajv.compile({ $ref: `openapi${reference}` });
      this.#validators.set(reference, validate);
    }
    if (!validate(body)) {
      throw new Error(`${reference}: ${this.#ajv.errorsText(validate.errors)} in ${JSON.stringify(body)}`);
    }
  }
}

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
// biome-ignore lint/suspicious/noExplicitAny: tests look into it as they know it
export const unpack = (payload: Buffer): any => unpackr.unpack(payload);
