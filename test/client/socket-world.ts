// The broker's side of a WebSocket, as docs/websocket.md has it, over the broker's own HTTP routes; and the wire between,
// which the test can cut. The real one has tests of its own: here it is what the client makes of it that counts.

import { unpackMsgpack } from "../../src/client/msgpack-reader.ts";
import { packMsgpack } from "../../src/client/msgpack-writer.ts";
import type { OpenWebSocket, WebSocketLike } from "../../src/client/web-socket.ts";
import { recordBatch, unpack } from "../http/test-server.ts";
import type { ClientWorld } from "./client-world.ts";

type Frame = { readonly type: string; readonly id: number; readonly [field: string]: unknown };

interface Subscription {
  readonly id: number;
  readonly topic: string;
  readonly window: { readonly records: number; readonly bytes: number };
  readonly positions: Map<number, number>;
  readonly acked: Map<number, number>;
  /** Partitions whose delivery is under way; true: there was news meanwhile. */
  readonly delivering: Map<number, boolean>;
}

export class FakeSocket implements WebSocketLike {
  binaryType = "blob";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly url: string;
  readonly protocol: string;
  /** Every frame from the client. */
  readonly frames: Frame[] = [];
  readonly #world: ClientWorld;
  readonly #subscriptions = new Map<number, Subscription>();
  /** How many records a subscription was given beyond what it acked, at most. */
  unackedMax = 0;
  isCut = false;
  /** Frames arrive, and answers do not. */
  isMute = false;

  constructor(world: ClientWorld, url: string, protocol: string) {
    this.#world = world;
    this.url = url;
    this.protocol = protocol;
  }

  ready(): void {
    this.onopen?.(undefined as never);
    this.tell({ type: "ready", brokerId: 1, limits: { maxFrameBytes: 100_000 } });
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    const frame = unpackMsgpack(data) as Frame;
    this.frames.push(frame);
    if (!this.isCut) void this.#take(frame);
  }

  close(code = 1005): void {
    this.cut(code);
  }

  /** The connection is gone, whatever was on its way. */
  cut(code = 1006): void {
    if (this.isCut) return;
    this.isCut = true;
    queueMicrotask(() => this.onclose?.({ code, reason: "" }));
  }

  tell(frame: object): void {
    if (this.isCut || this.isMute) return;
    const bytes = packMsgpack(frame);
    queueMicrotask(() => this.onmessage?.({ data: bytes.buffer }));
  }

  /** Gives subscriptions what their windows let through. */
  async pump(): Promise<void> {
    for (const subscription of this.#subscriptions.values()) {
      for (const partition of subscription.positions.keys()) await this.#deliver(subscription, partition);
    }
  }

  async #take(frame: Frame): Promise<void> {
    const { type, id } = frame;
    if (type === "ping") this.tell({ type: "pong", id });
    else if (type === "produce") await this.#produce(frame);
    else if (type === "unsubscribe") {
      this.#subscriptions.delete(id);
      this.tell({ type: "closed", id });
    } else if (type === "ack") {
      const subscription = this.#subscriptions.get(id)!;
      for (const { partition, nextOffset } of frame["positions"] as { partition: number; nextOffset: number }[]) {
        subscription.acked.set(partition, nextOffset);
      }
      await this.pump();
    } else if (type === "subscribe") await this.#subscribe(frame);
  }

  async #produce(frame: Frame): Promise<void> {
    const answer = await this.#world.server.http.app.inject({
      method: "POST",
      url: `/v1/topics/${frame["topic"]}/partitions/${frame["partition"]}/records`,
      headers: recordBatch,
      payload: Buffer.from(frame["batch"] as Uint8Array),
    });
    const { id } = frame;
    if (answer.statusCode === 200) this.tell({ type: "produced", id, ...answer.json() });
    else this.tell({ type: "problem", id, problem: answer.json() });
  }

  async #subscribe({ id, topic, positions, window }: Frame): Promise<void> {
    const places = positions as { readonly partition: number; readonly nextOffset: number }[];
    const begin = (): Map<number, number> =>
      new Map(places.map(({ partition, nextOffset }) => [partition, nextOffset]));
    const subscription = {
      id,
      topic: topic as string,
      window: window as Subscription["window"],
      positions: begin(),
      acked: begin(),
      delivering: new Map<number, boolean>(),
    };
    this.#subscriptions.set(id, subscription);
    this.tell({ type: "subscribed", id, positions: places });
    await this.pump();
  }

  async #deliver(subscription: Subscription, partition: number): Promise<void> {
    const { delivering } = subscription;
    if (delivering.has(partition)) {
      delivering.set(partition, true);
      return;
    }
    do {
      delivering.set(partition, false);
      await this.#deliverAll(subscription, partition);
    } while (delivering.get(partition));
    delivering.delete(partition);
  }

  async #deliverAll(subscription: Subscription, partition: number): Promise<void> {
    const { id, topic, positions, acked, window } = subscription;
    for (;;) {
      const position = positions.get(partition)!;
      const room = window.records - (position - acked.get(partition)!);
      if (room <= 0 || this.isCut || !this.#subscriptions.has(id)) return;
      const answer = await this.#world.server.http.app.inject({
        url: `/v1/topics/${topic}/partitions/${partition}/records?offset=${position}&maxRecords=${Math.min(room, 100)}`,
        headers: { accept: "application/msgpack" },
      });
      if (answer.statusCode !== 200) {
        this.tell({ type: "problem", id, problem: answer.json() });
        this.tell({ type: "closed", id, code: answer.json().code });
        this.#subscriptions.delete(id);
        return;
      }
      const { records, nextOffset, highWatermark, caughtUp } = unpack(answer.rawPayload);
      if (records.length > 0) {
        positions.set(partition, nextOffset);
        this.unackedMax = Math.max(this.unackedMax, nextOffset - acked.get(partition)!);
        this.tell({ type: "records", id, topic, partition, records, nextOffset, highWatermark, leaderEpoch: 0 });
      }
      if (caughtUp || records.length === 0) return;
    }
  }
}

/** Sockets to a broker, as the client opens them. */
export class SocketWorld {
  readonly sockets: FakeSocket[] = [];
  /** False: handshakes fail. */
  isUp = true;
  readonly #world: ClientWorld;

  constructor(world: ClientWorld) {
    this.#world = world;
  }

  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  readonly open: OpenWebSocket = (url, protocol) => {
    const socket = new FakeSocket(this.#world, url, protocol);
    this.sockets.push(socket);
    const { isUp } = this;
    queueMicrotask(() => (isUp ? socket.ready() : socket.onerror?.(undefined as never)));
    return socket;
  };

  /** New records go out, as the broker would tell of them. */
  async pump(): Promise<void> {
    await this.last.pump();
  }
}
