// One page over partitions of a topic, each from its own offset.

import { formatCursor, parseOffsetExpression } from "../protocol/offset-expression.ts";
import type { FetchedRecord } from "./consumed-record.ts";
import type { HttpTransport } from "./http-transport.ts";
import { MillraceError } from "./millrace-error.ts";

export interface PageQuery {
  readonly topic: string;
  readonly topicId: string;
  /** Where to begin in each partition; undefined: at its earliest record. */
  readonly positions: ReadonlyMap<number, number | undefined>;
  readonly offsetReset: "earliest" | "latest" | "error";
  readonly maxBytes: number;
  readonly maxRecords: number;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

export interface Page {
  readonly records: readonly (FetchedRecord & { readonly partition: number })[];
  /** Where each partition goes on. */
  readonly next: ReadonlyMap<number, number>;
  /** offsetReset had to be used. */
  readonly reset: { readonly from: string; readonly to: string } | undefined;
}

/** One attempt. */
export async function readPage(http: HttpTransport, query: PageQuery, attempt: number): Promise<Page> {
  const { topic, topicId, positions, offsetReset, maxBytes, maxRecords, waitMs, signal } = query;
  const known = new Map([...positions].filter((entry): entry is [number, number] => entry[1] !== undefined));
  const answer = (await http.once(
    {
      method: "GET",
      path: `/v1/topics/${encodeURIComponent(topic)}/records`,
      query: {
        partitions: [...positions.keys()].join(","),
        offset: known.size === 0 ? "earliest" : formatCursor(topicId, known),
        offsetReset: offsetReset === "error" ? undefined : offsetReset,
        maxBytes,
        maxRecords,
        waitMs,
      },
      accept: "application/msgpack",
      signal,
      waitMs,
    },
    attempt,
  )) as {
    readonly records: Page["records"];
    readonly nextOffset: string;
    readonly reset?: { from: string; to: string };
  };
  return { records: answer.records, next: parseCursor(answer.nextOffset), reset: answer.reset };
}

function parseCursor(text: unknown): ReadonlyMap<number, number> {
  const expression = typeof text === "string" ? parseOffsetExpression(text) : undefined;
  if (expression?.kind === "perPartition") return expression.offsets;
  throw new MillraceError("UNEXPECTED_ANSWER", `nextOffset is ${String(text)}, not a cursor over partitions`);
}
