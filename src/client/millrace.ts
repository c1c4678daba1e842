// The client's door: where the brokers are, and what producers, consumers and admin share. Nothing connects before it is
// needed. docs/client.md tells how it is used.

import { Admin } from "./admin.ts";
import { asyncDispose } from "./async-dispose.ts";
import { Consumer } from "./consumer.ts";
import type { ConsumerOptions } from "./consumer-options.ts";
import { rawCodecs } from "./dead-letter.ts";
import { type Fetch, HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";
import { type ClientClock, type ClientRandom, platformClock, platformRandom } from "./platform.ts";
import { HttpProduceTransport, type ProduceTransport, SocketProduceTransport } from "./produce-transport.ts";
import { Producer, type ProducerOptions } from "./producer.ts";
import { type RetryOptions, RetryPolicy } from "./retry.ts";
import { Sockets } from "./sockets.ts";
import { TopicCache } from "./topic-cache.ts";
import { type OpenWebSocket, platformWebSocket } from "./web-socket.ts";

/** Where the brokers are and how to talk to them. `url` or `urls` must be there. */
export interface MillraceOptions {
  /** Of any broker, with a path before /v1 if there is one: `http://localhost:8082`. */
  readonly url?: string;
  /** Of several brokers: when one cannot be reached the next is asked. */
  readonly urls?: readonly string[];
  /** A bearer token, or what gives one; it is asked before every request. */
  readonly auth?: string | (() => string | Promise<string>);
  /** globalThis.fetch by default. */
  readonly fetch?: Fetch;
  /** Opens WebSockets; the platform's own by default, in Node those of the package ws. */
  readonly webSocket?: OpenWebSocket;
  /** auto (default): a WebSocket where one can be had, else HTTP. Admin calls use HTTP always. */
  readonly transport?: "auto" | "http";
  /** How long one request may take, and how long calls outside producers and consumers are tried. 30 s by default. */
  readonly requestTimeoutMs?: number;
  readonly retry?: RetryOptions;
  /** Time, for tests. */
  readonly clock?: ClientClock;
  /** Chance, for tests. */
  readonly random?: ClientRandom;
}

interface Closable {
  close(): Promise<void>;
}

/** A client of one Millrace cluster. */
export class Millrace implements AsyncDisposable {
  readonly #http: HttpTransport;
  readonly #random: ClientRandom;
  readonly #topics: TopicCache;
  readonly #sockets: Sockets | undefined;
  readonly #produceTransport: ProduceTransport;
  readonly #open = new Set<Closable>();
  #isClosed = false;

  constructor(options: MillraceOptions) {
    const { clock = platformClock, random = platformRandom, auth } = options;
    const urls = urlsOf(options);
    const token = typeof auth === "string" ? () => auth : auth;
    const open = options.transport === "http" ? undefined : (options.webSocket ?? platformWebSocket());
    this.#random = random;
    this.#http = new HttpTransport({
      urls,
      // Not the bare function: browsers want fetch called on the window.
      fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
      token,
      clock,
      retry: new RetryPolicy(clock, random, options.retry),
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    });
    this.#topics = new TopicCache(this.#http);
    this.#sockets = open && new Sockets({ urls, open, token, clock });
    const overHttp = new HttpProduceTransport(this.#http);
    this.#produceTransport = this.#sockets
      ? new SocketProduceTransport(this.#sockets, overHttp, clock, this.#http.requestTimeoutMs)
      : overHttp;
  }

  /** Something that sends records; keys are text and values JSON unless `options` brings other codecs. */
  producer<K = string, V = unknown>(options: ProducerOptions<K, V> = {}): Producer<K, V> {
    this.#checkOpen();
    const producer: Producer<K, V> = new Producer(options, {
      http: this.#http,
      transport: this.#produceTransport,
      topics: this.#topics,
      random: this.#random,
      onClose: () => this.#closed(producer),
    });
    this.#open.add(producer);
    return producer;
  }

  /**
   * Something that reads records: of a group's topics with `{ group, topics }`, of a topic with `{ topic }`. Keys are text and
   * values JSON unless `options` brings other codecs.
   */
  consumer<K = string, V = unknown>(options: ConsumerOptions<K, V>): Consumer<K, V> {
    this.#checkOpen();
    const consumer: Consumer<K, V> = new Consumer(options, {
      http: this.#http,
      topics: this.#topics,
      sockets: this.#sockets,
      memberId: () => this.#random.uuid(),
      rawProducer: () => this.producer(rawCodecs),
      onClose: () => this.#closed(consumer),
    });
    this.#open.add(consumer);
    return consumer;
  }

  /** Topics, groups, the cluster. */
  admin(): Admin {
    this.#checkOpen();
    return new Admin(this.#http);
  }

  /** Closes every producer and consumer that is still open: records are flushed, handlers finish, groups are left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(Array.from(this.#open, (each) => each.close()));
  }

  /** close() */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #closed(each: Closable): void {
    this.#open.delete(each);
    if (this.#open.size === 0) void this.#sockets?.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new MillraceError("CLOSED", "the client is closed");
  }
}

function urlsOf({ url, urls }: MillraceOptions): readonly string[] {
  const all = urls ?? (url === undefined ? [] : [url]);
  if (all.length === 0) throw new MillraceError("INVALID_ARGUMENT", "url or urls must say where a broker is");
  for (const each of all) {
    if (!/^https?:\/\/[^/]/.test(each)) {
      throw new MillraceError("INVALID_ARGUMENT", `${JSON.stringify(each)} is no http:// or https:// address`);
    }
  }
  return all;
}
