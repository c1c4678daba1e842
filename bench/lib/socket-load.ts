// Produces of one record each over one socket, closed loop: so many are in flight, and each answer sends the next.

import { Packr, Unpackr } from "msgpackr";
import type { WebSocket } from "ws";
import { openSocket, type SocketEncoding } from "./bench-socket.ts";
import { orders } from "./bodies.ts";
import { Latencies, type LatencyFigures, nowMicros } from "./latencies.ts";

export interface SocketProducing {
  readonly url: string;
  readonly topic: string;
  readonly encoding: SocketEncoding;
  readonly inFlight: number;
  readonly durationMs: number;
  readonly valueBytes: number;
}

export interface SocketProduced extends LatencyFigures {
  readonly seconds: number;
  readonly answered: number;
}

const idsMax = 128; // one byte in msgpack
const producedStart = {
  json: Buffer.from('{"type":"produced","id":'),
  msgpack: Buffer.from("a870726f6475636564", "hex"),
};
/** Behind the head of the map and "type", "produced" and "id". */
const msgpackIdAt = 1 + 5 + 9 + 3;

export async function produceOverSocket(asked: SocketProducing): Promise<SocketProduced> {
  if (asked.inFlight > idsMax) throw new Error(`at most ${idsMax} in flight`);
  const socket = await openSocket(asked.url, asked.encoding);
  try {
    return await closedLoop(socket, asked);
  } finally {
    socket.terminate();
  }
}

function closedLoop(socket: WebSocket, asked: SocketProducing): Promise<SocketProduced> {
  const { encoding, inFlight, durationMs } = asked;
  const frames = Array.from({ length: inFlight }, (_, id) => produceFrame(id, asked));
  const sentMicros = new Float64Array(inFlight);
  const latencies = new Latencies();
  const startedMicros = nowMicros();
  const endMicros = startedMicros + durationMs * 1000;
  let waitingFor = inFlight;
  let answered = 0;
  const send = (id: number, micros: number) => {
    sentMicros[id] = micros;
    socket.send(frames[id]!);
  };
  return new Promise((resolve, reject) => {
    socket.once("close", (code) => reject(new Error(`the socket was closed with ${code}`)));
    socket.on("message", (data: Buffer) => {
      const id = producedId(data, encoding);
      if (id === undefined) {
        reject(new Error(`a produce was answered ${tell(data, encoding)}`));
        return;
      }
      const micros = nowMicros();
      if (micros < endMicros) {
        answered += 1;
        latencies.record(micros - sentMicros[id]!);
        send(id, micros);
        return;
      }
      waitingFor -= 1;
      if (waitingFor === 0) resolve({ seconds: durationMs / 1000, answered, ...latencies.figures });
    });
    for (let id = 0; id < inFlight; id++) send(id, startedMicros);
  });
}

function produceFrame(id: number, { topic, encoding, valueBytes }: SocketProducing): Buffer | string {
  const records = orders(1, valueBytes);
  if (encoding === "json") return JSON.stringify({ type: "produce", id, topic, records });
  const packed = records.map(({ key, value }) => ({ key, value: JSON.stringify(value) }));
  return new Packr({ useRecords: false }).pack({ type: "produce", id, topic, records: packed });
}

/** Undefined: it is something else. */
function producedId(data: Buffer, encoding: SocketEncoding): number | undefined {
  const start = producedStart[encoding];
  if (encoding === "msgpack")
    return data.compare(start, 0, start.length, 6, 6 + start.length) === 0 ? data[msgpackIdAt] : undefined;
  if (data.compare(start, 0, start.length, 0, start.length) !== 0) return undefined;
  return Number.parseInt(data.toString("latin1", start.length, start.length + 4), 10);
}

const tell = (data: Buffer, encoding: SocketEncoding): string =>
  encoding === "json" ? data.toString() : JSON.stringify(new Unpackr({ useRecords: false }).unpack(data));
