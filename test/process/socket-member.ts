// A member of a group that speaks docs/websocket.md itself, frame by frame: it acks what it was given, and comes back under its own name
// when its socket breaks.

import { setTimeout } from "node:timers/promises";
import { WebSocket } from "ws";
import type { SeenRecords } from "./client-judge.ts";

export interface SocketMemberOptions {
  readonly url: string;
  readonly group: string;
  readonly topic: string;
  readonly memberId: string;
  readonly seen: SeenRecords;
}

interface Frame {
  readonly type: string;
  readonly partition?: number;
  readonly records?: readonly { readonly offset: number }[];
  readonly nextOffset?: number;
  readonly assignment?: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
  readonly problem?: { readonly code: string; readonly detail: string; readonly retriable: boolean };
}

const window = { records: 200, bytes: 256 * 1024 };
const retryMsMax = 200;
const subscription = 1;

export class SocketMember {
  /** Sockets it has had. */
  sockets = 0;
  /** Records it was given. */
  records = 0;
  /** What it was refused although trying again would not help. */
  readonly refused: string[] = [];
  readonly #options: SocketMemberOptions;
  readonly #lives: Promise<void>;
  #leaving = false;
  #socket: WebSocket | undefined;

  constructor(options: SocketMemberOptions) {
    this.#options = options;
    this.#lives = this.#run();
  }

  /** Resolves once the broker has confirmed that it left; what it acked is committed by then. */
  async leave(): Promise<void> {
    this.#leaving = true;
    this.#unsubscribe();
    await this.#lives;
  }

  /** Ends it where it stands. */
  async close(): Promise<void> {
    this.#leaving = true;
    this.#socket?.terminate();
    await this.#lives;
  }

  async #run(): Promise<void> {
    for (let isOver = false; !isOver; ) {
      this.sockets += 1;
      isOver = (await this.#live(`${this.#options.memberId}#${this.sockets}`)) === "left" || this.#leaving;
      await setTimeout(Math.random() * retryMsMax);
    }
  }

  /** One socket, from its handshake to its end. `life` is what the judge calls it. */
  #live(life: string): Promise<"left" | "broken"> {
    const { url, group, topic, memberId, seen } = this.#options;
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/ws`, "millrace.v1.json");
    this.#socket = socket;
    const assigned = new Set<number>();
    return new Promise((resolve) => {
      socket.on("error", () => {}); // what follows is its close
      socket.on("close", () => resolve("broken"));
      socket.on("message", (data) => {
        const frame = JSON.parse(String(data)) as Frame;
        switch (frame.type) {
          case "ready":
            send(socket, { type: "subscribe", id: subscription, group, memberId, topics: [topic], window });
            if (this.#leaving) this.#unsubscribe();
            return;
          case "assigned": {
            const partitions = frame.assignment?.flatMap((each) => each.partitions) ?? [];
            for (const partition of partitions) if (!assigned.has(partition)) seen.assigned(life, partition);
            assigned.clear();
            for (const partition of partitions) assigned.add(partition);
            return;
          }
          case "records": {
            const { partition = 0, records = [], nextOffset } = frame;
            for (const { offset } of records) seen.add(life, partition, offset);
            this.records += records.length;
            send(socket, { type: "ack", id: subscription, positions: [{ topic, partition, nextOffset }] });
            return;
          }
          case "problem":
            if (frame.problem?.retriable === false) this.refused.push(`${frame.problem.code}: ${frame.problem.detail}`);
            socket.terminate();
            return;
          case "closed":
            socket.close();
            resolve(this.#leaving ? "left" : "broken");
        }
      });
    });
  }

  #unsubscribe(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) send(this.#socket, { type: "unsubscribe", id: subscription });
  }
}

function send(socket: WebSocket, frame: object): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}
