// A client of a test server's WebSocket, without a port: the `ws` client on one end of a pair of streams, the server on the other. Every
// frame that comes is held against the table of server frames.

import { connect as connectTcp } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { Packr, Unpackr } from "msgpackr";
import { WebSocket } from "ws";
import type { Settings } from "../../../src/config.ts";
import { namedSchemas } from "../../../src/http/schemas.ts";
import { serverFrameSchemas } from "../../../src/http/websocket/server-frames.ts";
import { TestServer } from "../test-server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into it as they know it
export type Frame = any;
export type Encoding = "json" | "msgpack";
export const encodings: readonly Encoding[] = ["json", "msgpack"];

/** What the bytes travel over: streams in memory, or real sockets. */
export type Transport = "memory" | "loopback";
const ports = new WeakMap<TestServer, number>();

export async function startServer(transport: Transport, settings: Partial<Settings> = {}): Promise<TestServer> {
  if (transport === "memory") return TestServer.start(settings);
  const server = await TestServer.start({ ...settings, listen: "127.0.0.1:0" });
  ports.set(server, Number(new URL(await server.http.listen()).port));
  return server;
}

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ $id: "shared", components: { schemas: namedSchemas } });
const validators = new Map<string, ValidateFunction>(
  Object.entries(serverFrameSchemas).map(([type, schema]) => {
    const strict = JSON.stringify({ ...schema, additionalProperties: false }).replaceAll('"#/', '"shared#/');
    return [type, ajv.compile(JSON.parse(strict) as object)];
  }),
);

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** Whole numbers from 2^32 on as integers, which msgpackr would write as floats. */
const exact = (value: unknown): unknown => {
  if (typeof value === "number" && Number.isSafeInteger(value) && Math.abs(value) >= 2 ** 31) return BigInt(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(exact);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, exact(field)]));
};

export const pack = (value: unknown): Buffer => packr.pack(exact(value));

export class TestSocket {
  readonly socket: WebSocket;
  /** The client's end of the connection. */
  readonly stream: Duplex;
  readonly encoding: Encoding;
  /** All that came and was not taken yet. */
  readonly frames: Frame[] = [];
  readonly pings: number[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  #wake: (() => void)[] = [];

  private constructor(socket: WebSocket, stream: Duplex, encoding: Encoding) {
    this.socket = socket;
    this.stream = stream;
    this.encoding = encoding;
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      const frame: Frame = isBinary ? unpackr.unpack(data) : JSON.parse(data.toString());
      if (isBinary !== (encoding === "msgpack")) throw new Error("a frame of the wrong kind");
      const validate = validators.get(frame.type);
      if (validate === undefined || !validate(frame)) {
        throw new Error(`${ajv.errorsText(validate?.errors)}: ${JSON.stringify(frame)}`);
      }
      this.frames.push(frame);
      this.#awake();
    });
    socket.on("ping", () => this.pings.push(1));
    socket.on("error", () => {});
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#awake();
    });
  }

  static async open(
    server: TestServer,
    encoding: Encoding = "json",
    { autoPong = true, protocols = [`millrace.v1.${encoding}`] }: { autoPong?: boolean; protocols?: string[] } = {},
  ): Promise<TestSocket> {
    const { socket, stream } = connect(server, protocols, {}, autoPong);
    const test = new TestSocket(socket, stream, encoding);
    const ready = await test.next("ready");
    if (ready.brokerId !== server.broker.settings.brokerId) throw new Error("ready of another broker");
    return test;
  }

  send(frame: Frame): this {
    this.socket.send(this.encoding === "json" ? JSON.stringify(frame) : pack(frame));
    return this;
  }

  sendRaw(data: string | Buffer): this {
    this.socket.send(data);
    return this;
  }

  /** The next frame, which must be of this type. */
  async next(type: string): Promise<Frame> {
    const frame = await this.any();
    if (frame.type !== type) throw new Error(`a ${type} frame was due: ${JSON.stringify(frame)}`);
    return frame;
  }

  async any(): Promise<Frame> {
    while (this.frames.length === 0) {
      if (this.closed !== undefined) throw new Error(`closed: ${this.closed.code} ${this.closed.reason}`);
      await this.#change();
    }
    return this.frames.shift();
  }

  async ends(): Promise<{ readonly code: number; readonly reason: string }> {
    while (this.closed === undefined) await this.#change();
    return this.closed;
  }

  /** The problem that answers a frame. */
  async refused(frame: Frame): Promise<Frame> {
    this.send(frame);
    return (await this.next("problem")).problem;
  }

  /** Everything sent so far was handled, and its answers are here. */
  async settle(): Promise<void> {
    this.send({ type: "ping", id: "settle" });
    while (!this.frames.some(({ type, id }) => type === "pong" && id === "settle")) {
      if (this.closed !== undefined) throw new Error(`closed: ${this.closed.code} ${this.closed.reason}`);
      await this.#change();
    }
    const at = this.frames.findIndex(({ type, id }) => type === "pong" && id === "settle");
    this.frames.splice(at, 1);
  }

  close(): void {
    this.socket.terminate();
    this.stream.destroy();
  }

  /** As the subprotocol carries bytes that are this text. */
  text(value: string): string | Buffer {
    return this.encoding === "json" ? value : Buffer.from(value);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #awake(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function connection(server: TestServer): Duplex {
  const port = ports.get(server);
  if (port !== undefined) return connectTcp(port, "127.0.0.1");
  const [stream, far] = duplexPair();
  // As a connection does; a pair of streams alone does not.
  stream.on("close", () => far.destroy());
  far.on("close", () => stream.destroy()).on("error", () => {});
  server.http.app.server.emit("connection", far);
  return stream;
}

function connect(server: TestServer, protocols: string[], headers: Record<string, string>, autoPong = true) {
  const stream = connection(server);
  const socket = new WebSocket("ws://localhost/v1/ws", protocols, {
    createConnection: () => stream,
    headers,
    autoPong,
    perMessageDeflate: false,
  } as ConstructorParameters<typeof WebSocket>[2]);
  return { socket, stream };
}

/** How a handshake with these headers ends: with a subprotocol, or with a status and a body. */
export async function handshake(
  server: TestServer,
  protocols: string[],
  headers: Record<string, string> = {},
): Promise<{ readonly protocol?: string; readonly status?: number; readonly problem?: Frame }> {
  const { socket } = connect(server, protocols, headers);
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => {
      socket.terminate();
      resolve({ protocol: socket.protocol });
    });
    socket.on("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, problem: body === "" ? undefined : JSON.parse(body) }),
      );
    });
  });
}
