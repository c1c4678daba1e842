// The bodies that benches send: the same every time, so that a run can be repeated.

import { Packr } from "msgpackr";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { encodeRecordBatch } from "../../src/protocol/record.ts";

const encoder = new TextEncoder();

export interface Order {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A record as people send them: a key and an object; about `bytes` bytes of JSON in the value. */
function order(index: number, bytes: number): Order {
  const value = {
    id: index,
    customer: `customer-${index % 97}`,
    amount: 12.5 + index,
    currency: "EUR",
    lines: [1, 2, 3],
  };
  const missing = bytes - JSON.stringify({ ...value, note: "" }).length;
  return { key: `order-${index}`, value: missing > 0 ? { ...value, note: "x".repeat(missing) } : value };
}

export function jsonBody(records: number, valueBytes: number): Uint8Array {
  return encoder.encode(JSON.stringify({ records: orders(records, valueBytes) }));
}

export function msgpackBody(records: number, valueBytes: number): Uint8Array {
  const packed = orders(records, valueBytes).map(({ key, value }) => ({ key, value: JSON.stringify(value) }));
  return new Packr({ useRecords: false }).pack({ records: packed });
}

export function batchBody(records: number, valueBytes: number): Uint8Array {
  const timestamp = Date.now();
  const encoded = orders(records, valueBytes).map(({ key, value }) => ({
    key: encoder.encode(key),
    value: encoder.encode(JSON.stringify(value)),
    headers: [],
    timestamp,
  }));
  return encodeRecordBatch(encoded, { codecs: nodeCodecs });
}

export function orders(count: number, valueBytes: number): Order[] {
  return Array.from({ length: count }, (_, index) => order(index, valueBytes));
}
