// What becomes of a record that its handler cannot handle: some more attempts, then a topic of its own.

import { bytes, type Codec } from "./codec.ts";
import type { ConsumedRecord } from "./consumed-record.ts";
import { MillraceError } from "./millrace-error.ts";
import type { Producer } from "./producer.ts";
import type { RetryPolicy } from "./retry.ts";

/** When and where a record is given up. */
export interface DeadLetterOptions<K = string, V = unknown> {
  /** How often the handler may try, the first time included. 1 by default. */
  readonly attempts?: number;
  /** The topic for what failed; `<topic>.dlq` by default. It must exist. */
  readonly topic?: string | ((record: ConsumedRecord<K, V>) => string);
  /** Told of each record that was sent there. */
  readonly onDeadLetter?: (record: ConsumedRecord<K, V>, error: unknown) => void;
}

/** The bytes of a record go on as they were. */
export const rawCodecs: { readonly key: Codec<Uint8Array>; readonly value: Codec<Uint8Array> } = {
  key: bytes(),
  value: bytes(),
};

/** Sends the record with its own key, value and headers, and says where it was and what went wrong. */
export async function sendDeadLetter<K, V>(
  producer: Producer<Uint8Array, Uint8Array>,
  record: ConsumedRecord<K, V>,
  error: unknown,
  options: DeadLetterOptions<K, V>,
): Promise<void> {
  const { topic = `${record.topic}.dlq` } = options;
  await producer.send({
    topic: typeof topic === "function" ? topic(record) : topic,
    key: record.keyBytes,
    value: record.valueBytes,
    headers: [
      ...record.headers.map(({ key, value }) => [key, value] as const),
      ["dead-letter-topic", record.topic],
      ["dead-letter-partition", String(record.partition)],
      ["dead-letter-offset", String(record.offset)],
      ["dead-letter-error", wellFormed(error instanceof Error ? `${error.name}: ${error.message}` : String(error))],
    ],
    timestamp: Math.max(0, record.timestamp),
  });
  options.onDeadLetter?.(record, error);
}

const wellFormed = (text: string): string => text.slice(0, 1000);

/** Calls `handle` until it resolves or has failed `attempts` times; waits between as a call to a broker would. */
export async function withAttempts(
  handle: () => unknown,
  attempts: number,
  retry: RetryPolicy,
  signal: AbortSignal,
): Promise<void> {
  await retry.run({ deadlineMs: Number.POSITIVE_INFINITY, signal }, async (attempt) => {
    try {
      await handle();
    } catch (cause) {
      if (attempt >= attempts || signal.aborted) throw new HandlerFailure(cause);
      throw new MillraceError("HANDLER_FAILED", "the handler failed", { retriable: true, cause });
    }
  });
}

/** Carries what a handler threw past the retry loop, which would repeat a retriable MillraceError. */
export class HandlerFailure extends Error {
  override readonly name = "HandlerFailure";
  constructor(cause: unknown) {
    super("the handler failed", { cause });
  }
}
