// What users run: a producer that is given records as fast as it takes them, and records at a fixed rate from a producer through the
// broker to a consumer.

import { bytes, Millrace } from "../../src/client/client-node.ts";
import { Latencies, type LatencyFigures, nowMicros } from "./latencies.ts";

export interface ClientPlace {
  readonly url: string;
  readonly topic: string;
  readonly transport: "auto" | "http";
}

export interface Producing extends ClientPlace {
  readonly valueBytes: number;
  readonly durationMs: number;
}

export interface Produced {
  readonly seconds: number;
  readonly records: number;
  readonly cpuMs: number;
}

/** The producer's own limit is on bytes: this many of them are asked for at once, so that it is never without. */
const askedBytesMax = 24 * 1024 * 1024;
const askedRecordsMax = 20_000;
const warmUpMs = 500;

export async function produceBatched({ valueBytes, durationMs, topic, ...place }: Producing): Promise<Produced> {
  const millrace = new Millrace(place);
  const producer = millrace.producer({ value: bytes() });
  const record = { topic, value: new Uint8Array(valueBytes).fill(0x78) };
  const askedMax = Math.min(askedRecordsMax, Math.ceil(askedBytesMax / valueBytes));
  let asked = 0;
  let sent = 0;
  let failure: unknown;
  let wake = () => {};
  const settled = () => {
    asked -= 1;
    sent += 1;
    if (asked < askedMax / 2) wake();
  };
  const failed = (error: unknown) => {
    failure ??= error;
    settled();
  };
  const until = async (endMs: number) => {
    while (performance.now() < endMs && failure === undefined) {
      for (; asked < askedMax; asked++) producer.send(record).then(settled, failed);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  try {
    await until(performance.now() + warmUpMs);
    const cpu = process.cpuUsage();
    const [startedMs, sentBefore] = [performance.now(), sent];
    await until(startedMs + durationMs);
    const seconds = (performance.now() - startedMs) / 1000;
    const records = sent - sentBefore;
    const { user, system } = process.cpuUsage(cpu);
    if (failure !== undefined) throw failure;
    return { seconds, records, cpuMs: (user + system) / 1000 };
  } finally {
    await millrace.close();
  }
}

export interface EndToEnd {
  readonly url: string;
  readonly topic: string;
  readonly perSecond: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

export interface EndToEndResult {
  readonly sent: number;
  readonly received: number;
  readonly endToEnd: LatencyFigures;
  /** From send() until it resolved. */
  readonly acknowledged: LatencyFigures;
}

/** Longer than a timer's own grain: what was due before it counts from when it was due. */
const grainMicros = 2000;
const lastWaitMs = 30_000;
const valueBytes = 100;

/** Producer and consumer have a socket each, in this one process. */
export class EndToEndRun {
  readonly #asked: EndToEnd;
  readonly #endToEnd = new Latencies();
  readonly #acknowledged = new Latencies();
  #startedMicros = 0;
  #sent = 0;
  #received = 0;
  #onReceived: (() => void) | undefined;

  constructor(asked: EndToEnd) {
    this.#asked = asked;
  }

  async run(): Promise<EndToEndResult> {
    const { url, topic, warmUpMs: warmMs, durationMs } = this.#asked;
    const [sending, reading] = [new Millrace({ url }), new Millrace({ url })];
    const consumer = reading.consumer<string, Uint8Array>({ topic, offset: "earliest", value: bytes() });
    const reads = consumer.eachRecord(({ value }) => this.#took(value!));
    try {
      const producer = sending.producer({ value: bytes() });
      const send = (value: Uint8Array) => producer.send({ topic, value });
      await this.#send(send, warmMs);
      await this.#allReceived();
      this.#endToEnd.reset();
      this.#acknowledged.reset();
      const [sentBefore, receivedBefore] = [this.#sent, this.#received];
      await this.#send(send, durationMs);
      await this.#allReceived();
      return {
        sent: this.#sent - sentBefore,
        received: this.#received - receivedBefore,
        endToEnd: this.#endToEnd.figures,
        acknowledged: this.#acknowledged.figures,
      };
    } finally {
      await sending.close();
      await reading.close();
      await reads;
    }
  }

  /** Open loop: what is due is sent, whatever has become of what was sent before. */
  async #send(send: (value: Uint8Array) => Promise<unknown>, durationMs: number): Promise<void> {
    const { perSecond } = this.#asked;
    const count = Math.floor((durationMs * perSecond) / 1000);
    const acknowledged: Promise<void>[] = [];
    this.#startedMicros = nowMicros();
    for (let planned = 0; planned < count; ) {
      const now = nowMicros();
      const due = Math.min(count, Math.floor(((now - this.#startedMicros) * perSecond) / 1e6));
      for (; planned < due; planned++) {
        const dueMicros = this.#startedMicros + ((planned + 1) * 1e6) / perSecond;
        const from = now - dueMicros < grainMicros ? now : dueMicros;
        const value = new Uint8Array(valueBytes);
        new DataView(value.buffer).setFloat64(0, from);
        this.#sent += 1;
        acknowledged.push(send(value).then(() => this.#acknowledged.record(nowMicros() - from)));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(acknowledged);
  }

  #took(value: Uint8Array): void {
    const from = new DataView(value.buffer, value.byteOffset).getFloat64(0);
    this.#endToEnd.record(nowMicros() - from);
    this.#received += 1;
    this.#onReceived?.();
  }

  /** Or a time has passed: then the figures show it. */
  #allReceived(): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(resolve, lastWaitMs);
      this.#onReceived = () => {
        if (this.#received < this.#sent) return;
        clearTimeout(late);
        this.#onReceived = undefined;
        resolve();
      };
      this.#onReceived();
    });
  }
}
