// Everything that a topic holds, by each form in which the broker gives it.

import { Unpackr } from "msgpackr";
import { nodeCodecs } from "../../src/io/codecs.ts";
import { decodeRecords } from "../../src/protocol/record.ts";
import { readBatchHeader, viewOf } from "../../src/protocol/record-batch.ts";
import { type Answer, expectStatus, type HttpClient, jsonOf } from "./http-client.ts";

export interface ReadRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** The value's bytes as text. */
  readonly text: string;
}

export interface TopicAt {
  readonly client: HttpClient;
  readonly url: string;
  readonly topic: string;
  readonly partitionCount: number;
}

interface PageRecord {
  readonly partition?: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string;
}

interface Page {
  readonly records: readonly PageRecord[];
  readonly nextOffset: string | number;
  readonly caughtUp: boolean;
}

interface PackedPage {
  readonly records: readonly { partition: number; offset: number; key: Uint8Array | null; value: Uint8Array }[];
  readonly nextOffset: string | number;
  readonly caughtUp: boolean;
}

const pageLimits = "maxRecords=3000&maxBytes=400000";
/** Offsets come as 64-bit integers, which it would else give as bigints. */
const unpackr = new Unpackr({ useRecords: false, int64AsType: "number" });
const decompressedBytesMax = 64 * 1024 * 1024;

/** Values are asked for as text, so that not a byte of them is hidden by a parser. */
const asText = "valueFormat=string";

function topicPath({ url, topic }: TopicAt): string {
  return `${url}/v1/topics/${topic}`;
}

function ofPage({ partition = 0, offset, key, value }: PageRecord): ReadRecord {
  return { partition, offset, key, text: value };
}

/** Pages over all partitions. */
export async function byPages(at: TopicAt): Promise<ReadRecord[]> {
  const read: ReadRecord[] = [];
  for (let offset: string | number = "earliest", caughtUp = false; !caughtUp; ) {
    const answer: Answer = await at.client.get(`${topicPath(at)}/records?offset=${offset}&${asText}&${pageLimits}`);
    const page: Page = expectStatus<Page>(answer, 200);
    for (const record of page.records) read.push(ofPage(record));
    ({ nextOffset: offset, caughtUp } = page);
  }
  return read;
}

/** Pages of one partition after the other. */
export async function byPartitionPages(at: TopicAt): Promise<ReadRecord[]> {
  const read: ReadRecord[] = [];
  for (let partition = 0; partition < at.partitionCount; partition++) {
    for (let offset: string | number = 0, caughtUp = false; !caughtUp; ) {
      const path: string = `${topicPath(at)}/partitions/${partition}/records`;
      const answer = await at.client.get(`${path}?offset=${offset}&${asText}&${pageLimits}`);
      const page: Page = expectStatus<Page>(answer, 200);
      for (const record of page.records) read.push({ ...ofPage(record), partition });
      ({ nextOffset: offset, caughtUp } = page);
    }
  }
  return read;
}

export async function byMsgpackPages(at: TopicAt): Promise<ReadRecord[]> {
  const read: ReadRecord[] = [];
  for (let offset: string | number = "earliest", caughtUp = false; !caughtUp; ) {
    const path = `${topicPath(at)}/records?offset=${offset}&${pageLimits}`;
    const answer: Answer = await at.client.get(path, "application/msgpack");
    if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`);
    const page = unpackr.unpack(answer.body) as PackedPage;
    for (const { partition, offset: own, key, value } of page.records) {
      read.push({ partition, offset: own, key: key === null ? null : textOf(key), text: textOf(value) });
    }
    ({ nextOffset: offset, caughtUp } = page);
  }
  return read;
}

export async function byLines(at: TopicAt): Promise<ReadRecord[]> {
  const answer = await at.client.get(`${topicPath(at)}/records?${asText}`, "application/x-ndjson");
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`);
  const lines = answer.body.toString().split("\n");
  return lines.filter((line) => line !== "").map((line) => ofPage(JSON.parse(line) as PageRecord));
}

/** Server-sent events up to what is the end when they are asked for. */
export async function byEvents(at: TopicAt): Promise<ReadRecord[]> {
  const answer = await at.client.get(`${topicPath(at)}/records?until=latest&${asText}`, "text/event-stream");
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`);
  const read: ReadRecord[] = [];
  for (const event of answer.body.toString().split("\n\n")) {
    for (const line of event.split("\n")) {
      if (line.startsWith("event:")) throw new Error(`the stream ended with ${event}`);
      if (!line.startsWith("data: ")) continue;
      for (const record of (JSON.parse(line.slice("data: ".length)) as Page).records) read.push(ofPage(record));
    }
  }
  return read;
}

/** The stored batches, decoded here. */
export async function byBatches(at: TopicAt): Promise<ReadRecord[]> {
  const read: ReadRecord[] = [];
  for (let partition = 0; partition < at.partitionCount; partition++) {
    for (let offset = 0, end = 1; offset < end; ) {
      const path = `${topicPath(at)}/partitions/${partition}/records?offset=${offset}&maxBytes=400000`;
      const answer = await at.client.get(path, "application/vnd.kafka.record-batch");
      if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`);
      end = Number(answer.headers["high-watermark"]);
      for (const record of recordsIn(answer.body)) {
        if (record.offset >= offset) read.push({ ...record, partition });
      }
      offset = Number(answer.headers["next-offset"]);
    }
  }
  return read;
}

function* recordsIn(batches: Uint8Array): Generator<Omit<ReadRecord, "partition">> {
  const view = viewOf(batches);
  for (let position = 0; position < batches.length; ) {
    const header = readBatchHeader(view, position);
    const batch = batches.subarray(position, position + header.sizeBytes);
    for (const { offset, key, value } of decodeRecords(batch, header, nodeCodecs, { decompressedBytesMax })) {
      yield { offset, key: key === null ? null : textOf(key), text: textOf(value ?? new Uint8Array(0)) };
    }
    position += header.sizeBytes;
  }
}

/** Long polls from the beginning until `count` records have come, while others produce. */
export async function byLongPolls(at: TopicAt, count: number): Promise<ReadRecord[]> {
  const read: ReadRecord[] = [];
  for (let offset: string | number = "earliest"; read.length < count; ) {
    const path = `${topicPath(at)}/records?offset=${offset}&waitMs=5000&${asText}&${pageLimits}`;
    const page: Page = jsonOf<Page>(await at.client.get(path));
    for (const record of page.records) read.push(ofPage(record));
    offset = page.nextOffset;
  }
  return read;
}

/** Each way to read it all. */
export const wholeReads: Readonly<Record<string, (at: TopicAt) => Promise<ReadRecord[]>>> = {
  "pages of the topic": byPages,
  "pages of each partition": byPartitionPages,
  "msgpack pages": byMsgpackPages,
  NDJSON: byLines,
  "server-sent events": byEvents,
  "record batches": byBatches,
};

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}
