// The load generator: closed loop (every connection sends again when it is answered) for throughput, open loop (a fixed rate,
// whatever the answers do) for latency, and readers of event streams. Every answer is waited for and must be a success.

import { request as httpRequest, type IncomingMessage } from "node:http";
import { answerParent } from "./lib/child-side.ts";
import { Connection, type RequestSketch, requestBytes } from "./lib/connection.ts";
import { LoadRun, type LoadRunResult } from "./lib/load-run.ts";

export interface Load {
  readonly url: string;
  readonly requests: readonly (Omit<RequestSketch, "body"> & { readonly bodyBase64?: string })[];
  readonly connections: number;
  readonly durationMs: number;
  /** Requests a second; closed loop without it. */
  readonly rate?: number;
}

export interface LoadResult extends LoadRunResult {
  readonly cpuMs: number;
}

const connectionsMax = 1024;

async function run(load: Load): Promise<LoadResult> {
  const port = Number(new URL(load.url).port);
  const requests = load.requests.map(({ bodyBase64, ...sketch }) =>
    requestBytes(bodyBase64 === undefined ? sketch : { ...sketch, body: Buffer.from(bodyBase64, "base64") }),
  );
  if (load.connections > connectionsMax) throw new Error(`at most ${connectionsMax} connections`);
  const connections = await Promise.all(Array.from({ length: load.connections }, () => Connection.open(port)));
  const cpu = process.cpuUsage();
  try {
    const request = (sent: number) => requests[sent % requests.length]!;
    const result = await new LoadRun({ ...load, connections, request }).finished();
    const { user, system } = process.cpuUsage(cpu);
    return { ...result, cpuMs: (user + system) / 1000 };
  } finally {
    for (const connection of connections) connection.close();
  }
}

export interface Tails {
  readonly url: string;
  readonly path: string;
  readonly streams: number;
}

let tails: { readonly answers: readonly IncomingMessage[]; records: number } | undefined;

/** Opens event streams and counts the records that arrive in all of them. */
async function openTails({ url, path, streams }: Tails): Promise<void> {
  const answers = await Promise.all(Array.from({ length: streams }, () => openTail(new URL(path, url))));
  const counted = { answers, records: 0 };
  tails = counted;
  for (const answer of answers)
    answer.setEncoding("latin1").on("data", (text: string) => {
      counted.records += text.split('{"offset":').length - 1;
    });
}

function openTail(url: URL): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(url, { agent: false, headers: { accept: "text/event-stream" } }, (answer) =>
      answer.statusCode === 200 ? resolve(answer) : reject(new Error(`${url} answered ${answer.statusCode}`)),
    );
    asked.on("error", reject).end();
  });
}

answerParent({
  run,
  openTails,
  tailedRecords: () => tails?.records ?? 0,
  closeTails() {
    for (const answer of tails?.answers ?? []) answer.on("error", () => {}).destroy();
    tails = undefined;
  },
  stop() {},
});
