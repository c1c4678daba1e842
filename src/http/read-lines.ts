// A read as NDJSON: one record a line to an end that is known when it begins, or for ever. A stream that cannot be finished is broken
// off, so that nobody takes a part for the whole.

import { LinesWriter } from "./formats/page-writer.ts";
import { pageBytesDefault, streamSilenceMs } from "./limits.ts";
import { mediaTypes } from "./media-type.ts";
import { ReadCursor } from "./read-cursor.ts";
import type { ReadPlan } from "./read-plan.ts";
import type { Exchange } from "./route.ts";
import { StreamAnswer } from "./stream-answer.ts";

const emptyLine = Buffer.from("\n");
/** Many more than a page: what was fetched and not used is fetched again. */
const stepRecordsMax = 10_000;

export async function readLines(exchange: Exchange, plan: ReadPlan): Promise<void> {
  const { http } = exchange;
  const until = plan.until ?? (plan.follow ? undefined : ({ kind: "latest" } as const));
  const cursor = await ReadCursor.open(http, { ...plan, until });
  const lines = new LineStream(exchange, cursor);
  // What the first look meets can still be an ordinary problem.
  const first = await lines.next(0, undefined);
  const stream = new StreamAnswer(exchange, "ndjson", { "content-type": mediaTypes.ndjson });
  try {
    if (first.length > 0) await stream.write(first);
    await lines.run(stream);
  } catch (error) {
    http.logger.warn({ err: error, requestId: exchange.request.id, topic: plan.topic.name }, "a stream was broken off");
    stream.breakOff();
  }
}

class LineStream {
  readonly #exchange: Exchange;
  readonly #cursor: ReadCursor;
  readonly #writer: LinesWriter;
  #recordsLeft: number;
  #bytesLeft: number;

  constructor(exchange: Exchange, cursor: ReadCursor) {
    this.#exchange = exchange;
    this.#cursor = cursor;
    this.#writer = new LinesWriter(cursor.plan);
    this.#recordsLeft = cursor.plan.maxRecords ?? Number.POSITIVE_INFINITY;
    this.#bytesLeft = cursor.plan.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  async run(stream: StreamAnswer): Promise<void> {
    const { clock } = this.#exchange.http;
    let silentSinceMs = clock.monotonicMs();
    while (!stream.gone && !stream.draining && !this.#done) {
      const waitMs = Math.max(0, silentSinceMs + streamSilenceMs - clock.monotonicMs());
      const lines = await this.next(waitMs, stream.signal);
      if (stream.gone) return;
      const silent = clock.monotonicMs() >= silentSinceMs + streamSilenceMs;
      if (lines.length === 0 && !silent) continue;
      await stream.write(lines.length > 0 ? lines : emptyLine);
      silentSinceMs = clock.monotonicMs();
    }
    if (stream.gone) return;
    if (this.#done) stream.end();
    else stream.breakOff();
  }

  get #done(): boolean {
    return this.#cursor.finished || this.#recordsLeft <= 0 || this.#bytesLeft <= 0;
  }

  /** The lines that come within `waitMs`. */
  async next(waitMs: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const cursor = this.#cursor;
    const { single } = cursor.plan;
    const maxBytes = Math.min(pageBytesDefault, this.#bytesLeft);
    const limits = {
      maxRecords: Math.min(stepRecordsMax, this.#recordsLeft),
      maxBytes,
      minBytes: 1,
      waitMs,
      signal,
    };
    const records = await cursor.step(limits, (record, partition) => {
      this.#writer.add(record, single ? undefined : partition);
      return this.#writer.sizeBytes < maxBytes;
    });
    const lines = this.#writer.take();
    this.#recordsLeft -= records;
    this.#bytesLeft -= lines.length;
    return lines;
  }
}
