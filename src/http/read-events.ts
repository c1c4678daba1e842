// A read as server-sent events: pages for ever or to `until`, with ids to resume from.

import { BrokerError } from "../protocol/error-codes.ts";
import { JsonPageWriter, serverSentEvent } from "./formats/page-writer.ts";
import { pageBytesDefault, pageRecordsDefault, sseRetryMs, sseShutdownRetryMsMax, streamSilenceMs } from "./limits.ts";
import { mediaTypes } from "./media-type.ts";
import { type Problem, problemOf, statusOf } from "./problem.ts";
import { ReadCursor } from "./read-cursor.ts";
import { pageHead, pageTail } from "./read-page.ts";
import type { ReadPlan } from "./read-plan.ts";
import type { Exchange } from "./route.ts";
import { StreamAnswer } from "./stream-answer.ts";

const headers = {
  "content-type": mediaTypes.eventStream,
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
};
const comment = Buffer.from(":\n\n");

export async function readEvents(exchange: Exchange, makePlan: () => Promise<ReadPlan>): Promise<void> {
  let events: EventStream;
  try {
    const cursor = await ReadCursor.open(exchange.http, await makePlan());
    if (cursor.finished) return exchange.empty();
    events = new EventStream(exchange, cursor);
    await events.prepare();
  } catch (error) {
    // EventSource gives up for ever on any other status than 200.
    if (!isPassing(error)) throw error;
    const stream = new StreamAnswer(exchange, "sse", headers);
    await writeProblem(exchange, stream, error, problemFor(exchange, error));
    return;
  }
  await events.run();
}

const isPassing = (error: unknown): error is BrokerError => {
  if (!(error instanceof BrokerError)) return false;
  return [429, 503].includes(statusOf(error));
};

class EventStream {
  readonly #exchange: Exchange;
  readonly #cursor: ReadCursor;
  #recordsLeft: number;
  #bytesLeft: number;
  #first: Buffer | undefined;

  constructor(exchange: Exchange, cursor: ReadCursor) {
    this.#exchange = exchange;
    this.#cursor = cursor;
    this.#recordsLeft = cursor.plan.maxRecords ?? Number.POSITIVE_INFINITY;
    this.#bytesLeft = cursor.plan.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Reads the first page: what it meets can still be an ordinary problem. */
  async prepare(): Promise<void> {
    this.#first = (await this.#page(0, undefined)).event;
  }

  async run(): Promise<void> {
    const stream = new StreamAnswer(this.#exchange, "sse", headers);
    try {
      await stream.write(Buffer.concat([serverSentEvent({ retryMs: sseRetryMs }), this.#first!]));
      this.#first = undefined;
      await this.#follow(stream);
    } catch (error) {
      await writeProblem(this.#exchange, stream, error, problemFor(this.#exchange, error));
    }
  }

  async #follow(stream: StreamAnswer): Promise<void> {
    const { clock, random } = this.#exchange.http;
    let silentSinceMs = clock.monotonicMs();
    while (!stream.gone && !stream.draining && !this.#done) {
      const waitMs = Math.max(0, silentSinceMs + streamSilenceMs - clock.monotonicMs());
      const before = this.#cursor.nextOffset;
      const { event, records } = await this.#page(waitMs, stream.signal);
      if (stream.gone) return;
      const moved = records > 0 || this.#cursor.nextOffset !== before;
      if (!moved && clock.monotonicMs() < silentSinceMs + streamSilenceMs) continue;
      await stream.write(moved ? event : comment);
      silentSinceMs = clock.monotonicMs();
    }
    if (stream.gone) return;
    if (stream.draining) {
      await stream.write(serverSentEvent({ retryMs: Math.floor(random.fraction() * sseShutdownRetryMsMax) }));
    }
    stream.end();
  }

  get #done(): boolean {
    return this.#cursor.finished || this.#recordsLeft <= 0 || this.#bytesLeft <= 0;
  }

  async #page(waitMs: number, signal: AbortSignal | undefined): Promise<{ event: Buffer; records: number }> {
    const cursor = this.#cursor;
    const { plan } = cursor;
    const { keyFormat, valueFormat } = plan;
    const writer = new JsonPageWriter(pageHead(plan), { keyFormat, valueFormat, lineBreaks: "spaces" });
    const maxBytes = Math.min(pageBytesDefault, this.#bytesLeft);
    const limits = {
      maxRecords: Math.min(pageRecordsDefault, this.#recordsLeft),
      maxBytes,
      minBytes: 1,
      waitMs,
      signal,
    };
    const records = await cursor.step(limits, (record, partition) => {
      writer.add(record, plan.single ? undefined : partition);
      return writer.sizeBytes < maxBytes;
    });
    const data = writer.finish(pageTail(cursor));
    if (records > 0) {
      this.#recordsLeft -= records;
      this.#bytesLeft -= data.length;
    }
    return { event: serverSentEvent({ id: String(cursor.nextOffset), data }), records };
  }
}

function problemFor({ request, http }: Exchange, error: unknown): Problem {
  const refusal =
    error instanceof BrokerError
      ? error
      : new BrokerError("UNKNOWN_SERVER_ERROR", "the broker met a bug; its log has more");
  return problemOf(refusal, { requestId: request.id, random: http.random, produce: false });
}

/** The last event of a stream that cannot go on. */
async function writeProblem(exchange: Exchange, stream: StreamAnswer, error: unknown, problem: Problem): Promise<void> {
  if (!(error instanceof BrokerError)) {
    exchange.http.logger.error({ err: error, requestId: exchange.request.id }, "a stream met a bug and was ended");
  }
  const retry = isPassing(error) ? { retryMs: Number(problem.retryAfter ?? 1) * 1000 } : {};
  await stream.write(serverSentEvent({ ...retry, event: "problem", data: Buffer.from(problem.body) }));
  stream.end();
}
