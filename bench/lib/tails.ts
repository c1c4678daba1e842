// Many subscribers that tail one topic, each with a socket of its own, and the one who appends to it: each record carries the time its
// append was due, which every subscriber reads from the frame.

import { Packr } from "msgpackr";
import type { WebSocket } from "ws";
import { openSocket } from "./bench-socket.ts";
import { type Answer, Connection, requestBytes } from "./connection.ts";
import { Latencies, nowMicros } from "./latencies.ts";

export interface TailsWanted {
  readonly url: string;
  readonly topic: string;
  readonly subscribers: number;
}

export interface Pace {
  readonly perSecond: number;
  readonly durationMs: number;
}

export interface Flood {
  readonly recordsPerAppend: number;
  readonly durationMs: number;
}

export interface Delivered {
  readonly records: number;
  /** When the last of them came, on the machine's clock. */
  readonly lastMicros: number;
  readonly encodedLatencies: string;
  /** Subscribers that are still connected. */
  readonly alive: number;
}

const marker = Buffer.from("sent-at:");
const stampDigits = 16;
const valueCharacters = 100;
const openingAtOnce = 64;
const packr = new Packr({ useRecords: false });
const subscribeFrame = (topic: string) => packr.pack({ type: "subscribe", id: 1, topic, offset: "latest" });
const deliveryWaitMs = 60_000;

export class Tails {
  readonly #sockets: WebSocket[] = [];
  readonly #wanted: TailsWanted;
  readonly #latencies = new Latencies();
  #records = 0;
  #lastMicros = 0;
  #alive = 0;
  #onRecord: (() => void) | undefined;

  private constructor(wanted: TailsWanted) {
    this.#wanted = wanted;
  }

  static async open(wanted: TailsWanted): Promise<Tails> {
    const tails = new Tails(wanted);
    let left = wanted.subscribers;
    const work = async () => {
      while (left-- > 0) await tails.#openOne();
    };
    await Promise.all(Array.from({ length: openingAtOnce }, work));
    return tails;
  }

  /** One append of one record at each due time, and all that came of it. */
  async paced({ perSecond, durationMs }: Pace): Promise<number> {
    const connection = await this.#connection();
    const count = Math.floor((durationMs * perSecond) / 1000);
    const started = nowMicros();
    for (let index = 0; index < count; index++) {
      const dueMicros = Math.round(started + (index * 1e6) / perSecond);
      const earlyMs = (dueMicros - nowMicros()) / 1000;
      if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(earlyMs)));
      // A timer's grain is not the broker's doing; what is later than that is told in full.
      const lateMicros = nowMicros() - dueMicros;
      await this.#append(connection, 1, lateMicros < 2000 ? nowMicros() : dueMicros);
    }
    connection.close();
    return count;
  }

  /** The next append goes when the subscribers here have all of the last one. Gives the records that were appended. */
  async flood({ recordsPerAppend, durationMs }: Flood): Promise<number> {
    const connection = await this.#connection();
    const endMicros = nowMicros() + durationMs * 1000;
    let appended = 0;
    while (nowMicros() < endMicros) {
      appended += recordsPerAppend;
      await this.#append(connection, recordsPerAppend, nowMicros());
      if (!(await this.arrived(appended))) break;
    }
    connection.close();
    return appended;
  }

  /** Whether every subscriber that is still there has had so many records, within a time. */
  async arrived(perSubscriber: number): Promise<boolean> {
    const isDone = () => this.#records >= perSubscriber * this.#alive;
    if (isDone()) return true;
    return new Promise((resolve) => {
      const end = (all: boolean) => {
        clearTimeout(late);
        this.#onRecord = undefined;
        resolve(all);
      };
      const late = setTimeout(() => end(false), deliveryWaitMs);
      this.#onRecord = () => {
        if (isDone()) end(true);
      };
    });
  }

  /** Since the last call. */
  delivered(): Delivered {
    const records = this.#records;
    const encodedLatencies = this.#latencies.encoded();
    this.#records = 0;
    this.#latencies.reset();
    return { records, lastMicros: this.#lastMicros, encodedLatencies, alive: this.#alive };
  }

  async close(): Promise<void> {
    const closed = this.#sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of this.#sockets) socket.terminate();
    await Promise.all(closed);
  }

  async #openOne(): Promise<void> {
    const { url, topic } = this.#wanted;
    const socket = await openSocket(url, "msgpack");
    await new Promise<void>((resolve, reject) => {
      socket.once("close", (code) => reject(new Error(`a subscriber was closed with ${code}`)));
      socket.once("message", (data: Buffer) => {
        if (data.includes("subscribed")) resolve();
        else reject(new Error(`a subscribe was answered ${data.toString("latin1")}`));
      });
      socket.send(subscribeFrame(topic));
    });
    this.#sockets.push(socket);
    this.#alive += 1;
    socket.on("close", () => {
      this.#alive -= 1;
      this.#onRecord?.();
    });
    socket.on("message", (data: Buffer) => this.#received(data));
  }

  #received(data: Buffer): void {
    const micros = nowMicros();
    let at = data.indexOf(marker);
    for (; at >= 0; at = data.indexOf(marker, at + valueCharacters)) {
      const from = at + marker.length;
      this.#latencies.record(micros - Number(data.toString("latin1", from, from + stampDigits)));
      this.#records += 1;
    }
    this.#lastMicros = micros;
    this.#onRecord?.();
  }

  #connection(): Promise<Connection> {
    return Connection.open(Number(new URL(this.#wanted.url).port), { receiveBytes: 16_384 });
  }

  async #append(connection: Connection, records: number, stampMicros: number): Promise<void> {
    const stamp = String(stampMicros).padStart(stampDigits, "0");
    const value = `${marker}${stamp}`.padEnd(valueCharacters, "x");
    const body = Buffer.from(JSON.stringify({ records: Array.from({ length: records }, () => ({ value })) }));
    const path = `/v1/topics/${this.#wanted.topic}/records`;
    const request = requestBytes({ method: "POST", path, contentType: "application/json", body });
    const { status, text }: Answer = await connection.ask(request);
    if (status !== 200) throw new Error(`an append was answered ${status}: ${text}`);
  }
}
